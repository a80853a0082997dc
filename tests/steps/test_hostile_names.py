"""Names that would leave a folder, or mean something to a shell, never become part of a path."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from transfergate import steps
from transfergate.errors import SourceError, TransferGateError
from transfergate.settings import (
    FeatureParams,
    FileFormatParams,
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


def test_files_with_hostile_names_bring_nothing_in(tmp_path: Path):
    root = tmp_path / "in"
    root.mkdir()
    one = bars(1).groupby("ticker")
    one.get_group("SRC01").drop(columns="ticker").to_csv(root / "GOOD.csv", index=False)
    for stem in ("..x", "a b", "$(id)", "x" * 60, "-rf", "<script>"):
        one.get_group("SHARED").drop(columns="ticker").to_csv(root / f"{stem}.csv", index=False)
    by_name = (FileFormatParams(pattern="*.csv", ticker_from="filename"),)
    loaded = chain.ingest_all(installed(tmp_path, root, formats=by_name))
    assert (loaded["tickers"], loaded["loaded"]) == (1, 260)
    outside = {name for name in everything_below(tmp_path) if not name.startswith(("deep", "in"))}
    assert outside == set()


ROWS = {
    "symbols": ("symbol,ticker,first_date,last_date", "SHARED,{},,"),
    "instruments": ("ticker,exchange", "{},XNYS"),
    "actions": ("ticker,effect_date,kind,value", "{},2020-01-06,split,2"),
}


@pytest.mark.parametrize("name", ["../../x", "a/b", "/etc/passwd", "x" * 21, "A\\B", "~root"])
@pytest.mark.parametrize("table", list(ROWS))
def test_reference_data_with_a_hostile_name_is_refused_or_names_no_file(
    tmp_path: Path, table: str, name: str
):
    root = tmp_path / "in"
    root.mkdir()
    bars(1).to_csv(root / "bars.csv", index=False)
    header, row = ROWS[table]
    (root / f"{table}.csv").write_text(f"{header}\n{row.format(name)}\n")
    settings = installed(tmp_path, root, **{table: f"{table}.csv"})
    try:
        plan = steps.plan_ingest(settings, source="vendor")
        landed = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    except TransferGateError:
        landed = []
    keys = set(open_store(settings).keys(""))
    assert {key.rpartition("/")[0] for key in keys} == set(landed)
    outside = {one for one in everything_below(tmp_path) if not one.startswith(("deep", "in"))}
    assert outside == set()


def test_no_step_makes_a_key_of_a_hostile_name(tmp_path: Path):
    """Whoever comes past the forms: versions, tickers and ids of the command line."""
    settings = Settings(home=tmp_path / "deep" / "below" / "home")
    asks = (
        lambda name: steps.promote(settings, name, "v", "ada", "why"),
        lambda name: steps.promote(settings, "AAA", name, "ada", "why"),
        lambda name: steps.rollback(settings, name, "ada", "why"),
        lambda name: steps.summary(settings, name),
        lambda name: steps.rebuild_snapshot(settings, name),
        lambda name: steps.decide(settings, name),
    )
    for name in HOSTILE:
        for ask in asks:
            with pytest.raises((TransferGateError, ValueError)):
                ask(name)
    assert list(open_store(settings).keys("")) == []
    assert everything_below(tmp_path) <= {"deep", "deep/below", "deep/below/home"}
