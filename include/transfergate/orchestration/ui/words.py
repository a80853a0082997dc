"""How pages say verdicts, moments, versions and figures."""

from __future__ import annotations

from datetime import UTC, datetime

from transfergate.orchestration.ui.markup import Html, badge, element
from transfergate.reporting.markup import SYMBOLS, TONES
from transfergate.reporting.words import SHORT_WORDS, number

ACTIONS = {"promote": "promoted", "rollback": "rolled back", "refresh": "refreshed"}


def verdict(name: str) -> Html:
    """A verdict as a word with its symbol."""
    return badge(SHORT_WORDS.get(name, name), TONES.get(name, "open"), SYMBOLS.get(name, ""))


def moment(iso: str | None) -> Html | None:
    """An ISO time in UTC, to the minute; the whole of it stands in the element."""
    if not iso:
        return None
    utc = datetime.fromisoformat(iso).astimezone(UTC)
    return element("time", f"{utc:%Y-%m-%d %H:%M}", datetime=iso, title="UTC", class_="moment")


def version(name: str | None) -> Html:
    """A version or another hash in full, to be read letter by letter; flat where there is none."""
    return element("code", name) if name else element("span", "flat", class_="note")


def short(name: str | None) -> Html:
    """The beginning of a version, where there is no room for the whole of it."""
    return element("code", name[:8], title=name) if name else version(None)


def delta(value: float | None, error: float | None) -> Html:
    """A difference of Sharpe ratios with its standard error."""
    if value is None:
        return Html("-")
    return Html(f"{number(value, 2, sign=True)} ± {number(error, 2)}")


def sessions(count: int) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{count:,} session{'' if count == 1 else 's'}"
