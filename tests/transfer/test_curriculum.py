"""Who teaches when: held-out sources, stages of the chain, and what no stage may read."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from transfergate.errors import SettingsError
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Checkpoint
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    AdversaryParams,
    CurriculumStage,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
)
from transfergate.storage import ArtefactStore
from transfergate.transfer.curriculum import adversary_domains, held_out, stages
from transfergate.transfer.pretraining import FoundationFamily, pretrain_family

SIZES = OptimiserParams(
    n_updates=12, n_paths=4, path_sessions=20, burn_in_sessions=4, tail_sessions=4, n_validations=2
)
FOLDS = (
    Fold(1, Window(0, 150), Window(155, 180), Window(185, 220)),
    Fold(-1, Window(0, 200), Window(205, 230), None),
)
SECTORS = {"PLANT0": "tech", "PLANT1": "tech", "PLANT2": "energy", "TGT": "tech"}
CHAIN = PretrainParams(
    optimiser=SIZES,
    curriculum=(
        CurriculumStage(name="everyone", share=2.0),
        CurriculumStage(name="same sector", target_sectors=True),
        CurriculumStage(name="closest", tickers=("PLANT1",)),
    ),
)


def pretrain(panel: Panel, params: PretrainParams, **more: object) -> FoundationFamily:
    return pretrain_family(
        panel,
        FOLDS,
        market=MarketParams(cost_bps=1.0),
        network=NetworkParams(encoder="gru", encoder_units=5, head_units=4),
        params=params,
        seed_parts=("curriculum",),
        checkpoint=more.pop("checkpoint", None),
        on_progress=more.pop("on_progress", None),
        sectors=SECTORS,
        targets=["TGT"],
        **more,
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted_panel(3, 240, n_noise=2, seed=8)


def test_the_chain_is_recorded_with_its_tickers_and_the_updates_that_were_counted(panel: Panel):
    family = pretrain(panel, CHAIN)
    assert [(s.name, s.n_updates) for s in family.stages] == [
        ("everyone", 6),
        ("same sector", 3),
        ("closest", 3),
    ]
    for model in range(2):
        assert family.lineage(model) == [
            {"name": "everyone", "tickers": ["PLANT0", "PLANT1", "PLANT2"], "updates": 6},
            {"name": "same sector", "tickers": ["PLANT0", "PLANT1"], "updates": 3},
            {"name": "closest", "tickers": ["PLANT1"], "updates": 3},
        ]
        assert family.last_session(model) == FOLDS[model].validation.stop - 1
        for result in family.results:
            assert int(result.meter.last_session[model]) < FOLDS[model].train.stop
    assert family.updates == 12
    assert family.env_steps == 12 * 4 * 20


def poisoned(panel: Panel, row: int) -> Panel:
    """The same with NaN for everything that a ticker's training could read."""
    shocked = {}
    for name in ("features", "overnight", "intraday"):
        values = getattr(panel, name).clone()
        values[row, :200] = math.nan
        shocked[name] = values
    return replace(panel, **shocked)


def test_a_stage_reads_its_own_tickers_and_no_others(panel: Panel):
    stage = (CurriculumStage(name="energy", sectors=("energy",)),)
    params = CHAIN.model_copy(update={"curriculum": stage})
    honest = pretrain(panel, params).result.last_weights
    for row in (0, 1):
        other = pretrain(poisoned(panel, row), params).result.last_weights
        assert all(torch.equal(honest[name], other[name]) for name in honest)
    with pytest.raises(Exception, match="not finite"):
        pretrain(poisoned(panel, 2), params)


def test_what_comes_later_in_the_chain_does_not_reach_back(panel: Panel):
    shocked = panel.intraday.clone()
    shocked[2, :200] *= -1.0
    other = replace(panel, intraday=shocked)
    reverse = CHAIN.model_copy(update={"curriculum": CHAIN.curriculum[::-1]})
    one, two = pretrain(panel, reverse), pretrain(other, reverse)
    for early in range(2):  # closest, same sector: PLANT2 teaches in neither
        for name, value in one.results[early].last_weights.items():
            assert torch.equal(value, two.results[early].last_weights[name])
    assert not torch.equal(
        one.result.last_weights["head.hidden"], two.result.last_weights["head.hidden"]
    )


def test_no_stage_reads_past_a_folds_training(panel: Panel):
    late = replace(panel, intraday=panel.intraday.clone(), features=panel.features.clone())
    late.intraday[:, 150:] += 0.05
    late.features[:, 150:] = 9.0
    one, two = pretrain(panel, CHAIN), pretrain(late, CHAIN)
    for name, value in one.result.last_weights.items():
        assert torch.equal(value[0], two.result.last_weights[name][0])
    assert not torch.equal(
        one.result.last_weights["head.hidden"][1], two.result.last_weights["head.hidden"][1]
    )


def test_one_stage_of_everyone_is_a_training_without_stages(panel: Panel):
    plain = pretrain(panel, PretrainParams(optimiser=SIZES))
    single = pretrain(
        panel, PretrainParams(optimiser=SIZES, curriculum=(CurriculumStage(name="all"),))
    )
    for name, value in plain.result.weights.items():
        assert torch.equal(value, single.result.weights[name])


