"""Ours against peers on one planted market: throughput, seconds to the optimum, quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import _ours
from benchmarks._curves import Curve, mean_and_spread, median_seconds
from benchmarks._harness import Figures, alternate, clock, core_counts, figure, finish, options
from transfergate.market import Panel, optimum_sharpe, planted_panel
from transfergate.market.planted import PlantedParams
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

if TYPE_CHECKING:
    from benchmarks._sb3_peer import PeerConfig

SHARE = 0.9
"""Of the optimum's Sharpe, to be reached out of sample."""
SEED = 9300
"""Of the market that is judged on; settings are chosen on others (see ``Arena``).

A draw that a published figure was judged on is not kept for the next one: 7100 is used up.
"""
PARTS = ("throughput", "curves")
"""Trained steps per second; seconds to the optimum and quality."""


@dataclass(frozen=True)
class Arena:
    """A planted market: where all learn, where all are judged, and what is attainable there.

    The optimum is that of the policy with the highest expected return, which is what all learn to
    earn. Draws with ``seed`` below 1000 are for choosing settings; ``SEED`` is only judged on.
    """

    train: Panel
    test: Panel
    market: MarketParams
    optimum: float


def arena(
    params: PlantedParams,
    market: MarketParams,
    *,
    tickers: int,
    unseen: int,
    sessions: int,
    unseen_sessions: int | None = None,
    n_features: int = 32,
    seed: int = SEED,
) -> Arena:
    """Tickers to learn on, and unseen ones with draws of their own to be judged on."""
    draw = partial(planted_panel, n_features=n_features, params=params)
    test = draw(unseen, unseen_sessions or sessions, seed=seed + 1)
    best = optimum_sharpe(test, market, params=params, aim="return")
    return Arena(draw(tickers, sessions, seed=seed), test, market, best.sharpe)


@dataclass(frozen=True)
class Peer:
    """A configuration of a peer, and what is wanted against it; None: not compared in that."""

    config: PeerConfig
    throughput_goal: float | None
    learning_goal: float | None = None


@dataclass(frozen=True)
class Budget:
    """How long things are measured; learning curves go to ``steps`` and ``seconds`` at least.

    A peer that is not at its goal after ``cap_s`` is censored. ``parts`` and ``peers`` (words of
    their names; empty: all) split a long run into shorter ones.
    """

    throughput_s: float
    rounds: int
    seeds: int
    steps: int
    seconds: float
    cap_s: float = 60.0
    parts: tuple[str, ...] = PARTS
    peers: tuple[str, ...] = ()

    def wants(self, part: str) -> bool:
        """Whether a part is asked for."""
        return part in self.parts

    def among(self, peers: Sequence[Peer]) -> list[Peer]:
        """The peers that are asked for; all where none is named."""
        named = [p for p in peers if any(name in p.config.name for name in self.peers)]
        return named if self.peers else list(peers)


def throughput_figures(
    label: str,
    network: NetworkParams,
    optimiser: OptimiserParams,
    peers: Sequence[Peer],
    where: Arena,
    budget: Budget,
    cores: int,
) -> Figures:
    """Trained steps per second, ours against every peer, in turn."""
    if peers:
        from benchmarks import _sb3_peer

    now = clock(cores)
    runs: dict[str, Callable[[], float]] = {
        "ours": partial(
            _ours.throughput,
            network,
            optimiser,
            where.train,
            where.market,
            budget.throughput_s,
            now,
        )
    }
    for peer in peers:
        runs[peer.config.name] = partial(
            _sb3_peer.throughput,
            peer.config,
            where.train,
            where.market,
            budget.throughput_s,
            now,
        )
    rates, _ = alternate(runs, budget.rounds)
    if not peers:
        return {f"{label}_steps_per_s_{cores}core": figure(rates["ours"], None, "none")}
    return {
        f"{label}_steps_per_s_vs_{_slug(peer)}_{cores}core": figure(
            rates["ours"],
            rates[peer.config.name],
            peer.config.describe(),
            goal=peer.throughput_goal,
        )
        for peer in peers
    }


def _slug(peer: Peer) -> str:
    return peer.config.name.replace(" ", "_").replace(",", "")


