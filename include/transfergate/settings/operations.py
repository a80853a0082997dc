"""What is kept for how long, and where the pipeline's own figures go."""

from __future__ import annotations

from pydantic import Field

from transfergate.settings.base import Params
from transfergate.settings.schedules import ConnectionId

Days = int


class RetentionParams(Params):
    """What a prune leaves.

    The ledger, looks, champions' history, releases, quarantine and the records of batches are
    never pruned, whatever stands here; nor is what a kept champion came from.
    """

    schedule: str | None = Field(
        "0 3 * * 0",
        pattern=r"^\S+ \S+ \S+ \S+ \S+$",
        description="cron of the maintenance DAG, in schedules.timezone; None: by hand alone",
    )
    champions: int = Field(
        12,
        ge=2,
        le=10_000,
        description="of each ticker, the one that serves and those before it: a rollback reaches "
        "so far back",
    )
    champions_batches: bool = Field(
        True,
        description="keep landing files and Data Docs of loads that brought bars to a kept "
        "champion; off: their records, names and hashes alone",
    )
    days: Days = Field(30, ge=1, le=3660, description="nothing younger is touched")
    snapshots: int = Field(3, ge=1, le=10_000, description="newest of each source")
    foundations: int = Field(3, ge=1, le=10_000, description="newest of each source")
    evaluations: int = Field(
        50, ge=1, le=100_000, description="newest; beside those of looks and of champions"
    )
    landing_days: Days = Field(180, ge=1, le=36_600, description="bars as received")
    batch_files_days: Days = Field(
        90, ge=1, le=36_600, description="work files of loaded batches; quarantine stays"
    )
    docs_days: Days = Field(180, ge=1, le=36_600, description="Data Docs of a batch")
    work_days: Days = Field(14, ge=1, le=3660, description="checkpoints of trainings that ended")
    litter_days: Days = Field(2, ge=1, le=3660, description="what killed writers left")
    cache_days: Days = Field(
        14, ge=1, le=3660, description="local copies of what an object store holds, unread since"
    )
    cache_mb: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        description="MB (10^6 bytes) of such copies on a machine; beyond, those read longest ago "
        "go, unless read within the last day",
    )
    airflow_days: Days = Field(180, ge=7, le=36_600, description="finished runs of our DAGs")
    airflow_runs: int = Field(20, ge=1, le=100_000, description="newest runs of a DAG stay")
    airflow_connection: ConnectionId | None = Field(
        None,
        description="Airflow connection with host, login and password of a user that may delete "
        "runs; None: runs stay",
    )


class MetricsParams(Params):
    """The pipeline's own figures."""

    statsd: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.\-]{1,200}:[0-9]{1,5}$",
        description="host:port that the command line sends figures to (UDP); tasks in Airflow "
        "send them with Airflow's own metrics, wherever those go",
    )
