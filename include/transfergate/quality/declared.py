"""Expectations that a source declares in a file of its own: one entry is one expectation.

[[expectations]]
expectation = "ExpectColumnValuesToBeBetween"    # any of Great Expectations
column = "close"
min_value = 1
rule = "no_penny_stocks"                         # the reason of a row that breaks it
text = "close is at least 1"
severity = "warning"                             # critical: the row is quarantined
tickers = ["GOOG", "FB"]                         # all, where not given
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from transfergate.errors import SettingsError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_OWN = ("expectation", "rule", "text", "severity", "tickers")
_SEVERITIES = ("critical", "warning", "info")
_RULE = re.compile(r"[a-z][a-z0-9_]{0,59}")
COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")
# What Great Expectations' classes carry for itself, and what we set.
_HIDDEN = {
    *("id", "meta", "notes", "result_format", "catch_exceptions", "rendered_content"),
    *("windows", "batch_id", "severity", "description", "row_condition", "condition_parser"),
}


@dataclass(frozen=True)
class DeclaredExpectation:
    """One entry of a source's file, checked but not yet built.

    Attributes:
        expectation: Name of a class of Great Expectations.
        rule: The reason of a row that breaks it.
        text: What it demands, in words.
        severity: ``critical``, ``warning`` or ``info``.
        tickers: It holds for these alone; empty for all.
        arguments: Of the class.
        where: The entry, for messages.
    """

    expectation: str
    rule: str
    text: str
    severity: str
    tickers: tuple[str, ...]
    arguments: dict[str, Any]
    where: str


def parse_expectations(content: str, where: str) -> tuple[DeclaredExpectation, ...]:
    """Read a file of expectations.

    Args:
        content: TOML with a list ``expectations``.
        where: Its path, for messages.

    Raises:
        SettingsError: If it is no such TOML, or an entry lacks a name or has it twice.
    """
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not valid TOML: {error}; correct that line") from error
    entries = document.get("expectations")
    if set(document) != {"expectations"} or not isinstance(entries, list):
        raise SettingsError(
            f"{where}: expected entries [[expectations]] and nothing else, found "
            f"{', '.join(sorted(document)) or 'nothing'}: begin each expectation with that line"
        )
    declared = tuple(_entry(entry, f"{where}, entry {i}") for i, entry in enumerate(entries, 1))
    rules = [item.rule for item in declared]
    if twice := sorted({rule for rule in rules if rules.count(rule) > 1}):
        raise SettingsError(f"{where}: rule {twice[0]!r} stands there twice: rename one of them")
    return declared


def _entry(entry: Any, where: str) -> DeclaredExpectation:
    if not isinstance(entry, dict):
        raise SettingsError(f"{where}: expected a table, found {entry!r}")
    for name in ("expectation", "rule"):
        if not isinstance(entry.get(name), str):
            raise SettingsError(f'{where}: expected {name} = "…", found {entry.get(name)!r}')
    rule, severity = entry["rule"], entry.get("severity", "critical")
    if not _RULE.fullmatch(rule):
        raise SettingsError(
            f"{where}: rule {rule!r} must be lower case letters, digits and _ such as "
            f"'close_above_1': rename it"
        )
    if severity not in _SEVERITIES:
        raise SettingsError(
            f"{where}, {rule}: severity {severity!r} is none of {', '.join(_SEVERITIES)}"
        )
    tickers = entry.get("tickers", [])
    if not isinstance(tickers, list) or not all(isinstance(item, str) for item in tickers):
        raise SettingsError(f"{where}, {rule}: tickers must be a list of names, found {tickers!r}")
    return DeclaredExpectation(
        entry["expectation"],
        rule,
        str(entry.get("text", f"{entry['expectation']} as declared by the source")),
        severity,
        tuple(tickers),
        {name: value for name, value in entry.items() if name not in _OWN},
        f"{where}, {rule}",
    )


def build_expectations(
    declared: Iterable[DeclaredExpectation], columns: Sequence[str], own_rules: Iterable[str]
) -> list[Expectation]:
    """Make Great Expectations' objects of what a source declares.

    Args:
        declared: From its file.
        columns: Those of the frame that is judged.
        own_rules: Names that are taken already.

    Raises:
        SettingsError: If an expectation, an argument or a column does not exist, a value does not
            fit, or a rule has the name of one of ours; names what exists.
    """
    taken = set(own_rules)
    built = []
    for item in declared:
        if item.rule in taken:
            raise SettingsError(
                f"{item.where}: every batch is judged by a rule of that name already: rename it"
            )
        built.append(_built(item, columns))
    return built


def _built(item: DeclaredExpectation, columns: Sequence[str]) -> Expectation:
    kind = _class_of(item)
    arguments = sorted(set(kind.__fields__) - _HIDDEN)
    if unknown := sorted(set(item.arguments) - set(arguments)):
        raise SettingsError(
            f"{item.where}: {item.expectation} has no argument {unknown[0]!r}"
            f"{_meant(unknown[0], arguments)}; it has {', '.join(arguments)}"
        )
    for name in COLUMN_ARGUMENTS:
        asked = item.arguments.get(name, [])
        for column in [asked] if isinstance(asked, str) else asked:
            if column not in columns:
                raise SettingsError(
                    f"{item.where}: there is no column {column!r}{_meant(column, columns)}; there "
                    f"are {', '.join(columns)}"
                )
    from great_expectations.expectations.row_conditions import Column

    condition: dict[str, Any] = {}
    if item.tickers:
        if "row_condition" not in kind.__fields__:
            raise SettingsError(
                f"{item.where}: {item.expectation} cannot be limited to tickers: remove them"
            )
        condition["row_condition"] = Column("ticker").is_in(list(item.tickers))
    try:
        expectation: Expectation = kind(
            **{name: _typed(value) for name, value in item.arguments.items()},
            **condition,
            severity=item.severity,
            notes=item.text,
            meta={"rule": item.rule, "text": item.text},
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{item.where}: {_words(error)}; it takes {', '.join(arguments)}"
        ) from (error)
    return expectation


def _class_of(item: DeclaredExpectation) -> Any:
    import great_expectations.expectations as gxe

    # Those that ask a database cannot judge a batch, which is a data frame.
    sql_only = re.compile("Query|OtherTable|LikePattern")
    names = [n for n in dir(gxe) if re.match("Expect[A-Z]", n) and not sql_only.search(n)]
    if item.expectation not in names:
        raise SettingsError(
            f"{item.where}: Great Expectations has no {item.expectation!r}"
            f"{_meant(item.expectation, names)}; it has {', '.join(names)}"
        )
    return getattr(gxe, item.expectation)


def _meant(found: str, names: Sequence[str]) -> str:
    close = get_close_matches(found, names, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _typed(value: Any) -> Any:
    # Dates of TOML are compared with time stamps.
    if isinstance(value, date):
        import pandas as pd

        return pd.Timestamp(value)
    return value


def _words(error: Exception) -> str:
    # Of a model of pydantic, what is wrong with which argument.
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error).splitlines()[0]
    first: dict[str, str] = {}
    for one in errors():
        first.setdefault(".".join(str(part) for part in one["loc"]), one["msg"])
    return "; ".join(f"{name}: {text}".removeprefix("__root__: ") for name, text in first.items())
