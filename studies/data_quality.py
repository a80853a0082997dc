"""What the checks find in real bars with known flaws: ``python -m studies.data_quality FOLDER``.

FOLDER holds Parquet panels of daily bars (columns symbol, date, open … volume) and
``known_flaws.csv`` (dataset, symbol, date, kind, detail). Each panel is a source of its own,
ingested by the public steps into a scratch home. Printed: rows received, loaded and quarantined by
reason; and how many of the known flaws the checks found again, each miss with its explanation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from transfergate import steps
from transfergate.errors import BarsRejected
from transfergate.settings import Settings

COLUMNS = {"ticker": "symbol", "session_date": "date"}
RANGE_RULES = ("high_bounds_the_bar", "low_bounds_the_bar")
# What is no flaw with every vendor; a source asks for it with one entry each.
EXPECTATIONS = """
[[expectations]]
expectation = "ExpectColumnValuesToNotBeNull"
rule = "volume_missing"
column = "volume"
severity = "info"
text = "volume is there"

[[expectations]]
expectation = "ExpectColumnValuesToBeBetween"
rule = "volume_zero"
column = "volume"
min_value = 0
strict_min = true
severity = "info"
text = "volume is above 0"

[[expectations]]
expectation = "ExpectColumnPairValuesAToBeGreaterThanB"
rule = "flat_bar"
column_A = "high"
column_B = "low"
severity = "info"
text = "high is above low"
"""


def declared(name: str) -> dict[str, Any]:
    """How a panel of the folder is declared; an unknown one gets New York's calendar."""
    if name == "commodities_fx":
        flaws = [
            {"rule": rule, "keep": "as received", "note": "the vendor's low and high miss quotes"}
            for rule in RANGE_RULES
        ]
        return {"calendar": "24/5", "prices": "adjusted", "negative_prices": ["CL=F"],
                "quality": {"known_flaws": flaws}}  # fmt: skip
    return {
        "sp500_5y": {"prices": "adjusted"},
        "nse_india_unadjusted": {"calendar": "XBOM", "prices": "raw"},
        "index_series": {"calendar": "24/5", "prices": "adjusted"},
    }.get(name, {})


JUMP = ("return_outlier", "suspected_split", "hidden_split", "spike", "spike_adjusted")
FOUND_BY: dict[str, tuple[str, ...]] = {
    "high_below_low": RANGE_RULES,
    "open_or_close_outside_range": RANGE_RULES,
    "null_price": ("open_present", "high_present", "low_present", "close_present"),
    "non_positive_price": ("low_positive", "close_positive", "open_positive", "negative_price"),
    "duplicate_row": ("no_copy", "unique_session"),
    "duplicate_session": ("no_copy", "unique_session"),
    "jump_over_40pct": JUMP,
    "bad_tick": JUMP,
    "real_event": (*JUMP, "negative_price"),
    "unadjusted_event": JUMP,
    "gap": ("gap",),
    "gap_days": ("gap",),
    "missing_sessions": ("gap",),
    "zero_volume_rows": ("volume_zero",),
    "volume_missing_rows": ("volume_missing",),
    "flat_bars_until": ("flat_bar",),
}


def ingest(panel: Path, home: Path) -> dict[str, Any]:
    """Load one panel as a source of its own; what became of it, refused or not."""
    name = panel.stem
    root = home / "in" / name
    root.mkdir(parents=True)
    (root / panel.name).symlink_to(panel.resolve())
    (home / "expectations.toml").write_text(EXPECTATIONS)
    source = {
        "kind": "files",
        "root": str(root),
        "formats": [{"columns": COLUMNS}],
        "expectations": str(home / "expectations.toml"),
        **declared(name),
    }
    settings = Settings(home=home / "var", sources={name: source})
    plan = steps.plan_ingest(settings, source=name)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    refused = ""
    try:
        steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    except BarsRejected as error:
        refused = str(error)
    (folder,) = [
        file.parent
        for file in settings.artefact_root.glob("batches/*/validation.json")
        if json.loads(file.read_text())["source"] == name
    ]
    report = json.loads((folder / "validation.json").read_text())
    return {"report": report, "refused": refused, "folder": folder}


