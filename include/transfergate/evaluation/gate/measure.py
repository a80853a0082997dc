"""Everything that is measured on one ticker before anything is decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.gate import guards as guarding
from transfergate.evaluation.gate.record import TickerRecord
from transfergate.evaluation.gate.statistic import (
    Difference,
    correlation,
    minimum_detectable_effect,
    p_promote,
    p_reject,
    seed_variance,
    sharpe_difference,
    sharpe_influence,
)
from transfergate.evaluation.metrics import sharpe_ratio
from transfergate.settings import GateParams


@dataclass(frozen=True)
class Audit:
    """One check of how the record came about; a failed one makes the verdict INVALID."""

    name: str
    passed: bool
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pooling:
    """What the pool says about one ticker."""

    better: float
    worse: float
    shrunken: float
    spread: float


@dataclass(frozen=True)
class Measurement:
    """One ticker's figures, in annualised Sharpe units.

    Attributes:
        ticker: The target.
        dates: Sessions, shape (T,).
        influence: psi of the seed-mean difference, shape (T,).
        n_folds: Folds in the record.
        n_seeds: Paired seeds.
        sharpe: Of each arm's seed mean.
        delta: Fine-tuned less from-scratch.
        se_time: From the finite record.
        se_seed: From the luck of training seeds.
        correlation: Of the two arms' returns; None if one is flat.
        identical: The arms are one but for scale, or both flat.
        constant: Arms whose return never changes and is not 0: no Sharpe ratio.
        repeated_seeds: Seeds whose returns, in both arms, are those of an earlier one.
        ruined: Trained arms of which a seed lost everything, with the first session of that.
        guards: See :mod:`transfergate.evaluation.gate.guards`.
        control: Strength of the control.
        audits: None where nothing was recorded to audit (a file).
        foundations: Independent foundations behind the record, if known.
        pooling: Present where the ticker was judged in a pool.
        zero_shot: Fine-tuned less zero-shot, where that arm is known.
    """

    ticker: str
    dates: NDArray[np.datetime64]
    influence: NDArray[np.float64]
    n_folds: int
    n_seeds: int
    sharpe: dict[str, float]
    delta: float
    se_time: float
    se_seed: float
    correlation: float | None
    identical: bool
    constant: tuple[str, ...]
    repeated_seeds: tuple[int, ...]
    ruined: dict[str, str]
    guards: dict[str, guarding.Guard | None]
    control: dict[str, guarding.Control | None]
    audits: tuple[Audit, ...] | None = None
    foundations: int | None = None
    pooling: Pooling | None = None
    zero_shot: Difference | None = None

    @property
    def n_sessions(self) -> int:
        """Length of the stitched record."""
        return len(self.dates)

    @property
    def se(self) -> float:
        """Both standard errors together."""
        return hypot(self.se_time, self.se_seed)

    def admissible(self, params: GateParams) -> bool:
        """Whether there is enough of a record, sound by its audits, to look for evidence."""
        return (
            not self.constant
            and not self.failed_audits
            and not self.identical
            and self.n_sessions >= params.min_oos_sessions
            and self.n_seeds >= params.min_seeds
        )

    @property
    def failed_audits(self) -> tuple[Audit, ...]:
        """Audits that did not pass."""
        return tuple(audit for audit in self.audits or () if not audit.passed)

    def pooled(self, se_seed: float, pooling: Pooling) -> Measurement:
        """The same ticker, judged together with others."""
        return replace(self, se_seed=se_seed, pooling=pooling)

    def guarded(self, zero_shot: guarding.Guard) -> Measurement:
        """The same ticker, its zero-shot guard evaluated together with others."""
        return replace(self, guards={**self.guards, "zero_shot": zero_shot})


def measure(
    record: TickerRecord,
    params: GateParams,
    audits: Sequence[Audit] | None = None,
    foundations: int | None = None,
) -> Measurement:
    """Compute one ticker's figures from its aligned record."""
    finetuned, scratch = record.finetuned.mean(axis=0), record.scratch.mean(axis=0)
    difference = sharpe_difference(finetuned, scratch)
    series = {"finetuned": finetuned, "scratch": scratch}
    series |= {arm: reference.returns for arm, reference in record.references.items()}
    zero_shot = guarding.zero_shot_difference(record)
    return Measurement(
        ticker=record.ticker,
        dates=record.dates,
        influence=difference.influence,
        n_folds=len(record.folds),
        n_seeds=len(record.finetuned),
        sharpe={arm: sharpe_ratio(returns) for arm, returns in series.items()},
        delta=difference.delta,
        se_time=difference.se_time,
        se_seed=sqrt(seed_variance(record.finetuned, record.scratch, record.folds)),
        correlation=correlation(finetuned, scratch),
        identical=difference.identical,
        constant=tuple(arm for arm in ("finetuned", "scratch") if _constant_not_zero(series[arm])),
        repeated_seeds=record.repeated_seeds(),
        ruined=record.ruined(),
        guards=guarding.evaluate_guards(record, zero_shot, params.zero_shot_guard),
        control=guarding.control_strength(record),
        audits=None if audits is None else tuple(audits),
        foundations=foundations,
        zero_shot=zero_shot,
    )


def figures(measured: Measurement, params: GateParams) -> dict[str, Any]:
    """The report's figures of one ticker, without verdict and reasons."""
    tested = not measured.identical and measured.se > 0.0
    pooling = measured.pooling
    pairs = (measured.delta, measured.se, params.delta_min)
    return {
        "delta_sharpe": measured.delta,
        "se_time": measured.se_time,
        "se_seed": measured.se_seed,
        "se": measured.se,
        "p_promote": p_promote(*pairs) if tested else None,
        "p_reject": p_reject(*pairs) if tested else None,
        "posterior_better": None if pooling is None else pooling.better,
        "posterior_worse": None if pooling is None else pooling.worse,
        "delta_shrunken": None if pooling is None else pooling.shrunken,
        "se_shrunken": None if pooling is None else pooling.spread,
        "mde80": minimum_detectable_effect(measured.se, params.delta_min, params.alpha_promote)
        if tested
        else None,
        "correlation": measured.correlation,
        "n_sessions": measured.n_sessions,
        "n_folds": measured.n_folds,
        "n_seeds": measured.n_seeds,
        "missing_sessions": max(params.min_oos_sessions - measured.n_sessions, 0),
        "first_session": str(measured.dates[0]),
        "last_session": str(measured.dates[-1]),
        "sharpe": dict(measured.sharpe),
        "ruined": dict(measured.ruined),
        "guards": guarding.as_json(measured.guards),
        "control": guarding.as_json(measured.control),
        "foundations": measured.foundations,
        "audits": "not run"
        if measured.audits is None
        else {
            audit.name: {"passed": audit.passed, "figures": audit.figures}
            for audit in measured.audits
        },
    }


def _constant_not_zero(returns: NDArray[np.float64]) -> bool:
    return len(returns) > 1 and bool(sharpe_influence(returns).risk_free) and bool(returns.any())
