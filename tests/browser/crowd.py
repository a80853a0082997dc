"""500 made-up tickers, published as the chain does it: nothing here was trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfergate.evaluation.gate import finite, unjudged
from transfergate.registry import Registry
from transfergate.reporting import ArmSeries
from transfergate.reporting.series import description
from transfergate.settings import GateParams, Settings
from transfergate.steps import keeping
from transfergate.storage import ArtefactStore, content_hash, json_bytes

N_TICKERS = 500
N_SESSIONS = 300
VERDICTS = ("PROMOTE", "REJECT_NEGATIVE_TRANSFER", "INCONCLUSIVE")


def publish(settings: Settings) -> str:
    """Write the evaluation, and make it each of its tickers' latest; returns its id."""
    store = ArtefactStore(settings.artefact_root)
    names = [f"MADE{number:03d}" for number in range(N_TICKERS)]
    every = [_arms(seed) for seed in range(4)]
    series = {name: every[number % 4] for number, name in enumerate(names)}
    reports = {name: _report(name, number, series[name]) for number, name in enumerate(names)}
    evaluation: dict[str, Any] = {
        "config": GateParams().model_dump(mode="json"),
        "pool": {"n_tickers": 0, "tickers": []},
        "tickers": reports,
        "foundation_version": "made up: no policy was trained",
        "foundation": {},
    }
    evaluation["evaluation_id"] = content_hash(json_bytes(evaluation))
    keeping.keep_evaluation(store, evaluation, series)
    registry = Registry(store, f"sqlite:///{settings.home}/mlflow.db")
    keeping.keep_origin(registry, evaluation | {"tickers": {}}, {})
    for name in names:
        store.replace(
            f"evaluations/latest/{name}.json",
            json_bytes({"evaluation_id": evaluation["evaluation_id"]}),
        )
    return str(evaluation["evaluation_id"])


def _arms(seed: int) -> dict[str, ArmSeries]:
    rng = np.random.default_rng(seed)
    days = np.busday_offset("2020-01-01", np.arange(N_SESSIONS), roll="forward")
    fold = np.arange(N_SESSIONS) // 63

    def arm(n_seeds: int) -> ArmSeries:
        shape = (n_seeds, N_SESSIONS)
        held = np.sign(rng.normal(size=shape))
        return ArmSeries(days, fold, rng.normal(0, 0.01, shape), held, np.ones(N_SESSIONS))

    return {"finetuned": arm(3), "scratch": arm(3), "buy_hold": arm(1)}


def _report(name: str, number: int, arms: dict[str, ArmSeries]) -> dict[str, Any]:
    delta = round(0.9 - 0.003 * number, 3)
    told = unjudged(VERDICTS[number % 3], ["A made-up ticker: nothing was trained."], GateParams())
    days = arms["scratch"].dates
    return (
        told
        | finite(description(arms))
        | {"delta_sharpe": delta, "se": 0.3, "se_time": 0.25, "se_seed": 0.1, "mde80": 0.8}
        | {"p_promote": 0.01, "p_reject": 0.9, "n_sessions": N_SESSIONS, "n_folds": 5}
        | {"n_seeds": 3, "first_session": str(days[0]), "last_session": str(days[-1])}
        | {"correlation": 0.5, "posterior_better": 0.9, "posterior_worse": 0.0}
        | {"delta_shrunken": delta / 2, "se_shrunken": 0.2, "candidate": content_hash(name)}
        | {"recipe": None, "incumbent": None, "missing_sessions": 0}
    )
