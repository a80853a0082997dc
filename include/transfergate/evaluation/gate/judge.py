"""Judge a table of out-of-sample returns: one JSON object with a verdict for every ticker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from transfergate.errors import GateInputError
from transfergate.evaluation.gate.columns import Returns, check_columns
from transfergate.evaluation.gate.guards import pooled_foundation_guards
from transfergate.evaluation.gate.measure import (
    Audit,
    Measurement,
    Pooling,
    figures,
    measure,
)
from transfergate.evaluation.gate.pooled import (
    MIN_POOL,
    Posterior,
    mean_correlation,
    pooled_posterior,
)
from transfergate.evaluation.gate.record import ticker_record, ticker_rows
from transfergate.evaluation.gate.verdict import Verdict, decide
from transfergate.settings import GateParams


def judge(
    returns: pa.Table | Returns,
    params: GateParams,
    *,
    audits: Mapping[str, Sequence[Audit]] | None = None,
    foundations: Mapping[str, int] | None = None,
    keep_going: bool = False,
) -> dict[str, Any]:
    """Give every ticker in a table of returns its verdict.

    Args:
        returns: ``ticker, session_date, fold, arm, seed, net_return`` (simple net returns), in
            any order; further columns are ignored. Or what
            :func:`transfergate.evaluation.returns_file.read_returns` read.
        params: The rule.
        audits: Per ticker, how the record came about; None where nobody recorded it (a file).
        foundations: Per ticker, the independent foundations behind the record, if known.
        keep_going: Give INVALID to tickers that cannot be judged, instead of refusing all.

    Returns:
        ``{"config": {...}, "tickers": {ticker: report}, "pool": {...}}``, ready for JSON; numbers
        that do not exist are None.

    Raises:
        GateInputError: If the table, or without ``keep_going`` a ticker, cannot be judged; names
            ticker, arm and dates. Also if pooled evidence is asked for and there is no pool.
    """
    checked = returns if isinstance(returns, Returns) else check_columns(returns)
    measured: dict[str, Measurement] = {}
    unusable: dict[str, GateInputError] = dict(checked.unusable)
    for ticker, rows in ticker_rows(checked.table):
        try:
            record = ticker_record(ticker, rows)
        except GateInputError as error:
            unusable[ticker] = error
            continue
        own_audits = None if audits is None else tuple(audits.get(ticker, ()))
        foundation = (foundations or {}).get(ticker)
        measured[ticker] = measure(record, params, own_audits, foundation)
    if unusable and not keep_going:
        raise GateInputError(
            "\n".join(str(unusable[ticker]) for ticker in sorted(unusable)[:10])
            + f"\n{len(unusable)} of {len(unusable) + len(measured)} tickers cannot be judged, so "
            f"none was; repair them, or judge the rest with --keep-going"
        )
    _average_seed_luck(measured)
    pool = _pool(measured, params)
    reports = {
        ticker: unjudged("INVALID", [f"This record cannot be judged: {error}"], params)
        for ticker, error in unusable.items()
    }
    for ticker, item in measured.items():
        verdict, reasons = _outside_pool(item, params) or decide(item, params)
        reports[ticker] = {"verdict": verdict, "reasons": reasons, **figures(item, params)}
    result: dict[str, Any] = finite(
        {
            "config": params.model_dump(mode="json"),
            "tickers": {ticker: reports[ticker] for ticker in sorted(reports)},
            "pool": pool,
        }
    )
    return result


def unjudged(
    verdict: Verdict,
    reasons: Sequence[str],
    params: GateParams,
    missing_sessions: int | None = None,
) -> dict[str, Any]:
    """The report of a ticker without a usable record: every figure None, ``n_sessions`` 0."""
    missing = params.min_oos_sessions if missing_sessions is None else missing_sessions
    return {
        "verdict": verdict,
        "reasons": list(reasons),
        **dict.fromkeys(_FIGURES),
        "n_sessions": 0,
        "n_folds": 0,
        "n_seeds": 0,
        "missing_sessions": missing,
        "sharpe": {},
        "ruined": {},
        "guards": dict.fromkeys(("flat", "champion", "zero_shot", "buy_hold")),
        "control": dict.fromkeys(("flat", "ridge")),
        "audits": "not run",
    }


_FIGURES = (
    "delta_sharpe",
    "se_time",
    "se_seed",
    "se",
    "p_promote",
    "p_reject",
    "posterior_better",
    "posterior_worse",
    "delta_shrunken",
    "se_shrunken",
    "mde80",
    "correlation",
    "first_session",
    "last_session",
    "foundations",
)


def finite(value: Any) -> Any:
    """A copy of JSON-like data in which numbers that are not finite are None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _average_seed_luck(measured: dict[str, Measurement]) -> None:
    """Give tickers with as many folds and seeds their mean seed variance; updates ``measured``.

    A few seeds estimate a variance badly; the luck of training is the recipe's, not the ticker's.
    A ticker that says nothing of it (arms that are one, both flat, unsound) keeps its own.
    """
    groups: dict[tuple[int, int], list[str]] = {}
    for ticker, item in measured.items():
        if item.constant or item.identical or item.failed_audits:
            continue
        groups.setdefault((item.n_folds, item.n_seeds), []).append(ticker)
    for tickers in groups.values():
        se_seed = math.sqrt(float(np.mean([measured[name].se_seed ** 2 for name in tickers])))
        for name in tickers:
            measured[name] = replace(measured[name], se_seed=se_seed)


