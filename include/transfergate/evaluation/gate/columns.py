"""The six columns of a table of returns: their types, and cells that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transfergate.errors import GateInputError

COLUMN_TYPES = {
    "ticker": pa.string(),
    "session_date": pa.date32(),
    "fold": pa.int64(),
    "arm": pa.string(),
    "seed": pa.int64(),
    "net_return": pa.float64(),
}
MISSING_WORDS = ("", "NA", "NaN", "nan", "null", "NULL", "None")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?inf(inity)?$"
_EXPECTED = {
    "session_date": "a date as YYYY-MM-DD",
    "fold": "a whole number",
    "arm": "the name of an arm",
    "seed": "a whole number, or nothing",
    "net_return": "a number",
}


@dataclass(frozen=True)
class Returns:
    """A table of returns whose columns have their types.

    Attributes:
        table: The columns of :data:`COLUMN_TYPES`, without the rows of unusable tickers.
        unusable: Per ticker that has a cell nobody can read, what is wrong with it.
    """

    table: pa.Table
    unusable: Mapping[str, GateInputError] = field(default_factory=dict)


def check_columns(table: pa.Table, *, text: bool = False) -> Returns:
    """Select the six columns and cast them.

    Args:
        table: Any table; columns beyond the six are dropped.
        text: All columns are text, as a CSV has them: numbers are read from it. Otherwise text
            where a number belongs is the wrong type.

    Raises:
        GateInputError: If a column is missing, of a type that does not cast, all is empty, or a
            row does not say of which ticker it is. A defect that belongs to one ticker is kept
            in :attr:`Returns.unusable` instead.
    """
    _check_shape(table)
    columns, bad = {}, {}
    for name, wanted in COLUMN_TYPES.items():
        columns[name], bad[name] = _cast(table[name], name, wanted, text)
    result = pa.table(columns)
    nameless = pc.fill_null(pc.equal(result["ticker"], ""), True)
    if pc.any(nameless).as_py():
        raise GateInputError(
            f"returns: {pc.sum(nameless).as_py()} rows have no ticker, first in row "
            f"{pc.index(nameless, True).as_py() + 1}; fill it in"
        )
    padded = pc.not_equal(result["ticker"], pc.utf8_trim_whitespace(result["ticker"]))
    if pc.any(padded).as_py():
        first = pc.index(padded, True).as_py()
        raise GateInputError(
            f"returns: {pc.sum(padded).as_py()} rows have blanks around their ticker, first "
            f"{result['ticker'][first].as_py()!r} in row {first + 1}; expected the bare name, or "
            f"one ticker's record falls in two; strip them"
        )
    for name in ("arm", "session_date", "fold"):
        if result[name].null_count:
            bad[name] = pc.is_null(result[name]).to_numpy(zero_copy_only=False)
    unusable: dict[str, GateInputError] = {}
    for name, rows in bad.items():
        if rows is not None and rows.any():
            unusable = _unreadable(table, result, name, rows) | unusable
    unusable = _mixed_recipes(table, result) | unusable
    if unusable:
        keep = pc.invert(pc.is_in(result["ticker"], value_set=pa.array(list(unusable))))
        result = result.filter(keep)
    return Returns(result, unusable)


def _mixed_recipes(table: pa.Table, result: pa.Table) -> dict[str, GateInputError]:
    """Tickers whose rows come from several recipes, where the table says from which."""
    if "recipe" not in table.column_names:
        return {}
    pairs = pa.table({"ticker": result["ticker"], "recipe": table["recipe"].cast(pa.string())})
    recipes: dict[str, list[str]] = {}
    for pair in pairs.group_by(["ticker", "recipe"]).aggregate([]).to_pylist():
        recipes.setdefault(pair["ticker"], []).append(str(pair["recipe"]))
    return {
        ticker: GateInputError(
            f"{ticker}: rows of {len(found)} recipes ({', '.join(sorted(found)[:3])}), expected "
            f"one: a record is of one recipe; keep the rows of the one that is to be judged"
        )
        for ticker, found in recipes.items()
        if len(found) > 1
    }


def _check_shape(table: pa.Table) -> None:
    names = table.column_names
    missing = [name for name in COLUMN_TYPES if name not in names]
    if missing:
        raise GateInputError(
            f"returns: columns {missing} are missing, found {names}; expected "
            f"{', '.join(COLUMN_TYPES)}; rename or add them"
        )
    twice = sorted({name for name in COLUMN_TYPES if names.count(name) > 1})
    if twice:
        raise GateInputError(f"returns: columns {twice} stand twice, expected once; drop one")
    if table.num_rows == 0:
        raise GateInputError(
            "returns: no rows, expected at least the arms finetuned and scratch of one ticker; "
            "check what wrote this file"
        )


def _cast(
    column: pa.ChunkedArray, name: str, wanted: pa.DataType, text: bool
) -> tuple[pa.ChunkedArray, NDArray[np.bool_] | None]:
    """The column in its type, and which of its rows cannot be read."""
    found = column.type
    if found == wanted:
        return column, None
    if pa.types.is_dictionary(found):
        return _cast(column.cast(found.value_type), name, wanted, text)
    textual = pa.types.is_string(found) or pa.types.is_large_string(found)
    numeric = pa.types.is_integer(found) or pa.types.is_floating(found)
    dated = pa.types.is_date(found) or pa.types.is_timestamp(found)
    fits = {
        pa.string(): textual,
        pa.date32(): textual or dated,
        pa.int64(): numeric or (text and textual),
        pa.float64(): numeric or pa.types.is_decimal(found) or (text and textual),
    }
    message = f"returns: column {name} has type {found}, expected {wanted}"
    if not (fits[wanted] or column.null_count == len(column)):
        raise GateInputError(f"{message}; convert it in what wrote this file")
    try:
        if textual:
            return _from_text(column.cast(pa.string()), wanted)
        if pa.types.is_floating(found) and wanted == pa.int64():
            return _whole(column.cast(pa.float64()))
        if pa.types.is_timestamp(found) and found.tz is not None:
            column = pc.local_timestamp(column)
        return column.cast(wanted), None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise GateInputError(
            f"{message}, and does not convert: {error}; convert it in what wrote this file"
        ) from error


def _from_text(
    column: pa.ChunkedArray, wanted: pa.DataType
) -> tuple[pa.ChunkedArray, NDArray[np.bool_] | None]:
    if wanted == pa.string():
        return column, None
    column = pc.utf8_trim_whitespace(column)
    column = pc.if_else(pc.is_in(column, value_set=pa.array(MISSING_WORDS)), None, column)
    if wanted == pa.date32():
        return _dates(column)
    readable = pc.fill_null(pc.match_substring_regex(column, _NUMBER, ignore_case=True), True)
    numbers = pc.if_else(readable, column, None).cast(pa.float64())
    bad = ~readable.to_numpy(zero_copy_only=False)
    if wanted == pa.int64():
        numbers, broken = _whole(numbers)
        return numbers, bad | broken
    return numbers, bad


def _dates(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """Dates; of a time of day, with or without an offset, the date that is written."""
    dated = pc.fill_null(pc.match_substring_regex(column, r"^\d{4}-\d{2}-\d{2}([T ].*)?$"), False)
    days = pc.utf8_slice_codeunits(pc.if_else(dated, column, None), 0, 10)
    moments = pc.strptime(days, format="%Y-%m-%d", unit="s", error_is_null=True)
    result = moments.cast(pa.date32())
    # strptime reads 30 February as 2 March: what is written must come back.
    same = pc.fill_null(pc.equal(result.cast(pa.string()), days), False)
    bad = pc.and_(pc.is_valid(column), pc.invert(same))
    return pc.if_else(bad, None, result), bad.to_numpy(zero_copy_only=False)


def _whole(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """Whole numbers of a column of floats; NaN counts as missing."""
    values = column.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        broken = ~missing & ((np.abs(values) >= 2.0**53) | (values != np.floor(values)))
    whole = np.where(missing | broken, 0.0, values).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=missing | broken)]), broken


def _unreadable(
    table: pa.Table, result: pa.Table, name: str, rows: NDArray[np.bool_]
) -> dict[str, GateInputError]:
    """For each ticker its first cell of a column that cannot be read, with where it stands."""
    indices = pa.array(np.flatnonzero(rows))
    where = result.select(["ticker", "arm", "session_date"]).take(indices).to_pylist()
    found = table[name].take(indices).to_pylist()
    counts: dict[str, int] = {}
    first: dict[str, int] = {}
    for i, row in enumerate(where):
        counts[row["ticker"]] = counts.get(row["ticker"], 0) + 1
        first.setdefault(row["ticker"], i)
    return {
        ticker: GateInputError(
            f"{ticker} {where[i]['arm']} {where[i]['session_date']}: {name} is {found[i]!r} in row "
            f"{indices[i].as_py() + 1}"
            + (f" (and {counts[ticker] - 1} more rows)" if counts[ticker] > 1 else "")
            + f", expected {_EXPECTED[name]}; repair it or leave the ticker out"
        )
        for ticker, i in first.items()
    }
