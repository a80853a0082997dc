from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from transfergate.errors import RegistryError
from transfergate.registry import Registry
from transfergate.registry.tracking import model_name
from transfergate.storage import ArtefactStore

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class NoTracking:
    """Stands where MLflow would, and keeps one alias per model."""

    def __init__(self):
        self.aliases, self.versions = {}, set()

    def register(self, name, version, *details):
        new = (name, version) not in self.versions
        self.versions.add((name, version))
        return new

    def number(self, name, version):
        return "1" if (name, version) in self.versions else None

    def aliased(self, name):
        return self.aliases.get(name)

    def set_alias(self, name, version):
        self.aliases[name] = version


def make(root, versions=("v1", "v2", "v3"), ticker="GOOG"):
    store = ArtefactStore(root)
    for version in versions:
        store.write_once(f"candidates/{ticker}/{version}/bundle.json", b"{}\n")
    registry = Registry(store, "sqlite:///nowhere")
    registry.tracking = NoTracking()
    return registry


@pytest.fixture
def registry(tmp_path):
    return make(tmp_path)


def promote(registry, version, hours=0, ticker="GOOG"):
    return registry.promote(ticker, version, "ann", NOON + timedelta(hours=hours), "better", "e1")


def champion(registry, ticker="GOOG"):
    row = registry.champion(ticker)
    return None if row is None else row.version


def test_without_history_there_is_no_champion(registry):
    assert registry.champion("GOOG") is None
    assert registry.history("GOOG") == []


def test_promotion_is_recorded_with_who_when_why(registry):
    promote(registry, "v1")
    row = promote(registry, "v2", 1)
    assert champion(registry) == "v2"
    assert (row.number, row.previous, row.who, row.why, row.evaluation) == (
        2,
        "v1",
        "ann",
        "better",
        "e1",
    )
    assert row.when == "2026-01-05T13:00:00+00:00"
    assert registry.history("GOOG")[1] == row
    assert registry.tracking.aliases == {"transfergate.GOOG": "v2"}


def test_rollback_goes_back_one_champion_and_twice_further(registry):
    for version in ("v1", "v2", "v3"):
        promote(registry, version)
    for expected in ("v2", "v1", None):
        row = registry.rollback("GOOG", "bob", NOON, "drawdown")
        assert row.version == expected
        assert champion(registry) == expected
        assert registry.tracking.aliases["transfergate.GOOG"] == expected
    assert [row.action for row in registry.history("GOOG")] == ["promote"] * 3 + ["rollback"] * 3


def test_promotion_after_a_rollback_goes_back_to_what_served_before_it(registry):
    promote(registry, "v1")
    promote(registry, "v2")
    registry.rollback("GOOG", "bob", NOON, "drawdown")
    promote(registry, "v3")
    assert registry.rollback("GOOG", "bob", NOON, "again").version == "v1"


def test_nothing_to_roll_back_is_refused(registry):
    with pytest.raises(RegistryError, match="never had one"):
        registry.rollback("GOOG", "bob", NOON, "?")
    promote(registry, "v1")
    registry.rollback("GOOG", "bob", NOON, "?")
    with pytest.raises(RegistryError, match="rolled back"):
        registry.rollback("GOOG", "bob", NOON, "?")
    assert len(registry.history("GOOG")) == 2


def test_the_champion_is_not_promoted_twice(registry):
    promote(registry, "v1")
    with pytest.raises(RegistryError, match="already"):
        promote(registry, "v1", 5)
    assert len(registry.history("GOOG")) == 1


def test_unknown_versions_are_refused_and_the_known_named(registry):
    with pytest.raises(RegistryError, match="v1, v2, v3"):
        promote(registry, "v9")
    assert registry.history("GOOG") == []


def test_the_incumbent_of_a_champion_is_the_one_before_it(registry):
    assert registry.incumbent("GOOG", "v1") is None
    promote(registry, "v1")
    assert registry.incumbent("GOOG", "v1") is None
    assert registry.incumbent("GOOG", "v2").version == "v1"
    promote(registry, "v2")
    assert registry.incumbent("GOOG", "v2").version == "v1"


