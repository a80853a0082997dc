"""Pruning takes what nothing needs, and leaves champions, looks and running work what they need."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drills.forks import kill_in_fork
from tests.operations.conftest import explained
from transfergate import steps
from transfergate.errors import RegistryError
from transfergate.evaluation.lookbook import LookBook
from transfergate.registry import Registry
from transfergate.settings import RetentionParams, Settings
from transfergate.steps.retained import note_use
from transfergate.storage import ArtefactStore, open_store

pytestmark = pytest.mark.slow

NEXT_YEAR = datetime.now(UTC) + timedelta(days=400)
TIGHT = RetentionParams(champions=2, snapshots=1, foundations=1, evaluations=1, landing_days=1)
FOREVER = ("ledger/", "looks/", "champions/", "releases/")


def tight(settings, **changes):
    return settings.model_copy(update={"retention": TIGHT.model_copy(update=changes)})


def contents(store: ArtefactStore, *prefixes: str) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.keys("") if key.startswith(prefixes)}


def test_what_nobody_needs_goes_and_every_champion_still_stands(anywhere, tell):
    settings, made = anywhere
    settings = tight(settings)
    store = open_store(settings)
    forever, before = contents(store, *FOREVER), tell(settings)
    reported = steps.prune(settings, delete=False, now=NEXT_YEAR)
    assert set(open_store(settings).keys("")) == set(store.keys(""))
    found = steps.prune(settings, delete=True, now=NEXT_YEAR)
    assert found == {**reported, "deleted": True}
    for kind, names in {
        "candidates": ["TGT 0rphan"],
        "foundations": ["0rphan"],
        "snapshots": ["0rphan"],
        "evaluations": ["0rphan"],
    }.items():
        assert found["names"][kind] == names, kind
    # The third load brought bars to no champion: its files go too, its record stays.
    assert len(found["names"]["landing"]) == 2
    assert "landing/files/0rphan" in found["names"]["landing"]
    store = open_store(settings)
    assert [key for key in store.keys("") if "0rphan" in key] == []
    assert contents(store, *FOREVER) == forever
    after = tell(settings)
    assert after["decision"] == before["decision"]
    assert after["made from"] == before["made from"]
    for version, snapshot in zip(made["candidates"], made["snapshots"], strict=False):
        ours = explained(settings, version)
        assert ours.snapshot.snapshot_id == snapshot
        assert all((ours.foundation, ours.judgement, ours.batches))
        for batch in ours.batches:
            assert all(store.exists(f"{key}/bars.parquet") for key in batch.landing)
            assert store.exists(f"data_docs/batches/{batch.batch_id}.html")
        rebuilt = steps.rebuild_snapshot(settings, snapshot)
        assert rebuilt["identical"], rebuilt["differences"]
    again = steps.prune(settings, delete=True, what="artefacts", now=NEXT_YEAR)
    assert again["pruned"] == {}
    row = steps.rollback(settings, "TGT", "ada", "too risky")
    assert row["version"] == made["candidates"][0]
    assert steps.decide(settings, "TGT")["version"] == made["candidates"][0]


def test_what_was_pruned_can_be_made_again(grown):
    settings, made = grown
    settings = tight(settings, champions_batches=False)
    steps.prune(settings, delete=True, now=NEXT_YEAR)
    (result,) = steps.finetune_group(settings, made["foundations"][1], ["TGT"])
    assert (result["candidate"], result["already"]) == (made["candidates"][1], True)
    judged = steps.judge(settings, made["foundations"][1], [result])
    assert judged["evaluation_id"]
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    loaded = steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    assert loaded["already_loaded"]


def test_nothing_young_is_touched(grown):
    settings, _ = grown
    before = contents(open_store(settings), "")
    assert steps.prune(tight(settings), delete=True)["pruned"] == {}
    assert contents(open_store(settings), "") == before


def test_a_run_at_work_keeps_what_it_reads_however_old(grown, monkeypatch):
    settings, _ = grown
    store = open_store(settings)
    note_use(store, "foundations", "0rphan")
    later = (NEXT_YEAR - timedelta(days=2)).timestamp()
    os.utime(store.path("uses/foundations/0rphan.json"), (later, later))
    found = steps.prune(tight(settings), delete=True, now=NEXT_YEAR)
    assert "foundations" not in found["names"]
    assert "snapshots" not in found["names"], "the foundation's own"
    assert open_store(settings).exists("snapshots/0rphan/manifest.json")


def test_a_run_that_begins_while_a_prune_is_at_work_keeps_it_too(grown, monkeypatch):
    settings, _ = grown
    store = open_store(settings)
    withdraw = ArtefactStore.withdraw

    def begin(self: ArtefactStore, key: str) -> bool:
        if key.startswith("candidates/"):  # goes before foundations and snapshots
            for kind in ("foundations", "snapshots"):
                note_use(store, kind, "0rphan")
                os.utime(
                    store.path(f"uses/{kind}/0rphan.json"),
                    (NEXT_YEAR.timestamp(), NEXT_YEAR.timestamp()),
                )
        return withdraw(self, key)

    monkeypatch.setattr(ArtefactStore, "withdraw", begin)
    steps.prune(tight(settings), delete=True, now=NEXT_YEAR)
    assert store.exists("snapshots/0rphan/manifest.json")
    assert store.exists("foundations/0rphan/foundation.json")
    assert not store.exists("candidates/TGT/0rphan/bundle.json")


def test_a_training_says_what_it_works_with(grown):
    settings, made = grown
    used = set(open_store(settings).keys("uses"))
    assert used == {
        f"uses/{kind}/{name}.json"
        for kind in ("snapshots", "foundations")
        for name in made[kind][:2]
    }


def test_a_rollback_reaches_as_far_as_the_setting_and_says_so(grown):
    settings, made = grown
    store, registry = open_store(settings), Registry(open_store(settings), settings.tracking_uri)
    later = made["candidates"][1]
    for name in ("third", "fourth"):
        bundle = {**store.read_json(f"candidates/TGT/{later}/bundle.json"), "version": name}
        steps.pretraining.publish(store, f"candidates/TGT/{name}", bundle, "bundle.json", b"")
        registry.promote("TGT", name, "ada", datetime.now(UTC), "by hand")
    found = steps.prune(tight(settings), delete=True, now=NEXT_YEAR)
    gone = {f"TGT {made['candidates'][0]}"}
    assert gone < set(found["names"]["candidates"])
    assert registry.rollback("TGT", "ada", datetime.now(UTC), "x").version == "third"
    rows = len(registry.history("TGT"))
    # It was judged last, so that it is there though it lies too far back.
    assert registry.rollback("TGT", "ada", datetime.now(UTC), "x").version == later
    with pytest.raises(RegistryError, match=r"is not there any more .*retention\.champions"):
        registry.rollback("TGT", "ada", datetime.now(UTC), "x")
    assert len(registry.history("TGT")) == rows + 1


def test_evaluations_of_looks_stay_whatever_the_number(grown):
    settings, _ = grown
    _, looks = LookBook(open_store(settings)).read()
    named = {look.evaluation for taken in looks.values() for look in taken}
    steps.prune(tight(settings), delete=True, now=NEXT_YEAR)
    assert named
    assert named <= set(steps.status(settings)["evaluations"])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_prune_killed_at_any_removal_leaves_nothing_torn(grown, monkeypatch, share):
    """Each removal is where a kill can come; whatever can be seen then has all that it names."""
    settings, _ = grown
    settings = tight(settings, champions_batches=False)
    total = sum(steps.prune(settings, delete=False, now=NEXT_YEAR)["pruned"].values())
    left = [int(total * share)]

    def die(after):
        def remove(self, *arguments):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return after(self, *arguments)

        return remove

    for name in ("withdraw", "discard"):
        monkeypatch.setattr(ArtefactStore, name, die(getattr(ArtefactStore, name)))
    with pytest.raises(KeyboardInterrupt):
        steps.prune(settings, delete=True, now=NEXT_YEAR)
    monkeypatch.undo()
    _assert_whole(open_store(settings))
    steps.prune(settings, delete=True, now=NEXT_YEAR)
    assert [key for key in open_store(settings).keys("") if "0rphan" in key] == []
    assert steps.prune(settings, delete=True, now=NEXT_YEAR)["pruned"] == {}


def test_sigkill_in_the_middle_of_a_prune(grown):
    settings, _ = grown
    settings = tight(settings)

    def prune() -> None:
        steps.prune(settings, delete=True, now=NEXT_YEAR)

    steps.prune(settings, delete=False, now=NEXT_YEAR)  # imports everything
    for seconds in (0.02, 0.05, 0.1):
        begun = time.monotonic()
        kill_in_fork(prune, lambda: time.monotonic() > begun + seconds)  # noqa: B023
        _assert_whole(open_store(settings))
    prune()
    assert [key for key in open_store(settings).keys("") if "0rphan" in key] == []


def _assert_whole(store: ArtefactStore) -> None:
    snapshots = {key.split("/")[1] for key in store.keys("snapshots")}
    for name in snapshots:
        manifest = store.read_json(f"snapshots/{name}/manifest.json")
        for file in [*manifest["files"].values(), manifest["recent"]]:
            assert store.exists(f"snapshots/{name}/{file['name']}"), (name, file)
    foundations = {key.split("/")[1] for key in store.keys("foundations")}
    for name in foundations:
        assert store.read_json(f"foundations/{name}/foundation.json")["snapshot_id"] in snapshots
        assert store.exists(f"foundations/{name}/weights.safetensors")
    bundles = [key for key in store.keys("candidates") if key.endswith("bundle.json")]
    for key in bundles:
        bundle = store.read_json(key)
        assert bundle["snapshot_id"] in snapshots
        assert bundle["foundation_version"] in foundations
    versions = {key.split("/")[2] for key in bundles}
    for key in store.keys("finetunes"):
        assert store.read_json(key)["candidate"] in versions


def test_litter_and_local_copies_go_by_age_and_nothing_else_does(grown, tmp_path: Path):
    settings, _ = grown
    root = settings.artefact_root
    torn = root / "snapshots" / ".tmp-killed"
    torn.mkdir()
    (torn / "half").write_bytes(b"1")
    copy = settings.home / "cache" / "x" / "folders" / "y"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"1")
    before = contents(open_store(settings), "")
    assert steps.prune(settings, delete=True, what="litter")["pruned"] == {}
    later = datetime.now(UTC) + timedelta(days=20)
    assert steps.prune(settings, delete=True, what="litter", now=later)["pruned"] == {"litter": 1}
    assert not torn.exists()
    assert copy.exists()
    found = steps.prune(settings, delete=True, what="cache", now=later)
    assert found["names"] == {"local copies": ["x/folders/y"]}
    assert contents(open_store(settings), "") == before


def test_local_copies_beyond_a_size_go_the_longest_unread_first(tmp_path: Path):
    params = RetentionParams(cache_days=30, cache_mb=2)
    settings = Settings(home=tmp_path, retention=params)
    now = datetime.now(UTC)
    for name, hours in (("c", 30), ("a", 90), ("b", 60), ("d", 1), ("e", 2)):
        copy = tmp_path / "cache" / "x" / "folders" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(bytes(900_000))
        read = (now - timedelta(hours=hours)).timestamp()
        os.utime(copy, (read, read))

    def goes(**changes: int) -> list[str]:
        changed = settings.model_copy(update={"retention": params.model_copy(update=changes)})
        found = steps.prune(changed, delete=False, what="cache", now=now)
        return [name[-1] for name in found["names"].get("local copies", [])]

    assert goes() == ["a", "b", "c"], "4.5 MB, of which 2 may stay"
    assert goes(cache_mb=3) == ["a", "b"]
    assert goes(cache_mb=1) == ["a", "b", "c"], "what a run reads just now stays"
    assert goes(cache_mb=9) == []
    assert goes(cache_mb=9, cache_days=2) == ["a", "b"]
    steps.prune(settings, delete=True, what="cache", now=now)
    assert {path.name for path in (tmp_path / "cache/x/folders").iterdir()} == {"d", "e"}
