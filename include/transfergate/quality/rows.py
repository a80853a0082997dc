"""What is held of a batch's rows once their values have been looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class JudgedRows:
    """The rows of a batch: of all of them the ticker, of those that break a rule everything.

    Attributes:
        tickers: Of each row, by its number; a categorical, null for none.
        found: Rows that break a rule, or more, by ``row_id``; all columns that were judged.
        first_session: The earliest of all rows; None without a date.
        last_session: The latest.
        vendor_adjusted: Tickers with an adjusted close.
    """

    tickers: pd.Series[Any]
    found: pd.DataFrame = field(default_factory=pd.DataFrame)
    first_session: date | None = None
    last_session: date | None = None
    vendor_adjusted: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.tickers)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> JudgedRows:
        """Of rows that are all at hand.

        Args:
            frame: Rows with ``row_id`` from 0; or, where their columns break the contract, without.
        """
        names = frame["ticker"] if "ticker" in frame else pd.Series([None] * len(frame))
        first = last = None
        if "session_date" in frame and len(dates := pd.to_datetime(frame["session_date"]).dropna()):
            first, last = dates.min().date(), dates.max().date()
        derived = "row_id" in frame
        given: list[str] = (
            frame.loc[frame["adj_close"].notna(), "ticker"].tolist() if derived else []
        )
        return cls(
            names.astype("category").reset_index(drop=True),
            frame.set_index("row_id", drop=False) if derived else frame,
            *(first, last),
            frozenset(given),
        )