def test_of_concurrent_promotions_one_wins_and_the_rest_change_nothing(tmp_path):
    versions = [f"v{i}" for i in range(12)]
    registry = make(tmp_path, versions)
    stack = registry.histories.rows
    first = stack("GOOG")
    registry.histories.rows = lambda ticker: list(first)  # all look before anyone writes

    def attempt(version):
        try:
            return promote(registry, version).version
        except RegistryError:
            return None

    with ThreadPoolExecutor(12) as pool:
        winners = [version for version in pool.map(attempt, versions) if version]
    registry.histories.rows = stack
    assert len(winners) == 1
    assert champion(registry) == winners[0]
    assert len(registry.history("GOOG")) == 1


def test_a_row_whose_answer_got_lost_is_recognised(registry, monkeypatch):
    write = ArtefactStore.write_once
    monkeypatch.setattr(
        ArtefactStore, "write_once", lambda *asked: write(*asked) and write(*asked)
    )  # as an object store does: the first answer is lost, the second says that it is there
    promote(registry, "v1")
    promote(registry, "v2")
    assert registry.rollback("GOOG", "bob", NOON, "drawdown").version == "v1"
    assert registry.tracking.aliases == {"transfergate.GOOG": "v1"}
    assert len(registry.history("GOOG")) == 3


def test_the_alias_is_repaired_from_history(registry):
    promote(registry, "v1")
    registry.tracking.aliases["transfergate.GOOG"] = "v3"
    assert registry.repair_aliases() == ["GOOG"]
    assert registry.tracking.aliases == {"transfergate.GOOG": "v1"}
    assert registry.repair_aliases() == []


def test_a_promotion_stands_when_mlflow_cannot_be_reached(registry, caplog):
    working = registry.tracking.set_alias

    def refuse(name, version):
        raise ConnectionError("no route to host")

    registry.tracking.set_alias = refuse
    promote(registry, "v1")
    assert champion(registry) == "v1"
    assert "no route to host" in caplog.text
    registry.tracking.set_alias = working
    assert registry.repair_aliases() == ["GOOG"]


def test_a_time_without_zone_is_refused(registry):
    with pytest.raises(ValueError, match="time zone"):
        registry.promote("GOOG", "v1", "ann", datetime(2026, 1, 5), "better")  # noqa: DTZ001
    assert registry.history("GOOG") == []


def test_model_names_are_those_that_mlflow_accepts():
    assert model_name("^GSPC") == "transfergate.^GSPC"
    assert model_name("a/b:c") == "transfergate.a%2Fb%3Ac"


def test_versions_aliases_metrics_and_curves_in_a_real_mlflow(tmp_path):
    registry = make(tmp_path / "artefacts", ("v1", "v2"), "BRK.B")
    registry = Registry(registry.store, f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    tags = {"snapshot": "s1", "recipe": "r1"}
    curve = [0.1, 0.2, 0.4]
    assert registry.register_candidate("BRK.B", "v1", tags, {"delta": 0.3}, {"validation": curve})
    assert not registry.register_candidate("BRK.B", "v1", tags, {"delta": 0.3}, {})
    assert registry.register_candidate("BRK.B", "v2", tags, {}, {}, {"verdict": "REJECT"})
    assert registry.register_foundation("f1", {"sources": "A,B"}, {}, {})
    assert not registry.register_foundation("f1", {"sources": "A,B"}, {}, {})
    promoted = {"verdict": "PROMOTE"}
    assert not registry.register_candidate("BRK.B", "v1", tags, {}, {}, promoted)
    promote(registry, "v1", ticker="BRK.B")
    promote(registry, "v2", ticker="BRK.B")
    registry.rollback("BRK.B", "bob", NOON, "drawdown")

    client = registry.tracking._open()
    served = client.get_model_version_by_alias("transfergate.BRK.B", "champion")
    assert served.tags["transfergate_version"] == "v1"
    assert served.tags["verdict"] == "PROMOTE"
    assert served.tags["snapshot"] == "s1"
    assert served.tags["artefact"] == "candidates/BRK.B/v1"
    history = client.get_metric_history(served.run_id, "validation")
    assert [(point.step, point.value) for point in history] == list(enumerate(curve))
    registry.rollback("BRK.B", "bob", NOON, "withdrawn")
    assert registry.tracking.aliased("transfergate.BRK.B") is None
    versions = client.search_model_versions("name='transfergate.BRK.B'")
    assert sorted(one.tags["verdict"] for one in versions) == ["PROMOTE", "REJECT"]
    known = registry.tracked_run("BRK.B", "v1")
    assert known == Registry(registry.store, registry.tracking.tracking_uri).tracked_run(
        "BRK.B", "v1"
    )
    assert known is not None
    assert known["run_id"] == served.run_id
