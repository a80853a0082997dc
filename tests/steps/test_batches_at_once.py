from __future__ import annotations

from pathlib import Path

import pytest

from transfergate import quality, steps
from transfergate.settings import IngestParams, Settings, SourceParams, SyntheticParams
from transfergate.steps.batches import batch_reports
from transfergate.storage import ArtefactStore, open_store

INDEX = "data_docs/index.html"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    synthetic = SyntheticParams(n_sessions=120, n_sources=3)
    return Settings(
        home=tmp_path / "var",
        ingest=IngestParams(source="synthetic"),
        sources={"synthetic": SourceParams(kind="synthetic", synthetic=synthetic)},
    )


class Ingest:
    """One command's steps, of one ticker."""

    def __init__(self, settings: Settings, ticker: str) -> None:
        self.settings = settings
        self.plan = steps.plan_ingest(settings, tickers=[ticker])
        self.landing = [
            steps.fetch_bars(settings, self.plan, batch) for batch in self.plan["ticker_batches"]
        ]

    def validate(self) -> None:
        self.batch_id = steps.validate_bars(self.settings, self.plan, self.landing)

    def load(self) -> None:
        steps.load_bars(self.settings, self.plan, self.batch_id)

    def both(self) -> None:
        self.validate()
        self.load()


def first_call(monkeypatch, owner, name, rival) -> None:
    """Let a rival command run between what a step has read and its first call of a function."""
    real = getattr(owner, name)

    def interrupted(*given, **named):
        monkeypatch.setattr(owner, name, real)
        rival()
        return real(*given, **named)

    monkeypatch.setattr(owner, name, interrupted)


def assert_up_to_date(settings: Settings, *batches: str) -> None:
    store = open_store(settings)
    index = store.read(INDEX)
    reports = list(batch_reports(store))
    assert {report["batch_id"] for report in reports} == set(batches)
    assert quality.write_index(store, reports) == INDEX
    assert store.read(INDEX) == index


@pytest.mark.parametrize(("ours", "theirs"), [("validate", "both"), ("load", "validate")])
def test_the_list_of_batches_names_a_rivals_that_came_in_between(
    settings, monkeypatch, ours, theirs
):
    tickers = steps.plan_ingest(settings)["ticker_batches"][0]
    mine, rival = Ingest(settings, tickers[0]), Ingest(settings, tickers[1])
    if ours == "load":
        mine.validate()
    first_call(monkeypatch, quality, "write_index", getattr(rival, theirs))
    getattr(mine, ours)()
    assert_up_to_date(settings, mine.batch_id, rival.batch_id)


def test_a_load_is_not_forgotten_by_a_rival_that_looked_before_its_record(settings, monkeypatch):
    tickers = steps.plan_ingest(settings)["ticker_batches"][0]
    mine, rival = Ingest(settings, tickers[0]), Ingest(settings, tickers[1])
    mine.validate()
    first_call(monkeypatch, ArtefactStore, "write_once", rival.validate)
    mine.load()
    assert open_store(settings).exists(f"batches/{mine.batch_id}/batch.json")
    assert_up_to_date(settings, mine.batch_id, rival.batch_id)
