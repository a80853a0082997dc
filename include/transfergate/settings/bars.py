"""Settings of the warehouse plane: sources, quality, features."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from transfergate.settings.base import Params, Ticker
from transfergate.settings.formats import FileFormatParams


class UniverseParams(Params):
    """Who teaches, who is taught, and which series is the index.

    ``sources`` and ``targets`` left empty are filled from the snapshot: one ticker in
    ``target_every``, by a hash of its name, is a target, the others are sources. A listing
    therefore changes the role of no other ticker.
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


class SyntheticParams(Params):
    """Planted markets (see ``transfergate.sources.synthetic``)."""

    seed: int = Field(7, ge=0)
    kind: Literal["ar", "regime", "trend", "volume"] = "volume"
    n_sources: int = Field(4, ge=1, le=500)
    n_sessions: int = Field(1700, ge=100, le=20_000)
    strength: float = Field(0.70, ge=0.0, lt=1.0, description="AR coefficient or its analogue")
    daily_volatility: float = Field(0.015, gt=0.0, le=0.2)


class YahooParams(Params):
    """How politely Yahoo is asked."""

    requests_per_minute: float = Field(60.0, gt=0.0, le=600.0)
    max_attempts: int = Field(5, ge=1, le=20, description="per ticker")
    first_wait_seconds: float = Field(
        5.0, ge=0.0, le=600.0, description="after the first failure; doubles with each further one"
    )


class KnownFlaw(Params):
    """A rule that a source is known to break, and what becomes of the rows that do.

    Such rows count against no limit, and the report lists them as known.
    """

    rule: str = Field(description="as it stands in a quarantined row's reasons")
    tickers: tuple[Ticker, ...] = Field((), description="none: all of the source")
    keep: Literal["as received", "quarantine"]
    note: str = Field("", description="why, for the report")

    @model_validator(mode="after")
    def _can_be_kept(self) -> KnownFlaw:
        if self.keep == "as received" and _NEVER_KEPT.fullmatch(self.rule):
            raise ValueError(
                f"rows that break {self.rule!r} do not fit the warehouse and cannot be kept as "
                f"received: say keep = 'quarantine', or correct the source"
            )
        return self


_NEVER_KEPT = re.compile(
    r".*_(present|positive|finite)|ticker_name|no_copy|unique_session|unreadable_.*|readable"
)
"""Rules whose rows the warehouse's tables could not hold, or could not tell apart."""


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
    known_flaws: tuple[KnownFlaw, ...] = ()


class SourceParams(Params):
    """One named source: what kind it is, how its bars are to be read and judged.

    A data folder may describe itself in a ``source.toml`` with the same fields.
    """

    kind: Literal["sample", "files", "synthetic", "yahoo"]
    root: str | None = Field(None, description="folder or object-store URL of the bar files")
    formats: tuple[FileFormatParams, ...] = Field((FileFormatParams(),), min_length=1)
    ignore: tuple[str, ...] = Field(
        ("README*", "LICENSE*", "LICENCE*", "*.md", "*.toml"),
        description="globs of files below root that hold no bars",
    )
    currency: str | None = Field(None, description="of all bars, where no file says another")
    actions: str | None = Field(
        None, description="CSV of splits and dividends: ticker, effect_date, kind, value"
    )
    instruments: str | None = Field(
        None, description="CSV of instruments: ticker, name, asset_class, sector, exchange, …"
    )
    symbols: str | None = Field(
        None, description="CSV of symbols over time: symbol, ticker, first_date, last_date"
    )
    calendar: str = Field("XNYS", description="code of exchange_calendars, such as XNYS or 24/7")
    special_sessions: tuple[date, ...] = Field(
        (), description="days on which the exchange traded although its calendar says closed"
    )
    synthetic: SyntheticParams = SyntheticParams()
    yahoo: YahooParams = YahooParams()
    quality: QualityParams = QualityParams()
    expectations: str | None = Field(
        None, description="TOML file of further expectations; relative to root or to the process"
    )
    prices: Literal["auto", "raw", "adjusted"] = Field(
        "auto",
        description="raw: what looks like a split that no action explains waits in quarantine; "
        "adjusted: it only warns; auto: raw for tickers with neither adj_close nor actions",
    )
    negative_prices: tuple[Ticker, ...] = Field(
        (), description="tickers whose prices may be 0 or less, such as crude oil on 2020-04-20"
    )
    universe: UniverseParams = UniverseParams()


BUILT_IN_SOURCES: dict[str, dict[str, Any]] = {
    "sample": {
        "kind": "sample",
        "universe": {
            "sources": ("AAPL", "IBM", "MSFT"),
            "targets": ("GOOG", "FB"),
            "index": "^GSPC",
        },
    },
    "synthetic": {
        "kind": "synthetic",
        "universe": {"targets": ("SHARED", "OPPOSED"), "index": "^SYN"},
    },
    "files": {"kind": "files"},
    "yahoo": {"kind": "yahoo"},
}
"""Sources that are there without being declared; what a user declares goes over them."""


def with_built_in_sources(declared: Any) -> Any:
    """Lay declared sources over the built-in ones, field by field."""
    if not isinstance(declared, dict):
        return declared
    merged: dict[str, Any] = dict(BUILT_IN_SOURCES)
    for name, params in declared.items():
        if isinstance(params, SourceParams):
            params = params.model_dump(exclude_unset=True)
        merged[name] = _laid_over(BUILT_IN_SOURCES.get(name, {}), params)
    return merged


def _laid_over(base: Any, given: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(given, dict)):
        return given
    return {**base, **{name: _laid_over(base.get(name), value) for name, value in given.items()}}


class IngestParams(Params):
    """What is fetched when nobody says otherwise, and in what portions."""

    source: str = Field("sample", description="name of the source that runs by default")
    batch_tickers: int = Field(100, ge=1, le=10_000, description="tickers per fetch task")
    fetch_timeout_minutes: float = Field(
        120.0, gt=0.0, le=10_000.0, description="Airflow ends a fetch that takes longer"
    )


class FeatureParams(Params):
    """Which feature relations are published; a name is a file in ``sql/marts/features``.

    Adding a feature is adding ``sql/marts/features/<name>.sql``, or a file of that kind in
    ``extra_dir``, and its name here (docs/features.md).
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
    extra_dir: Path | None = Field(None, description="folder of feature files of your own")
    z_window: int = Field(60, ge=20, le=1000, description="sessions, the current one included")
    z_clip: float = Field(5.0, gt=0.0)
