"""Names that would leave a folder, or mean something to a shell, never become part of a path."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from transfergate import steps
from transfergate.errors import SourceError
from transfergate.settings import (
    FeatureParams,
    QualityParams,
    Settings,
    SourceParams,
    SyntheticParams,
)
from transfergate.sources import SyntheticSource
from transfergate.steps import chain
from transfergate.storage import open_store

HOSTILE = [
    "../../x",
    "..",
    "...",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    "\\\\host\\share",
    "NUL\0",
    "A\0B",
    "A\nB",
    "AAPL\n",
    "x" * 21,
    "x" * 5000,
    "+recent",
    ".tmp-x",
    "-rf",
    "~root",
    "$(id)",
    "A;B",
    "A|B",
    "%2e%2e%2fx",
    "A\u202eB",
    "\uff0e\uff0e\uff0fx",
    "<script>",
]


def bars(n_sources: int = 3) -> pd.DataFrame:
    source = SyntheticSource(SyntheticParams(n_sessions=260, n_sources=n_sources))
    return source.fetch(source.tickers(), None, None).to_pandas().drop(columns=["adj_close"])


def installed(tmp_path: Path, root: Path, **source: object) -> Settings:
    quality = QualityParams(max_bad_ticker_frac=1.0)
    params = SourceParams(kind="files", root=str(root), quality=quality, **source)
    return Settings(
        home=tmp_path / "deep" / "below" / "home",
        sources={"vendor": params},
        ingest={"source": "vendor"},
        features=FeatureParams(names=("momentum",), z_window=20),
    )


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", ["sample", "synthetic", "yahoo", "vendor"])
def test_a_hostile_ticker_is_not_asked_for(tmp_path: Path, source: str, name: str):
    (tmp_path / "in").mkdir()
    bars(1).to_csv(tmp_path / "in" / "bars.csv", index=False)
    settings = installed(tmp_path, tmp_path / "in")
    before = everything_below(tmp_path)
    with pytest.raises(SourceError, match="no ticker"):
        steps.plan_ingest(settings, source=source, tickers=[name])
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_settings_take_no_hostile_name(name: str):
    for given in (
        {"sources": {f"{name}/": {"kind": "sample"}}},
        {"sources": {"vendor": {"kind": "yahoo", "universe": {"targets": (name,)}}}},
        {"sources": {"vendor": {"kind": "yahoo", "universe": {"sources": (name,)}}}},
    ):
        with pytest.raises(ValueError, match=r"sources"):
            Settings(**given)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_hostile_tickers_in_bar_files_are_set_apart_and_name_no_file(tmp_path: Path, kind: str):
    # In a text file a NUL byte is refused with its line (tests/sources/test_sheets.py), and blanks
    # around a cell are none of its value.
    hostile = [name for name in HOSTILE if name == name.strip()]
    if kind == "csv":
        hostile = [name for name in hostile if "\0" not in name]
    frame = bars()
    junk = pd.concat([frame.iloc[[9]].assign(ticker=name) for name in hostile])
    root = tmp_path / "in"
    root.mkdir()
    whole = pd.concat([frame, junk])
    if kind == "csv":
        whole.to_csv(root / "bars.csv", index=False)
    else:
        whole.to_parquet(root / "bars.parquet")
    settings = installed(tmp_path, root)
    loaded = chain.ingest_all(settings)
    assert loaded["quarantined"] == len(hostile)
    assert loaded["loaded"] == len(frame)
    snapshot = steps.build_features(settings, "vendor")["snapshot_id"]
    manifest = open_store(settings).read_json(f"snapshots/{snapshot}/manifest.json")
    assert set(manifest["tickers"]) == set(frame["ticker"]) - {"^SYN"}
    outside = {name for name in everything_below(tmp_path) if not name.startswith("deep/")}
    assert outside == {"in", f"in/bars.{kind}", "deep"}
