"""The bars of the browser test: a small planted market as a vendor's CSV, with rows that are wrong.

Written by the project's own generator, so that one target is worth a promotion; the wrong rows are
what a page must show without being harmed by it.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from transfergate.settings import SyntheticParams
from transfergate.sources.synthetic import SyntheticSource

MARKET = {"n_sources": 2, "n_sessions": 420, "strength": 0.95}
COLUMNS = ("ticker", "session_date", "open", "high", "low", "close", "volume", "currency")
SCRIPT = '<img src=x onerror="document.title=1">'
"""A ticker that is no ticker: a page that shows it unescaped asks for a file that is not there."""
N_WRONG = 3
PROMOTED = "SHARED"

SETTINGS: dict[str, Any] = {
    "INGEST__SOURCE": "sample",  # what the form shows first; the test chooses another
    "SOURCES__FILES__CURRENCY": "USD",
    "SOURCES__FILES__PRICES": "adjusted",
    "SOURCES__FILES__UNIVERSE": {"targets": ["SHARED", "OPPOSED"], "index": "^SYN"},
    "FEATURES__NAMES": ["return_1", "volume_surprise_20"],
    "FEATURES__Z_WINDOW": 20,
    "WALK_FORWARD": {
        "n_folds": 2,
        "min_train_sessions": 120,
        "validation_sessions": 30,
        "embargo_sessions": 2,
        "test_sessions": 30,
    },
    "NETWORK": {"encoder": "gru", "encoder_units": 4, "head_units": 4},
    # A strong rule that two steps from scratch do not find and pre-training does: one promotion.
    "PRETRAIN__OPTIMISER": {
        "n_updates": 400,
        "n_paths": 2,
        "path_sessions": 32,
        "burn_in_sessions": 8,
        "tail_sessions": 4,
        "n_validations": 2,
    },
    "FINETUNE__OPTIMISER": {
        "n_updates": 2,
        "n_paths": 2,
        "path_sessions": 32,
        "burn_in_sessions": 8,
        "tail_sessions": 4,
        "n_validations": 2,
    },
    "FINETUNE__GRID": [{"input_noise": 0.5}],
    "FINETUNE__N_SEEDS": 3,
    "GATE__MIN_OOS_SESSIONS": 40,
    "GATE__EVIDENCE": "point",  # sixty sessions prove nothing
    "APPROVAL__BY": "human",
    "SCHEDULES__INGEST": "manual",
    "SCHEDULES__RETRAIN": "asset",
}


def environment(home: Path) -> dict[str, str]:
    """Settings of the test as variables of Airflow's processes."""
    named = {
        f"TRANSFERGATE_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in SETTINGS.items()
    }
    return {
        **named,
        "TRANSFERGATE_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",  # no file changes meanwhile
    }


def write_bars(folder: Path) -> None:
    """Write ``bars.csv``, of which ``N_WRONG`` rows must end in quarantine."""
    source = SyntheticSource(SyntheticParams(**MARKET))
    rows = source.fetch(source.tickers(), None, None).select(COLUMNS).to_pylist()
    upside_down = next(i for i, row in enumerate(rows) if row["ticker"] == "SRC01") + 20
    wrong = rows[upside_down]
    wrong["high"], wrong["low"] = wrong["low"], wrong["high"]
    rows += [dict(rows[row], ticker=name) for row, name in ((0, SCRIPT), (1, "=1+1"))]
    folder.mkdir(parents=True)
    with (folder / "bars.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
