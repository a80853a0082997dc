"""What every source promises, and the checks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import pandas as pd
import pyarrow as pa

from transfergate.errors import SourceError
from transfergate.storage.bars import BAR_SCHEMA
from transfergate.storage.landing import Reference


class Source(Protocol):
    """Somewhere bars come from."""

    @property
    def name(self) -> str:
        """Its name in settings and in the warehouse; bars of two sources never mix."""
        ...

    @property
    def lists_all(self) -> bool:
        """Whether no ticker can be had but those of :meth:`tickers`."""
        ...

    def tickers(self) -> tuple[str, ...]:
        """Everything it can deliver, sorted; index series are tickers too."""
        ...

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """Bars as received, in ``storage.bars.BAR_SCHEMA``, one block of rows per ticker.

        A ticker that has no bar in the range contributes no row. The same request gives the
        same rows in the same order, and a subset of tickers gives exactly its part of them.

        Args:
            tickers: What is wanted, all from :meth:`tickers`.
            start: First session wanted, or None for all there are.
            end: Last session wanted, or None for all there are.

        Raises:
            SourceError: If a ticker, or a file, cannot be had; names it.
        """
        ...

    def reference(self, tickers: Sequence[str]) -> Reference:
        """Corporate actions, instruments and symbols of these tickers."""
        ...


class BarsOnly:
    """Base of a source that says nothing about its tickers besides their bars."""

    lists_all = True

    def reference(self, tickers: Sequence[str]) -> Reference:
        """No actions, instruments or symbols."""
        return Reference()


def require_known(source: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    """Refuse tickers that a source does not have.

    Raises:
        SourceError: Naming each of them and what there is.
    """
    missing = sorted(set(wanted) - set(known))
    if missing:
        shown = ", ".join(known[:20]) + (f", … ({len(known)} in all)" if len(known) > 20 else "")
        raise SourceError(
            f"source {source!r} has no bars for {', '.join(missing)}; it has {shown or 'none'}: "
            f"ask for those, or name another source"
        )


def within(frame: pd.DataFrame, start: date | None, end: date | None) -> pd.DataFrame:
    """Rows from ``start`` to ``end``, both included; a row without a date stays in."""
    dates = frame["session_date"]
    inside = pd.Series(True, index=frame.index)
    if start is not None:
        inside &= dates.isna() | (dates >= pd.Timestamp(start))
    if end is not None:
        inside &= dates.isna() | (dates <= pd.Timestamp(end))
    return frame[inside]


def bars_table(frame: pd.DataFrame) -> pa.Table:
    """Cast a frame to the bars' schema; columns that it lacks are null.

    Args:
        frame: Columns of the bars table, ``session_date`` as datetime64.
    """
    columns = {}
    for field in BAR_SCHEMA:
        if field.name in frame.columns:
            array = pa.Array.from_pandas(frame[field.name])
            columns[field.name] = array.cast(field.type)
        else:
            columns[field.name] = pa.nulls(len(frame), field.type)
    return pa.table(columns, schema=BAR_SCHEMA)
