"""Folders that ``make retrain`` takes: ``python -m studies.panel_folders FOLDER OUT``.

FOLDER holds ``dow30_2000_2021.parquet``, ``nse_india_unadjusted.parquet`` and, with what its bars
need, ``nse_symbol_changes.csv`` and ``nse_split_candidates.csv``. OUT gets ``dow30`` and ``nse``:
the bars by a link, and ``source.toml``; for NSE, whose bars are as traded, the map of symbols and
the splits too.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

DOW30 = """\
calendar = "XNYS"
currency = "USD"

[[formats]]
pattern = "*.parquet"

[universe]
targets = ["CRM", "V"]        # everybody else teaches
"""

NSE = """\
calendar = "XBOM"
currency = "INR"
prices = "raw"                # as traded: a split that nobody declared waits in quarantine
symbols = "symbols.csv"
actions = "actions.csv"

[[formats]]
pattern = "*.parquet"
columns = { ticker = "symbol_at_time", session_date = "date" }

[universe]
targets = ["INFY", "RELIANCE"]
"""

# After a gap of 468 days: whether a split was among what happened meanwhile, prices do not tell.
NOT_SPLITS = {("INDUSINDBK", "2001-07-02"), ("KOTAKBANK", "2001-07-02")}
# A split of ten and a bonus of one for two on one day: no simple ratio.
TOGETHER = {("ITC", "2005-09-21"): 15.0}
# Bonus issues of one for two: too small for the candidates, found suspicious by ingest itself.
BONUS_ISSUES = (
    ("ASIANPAINT", "2003-08-22"),
    ("BPCL", "2017-07-13"),
    ("ITC", "2016-07-01"),
    ("LT", "2013-07-11"),
    ("LT", "2017-07-13"),
    ("ONGC", "2006-10-27"),
    ("ONGC", "2016-12-15"),
    ("TATASTEEL", "2004-08-11"),
    ("UPL", "2019-07-02"),
)


def nse_actions(candidates: pd.DataFrame) -> pd.DataFrame:
    """Splits of the Indian panel: ticker, effect_date, kind, value."""
    found = {}
    for row in candidates.itertuples():
        key = (str(row.symbol), str(row.date))
        if key not in NOT_SPLITS:
            new, _, old = str(row.nearest_simple_ratio).partition(":")
            found[key] = TOGETHER[key] if key in TOGETHER else float(new) / float(old)
    found |= dict.fromkeys(BONUS_ISSUES, 1.5)
    rows = [(ticker, day, "split", value) for (ticker, day), value in sorted(found.items())]
    return pd.DataFrame(rows, columns=["ticker", "effect_date", "kind", "value"])


def nse_symbols(changes: pd.DataFrame) -> pd.DataFrame:
    """Map of symbols: each lasts until the day before the next, the first and the last are open."""
    rows = []
    for ticker, own in changes.sort_values("first_date").groupby("symbol"):
        begins = ["", *own["first_date"].iloc[1:]]
        ends = [str(date.fromisoformat(day) - timedelta(days=1)) for day in begins[1:]]
        uses = zip(own["symbol_at_time"], begins, [*ends, ""], strict=True)
        rows += [(symbol, ticker, first, last) for symbol, first, last in uses]
    return pd.DataFrame(rows, columns=["symbol", "ticker", "first_date", "last_date"])


def _folder(out: Path, panel: Path, description: str) -> Path:
    out.mkdir(parents=True)
    (out / panel.name).symlink_to(panel.resolve(strict=True))
    (out / "source.toml").write_text(description)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the panels lie")
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    arguments = parser.parse_args()
    bars, out = arguments.folder, arguments.out
    _folder(out / "dow30", bars / "dow30_2000_2021.parquet", DOW30)
    nse = _folder(out / "nse", bars / "nse_india_unadjusted.parquet", NSE)
    candidates = pd.read_csv(bars / "nse_split_candidates.csv", dtype=str)
    nse_actions(candidates).to_csv(nse / "actions.csv", index=False)
    changes = pd.read_csv(bars / "nse_symbol_changes.csv", dtype=str)
    nse_symbols(changes).to_csv(nse / "symbols.csv", index=False)


if __name__ == "__main__":
    main()