def test_a_fold_in_which_a_stage_has_no_history_yet_takes_all_sources(panel: Panel):
    young = replace(panel, ready=panel.ready.clone())
    young.ready[1, :160] = False  # listed after the first fold's training
    family = pretrain(young, CHAIN)
    assert family.lineage(0)[2]["tickers"] == ["PLANT0", "PLANT2"]
    assert family.lineage(1)[2]["tickers"] == ["PLANT1"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("killed_after", [4, 8])
def test_a_killed_chain_goes_on_in_its_stage_bit_for_bit(panel: Panel, tmp_path, killed_after: int):
    whole = pretrain(panel, CHAIN)
    count = [0]

    def kill(progress: object) -> None:
        count[0] += 1
        if count[0] == killed_after:
            raise Killed

    kept = Checkpoint(ArtefactStore(tmp_path), "work/run", every_updates=1)
    with pytest.raises(Killed):
        pretrain(panel, CHAIN, checkpoint=kept, on_progress=kill)
    again: list[object] = []
    resumed = pretrain(panel, CHAIN, checkpoint=kept, on_progress=again.append)
    assert len(again) == 12 - killed_after
    for name, value in whole.result.weights.items():
        assert torch.equal(value, resumed.result.weights[name])


def test_the_adversary_of_pretraining_changes_the_foundation_and_is_not_in_it(panel: Panel):
    params = CHAIN.model_copy(update={"adversary": AdversaryParams(strength=1.0, label="sector")})
    plain, hidden = pretrain(panel, CHAIN).result.weights, pretrain(panel, params).result.weights
    assert plain.keys() == hidden.keys()
    assert not torch.equal(plain["encoder.input"], hidden["encoder.input"])


def test_domains_are_tickers_or_sectors_where_known():
    tickers, on = ["A", "B", "C", "D"], AdversaryParams(strength=1.0)
    sectors = {"A": "tech", "B": None, "C": "tech"}
    assert adversary_domains(AdversaryParams(), tickers, sectors) is None
    assert adversary_domains(on, tickers, sectors) == (0, 1, 2, 3)
    by_sector = on.model_copy(update={"label": "sector"})
    assert adversary_domains(by_sector, tickers, sectors) == (0, 1, 0, 2) or adversary_domains(
        by_sector, tickers, sectors
    ) == (2, 0, 2, 1)
    with pytest.raises(SettingsError, match="only 'sector tech'"):
        adversary_domains(by_sector, ["A", "C"], sectors)


def test_sources_are_held_out_by_their_names_alone():
    params = PretrainParams()
    many = [f"T{i:03d}" for i in range(200)]
    left_out = held_out(many, params)
    assert 8 <= len(left_out) <= 35
    assert held_out(many[::-1], params) == left_out
    fewer = [ticker for ticker in many if ticker != "T100"]
    assert held_out(fewer, params) == [ticker for ticker in left_out if ticker != "T100"]
    assert held_out(many[:9], params) == []
    for n in range(10, 30):
        assert 1 <= len(held_out(many[:n], params)) < n
    assert held_out(many, params.model_copy(update={"holdout_every": 0})) == []
    assert len(held_out(many, params.model_copy(update={"holdout_every": 1}))) == 199


def test_named_sources_are_held_out_and_strangers_refused():
    named = PretrainParams(holdout_tickers=("B", "A"))
    assert held_out(["C", "B", "A"], named) == ["A", "B"]
    assert held_out(["A"], PretrainParams(holdout_tickers=())) == []
    with pytest.raises(SettingsError, match=r"not among them: \['B'\]"):
        held_out(["A", "C"], named)
    with pytest.raises(SettingsError, match="some, not all"):
        held_out(["A", "B"], named)


def test_stages_that_do_not_fit_are_refused():
    tickers = ["PLANT0", "PLANT2"]
    with pytest.raises(SettingsError, match=r"'closest': \['PLANT1'\] do not teach"):
        stages(CHAIN, tickers, SECTORS, ["TGT"])
    lonely = CHAIN.model_copy(update={"curriculum": CHAIN.curriculum[1:2]})
    with pytest.raises(SettingsError, match=r"say \['energy'\]"):
        stages(lonely, ["PLANT2"], SECTORS, ["TGT"])
    with pytest.raises(SettingsError, match="say nothing"):
        stages(lonely, tickers, {}, ["TGT"])
    with pytest.raises(ValidationError, match="distinct names"):
        PretrainParams(curriculum=(CurriculumStage(name="a"), CurriculumStage(name="a")))
    many = tuple(CurriculumStage(name=str(i)) for i in range(3))
    with pytest.raises(ValidationError, match="at least one each"):
        PretrainParams(optimiser=SIZES.model_copy(update={"n_updates": 2}), curriculum=many)


@pytest.mark.parametrize(
    ("shares", "expected"), [((1, 1, 1), [4, 4, 4]), ((100, 1, 1), [10, 1, 1]), ((1, 100), [1, 11])]
)
def test_shares_are_whole_updates_that_add_up(shares: tuple[int, ...], expected: list[int]):
    chain = tuple(CurriculumStage(name=str(i), share=s) for i, s in enumerate(shares))
    params = CHAIN.model_copy(update={"curriculum": chain})
    assert [s.n_updates for s in stages(params, ["A"], {}, [])] == expected
