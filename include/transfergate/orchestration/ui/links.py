"""Where things are: our own pages, and Airflow's."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from transfergate.orchestration.addresses import PREFIX, base_path

__all__ = ["PREFIX", "airflow_dag", "airflow_run", "base", "ours", "report_of", "static"]


def base() -> str:
    """Path below which Airflow answers, without a slash at its end; empty at the root."""
    return base_path()


def ours(*parts: str) -> str:
    """Path of one of our pages: ``ours("champions", "GOOG")``; every part is quoted."""
    return f"{base()}{PREFIX}/" + "/".join(quote(part, safe="") for part in parts)


def report_of(evaluation_id: str, ticker: str) -> str:
    """Path of an evaluation's report, one ticker of it open."""
    return f"{ours('evaluations', evaluation_id)}?ticker={quote(ticker, safe='')}"


def static(name: str) -> str:
    """Path of a file of ``static/``; its content is part of it, so that it may be kept for ever."""
    return f"{base()}{PREFIX}/static/{quote(name)}?v={_content(name)}"


def airflow_dag(dag_id: str) -> str:
    """Path of a DAG's page in Airflow."""
    return f"{base()}/dags/{quote(dag_id, safe='')}"


def airflow_run(dag_id: str, run_id: str) -> str:
    """Path of a DAG run's page in Airflow."""
    return f"{airflow_dag(dag_id)}/runs/{quote(run_id, safe='')}"


@cache
def _content(name: str) -> str:
    file = files("transfergate.orchestration.ui") / "static" / name
    return sha256(file.read_bytes()).hexdigest()[:12]