def _pool(measured: dict[str, Measurement], params: GateParams) -> dict[str, Any]:
    """Judge the largest set of tickers on identical dates together; updates ``measured``."""
    members = _pool_members(measured, params)
    if not members:
        return {"n_tickers": 0, "tickers": []}
    items = [measured[ticker] for ticker in members]
    se_seed = math.sqrt(float(np.mean([item.se_seed**2 for item in items])))
    posterior = pooled_posterior(
        np.array([item.delta for item in items]),
        np.array([math.hypot(item.se_time, se_seed) for item in items]),
        mean_correlation(np.stack([item.influence for item in items])),
        params.delta_min,
    )
    for i, ticker in enumerate(members):
        measured[ticker] = measured[ticker].pooled(se_seed, _pooling(posterior, i))
    if params.zero_shot_guard == "evidence":
        known = {item.ticker: item.zero_shot for item in items if item.zero_shot is not None}
        for ticker, guard in zip(known, pooled_foundation_guards([*known.values()]), strict=True):
            measured[ticker] = measured[ticker].guarded(guard)
    return {
        "n_tickers": len(members),
        "tickers": members,
        "n_sessions": items[0].n_sessions,
        "mean_correlation": posterior.correlation,
        "mu": posterior.mu,
        "tau": posterior.tau,
        "se_seed": se_seed,
    }


def _pool_members(measured: Mapping[str, Measurement], params: GateParams) -> list[str]:
    if params.evidence not in ("auto", "pooled"):
        return []
    groups: dict[bytes, list[str]] = {}
    for ticker, item in sorted(measured.items()):
        if item.admissible(params):
            groups.setdefault(item.dates.tobytes(), []).append(ticker)
    largest = max(groups.values(), key=len, default=[])
    if len(largest) >= MIN_POOL:
        return largest
    if params.evidence == "pooled":
        raise GateInputError(
            f"pooled evidence needs at least {MIN_POOL} tickers with enough sessions on identical "
            f"dates, found {len(largest)} of {len(measured)}; use evidence=auto or evidence=ticker"
        )
    return []


def _pooling(posterior: Posterior, i: int) -> Pooling:
    return Pooling(
        better=float(posterior.better[i]),
        worse=float(posterior.worse[i]),
        shrunken=float(posterior.mean[i]),
        spread=float(posterior.spread[i]),
    )


def _outside_pool(item: Measurement, params: GateParams) -> tuple[Verdict, list[str]] | None:
    """With evidence=pooled nothing is decided about a ticker that is not in the pool."""
    if params.evidence != "pooled" or item.pooling is not None or not item.admissible(params):
        return None
    return "INCONCLUSIVE", [
        f"Its {item.n_sessions} sessions are not those of the pool, and evidence=pooled asks for "
        f"the pool's: use evidence=auto to judge it by itself."
    ]
