"""Corporate actions and symbols that the rows of bars carry themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.errors import SourceError
from transfergate.sources.numbers import Cells
from transfergate.storage.bars import ACTION_SCHEMA, SYMBOL_SCHEMA

_RATIO = r"^\s*(?P<n>\d+(?:\.\d+)?)\s*[:/]\s*(?P<o>\d*[1-9]\d*(?:\.\d+)?)\s*$"
LARGEST_SPLIT = 10_000.0
_KINDS = {"split_ratio": "split", "dividend": "dividend"}


def actions_of_rows(rows: pa.Table) -> pa.Table:
    """Splits and dividends on their sessions; rows without one are none.

    Args:
        rows: In ``READ_SCHEMA``.

    Returns:
        In ``ACTION_SCHEMA``, and ``where``: file and line of each.
    """
    tables = []
    sound = pc.and_(pc.is_valid(rows["ticker"]), pc.is_valid(rows["session_date"]))
    for column, kind in _KINDS.items():
        some = rows.filter(pc.and_(sound, pc.is_valid(rows[column])))
        tables.append(
            pa.table(
                {
                    "ticker": some["ticker"],
                    "effect_date": some["session_date"],
                    "kind": pa.array([kind] * some.num_rows, pa.string()),
                    "value": some[column],
                    "where": pc.binary_join_element_wise(
                        some["origin"], some["line"].cast(pa.string()), ", line "
                    ),
                },
                schema=ACTION_SCHEMA.append(pa.field("where", pa.string())),
            )
        )
    return pa.concat_tables(tables)


def symbols_of_rows(rows: pa.Table) -> pa.Table:
    """Which symbol each ticker's rows carried when, in ``SYMBOL_SCHEMA``; the last use is open.

    Args:
        rows: In ``READ_SCHEMA``.
    """
    some = rows.select(["ticker", "session_date", "symbol"]).drop_null()
    some = some.sort_by([("ticker", "ascending"), ("session_date", "ascending")])
    triples = zip(*(column.to_pylist() for column in some.columns), strict=True)
    found: list[dict[str, object]] = []
    for (ticker, symbol), group in groupby(triples, key=lambda triple: (triple[0], triple[2])):
        days = [day for _, day, _ in group]
        found.append(
            {"symbol": symbol, "ticker": ticker, "first_date": days[0], "last_date": days[-1]}
        )
    for use, following in zip(found, [*found[1:], None], strict=True):
        if following is None or following["ticker"] != use["ticker"]:
            use["last_date"] = None
    return pa.Table.from_pylist(found, schema=SYMBOL_SCHEMA)


def merged_actions(
    found: Sequence[pa.Table],
    declared: pa.Table | None,
    more: Sequence[dict[str, object]] = (),
) -> pa.Table:
    """Actions, each once, sorted; a declared one goes over those found in files.

    Args:
        found: As :func:`actions_of_rows` gives them.
        declared: In ``ACTION_SCHEMA``; None for none.
        more: Rows like those of ``found``.

    Raises:
        SourceError: If files contradict each other on one action; names the places.
    """
    listed = declared.to_pylist() if declared is not None else []
    said = {(row["ticker"], row["effect_date"], row["kind"]): row["value"] for row in listed}
    merged: dict[tuple[str, date, str], float | None] = {}
    places: dict[tuple[str, date, str], str] = {}
    for row in [row for table in found for row in table.to_pylist()] + list(more):
        key = (str(row["ticker"]), row["effect_date"], str(row["kind"]))
        if key in said:  # whatever the files say
            continue
        places.setdefault(key, str(row["where"]))
        if merged.setdefault(key, row["value"]) != row["value"]:
            raise SourceError(
                f"{key[0]} {key[1]}: two values of one {key[2]}, {merged[key]} ({places[key]}) and "
                f"{row['value']} ({row['where']}): correct one, or declare the right one in the "
                f"source's actions"
            )
    merged |= said
    return pa.Table.from_pylist(
        [
            {"ticker": t, "effect_date": day, "kind": kind, "value": value}
            for (t, day, kind), value in sorted(merged.items())
        ],
        schema=ACTION_SCHEMA,
    )


def split_ratios(text: pa.Array) -> pa.Array:
    """Text with 7:1 and 7/1, seven new shares for one old one, as the number 7."""
    parts = pc.extract_regex(text, _RATIO)
    fits = pc.is_valid(parts)
    if not pc.any(fits).as_py():
        return text
    new, old = (pc.if_else(fits, parts.field(name), "1").cast(pa.float64()) for name in ("n", "o"))
    return pc.if_else(fits, pc.divide(new, old).cast(pa.string()), text)


def event_cells(name: str, cells: Cells) -> Cells:
    """Cells without those that are no event: null, 0, and for a split also 1."""
    most = LARGEST_SPLIT if name == "split_ratio" else sys.float_info.max
    fits = pc.and_(pc.greater_equal(cells.values, 0.0), pc.less_equal(cells.values, most))
    wrong = np.asarray(pc.invert(pc.fill_null(fits, True)))
    none = pc.equal(cells.values, 0.0)
    if name == "split_ratio":
        none = pc.or_(none, pc.equal(cells.values, 1.0))
    gone = pc.or_(pc.fill_null(none, True), pa.array(wrong))
    values = pc.if_else(gone, pa.scalar(None, pa.float64()), cells.values)
    what = "cash per share, 0 or more"
    if name == "split_ratio":
        what = f"new shares per old share, 0 to {LARGEST_SPLIT:g}"
    return Cells(values, cells.bad | wrong, f"{what}, as {cells.expected}")
