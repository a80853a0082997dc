"""Airflow reads its configuration when it is first imported: point it at nothing of the user's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "TRANSFERGATE_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="transfergate-airflow-"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
