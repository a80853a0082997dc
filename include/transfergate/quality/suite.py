"""The expectations on daily bars: one suite, built from the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from transfergate.quality.declared import DeclaredExpectation
from transfergate.settings import TICKER_PATTERN
from transfergate.storage.bars import PRICES

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

BarValues = tuple[Any, ...]
_WHOLE_TICKER = TICKER_PATTERN.removesuffix("$") + r"\Z"
"""A pattern's $ would let a line's end pass."""
SUITE_NAME = "daily_bars"
READABLE = "readable"
TICKER_NAME = "ticker_name"
SUSPECTED_SPLIT = "suspected_split"
SYMBOL_NOT_VALID = "symbol_not_valid"
_MAX_PRICE = 1e12
_RELATIVE_TOLERANCE = 1e-6
_TYPES = {
    "session_date": ["datetime64[us]", "datetime64[ms]", "datetime64[s]", "datetime64[ns]"],
    **{name: ["float64"] for name in (*PRICES, "volume", "adj_close")},
}


@dataclass(frozen=True)
class BatchContext:
    """What a batch is judged against besides its own rows.

    Attributes:
        batch_id: Names the run in Data Docs.
        tickers: What was asked for.
        oldest_acceptable: The last session of the batch must not be earlier; None where no end
            was asked for.
        other_exchanges: Of tickers that trade elsewhere than on the source's exchange: its code,
            the tickers, and the oldest acceptable session there.
        previous_rows: Rows of the batch before it, of the same source; None for the first.
        prices: ``raw``, ``adjusted`` or ``auto``: whether what looks like a split is held.
        acted: Tickers with corporate actions on file.
        negative_prices: Tickers whose prices may be 0 or less.
        declared: Further expectations, from the source's own file.
        released: Values of rows that a person let through, in the order of the bars' schema with
            None for null; equal rows are not refused again.
        retracted: Splits that the batch takes back although bars stand on both sides, in words.
    """

    batch_id: str
    tickers: tuple[str, ...]
    oldest_acceptable: date | None = None
    other_exchanges: tuple[tuple[str, tuple[str, ...], date], ...] = ()
    previous_rows: int | None = None
    prices: str = "auto"
    acted: frozenset[str] = frozenset()
    negative_prices: tuple[str, ...] = ()
    declared: tuple[DeclaredExpectation, ...] = ()
    released: frozenset[BarValues] = frozenset()
    retracted: tuple[str, ...] = ()


def structural_expectations(columns: list[str]) -> Iterator[Expectation]:
    """What must hold before rows can be looked at: columns, types, at least one row.

    Args:
        columns: The bars' columns, and those of the relational checks where they are there.
    """
    import great_expectations.expectations as gxe

    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=columns, exact_match=True, **as_rule("schema", "the contract's columns")
    )
    yield gxe.ExpectColumnValuesToBeOfType(
        column="ticker", type_="str", **as_rule("type_ticker", "ticker is text")
    )
    for column, types in _TYPES.items():
        yield gxe.ExpectColumnValuesToBeInTypeList(
            column=column, type_list=types, **as_rule(f"type_{column}", f"{column} is {types[0]}")
        )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=1, **as_rule("not_empty", "the batch has rows")
    )


def row_expectations(
    columns: Sequence[str], negative_prices: Sequence[str]
) -> Iterator[Expectation]:
    """What each row must satisfy to be loaded; a row that does not is quarantined.

    Args:
        columns: Those of the frame; a rule about an optional one is left out without it.
        negative_prices: Tickers whose prices need only be finite.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    if "unreadable" in columns:
        # The rule that a row breaks is named after the cells: unreadable_close and so on.
        yield gxe.ExpectColumnValuesToBeNull(
            column="unreadable", **as_rule(READABLE, "every cell could be read")
        )
    if "unknown_symbol" in columns:
        yield gxe.ExpectColumnValuesToBeNull(
            column="unknown_symbol",
            **as_rule(SYMBOL_NOT_VALID, "its symbol stood for a ticker on that session"),
        )
    for column in ("ticker", "session_date", *PRICES):
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=column, **as_rule(f"{column}_present", f"{column} is not null")
        )
    yield gxe.ExpectColumnValuesToMatchRegex(
        column="ticker",
        regex=_WHOLE_TICKER,
        **as_rule(TICKER_NAME, "ticker has only characters that a ticker may have"),
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="copy_number",
        max_value=0,
        **as_rule("no_copy", "a row appears once; the first stays"),
    )
    yield gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["ticker", "session_date"],
        row_condition=Column("copy_number") == 0,
        **as_rule("unique_session", "one bar per ticker and session; rows that disagree all go"),
    )
    yield from _price_expectations(negative_prices)
    yield gxe.ExpectColumnValuesToBeBetween(
        column="volume",
        min_value=0,
        max_value=1e18,
        **as_rule("volume_not_negative", "volume is at least 0 and finite"),
    )
    for column, text in (
        ("high_defect", "high is at least open, low and close"),
        ("low_defect", "low is at most open, high and close"),
    ):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column,
            max_value=_RELATIVE_TOLERANCE,
            **as_rule(column.replace("defect", "bounds_the_bar"), text),
        )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="off_calendar",
        value_set=[False],
        **as_rule("exchange_session", "session_date is a session of the exchange"),
    )


