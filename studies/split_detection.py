"""Suspected splits on real unadjusted bars: hits, misses and false alarms.

``python -m studies.split_detection DATA_FOLDER``: the folder holds
``nse_india_unadjusted.parquet`` (bars as traded) and ``nse_split_candidates.csv``, jumps beyond
-38 % or +60 % of which most, not all, are splits and bonus issues. Prints a table; changes nothing.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from transfergate.calendars import exchange_sessions
from transfergate.settings import PROJECT_ROOT
from transfergate.sources.base import bars_table
from transfergate.warehouse import derive_checks

_USUAL = np.array([1.25, 1.5, 2, 3, 4, 5, 7, 8, 10, 15, 20, 25, 0.5, 1 / 3, 0.25, 0.2])
_KEYS = ["symbol", "date"]


def main(folder: Path) -> None:
    bars = pd.read_parquet(folder / "nse_india_unadjusted.parquet")
    bars["date"] = pd.to_datetime(bars["date"])
    table = bars_table(
        bars.rename(columns={"symbol": "ticker", "date": "session_date"}).assign(adj_close=None)
    )
    # Special sessions on Saturdays are sessions too: the data's own days are the calendar.
    days = {day.date() for day in bars["date"]}
    sessions = sorted(days | set(exchange_sessions("XBOM", min(days), max(days))))
    checked = derive_checks(table, sessions, PROJECT_ROOT / "sql")
    checked = checked.rename(columns={"ticker": "symbol", "session_date": "date"})
    checked["date"] = pd.to_datetime(checked["date"])
    truth = pd.read_csv(folder / "nse_split_candidates.csv", parse_dates=["date"])
    found = checked[checked["split_ratio"].notna()][[*_KEYS, "split_ratio"]]
    joined = truth.merge(found, on=_KEYS, how="outer", indicator=True).sort_values(_KEYS)
    hits = joined[joined["_merge"] == "both"]
    missed = joined[joined["_merge"] == "left_only"]
    alarms = joined[joined["_merge"] == "right_only"]
    print(f"bars {len(bars):,}, symbols {bars['symbol'].nunique()}, candidates {len(truth)}")
    print(f"hits {len(hits)}, missed {len(missed)}, beyond the candidates {len(alarms)}")
    print(f"spikes {int(checked['spike'].sum())}, rows in or after a suspected split "
          f"{int(checked['suspected_split'].sum()):,}")  # fmt: skip
    fall = np.log(missed["previous_close"] / missed["open"]).to_numpy()
    missed = missed.assign(off_usual_ratio=np.abs(fall[:, None] - np.log(_USUAL)).min(axis=1))
    print(
        "\nmissed candidates, and how far (log) the gap is from a usual ratio\n"
        + missed.drop(columns=["_merge", "split_ratio"]).to_string(index=False)
    )
    print("\nsuspected, no candidate\n" + _around(checked, alarms))
    print("\nspikes\n" + _around(checked, checked[checked["spike"]][_KEYS]))


def _around(checked: pd.DataFrame, rows: pd.DataFrame) -> str:
    columns = [*_KEYS, "open", "close", "adjusted_return", "split_ratio"]
    shown = []
    for symbol, day in rows[_KEYS].itertuples(index=False):
        near = checked[checked["symbol"] == symbol].sort_values("date")
        near = near[near["date"].between(day - timedelta(days=5), day + timedelta(days=4))]
        shown.append(near[columns].to_string(index=False))
    return "\n--\n".join(shown) or "none"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
