from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.quality import BatchContext, Validation, validate_frame
from transfergate.settings import PROJECT_ROOT, QualityParams, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.sources.base import bars_table
from transfergate.storage import ArtefactStore
from transfergate.warehouse import derive_checks

SESSIONS = exchange_sessions("XNYS", date(2015, 1, 1), date(2020, 12, 31))
TICKERS = ("SRC01", "SRC02", "SRC03", "SRC04", "SRC05", "^SYN")


@pytest.fixture(scope="session")
def clean() -> pd.DataFrame:
    """Six tickers of 120 sessions each without a defect; never change it in place."""
    source = SyntheticSource(SyntheticParams(n_sources=8, n_sessions=120))
    frame = source.fetch(TICKERS, None, None).to_pandas()
    return frame.assign(session_date=pd.to_datetime(frame["session_date"]))


@pytest.fixture
def judge_described(tmp_path: Path) -> Callable[..., Validation]:
    """Judge bars by the shipped checks and suite; the second argument changes the description."""

    def run(
        frame: pd.DataFrame,
        change: Callable[[pd.DataFrame], pd.DataFrame],
        params: dict[str, Any] | None = None,
        **context: Any,
    ) -> Validation:
        derived = derive_checks(bars_table(frame), SESSIONS, PROJECT_ROOT / "sql")
        return validate_frame(
            change(derived),
            QualityParams(**(params or {})),
            BatchContext(**{"batch_id": "b1", "tickers": TICKERS, **context}),
            ArtefactStore(tmp_path / "artefacts"),
        )

    return run


@pytest.fixture
def judge(judge_described: Callable[..., Validation]) -> Callable[..., Validation]:
    """Judge a frame of bars by the shipped checks and suite."""

    def run(
        frame: pd.DataFrame, params: dict[str, Any] | None = None, **context: Any
    ) -> Validation:
        return judge_described(frame, lambda described: described, params, **context)

    return run