def review_expectations(columns: Sequence[str], raw: Sequence[str]) -> Iterator[Expectation]:
    """What a person should look at: held for tickers with raw prices, a warning for the others.

    Args:
        columns: Those of the frame; a rule about one that it lacks is left out.
        raw: Tickers whose prices are as traded, with nothing on file that adjusts them.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    named = list(raw)
    if "suspected_split" in columns and named:
        yield gxe.ExpectColumnValuesToBeInSet(
            column="suspected_split",
            value_set=[False],
            row_condition=Column("ticker").is_in(named),
            **as_rule(
                SUSPECTED_SPLIT, "no jump like a split before this bar that no action explains"
            ),
        )
    if "spike" in columns:
        text = "no bar far off that the next one takes back"
        if named:
            yield gxe.ExpectColumnValuesToBeInSet(
                column="spike",
                value_set=[False],
                row_condition=Column("ticker").is_in(named),
                **as_rule("spike", text),
            )
        yield gxe.ExpectColumnValuesToBeInSet(
            column="spike",
            value_set=[False],
            row_condition=Column("ticker").is_not_in(named) if named else None,
            **as_rule("spike_adjusted", text, "warning"),
        )
    if "special_session" in columns:
        yield gxe.ExpectColumnValuesToBeInSet(
            column="special_session",
            value_set=[False],
            **as_rule(
                "special_session",
                "no bar on a closed day; it was loaded, for nearly all tickers have one or the day "
                "is declared",
                "warning",
            ),
        )
    if "vanished" in columns:
        yield gxe.ExpectColumnValuesToBeBetween(
            column="vanished",
            max_value=0,
            **as_rule("vanished", "no bar on file is missing just before this one", "warning"),
        )


def _price_expectations(negative_prices: Sequence[str]) -> Iterator[Expectation]:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    named = list(negative_prices)
    for column in (*PRICES, "adj_close"):
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=0,
            strict_min=True,
            max_value=_MAX_PRICE,
            row_condition=Column("ticker").is_not_in(named) if named else None,
            **as_rule(f"{column}_positive", f"{column} is above 0 and finite"),
        )
        if named:
            yield gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=-_MAX_PRICE,
                max_value=_MAX_PRICE,
                row_condition=Column("ticker").is_in(named),
                **as_rule(f"{column}_finite", f"{column} of {', '.join(named)} is finite"),
            )
    if named:
        # Loaded, and still worth a look: the lowest price says so for the whole bar.
        yield gxe.ExpectColumnValuesToBeBetween(
            column="low",
            min_value=0,
            strict_min=True,
            row_condition=Column("ticker").is_in(named),
            **as_rule("negative_price", f"prices of {', '.join(named)} are above 0", "info"),
        )


def as_rule(name: str, text: str, severity: str = "critical") -> dict[str, Any]:
    """What names an expectation: ``meta`` carries the rule to the results, ``notes`` shows it."""
    return {"severity": severity, "notes": text, "meta": {"rule": name, "text": text}}
