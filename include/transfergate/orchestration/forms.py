"""The fields of the trigger forms, and what is refused before any task does something.

Each field has a type, a description and a bound. Airflow checks them when a run is asked for,
over the UI, the REST API and for a backfill; nothing has run then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from transfergate.settings import TICKER_PATTERN, Settings, SourceParams

if TYPE_CHECKING:
    from airflow.sdk import Context

MAX_TICKERS = 10_000
# A pattern's $ also matches before a line's end, which no name may have.
_ONE_LINE = r"(?!\n)"
TICKER = TICKER_PATTERN + _ONE_LINE
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$" + _ONE_LINE
SNAPSHOT = r"^[0-9a-f]{8,64}$" + _ONE_LINE
SESSION = r"^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$" + _ONE_LINE
PATH = r"^[^\x00-\x1f\x7f]+$"
SENTENCE = r"^\s*\S[\s\S]*\S\s*$"

_KINDS = {
    "sample": "real bars that come with the installation",
    "synthetic": "made-up bars with a planted signal",
    "files": "Parquet, CSV or Excel files in a folder",
    "yahoo": "Yahoo Finance, over the network",
}


def source_param(settings: Settings, *, default: str | None, empty: str | None = None) -> Param:
    """A drop-down of the sources in the settings.

    Args:
        settings: Settings.
        default: The one chosen at first; None only where it may stay empty.
        empty: What leaving it empty means; None where it must not.
    """
    names = sorted(settings.sources)
    labels = {name: f"{name}: {_words(settings.sources[name])}" for name in names}
    optional = empty is not None
    return Param(
        default,
        type=["null", "string"] if optional else "string",
        enum=[None, *names] if optional else names,
        values_display=({"null": empty} if optional else {}) | labels,
        title="Source of bars",
        description_md="Where the bars come from: one of the **sources** in the settings."
        + (f" Empty: {empty}." if optional else ""),
        section="What",
    )


def tickers_param(title: str, description: str, *, section: str = "What") -> Param:
    """A list of tickers, one a line, that may stay empty."""
    return Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": TICKER},
        minItems=1,
        maxItems=MAX_TICKERS,
        uniqueItems=True,
        title=title,
        description_md=description,
        section=section,
    )


def session_param(title: str, description: str) -> Param:
    """A session's date, from 1900 to 2099, that may stay empty."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        pattern=SESSION,
        title=title,
        description_md=description,
        section="When",
    )


def text_param(title: str, description: str, pattern: str, **bounds: Any) -> Param:
    """A line of text of a given form that may stay empty."""
    return Param(
        None,
        type=["null", "string"],
        pattern=pattern,
        **{"minLength": 1, "maxLength": 100, "section": "What", **bounds},
        title=title,
        description_md=description,
    )


def refuse_unknown(context: Context) -> None:
    """Refuse a run whose ``conf`` has a key that the form has not: Airflow lets it pass silently.

    Raises:
        ValueError: Naming the keys, and those that there are.
    """
    conf: Mapping[str, Any] = getattr(context.get("dag_run"), "conf", None) or {}
    known = list(context["dag"].params)
    if unknown := sorted(set(conf) - set(known)):
        raise ValueError(
            f"unknown parameters {', '.join(map(repr, unknown))} in the run's conf; "
            f"{context['dag'].dag_id} has {', '.join(known) or 'none'}: correct the name and "
            f"trigger again, nothing has run"
        )


def _words(source: SourceParams) -> str:
    where = f" ({source.root})" if source.root else ""
    return _KINDS.get(source.kind, source.kind) + where
