from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergate.errors import SettingsError
from transfergate.settings import Settings, UniverseParams
from transfergate.storage import ArtefactStore, Snapshot, json_bytes
from transfergate.transfer.recipe import document_hash, foundation_document, recipe_document
from transfergate.transfer.universe import resolve_universe

TICKERS = [f"T{number:03d}" for number in range(60)]
names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=5)


@given(st.sets(names, min_size=40, max_size=80), names)
def test_a_listing_changes_the_role_of_no_other_ticker(tickers, listed):
    before = resolve_universe(UniverseParams(), sorted(tickers))
    after = resolve_universe(UniverseParams(), sorted(tickers | {listed}))
    assert set(after.sources) - {listed} == set(before.sources) - {listed}
    assert set(after.targets) - {listed} == set(before.targets) - {listed}
    assert before.rule == after.rule == {"target_every": 5}


def test_the_default_rule_takes_about_one_in_n():
    many = [f"T{number}" for number in range(4000)]
    share = len(resolve_universe(UniverseParams(target_every=4), many).targets) / 4000
    assert 0.22 < share < 0.28


@pytest.mark.parametrize(
    ("params", "asked", "rule", "sources", "targets"),
    [
        ({}, {"sources": ["B", "A"]}, {"sources": ["A", "B"]}, "AB", "CD"),
        ({}, {"targets": ["D"]}, {"all_but": ["D"]}, "ABC", "D"),
        ({"targets": ("D", "X")}, {}, {"all_but": ["D", "X"]}, "ABC", "D"),
        ({"sources": ("A",), "targets": ("B",)}, {}, {"sources": ["A"]}, "A", "B"),
        ({"targets": ("A", "B")}, {"sources": ["A"]}, {"sources": ["A"]}, "A", "B"),
        ({"sources": ("A",)}, {"targets": ["B", "X"]}, {"sources": ["A"]}, "A", "BX"),
    ],
)
def test_who_teaches_and_who_is_taught(params, asked, rule, sources, targets):
    universe = resolve_universe(UniverseParams(**params), list("ABCD"), **asked)
    assert universe.rule == rule
    assert (universe.sources, universe.targets) == (list(sources), list(targets))


@pytest.mark.parametrize(
    "asked",
    [
        {"sources": ["A"], "targets": ["A"]},
        {"sources": ["X"]},
        {"targets": list("ABCD")},
    ],
)
def test_contradictions_are_refused(asked):
    with pytest.raises(SettingsError, match="sources"):
        resolve_universe(UniverseParams(), list("ABCD"), **asked)


def recipe(available=TICKERS, settings=None, targets=None, **manifest):
    settings = settings or Settings()
    universe = resolve_universe(UniverseParams(), available, targets=targets)
    described = {
        "id": "s1", "source": "files", "index": [], "features": ["return_1"], "sql_hash": "q1",
        "z_window": 60, "z_clip": 5.0, "calendar": "XNYS", "index_return": "equal_weight",
        "sessions": ["2020-01-02"], "tickers": available,
    }  # fmt: skip
    snapshot = Snapshot(ArtefactStore(settings.home), {**described, **manifest})
    return document_hash(
        recipe_document(foundation_document(settings, snapshot, universe.rule), settings)
    )


def test_the_recipe_leaves_out_listings_data_dates_and_seeds():
    assert recipe(TICKERS[:-7]) == recipe()
    assert recipe(id="s2", sessions=["2021-01-04"]) == recipe()
    assert recipe(settings=Settings(seed=5)) == recipe()


def test_the_recipe_covers_rule_features_market_network_budgets_and_folds():
    base = Settings()
    changed = [
        recipe(targets=["T001"]),
        recipe(targets=["T002"]),
        recipe(sql_hash="q2"),
        recipe(z_window=252),
        *(
            recipe(settings=base.model_copy(update={group: value}))
            for group, value in (
                ("market", base.market.model_copy(update={"cost_bps": 6.0})),
                ("network", base.network.model_copy(update={"head_units": 3})),
                ("pretrain", base.pretrain.model_copy(update={"holdout_every": 3})),
                ("finetune", base.finetune.model_copy(update={"n_seeds": 4})),
                ("walk_forward", base.walk_forward.model_copy(update={"test_sessions": 21})),
            )
        ),
    ]
    assert len({recipe(), *changed}) == len(changed) + 1


def test_fine_tuning_remembers_targets_that_only_pre_training_was_told(tmp_path):
    from transfergate.steps import plan_finetune

    settings = Settings(home=tmp_path)
    store = ArtefactStore(settings.artefact_root)
    snapshot = {"id": "s1", "source": "files", "tickers": list("ABCD"), "files": {}}
    store.write_once("snapshots/s1/manifest.json", json_bytes(snapshot))
    foundation = {"version": "f1", "snapshot_id": "s1", "sources": ["A", "B"], "targets": ["C"]}
    store.write_once("foundations/f1/foundation.json", json_bytes(foundation))
    assert plan_finetune(settings, "f1") == ["C"]
    assert plan_finetune(settings, "f1", ["D"]) == ["D"]
    with pytest.raises(SettingsError, match="among its sources"):
        plan_finetune(settings, "f1", ["A"])