def found_again(flaws: pd.DataFrame, panel: Path, folder: Path) -> list[dict[str, Any]]:
    """Each flaw of one panel, with the rule that found it or why none did."""
    findings = pd.read_parquet(folder / "findings.parquet")
    findings["session_date"] = findings["session_date"].astype(str)
    dated = set(zip(findings["ticker"], findings["session_date"], findings["rule"], strict=True))
    by_ticker = set(zip(findings["ticker"], findings["rule"], strict=True))
    by_date = set(zip(findings["session_date"], findings["rule"], strict=True))
    bars = pd.read_parquet(panel, columns=["symbol", "date", "close", "adj_close"])
    rows = []
    for flaw in flaws.itertuples():
        rules = FOUND_BY.get(flaw.kind, ())
        if flaw.kind.endswith("_rows") or flaw.kind == "flat_bars_until":
            hits = [rule for rule in rules if (flaw.symbol, rule) in by_ticker]
        elif flaw.symbol == "*":
            hits = [rule for rule in rules if (flaw.date, rule) in by_date]
        else:
            hits = [rule for rule in rules if (flaw.symbol, flaw.date, rule) in dated]
        missed = "" if hits else explained(flaw, bars)
        which = {"panel": panel.stem, "symbol": flaw.symbol, "date": flaw.date}
        rows.append(
            {**which, "kind": flaw.kind, "found": hits[0] if hits else "", "missed": missed}
        )
    return rows


def explained(flaw: Any, bars: pd.DataFrame) -> str:
    """Why a flaw was not found."""
    own = bars[bars["symbol"] == flaw.symbol].sort_values("date")
    at = own.index[own["date"].astype(str) == flaw.date]
    if flaw.kind == "jump_over_40pct" and len(at):
        place = own.index.get_loc(at[0])
        pair = own.iloc[max(place - 1, 0) : place + 1]
        if (pair["close"] <= 0).any():
            return "a price at or below 0 is on one side, and no return is computed there"
        adjusted = pair["adj_close"].iloc[-1] / pair["adj_close"].iloc[0] - 1
        if abs(adjusted) <= 0.4:
            return "a split or dividend that the vendor's adjusted close accounts for"
    return "not found"


def tabulate(outcomes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each panel."""
    return [
        {
            "panel": name,
            "tickers": item["report"]["tickers"],
            "received": item["report"]["received"],
            "loaded": item["report"]["accepted"],
            "quarantined": item["report"]["quarantined"],
            "by_reason": {r["rule"]: r["rows"] for r in item["report"]["quarantined_by_rule"]},
            "known_flaws_kept": sum(f["rows"] for f in item["report"]["known_flaws"]),
            "refused": item["refused"],
        }
        for name, item in outcomes.items()
    ]


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each kind: how many there are, how many were found, and why the others were not."""
    kinds: dict[str, Any] = {}
    for row in rows:
        item = kinds.setdefault(row["kind"], {"known": 0, "found": 0, "by": Counter(),
                                              "missed": Counter()})  # fmt: skip
        item["known"] += 1
        item["found"] += bool(row["found"])
        item["by" if row["found"] else "missed"][row["found"] or row["missed"]] += 1
    return {kind: kinds[kind] for kind in sorted(kinds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Parquet panels and known_flaws.csv")
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--home", type=Path, help="keep the warehouse and its Data Docs here")
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="transfergate-quality-"))
    outcomes = {
        panel.stem: ingest(panel, home) for panel in sorted(arguments.folder.glob("*.parquet"))
    }
    flaws = pd.read_csv(arguments.folder / "known_flaws.csv", dtype=str)
    again: list[dict[str, Any]] = []
    for name, item in outcomes.items():
        panel = arguments.folder / f"{name}.parquet"
        again += found_again(flaws[flaws["dataset"] == name], panel, item["folder"])
    table, kinds = tabulate(outcomes), summarise(again)
    misses = [row for row in again if not row["found"]]
    if not arguments.json:
        for line in table:
            print(line)
        for kind, item in kinds.items():
            print(f"{kind}: {item['found']} of {item['known']}", dict(item["by"]),
                  dict(item["missed"]))  # fmt: skip
        for row in misses:
            print(f"not found: {row['panel']} {row['symbol']} {row['date']}: {row['missed']}")
        print(f"Data Docs: {home / 'var' / 'artefacts' / 'data_docs' / 'index.html'}")
    found = sum(item["found"] for item in kinds.values())
    figure = {"ours": found, "peer": len(again), "peer_name": "known flaws",
              "ratio": found / len(again) if again else None}  # fmt: skip
    print(json.dumps({"known_flaws_found": figure, "panels": table, "kinds": kinds,
                      "misses": misses}))  # fmt: skip


if __name__ == "__main__":
    main()
