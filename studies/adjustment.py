"""Forward adjustment in SQL against vendors' adjusted closes, on real raw prices.

``python -m studies.adjustment DATA_FOLDER``: the folder holds ``wiki_raw_plus_adjusted.parquet``
(raw prices, dividends, split ratios and the vendor's adjusted close) and ``lean_raw_us.parquet``
with ``lean_raw_us_actions.csv``. Prints, per ticker, the relative difference of adjusted daily
returns (1 + r) to the vendor's: median, largest, and where; changes nothing.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from transfergate.settings import PROJECT_ROOT
from transfergate.sources.base import bars_table
from transfergate.storage.bars import ACTION_SCHEMA, BAR_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse import load_batch, open_warehouse

_REFUSED = pa.schema([("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))])


def main(folder: Path) -> None:
    for name, (bars, actions) in {"wiki": _wiki(folder), "lean": _lean(folder)}.items():
        print(f"{name}\n{_compare(bars, actions).to_string(index=False)}\n")


def _wiki(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    bars = pd.read_parquet(folder / "wiki_raw_plus_adjusted.parquet")
    dividends = bars[bars["ex_dividend"] > 0].assign(kind="dividend", value=bars["ex_dividend"])
    splits = bars[bars["split_ratio"] != 1].assign(kind="split", value=bars["split_ratio"])
    actions = pd.concat([dividends, splits]).rename(columns={"date": "effect_date"})
    return bars, actions


def _lean(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    bars = pd.read_parquet(folder / "lean_raw_us.parquet")
    given = pd.read_csv(folder / "lean_raw_us_actions.csv", parse_dates=["last_date_before_effect"])
    split = given["kind"] == "split"
    cash = given["reference_close"] * (1 - given["factor"])
    actions = given.assign(
        effect_date=given["last_date_before_effect"] + pd.Timedelta(days=1),
        value=cash.where(~split, 1 / given["factor"]),
        kind=split.map({True: "split", False: "dividend"}),
    )
    return bars, actions[actions["value"] > 0]


def _compare(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    bars = bars.assign(session_date=pd.to_datetime(bars["date"]), ticker=bars["symbol"])
    actions = actions.rename(columns={"symbol": "ticker"})
    actions = actions.assign(effect_date=pd.to_datetime(actions["effect_date"]).dt.date)
    given = pa.Table.from_pandas(
        actions[ACTION_SCHEMA.names], schema=ACTION_SCHEMA, preserve_index=False
    )
    table = bars_table(bars)
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 1) as conn:
        load_batch(
            conn, source="s", batch_id="b", accepted=table, quarantine=_REFUSED.empty_table(),
            received=table.num_rows, known_at=datetime.now(UTC), reference=Reference(given),
        )  # fmt: skip
        ours = conn.execute(
            "select ticker, session_date, close as ours, factor from bars_adjusted('s', now())"
        ).df()
    ours["session_date"] = pd.to_datetime(ours["session_date"])
    both = bars.merge(ours, on=["ticker", "session_date"]).sort_values(["ticker", "session_date"])
    rows = []
    for ticker, one in both.groupby("ticker"):
        growth = one["ours"] / one["ours"].shift()
        vendor = one["adj_close"] / one["adj_close"].shift()
        error = (growth / vendor - 1).abs()
        worst = error.idxmax()
        whole = (one["ours"].iloc[-1] / one["ours"].iloc[0]) / (
            one["adj_close"].iloc[-1] / one["adj_close"].iloc[0]
        )
        rows.append(
            {
                "ticker": ticker, "bars": len(one),
                "actions": int((actions["ticker"] == ticker).sum()),
                "median": f"{error.median():.1e}", "p99": f"{error.quantile(0.99):.1e}",
                "largest": f"{error.max():.1e}", "on": str(one["session_date"][worst].date()),
                "over 1e-3": int((error > 1e-3).sum()), "whole period": f"{whole - 1:+.2e}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
