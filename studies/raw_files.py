"""Every vendor's file as it came: rows received, loaded, quarantined by reason, or why refused.

``python -m studies.raw_files FOLDER``: the folder holds originals of many vendors; each is ingested
by itself into a scratch home, read by the formats of ``docs/files.md``, judged by the calendar of
its own exchange; files known to be full of bad rows have a limit of their own. Where a limit or a
format lets something through, the same is done once more without: ``at_defaults``.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from transfergate.errors import TransferGateError
from transfergate.settings import PROJECT_ROOT, Settings
from transfergate.steps import chain

CALENDARS = {
    "nse*": "XBOM",
    "*EDP.LS*": "XLIS",
    "*EURUSD*": "24/5",
    "investing*": "CMES",
    "*GC=F*": "CMES",
}
"""Of files whose tickers do not trade in New York."""
LIMITS = {"*_na_dates_*": 0.5, "yahoo_null_rows_*": 0.2, "*_wti.csv": 0.03}
"""Share of rows that may be bad, of files known to be full of them; 1 % elsewhere."""
YAHOO_NULLS = {
    "pattern": "yahoo_null_rows_*.csv",
    "null_words": ["null"],
    "columns": {
        "session_date": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close",
        "adj_close": "Adj Close", "volume": "Volume",
    },
    "ticker_from": "path",
    "path_pattern": r"yahoo_null_rows_(?P<ticker>.+)\.csv$",
}  # fmt: skip


def formats() -> list[dict[str, Any]]:
    """The example formats of the documentation, one a vendor."""
    page = (PROJECT_ROOT / "docs" / "files.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    found = [item for block in blocks for item in tomllib.loads(block).get("formats", [])]
    return [YAHOO_NULLS, *(item for item in found if item.get("pattern", "*") != "*")]


def ingest(path: Path, known: list[dict[str, Any]]) -> dict[str, Any]:
    """One file, or one folder of zips, as declared; beside it at the defaults where they differ."""
    matching = [item for item in known if fnmatch(path.name, item["pattern"])][:1]
    if path.is_dir():
        matching = [item for item in known if item.get("kind") == "lean"]
    limit = next((share for glob, share in LIMITS.items() if fnmatch(path.name, glob)), None)
    found = _in_scratch(path, matching, limit)
    strict = [
        {name: value for name, value in item.items() if name != "unreadable"} for item in matching
    ]
    if limit or strict != matching:
        found["at_defaults"] = _in_scratch(path, strict, None)
    return found


def _in_scratch(path: Path, shapes: list[dict[str, Any]], limit: float | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="raw-") as home:
        return _ingest(path, shapes, limit, Path(home))


def _ingest(
    path: Path, shapes: list[dict[str, Any]], limit: float | None, home: Path
) -> dict[str, Any]:
    """Through fetch, validate and load."""
    folder = home / "data"
    folder.mkdir(parents=True)
    (folder / path.name).symlink_to(path.resolve())
    if path.is_dir():
        folder = folder / path.name
    calendar = next((code for glob, code in CALENDARS.items() if fnmatch(path.name, glob)), "XNYS")
    source = {
        "kind": "files",
        "root": str(folder),
        "formats": shapes or [{}],
        "calendar": calendar,
        "negative_prices": ["CL=F"],
        "prices": "adjusted",
        "quality": {"max_bad_row_frac": limit, "max_bad_ticker_frac": limit} if limit else {},
    }
    settings = Settings(home=home, sources={"files": source})
    try:
        counts = chain.ingest_all(settings, source="files")
    except TransferGateError as error:
        return {"refused": str(error).split("\n")[0], "reasons": _reasons(settings)}
    kept = {name: counts[name] for name in ("received", "loaded", "quarantined")}
    return {**kept, "reasons": _reasons(settings)}


def _reasons(settings: Settings) -> dict[str, int]:
    # Of the one batch that there is, loaded or refused; none where the file was not read.
    batches = settings.artefact_root.glob("batches/*/quarantine.parquet")
    tables = [pq.read_table(path, columns=["reasons"]) for path in batches]
    rows = [row for table in tables for row in table["reasons"].to_pylist()]
    return dict(Counter(reason.split(":")[0] for row in rows for reason in row).most_common())


def main() -> None:
    """Print one line for each file, or with ``--json`` one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    known, results = formats(), {}
    for path in sorted(options.folder.iterdir()):
        results[path.name] = ingest(path, known)
        if not options.json:
            print(f"{path.name}: {results[path.name]}", flush=True)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
