"""All settings: frozen, bounded, with defaults that run; ``load`` alone reads the environment.

Order of precedence: environment (``TRANSFERGATE_FEATURES__Z_WINDOW=252``), then the TOML
file named by ``TRANSFERGATE_CONFIG`` (default ``transfergate.toml`` in the working directory, if
there is one), then the defaults below. Nothing here is a secret.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.request import url2pathname

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from transfergate.errors import SettingsError
from transfergate.settings.algorithms import CloningParams, DqnParams, SampledParams, uncovered
from transfergate.settings.bars import (
    FeatureParams,
    IngestParams,
    KnownFlaw,
    QualityParams,
    SourceParams,
    SyntheticParams,
    UniverseParams,
    YahooParams,
    with_built_in_sources,
)
from transfergate.settings.base import TICKER_PATTERN, Params, Ticker
from transfergate.settings.formats import FileFormatParams
from transfergate.settings.gate import GateParams, LookParams, RefreshParams
from transfergate.settings.operations import MetricsParams, RetentionParams
from transfergate.settings.schedules import (
    ApprovalParams,
    NotifyParams,
    QueueParams,
    ScheduleParams,
)
from transfergate.settings.training import (
    AdversaryParams,
    CurriculumStage,
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
    WalkForwardParams,
)
from transfergate.settings.warehouse import WarehouseParams

__all__ = [
    "PROJECT_ROOT",
    "TICKER_PATTERN",
    "AdversaryParams",
    "ApprovalParams",
    "CloningParams",
    "CurriculumStage",
    "DqnParams",
    "FeatureParams",
    "FileFormatParams",
    "FinetuneParams",
    "GateParams",
    "IngestParams",
    "KnownFlaw",
    "LookParams",
    "MarketParams",
    "MetricsParams",
    "NetworkParams",
    "NotifyParams",
    "OptimiserParams",
    "Params",
    "PretrainParams",
    "QualityParams",
    "QueueParams",
    "RefreshParams",
    "Regularisation",
    "RetentionParams",
    "SampledParams",
    "ScheduleParams",
    "Settings",
    "SourceParams",
    "SyntheticParams",
    "Ticker",
    "UniverseParams",
    "WalkForwardParams",
    "WarehouseParams",
    "YahooParams",
    "load",
    "uncovered",
]

PROJECT_ROOT = Path(__file__).resolve().parents[3]

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,29}$")]


class Settings(BaseSettings):
    """The whole configuration of one installation."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="TRANSFERGATE_", env_nested_delimiter="__"
    )

    home: Path = Field(Path("var"), description="warehouse, artefacts and logs live below it")
    artefacts: str | None = Field(
        None,
        pattern=r"^(s3://[a-z0-9][a-z0-9.\-]+(/[^?#]*)?|file:///.*|[^:]+)$",
        description="snapshots, ledger, models, reports: a folder, file:///folder or "
        "s3://bucket/prefix; None for the folder artefacts below home",
    )
    sql_dir: Path = PROJECT_ROOT / "sql"
    seed: int = Field(20_260_101, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: int = Field(1, ge=1, le=256)
    torch_processes: int = Field(
        1, ge=1, le=256, description="that share a pre-training on this machine, by torchrun"
    )
    warehouse_wait_seconds: float = Field(60.0, ge=0.0)
    mlflow_tracking_uri: str | None = None
    fallback_serving: Literal["flat"] = "flat"
    sources: dict[SourceName, SourceParams] = Field(
        {}, validate_default=True, description="named sources; built-in ones are always there"
    )
    ingest: IngestParams = IngestParams()
    features: FeatureParams = FeatureParams()
    warehouse: WarehouseParams = WarehouseParams()
    walk_forward: WalkForwardParams = WalkForwardParams()
    market: MarketParams = MarketParams()
    network: NetworkParams = NetworkParams()
    pretrain: PretrainParams = PretrainParams()
    finetune: FinetuneParams = FinetuneParams()
    gate: GateParams = GateParams()
    looks: LookParams = LookParams()
    refresh: RefreshParams = RefreshParams()
    schedules: ScheduleParams = ScheduleParams()
    queues: QueueParams = QueueParams()
    approval: ApprovalParams = ApprovalParams()
    notify: NotifyParams = NotifyParams()
    retention: RetentionParams = RetentionParams()
    metrics: MetricsParams = MetricsParams()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give the environment precedence over the TOML file."""
        toml = Path(os.environ.get("TRANSFERGATE_CONFIG", "transfergate.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml)

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file; only the warehouse plane opens it."""
        return self.home.resolve() / "warehouse.duckdb"

    @property
    def artefacts_at(self) -> str:
        """Root of the artefacts: an absolute folder, or the URL of an object store."""
        said = self.artefacts
        if said is None:
            return str(self.home.resolve() / "artefacts")
        if said.startswith("file://"):
            said = url2pathname(said.removeprefix("file://"))
        return said if said.startswith("s3://") else str(Path(said).expanduser().resolve())

    @property
    def artefact_root(self) -> Path:
        """Folder of snapshots, batches, ledger, models; what runs everywhere opens the store.

        Raises:
            SettingsError: If they lie in an object store.
        """
        if self.artefacts_at.startswith("s3://"):
            raise SettingsError(
                f"the artefacts lie in {self.artefacts_at}, expected a folder here: read them "
                f"through transfergate.storage.open_store"
            )
        return Path(self.artefacts_at)

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: a server when configured, else a SQLite file below ``home``."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @cached_property
    def code_version(self) -> str:
        """Git revision of the checkout (``+dirty`` if modified), or the package version."""
        return _code_version()

    def source(self, name: str | None = None) -> SourceParams:
        """One source by name; None for the default one.

        Raises:
            SettingsError: If no source has that name; says which there are.
        """
        name = name or self.ingest.source
        if name not in self.sources:
            raise SettingsError(
                f"there is no source {name!r}; there are {', '.join(sorted(self.sources))}: name "
                f"one of these, or declare [sources.{name}] with its kind in transfergate.toml"
            )
        return self.sources[name]

    @model_validator(mode="after")
    def _rewards_are_covered(self) -> Settings:
        for stage in ("pretrain", "finetune"):
            optimiser: OptimiserParams = getattr(self, stage).optimiser
            reason = uncovered(optimiser.algorithm, self.market.reward, optimiser.discount)
            if reason:
                raise ValueError(f"{stage}.optimiser: {reason}")
        return self

    @model_validator(mode="after")
    def _contexts_are_encoded(self) -> Settings:
        needed = self.network.context_sessions
        for stage in ("pretrain", "finetune"):
            burn_in = getattr(self, stage).optimiser.burn_in_sessions
            if burn_in < needed:
                raise ValueError(
                    f"{stage}.optimiser.burn_in_sessions {burn_in}: the {self.network.encoder} "
                    f"sees {needed} earlier sessions, so that the first states of a path would "
                    f"not be those of a long record; raise it to {needed}, or shorten the "
                    f"network's window"
                )
        return self

    @field_validator("sources", mode="before")
    @classmethod
    def _merge_sources(cls, declared: Any) -> Any:
        return with_built_in_sources(declared)


def load() -> Settings:
    """Read settings from the environment and the TOML file.

    Raises:
        SettingsError: If a value is unknown or out of bounds (names each one), or the TOML file is
            missing or broken.
    """
    given: dict[str, Any] = {}
    mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    if mlflow and "TRANSFERGATE_MLFLOW_TRACKING_URI" not in os.environ:
        given["mlflow_tracking_uri"] = mlflow
    named = os.environ.get("TRANSFERGATE_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(
            f"TRANSFERGATE_CONFIG names {named!r}, which is no file; correct it or unset it"
        )
    try:
        return Settings(**given)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{named or 'transfergate.toml'}: not valid TOML: {error}; correct that line"
        ) from error
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg']} "
            f"(found {item.get('input')!r})"
            for item in error.errors()
        ]
        raise SettingsError(
            "settings cannot be used:\n" + "\n".join(lines) + "\nnext: correct the TRANSFERGATE_* "
            "environment variable or the line in transfergate.toml"
        ) from error


def _code_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        if re.fullmatch(r"[0-9a-f]{12}", revision):
            return revision + ("+dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    try:
        return version("transfergate")
    except PackageNotFoundError:
        return "unknown"
