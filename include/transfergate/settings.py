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
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from transfergate.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parents[2]

TICKER_PATTERN = r"^[A-Za-z0-9^][A-Za-z0-9.^=&_\-]{0,19}$"
Ticker = Annotated[str, Field(pattern=TICKER_PATTERN)]
SourceName = Literal["sample", "files", "synthetic"]
SOURCE_NAMES: tuple[str, ...] = ("sample", "files", "synthetic")


class Params(BaseModel):
    """Base of every group of settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UniverseParams(Params):
    """Who teaches, who is taught, and which series is the index.

    ``sources`` and ``targets`` left empty are filled from the snapshot: every
    ``target_every``-th ticker in alphabetical order is a target, the others are sources.
    """

    sources: tuple[Ticker, ...] = ()
    targets: tuple[Ticker, ...] = ()
    index: Ticker | None = None
    target_every: int = Field(5, ge=2, le=1000)

    @model_validator(mode="after")
    def _disjoint(self) -> UniverseParams:
        both = sorted(set(self.sources) & set(self.targets))
        if both:
            raise ValueError(
                f"{both} are both source and target; a target is never among the sources "
                f"of its own foundation: remove them from one of the two lists"
            )
        return self


class FileFormatParams(Params):
    """How a folder of bar files is to be read: one mapping for all its files."""

    pattern: str = "*"
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="contract column -> column in the file; names not given map to themselves",
    )
    date_format: str | None = Field(None, description="strptime format; None means ISO or typed")
    ticker_from: Literal["column", "filename"] = "column"


class SyntheticParams(Params):
    """Planted markets (see ``transfergate.sources.synthetic``)."""

    seed: int = Field(7, ge=0)
    kind: Literal["ar", "regime", "trend", "volume"] = "volume"
    n_sources: int = Field(8, ge=1, le=500)
    n_sessions: int = Field(1700, ge=100, le=20_000)
    strength: float = Field(0.70, ge=0.0, lt=1.0, description="AR coefficient or its analogue")
    daily_volatility: float = Field(0.015, gt=0.0, le=0.2)


class QualityParams(Params):
    """Thresholds of the expectations on daily bars."""

    max_bad_row_frac: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="per ticker, rounded up to rows; above it the whole ticker is quarantined",
    )
    max_bad_ticker_frac: float = Field(
        0.20, ge=0.0, le=1.0, description="of tickers, or of rows; above it the batch is refused"
    )
    max_abs_return: float = Field(0.40, gt=0.0, description="adjusted close to close; warning")
    max_missing_session_frac: float = Field(0.02, ge=0.0, le=1.0)
    max_staleness_sessions: int = Field(
        5, ge=0, description="last session of a batch against the end that was asked for"
    )
    row_count_tolerance: float = Field(
        0.5, ge=0.0, description="relative fall of rows against the previous batch; warning"
    )


class IngestParams(Params):
    """What is fetched, from where, and how it is checked."""

    source: SourceName = "sample"
    calendar: str = "XNYS"
    batch_tickers: int = Field(100, ge=1, le=10_000, description="tickers per fetch task")
    files_root: Path | None = None
    files_format: FileFormatParams = FileFormatParams()
    synthetic: SyntheticParams = SyntheticParams()
    quality: QualityParams = QualityParams()


class FeatureParams(Params):
    """Which feature relations are published; a name is a file in ``sql/marts/features``.

    Adding a feature is adding ``sql/marts/features/<name>.sql`` and its name here.
    """

    names: tuple[str, ...] = (
        "return_1",
        "rsi_14",
        "macd_12_26_9",
        "atr_14",
        "realised_volatility_20",
        "momentum",
        "moving_average_crossing",
        "index_relation_60",
        "volume_surprise_20",
    )
    z_window: int = Field(60, ge=20, le=1000, description="sessions, the current one included")
    z_clip: float = Field(5.0, gt=0.0)


class WalkForwardParams(Params):
    """Folds: expanding train | embargo | validation | embargo | test, in sessions."""

    n_folds: int = Field(8, ge=1, le=200)
    min_train_sessions: int = Field(504, ge=60)
    embargo_sessions: int = Field(5, ge=0)
    validation_sessions: int = Field(126, ge=20)
    test_sessions: int = Field(63, ge=5)


class MarketParams(Params):
    """Positions, costs and timing of the one market that training and back-test share."""

    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    cost_bps: float = Field(5.0, ge=0.0, le=500.0, description="per unit of absolute turnover")
    timing: Literal["next_open", "same_close"] = Field(
        "next_open", description="same_close exists for replications only; the gate refuses it"
    )

    @model_validator(mode="after")
    def _grid(self) -> MarketParams:
        if 0.0 not in self.positions or list(self.positions) != sorted(set(self.positions)):
            raise ValueError(
                f"positions {self.positions} must be strictly increasing and contain 0.0 (flat)"
            )
        return self


class NetworkParams(Params):
    """The policy network: a causal encoder and a position head."""

    encoder: Literal["gru", "lstm", "mlp"] = "gru"
    encoder_units: int = Field(24, ge=1, le=1024)
    head_units: int = Field(24, ge=1, le=1024)


class Regularisation(Params):
    """One choice of the grid that both arms search."""

    input_noise: float = Field(0.0, ge=0.0, description="standard deviations added to z-scores")
    l1_first_layer: float = Field(0.0, ge=0.0)
    l2_pull: float = Field(
        0.0, ge=0.0, description="pull to the starting weights: the foundation's or the initial"
    )


class OptimiserParams(Params):
    """PPO with exact advantages over the position grid (see ``transfergate.learning``).

    The defaults were chosen on planted markets only (``market/planted.py``), never on real bars.
    """

    n_updates: int = Field(100, ge=1)
    epochs: int = Field(1, ge=1, le=50, description="passes over one batch of paths")
    n_paths: int = Field(4, ge=1)
    path_sessions: int = Field(126, ge=8)
    burn_in_sessions: int = Field(32, ge=0, description="encoded before the loss starts")
    tail_sessions: int = Field(16, ge=0, description="look-ahead for values, no loss on it")
    learning_rate: float = Field(1e-2, gt=0.0, le=1.0)
    clip: float = Field(0.2, gt=0.0, lt=1.0)
    discount: float = Field(0.99, gt=0.0, le=1.0)
    max_gradient_norm: float = Field(0.5, gt=0.0)
    n_validations: int = Field(6, ge=1, description="checkpoints that early stopping chooses from")


class PretrainParams(Params):
    """Pre-training of the foundation family."""

    optimiser: OptimiserParams = OptimiserParams(n_updates=300, n_paths=16)
    regularisation: Regularisation = Regularisation(input_noise=0.3)


class FinetuneParams(Params):
    """Fine-tuning and its from-scratch control: one budget, one grid, paired seeds."""

    strategy: Literal["head", "partial", "full"] = "full"
    learning_rate_ratio: float = Field(
        0.1, gt=0.0, le=1.0, description="fine-tuned learning rate / from-scratch learning rate"
    )
    optimiser: OptimiserParams = OptimiserParams(n_validations=2)
    grid: tuple[Regularisation, ...] = Field(
        (
            Regularisation(input_noise=0.3),
            Regularisation(input_noise=1.0),
            Regularisation(input_noise=1.0, l1_first_layer=1e-2),
        ),
        min_length=1,
        max_length=3,
    )
    n_seeds: int = Field(5, ge=1, le=50)


class GateParams(Params):
    """The gate's rule (DESIGN section 6)."""

    evidence: Literal["auto", "pooled", "ticker", "point"] = "auto"
    delta_min: float = Field(0.05, ge=0.0)
    posterior_promote: float = Field(0.90, gt=0.5, lt=1.0)
    posterior_reject: float = Field(0.80, gt=0.5, lt=1.0)
    alpha_promote: float = Field(0.10, gt=0.0, lt=0.5)
    alpha_reject: float = Field(0.10, gt=0.0, lt=0.5)
    min_oos_sessions: int = Field(252, ge=2)
    min_seeds: int = Field(3, ge=1)


