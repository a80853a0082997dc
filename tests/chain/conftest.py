"""The whole chain on files of bars, small enough for a property test: real DuckDB, GX and torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfergate import steps
from transfergate.settings import (
    FileFormatParams,
    FinetuneParams,
    GateParams,
    IngestParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
    Settings,
    SourceParams,
    UniverseParams,
    WalkForwardParams,
)

TICKERS = ("AAA", "BBB", "CCC", "TGT")


def market_bars(n_sessions: int = 420, seed: int = 3, drift: float = 0.0) -> pd.DataFrame:
    """Random walks on real sessions, in the contract's columns, as a vendor would send them."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start="2010-01-01", end="2014-12-31")
    sessions = calendar.sessions[:n_sessions]
    rng = np.random.default_rng(seed)
    frames = []
    for ticker in TICKERS:
        close = 50 * np.exp(np.cumsum(rng.normal(drift, 0.015, n_sessions)))
        open_ = close * np.exp(rng.normal(0, 0.004, n_sessions))
        frames.append(
            pd.DataFrame(
                {
                    "ticker": ticker,
                    "session_date": sessions.strftime("%Y-%m-%d"),
                    "open": open_,
                    "high": np.maximum(open_, close) * 1.004,
                    "low": np.minimum(open_, close) * 0.996,
                    "close": close,
                    "volume": rng.integers(100_000, 900_000, n_sessions).astype(float),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def bars() -> pd.DataFrame:
    return market_bars()


def small_settings(home: Path, frame: pd.DataFrame, **overrides: Any) -> Settings:
    """Settings of an installation of its own in ``home``, reading ``frame``."""
    folder = home / "vendor"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "bars.csv", index=False)
    optimiser = OptimiserParams(
        n_updates=4, n_paths=2, path_sessions=20, burn_in_sessions=6, tail_sessions=4,
        n_validations=2, epochs=1,
    )  # fmt: skip
    values: dict[str, Any] = {
        "home": home,
        "ingest": IngestParams(source="files"),
        "sources": {
            "files": SourceParams(
                kind="files",
                root=str(folder),
                formats=(FileFormatParams(pattern="*.csv"),),
                universe=UniverseParams(targets=("TGT",)),
            )
        },
        "walk_forward": WalkForwardParams(
            n_folds=3,
            min_train_sessions=100,
            embargo_sessions=3,
            validation_sessions=25,
            test_sessions=20,
        ),
        "network": NetworkParams(encoder="gru", encoder_units=5, head_units=5),
        "pretrain": PretrainParams(optimiser=optimiser),
        "finetune": FinetuneParams(
            optimiser=optimiser,
            n_seeds=3,
            grid=(Regularisation(input_noise=0.5), Regularisation(input_noise=1.5)),
        ),
        "gate": GateParams(min_oos_sessions=40),
    }
    return Settings(**{**values, **overrides})


@pytest.fixture
def tiny_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of an installation of its own below ``tmp_path / name``, reading ``frame``."""

    def make(name: str, frame: pd.DataFrame, **overrides: Any) -> Settings:
        return small_settings(tmp_path / name, frame, **overrides)

    return make


def publish_features(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data plane's steps, as the DAGs run them: what loading and publishing returned."""
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch_id = steps.validate_bars(settings, plan, landing)
    load = steps.load_bars(settings, plan, batch_id)
    return load, steps.build_features(settings, plan["source"])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """An installation whose features are published, shared by a module's tests; and their id."""
    settings = small_settings(tmp_path_factory.mktemp("published"), market_bars())
    _, features = publish_features(settings)
    return settings, features["snapshot_id"]


@pytest.fixture
def run_chain() -> Callable[[Settings], dict[str, Any]]:
    """Run every step once, as the DAGs do, and return what each returned."""

    def run(settings: Settings) -> dict[str, Any]:
        load, features = publish_features(settings)
        foundation = steps.pretrain_foundation(settings, features["snapshot_id"])
        registered = steps.register_foundation(settings, foundation)
        results = [
            steps.finetune_ticker(settings, foundation, ticker)
            for ticker in steps.plan_finetune(settings, foundation)
        ]
        judged = steps.judge(settings, foundation, results)
        promoted = steps.promote_evaluated(settings, judged["evaluation_id"], "test")
        return {
            "load": load,
            "features": features,
            "foundation": registered,
            "results": results,
            "judged": judged,
            "promoted": promoted,
        }

    return run
