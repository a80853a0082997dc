"""Each algorithm goes through the whole chain: foundation, both arms, scoring, audits, verdict."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from transfergate.settings import (
    CloningParams,
    FinetuneParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
    Settings,
)
from transfergate.storage import ArtefactStore
from transfergate.transfer.bundles import read_weights


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_chain_runs_with_every_algorithm_and_scores_policies_alone(
    algorithm: str,
    bars: pd.DataFrame,
    tiny_settings: Callable[..., Settings],
    run_chain: Callable[[Settings], dict[str, Any]],
):
    cloned = algorithm == "ppo"
    optimiser = OptimiserParams(
        algorithm=algorithm,
        n_updates=4,
        n_paths=2,
        path_sessions=20,
        burn_in_sessions=6,
        tail_sessions=4,
        n_validations=2,
        cloning_updates=2 if cloned else 0,
        cloning=CloningParams(feature="return_1" if cloned else 0),
    )
    settings = tiny_settings(
        algorithm,
        bars,
        pretrain=PretrainParams(optimiser=optimiser),
        finetune=FinetuneParams(
            optimiser=optimiser, n_seeds=3, grid=(Regularisation(input_noise=0.5),)
        ),
    )
    done = run_chain(settings)
    (result,) = done["results"]
    assert result["status"] == "trained"
    audits = {audit["name"]: audit for audit in result["audits"]}
    assert all(audit["passed"] for audit in audits.values())
    steps = audits["budget_parity"]["figures"]["totals"]["env_steps"]
    assert steps["finetuned"] == steps["scratch"] > 0
    store = ArtefactStore(settings.artefact_root)
    (weights,) = [key for key in store.keys("foundations") if key.endswith(".safetensors")]
    names = set(read_weights(store, weights))
    assert {name.split(".")[0] for name in names} == {"encoder", "head"}
    assert done["judged"]["verdicts"]["TGT"] != "INVALID"