class ScheduleParams(Params):
    """When the DAGs run by themselves (DESIGN section 8, Schedules)."""

    ingest: Literal["daily", "manual"] = "daily"
    ingest_cron: str = Field("0 18 * * 1-5", description="after the close, in exchange time")
    timezone: str = Field("America/New_York", description="of the exchange")
    ingest_lookback_days: int = Field(
        7, ge=0, le=3660, description="a scheduled run fetches again so far back: late corrections"
    )
    retrain: Literal["monthly", "asset", "manual"] = Field(
        "monthly", description="asset: every new feature snapshot pre-trains (the one-shot chain)"
    )


class Settings(BaseSettings):
    """The whole configuration of one installation."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="TRANSFERGATE_", env_nested_delimiter="__"
    )

    home: Path = Field(Path("var"), description="warehouse, artefacts and logs live below it")
    sql_dir: Path = PROJECT_ROOT / "sql"
    seed: int = Field(20_260_101, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    torch_threads: int = Field(1, ge=1, le=256)
    warehouse_wait_seconds: float = Field(60.0, ge=0.0)
    mlflow_tracking_uri: str | None = None
    fallback_serving: Literal["flat"] = "flat"
    universes: dict[str, UniverseParams] = {
        "sample": UniverseParams(
            sources=("AAPL", "IBM", "MSFT"), targets=("GOOG", "FB"), index="^GSPC"
        ),
        "synthetic": UniverseParams(targets=("SHARED", "OPPOSED"), index="^SYN"),
        "files": UniverseParams(),
    }
    ingest: IngestParams = IngestParams()
    features: FeatureParams = FeatureParams()
    walk_forward: WalkForwardParams = WalkForwardParams()
    market: MarketParams = MarketParams()
    network: NetworkParams = NetworkParams()
    pretrain: PretrainParams = PretrainParams()
    finetune: FinetuneParams = FinetuneParams()
    gate: GateParams = GateParams()
    schedules: ScheduleParams = ScheduleParams()

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
    def artefact_root(self) -> Path:
        """Snapshots, batches, ledger, models: everything that readers share."""
        return self.home.resolve() / "artefacts"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: a server when configured, else a SQLite file below ``home``."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @cached_property
    def code_version(self) -> str:
        """Git revision of the checkout (``+dirty`` if modified), or the package version."""
        return _code_version()

    def universe(self, source: str) -> UniverseParams:
        """The universe of a source; empty where none is declared."""
        return self.universes.get(source, UniverseParams())


def load() -> Settings:
    """Read settings from the environment and the TOML file.

    Raises:
        SettingsError: If a value is unknown or out of bounds (names each one), or the TOML file is
            missing or broken.
    """
    if mlflow := os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ.setdefault("TRANSFERGATE_MLFLOW_TRACKING_URI", mlflow)
    named = os.environ.get("TRANSFERGATE_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(
            f"TRANSFERGATE_CONFIG names {named!r}, which is no file; correct it or unset it"
        )
    try:
        return Settings()
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
