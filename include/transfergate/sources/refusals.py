"""Why a file is not read: which line and column, what stands there, what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources.numbers import Cells
from transfergate.sources.sheets import Sheet, SheetReader

_SHOWN = 3


def refuse_header(
    url: str, reader: SheetReader, shape: FileFormatParams, missing: list[str]
) -> None:
    """Refuse a file whose header lacks columns, or names one twice.

    Args:
        url: Of the file.
        reader: Of the file.
        shape: Its declared format.
        missing: What is missing, in words; empty for nothing.

    Raises:
        SourceError: Names the columns that are there, and how to say which is which.
    """
    names = reader.names
    twice = sorted({name for name in names if name and names.count(name) > 1})
    by_name = any(isinstance(column, str) for column in shape.columns.values())
    if twice and (by_name or not shape.columns) and not missing:
        missing = [f"a header without repetition: {', '.join(map(repr, twice))} is there twice"]
    if missing:
        shown = ", ".join(names) if names else f"{reader.width} without names"
        raise SourceError(
            f"{url}: missing {', '.join(missing)}; columns found: {shown}: say which "
            f"column is which with sources.<name>.formats.columns (contract column = column in "
            f"the file, or its position from 1), for example columns = "
            f'{{ ticker = "symbol", session_date = "date" }}; '
            f"`transfergate inspect` proposes them"
        )


def unreadable_cells(
    url: str, sheet: Sheet, positions: dict[str, int], bad: dict[str, Cells]
) -> SourceError:
    """The refusal of a file with cells that cannot be read; names line, column and value.

    Args:
        url: Of the file.
        sheet: What was read of it.
        positions: Contract column -> place in ``sheet.columns``.
        bad: Contract column -> its cells, where some cannot be read.
    """
    parts = []
    for name, cells in bad.items():
        rows = np.flatnonzero(cells.bad)
        label = _label(sheet, positions[name])
        shown = "; ".join(
            f"line {sheet.lines[row]} has {_shown(sheet.columns[positions[name]][row])}"
            for row in rows[:_SHOWN]
        )
        more = f"; … {len(rows)} cells in all" if len(rows) > _SHOWN else ""
        parts.append(f"column {label} ({name}): {shown}{more}; expected {cells.expected}")
    rows_hit = int(np.any([cells.bad for cells in bad.values()], axis=0).sum())
    return SourceError(
        f"{url}: {rows_hit} of {len(sheet.lines)} rows cannot be read. "
        f"{'. '.join(parts)}. Correct the file or its format (`transfergate inspect` proposes "
        f"one), or say unreadable = 'quarantine' there: then these rows are set apart"
    )


def _label(sheet: Sheet, index: int) -> str:
    return repr(sheet.names[index]) if sheet.names else str(index + 1)


def _shown(value: Any) -> str:
    text = value.as_py()
    return "nothing" if text in (None, "") else repr(str(text)[:60])
