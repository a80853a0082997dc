"""Permutation importance: what a trained policy loses when one feature's path is shuffled in time.

Each feature in turn is replaced by a rearrangement of its own values over the sessions that the
policy reads, the others left alone, and the policy is scored again; nothing is trained. Blocks of
consecutive sessions move together, so that a shuffled path keeps its short autocorrelation and
looks to a recurrent network like a path of that feature; only what it says about *when* is lost.

A large drop says that this policy relied on the feature on these sessions. It does not say that
the market does: a policy that needs nothing scores near 0 everywhere, one that lost money through
a feature has a negative drop, and of two features that say the same each can look unimportant.

Sources: Breiman (2001), Random Forests, doi:10.1023/A:1010933404324, section 10; Fisher, Rudin &
Dominici (2019), All Models are Wrong, but Many are Useful, JMLR 20(177), section 3 (model reliance
of a fixed model); blocks as in Künsch (1989), doi:10.1214/aos/1176347265.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import hypot, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfergate.evaluation.gate.statistic import (
    seed_variance,
    sharpe_influence,
    standard_error,
)
from transfergate.evaluation.metrics import SESSIONS_PER_YEAR
from transfergate.evaluation.splits import Window
from transfergate.learning import Scored, Weights, n_models, score_greedy, select_models
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams

FloatArray = NDArray[np.float64]
Record = Mapping[str, Any]

REPEATS = 10
BLOCK_SESSIONS = 10
MODELS_AT_ONCE = 1024
"""Copies of policies in one scoring call: bounds memory; results do not depend on it."""
_ERRORS = ("se_time", "se_seed", "se_repeat")


def block_orders(
    n_sessions: int, repeats: int, rng: np.random.Generator, block: int = BLOCK_SESSIONS
) -> NDArray[np.int64]:
    """Draw rearrangements of ``n_sessions`` that move blocks of consecutive sessions.

    The path is turned by a random number of sessions (its end joins its beginning), cut into
    blocks, and the blocks are shuffled; a short path is cut into at least four.

    Returns:
        Indices, shape (repeats, n_sessions); none is the identity from two sessions on.
    """
    size = max(1, min(block, n_sessions // 4))
    orders = np.empty((repeats, n_sessions), dtype=np.int64)
    for r in range(repeats):
        order = np.arange(n_sessions)
        while n_sessions > 1 and (order == np.arange(n_sessions)).all():
            turned = np.roll(np.arange(n_sessions), int(rng.integers(n_sessions)))
            blocks = np.split(turned, np.arange(size, n_sessions, size))
            order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
        orders[r] = order
    return orders


def permutation_importance(
    panel: Panel,
    weights: Weights,
    window: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
    orders: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> list[dict[str, float]]:
    """Importance of every feature for K policies that serve as equal sub-accounts.

    Args:
        panel: The ticker alone.
        weights: Stacked, K models.
        window: Sessions that are scored, each policy flat at first.
        market: The market.
        network: The network.
        burn_in: Sessions encoded before the first decision; their features are shuffled too.
        orders: Rearrangements of the sessions read whose features are known, shape
            (F, repeats, n); None draws them.
        seed: Of that draw.
        repeats: Rearrangements of each feature, where they are drawn.

    Returns:
        Per feature ``drop_sharpe`` (annualised Sharpe ratio of the seed mean, less its mean over
        the rearrangements), its ``se_time`` (the luck of these sessions, as in the gate),
        ``se_seed`` and ``se_repeat``, ``drop_return`` (a year's, as a fraction) with
        ``se_return``, and ``changed``: share of sessions with another position.
    """
    begin = max(0, window.first - 1 - burn_in)
    part = _part(panel, begin, window.stop)
    ready = np.flatnonzero(part.ready[0, :-1].cpu().numpy())  # the last is not decided on
    if orders is None:
        rng = np.random.default_rng(seed)
        drawn = [block_orders(len(ready), repeats, rng) for _ in range(panel.n_features)]
        orders = np.stack(drawn)
    first, models = window.first - 1 - begin, n_models(weights)

    def score(values: torch.Tensor) -> Scored:
        """Score all policies on V variants of the features, variant by variant."""
        variants = len(values)
        rows = np.repeat(np.arange(variants), models).tolist()
        copies = select_models(weights, [*range(models)] * variants)
        stop = part.n_sessions
        wide = _variants(part, values)
        return score_greedy(wide, copies, network, market, rows, first, stop, burn_in)

    base = _numbers(score(part.features), 1, models)
    found: list[dict[str, float]] = []
    at_once = max(1, MODELS_AT_ONCE // (models * orders.shape[1]))
    for low in range(0, panel.n_features, at_once):
        features = range(low, min(low + at_once, panel.n_features))
        values = torch.cat([_shuffled(part, f, ready, orders[f]) for f in features])
        net, position = _numbers(score(values), len(values), models)
        for i in range(len(features)):
            own = slice(i * orders.shape[1], (i + 1) * orders.shape[1])
            found.append(_figures(base[0][0], base[1][0], net[own], position[own]))
    return found


def _part(panel: Panel, begin: int, stop: int) -> Panel:
    """Some sessions of a panel."""
    tensors = {name: value[:, begin:stop] for name, value in _tensors(panel).items()}
    return replace(panel, sessions=panel.sessions[begin:stop], **tensors)


def _variants(part: Panel, values: torch.Tensor) -> Panel:
    """The same market V times, each with features of its own."""
    n = len(values)
    tensors = {name: v.expand(n, *v.shape[1:]) for name, v in _tensors(part).items()}
    names = tuple(f"{part.tickers[0]}/{i}" for i in range(n))
    return replace(part, tickers=names, **{**tensors, "features": values})


def _tensors(panel: Panel) -> dict[str, Any]:
    values = {field.name: getattr(panel, field.name) for field in fields(panel)}
    return {name: v for name, v in values.items() if isinstance(v, torch.Tensor)}


def _shuffled(
    part: Panel, feature: int, ready: NDArray[np.int64], orders: NDArray[np.int64]
) -> torch.Tensor:
    """Features with one of them rearranged, shape (repeats, T, F)."""
    values = part.features.repeat(len(orders), 1, 1)
    known = torch.from_numpy(ready).to(values.device)
    path = part.features[0, known, feature]
    values[:, known, feature] = path[torch.from_numpy(orders).to(values.device)]
    return values


def _numbers(scored: Scored, variants: int, models: int) -> tuple[FloatArray, FloatArray]:
    """Net returns and positions, each (V, K, T)."""
    both = (scored.net_return, scored.position)
    net, position = (x.double().cpu().numpy().reshape(variants, models, -1) for x in both)
    return net, position


def _figures(
    net: FloatArray, position: FloatArray, shuffled: FloatArray, moved: FloatArray
) -> dict[str, float]:
    """Drop with its errors; ``net`` is (K, T), ``shuffled`` (R, K, T)."""
    _, seeds, n = shuffled.shape
    before, after = sharpe_influence(net.mean(0)), sharpe_influence(shuffled.mean(1))
    drops = sqrt(SESSIONS_PER_YEAR) * (before.sharpe - after.sharpe)
    everything = [np.arange(n)]
    luck = [seed_variance(net, other, everything) for other in shuffled] if seeds > 1 else [0.0]
    lost = net - shuffled.mean(0)  # (K, T)
    over_time = standard_error(lost.mean(0) - lost.mean()) * sqrt(SESSIONS_PER_YEAR)
    over_seeds = SESSIONS_PER_YEAR * _error_of_mean(lost.mean(1))
    return {
        "drop_sharpe": float(drops.mean()),
        "se_time": standard_error(before.influence - after.influence.mean(0)),
        "se_seed": sqrt(float(np.mean(luck))),
        "se_repeat": _error_of_mean(drops),
        "drop_return": SESSIONS_PER_YEAR * float(lost.mean()),
        "se_return": hypot(over_time, over_seeds),
        "changed": float((moved != position).mean()),
    }


def _error_of_mean(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) / sqrt(len(values)) if len(values) > 1 else 0.0


def fold_importance(
    names: Sequence[str],
    panel: Panel,
    weights: Weights | None,
    window: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
    seed: int,
) -> dict[str, Any]:
    """What a fold's record keeps; a policy that holds nothing (None) needs no feature."""
    found = (
        [dict.fromkeys(_NOTHING, 0.0) for _ in names]
        if weights is None
        else permutation_importance(panel, weights, window, market, network, burn_in, seed=seed)
    )
    return {
        "repeats": REPEATS,
        "block_sessions": BLOCK_SESSIONS,
        "flat": weights is None,
        "features": [{"name": n, **figures} for n, figures in zip(names, found, strict=True)],
    }


_NOTHING = ("drop_sharpe", *_ERRORS, "drop_return", "se_return", "changed")


def combine_folds(records: Sequence[Record]) -> dict[str, Any] | None:
    """Mean over folds, errors of independent folds; None where a fold has no such record.

    Returns:
        ``{"folds", "flat_folds", "repeats", "block_sessions", "features"}``, the features by
        falling ``drop_sharpe``, each with ``se`` (time, seeds and repeats together).
    """
    parts = [record.get("importance") for record in records]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    n = len(known)
    rows = []
    for columns in zip(*(part["features"] for part in known), strict=True):
        means = {
            key: sum(float(one[key]) for one in columns) / n
            for key in ("drop_sharpe", "drop_return", "changed")
        }
        errors = {
            key: sqrt(sum(float(one[key]) ** 2 for one in columns)) / n
            for key in (*_ERRORS, "se_return")
        }
        se = sqrt(sum(errors[key] ** 2 for key in _ERRORS))
        rows.append({"name": columns[0]["name"], **means, **errors, "se": se})
    return {
        "folds": n,
        "flat_folds": sum(part["flat"] for part in known),
        "repeats": known[0]["repeats"],
        "block_sessions": known[0]["block_sessions"],
        "features": sorted(rows, key=lambda row: -row["drop_sharpe"]),
    }