def run_curves(
    network: NetworkParams,
    optimiser: OptimiserParams,
    peers: Sequence[Peer],
    where: Arena,
    budget: Budget,
    evaluate: Callable[[object], float] | None,
) -> Mapping[str, list[Curve]]:
    """Learning curves of ours and of every peer, seed by seed in turn, in CPU seconds."""
    if peers:
        from benchmarks import _sb3_peer

    now, wanted = clock(1), SHARE * where.optimum
    curves: dict[str, list[Curve]] = {"ours": [], **{peer.config.name: [] for peer in peers}}
    for seed in range(budget.seeds):
        curves["ours"].append(
            _ours.learn(network, optimiser, where.train, where.test, where.market, seed, now)
        )
        for peer in peers:

            def enough(curve: Curve) -> bool:
                last = curve.points[-1]
                both = last.steps >= budget.steps and last.seconds >= budget.seconds
                there = curve.seconds_to(wanted) <= last.seconds
                return (there and both) or last.seconds >= budget.cap_s

            curves[peer.config.name].append(
                _sb3_peer.learn(peer.config, where.train, where.market, seed, evaluate, enough, now)
            )
    return curves


def own_figures(label: str, mine: Sequence[Curve], where: Arena, budget: Budget) -> Figures:
    """Ours alone: the share of the optimum at the end of the budget, and what it took."""
    last = [curve.points[-1] for curve in mine]
    ours, spread = mean_and_spread([point.sharpe for point in last])
    seconds, _ = mean_and_spread([point.seconds for point in last])
    note = f"mean of {len(mine)} seeds, deviation {spread:.2f}, {seconds:.2f} s each"
    return {
        f"{label}_sharpe_at_the_end": figure(
            ours, where.optimum, "the optimum with the true parameters", note=note
        )
    }


def learning_figures(
    label: str,
    curves: Mapping[str, list[Curve]],
    peers: Sequence[Peer],
    where: Arena,
    budget: Budget,
) -> Figures:
    """Seconds to 90 % of the optimum, and Sharpe after equal steps and after equal seconds."""
    wanted, mine = SHARE * where.optimum, curves["ours"]
    ours, failed = median_seconds(mine, wanted, mine[0].points[-1].seconds)
    figures: Figures = {}
    for peer in peers:
        found = curves[peer.config.name]
        seconds, censored = median_seconds(found, wanted, budget.cap_s)
        note = f"90 % of the optimum {where.optimum:.2f}; median of {len(found)} seeds"
        if failed:
            note = f"ours did not reach 90 % of the optimum {where.optimum:.2f}; {note}"
        figures[f"{label}_s_to_90pct_vs_{_slug(peer)}"] = figure(
            None if failed else ours,
            seconds,
            peer.config.describe(),
            less_is_better=True,
            goal=peer.learning_goal,
            censored=censored,
            note=note,
        )
        figures |= _quality(label, mine, found, peer, where, budget)
    return figures


def _quality(
    label: str,
    mine: Sequence[Curve],
    found: Sequence[Curve],
    peer: Peer,
    where: Arena,
    budget: Budget,
) -> Figures:
    figures: Figures = {}
    steps, seconds = budget.steps, budget.seconds
    for what, read in (
        (f"{steps}_steps", lambda curve: curve.after_steps(steps)),
        (f"{seconds:g}_s", lambda curve: curve.after_seconds(seconds)),
    ):
        ours, own_spread = mean_and_spread([read(curve) for curve in mine])
        theirs, spread = mean_and_spread([read(curve) for curve in found])
        note = (
            f"mean of {len(mine)} and {len(found)} seeds, deviation {own_spread:.2f} and "
            f"{spread:.2f}, optimum {where.optimum:.2f}"
        )
        least = min(curve.points[-1].steps for curve in found)
        if what.endswith("steps") and least < steps:
            note += f"; the peer took {least:,} steps in {budget.cap_s:g} s"
        figures[f"{label}_sharpe_after_{what}_vs_{_slug(peer)}"] = figure(
            ours, theirs, peer.config.name, note=note
        )
    return figures


def run_race(
    description: str | None, measure: Callable[..., Figures], budget: Budget, quick: Budget
) -> None:
    """Run a benchmark of training: ``measure(cores, budget, quick=...)``."""
    arguments = options(description, parts=PARTS)
    split = {"parts": tuple(arguments.parts), "peers": tuple(arguments.peers)}
    asked = {"rounds": arguments.rounds, "seeds": arguments.seeds, "cap_s": arguments.cap}
    given = replace(quick, **split) if arguments.quick else replace(budget, **asked, **split)
    figures = measure(core_counts(arguments.cores), given, quick=arguments.quick)
    finish(figures, as_json=arguments.json)
