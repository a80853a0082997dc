"""Which sources teach when: those left out for the back-test, and the stages of the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfergate.errors import SettingsError
from transfergate.evaluation.splits import Fold
from transfergate.learning import TrainingSlice
from transfergate.learning.adversary import Adversary
from transfergate.market.panel import Panel
from transfergate.settings import AdversaryParams, CurriculumStage, OptimiserParams, PretrainParams
from transfergate.storage import content_hash
from transfergate.transfer.recipe import derive_seed


@dataclass(frozen=True)
class Stage:
    """One universe of the chain, resolved.

    Attributes:
        name: As declared; ``all`` where nothing is.
        tickers: Sources that teach in it, in the order given.
        n_updates: Its part of the updates.
    """

    name: str
    tickers: tuple[str, ...]
    n_updates: int


def held_out(sources: Sequence[str], params: PretrainParams) -> list[str]:
    """Sources that pre-training never sees, kept for the back-test; sorted.

    Named ones, else about one in ``holdout_every`` by a hash of its name alone, so that a new
    listing changes nobody else's part; the source with the smallest hash where that gives none.
    None with fewer than ``holdout_min_sources`` sources.

    Raises:
        SettingsError: If named ones are no sources, or nobody is left to learn from.
    """
    if params.holdout_tickers is not None:
        named = sorted({*params.holdout_tickers})
        strangers = sorted({*named} - {*sources})
        if strangers or (named and len(named) == len({*sources})):
            raise SettingsError(
                f"pretrain.holdout_tickers {named}: expected some, not all, of the "
                f"{len(sources)} sources {sorted(sources)[:20]}; not among them: {strangers}; "
                f"correct the list"
            )
        return named
    if not params.holdout_every or len(sources) < params.holdout_min_sources:
        return []
    drawn = {ticker: int(content_hash("holdout", ticker), 16) for ticker in sources}
    fallen = [ticker for ticker, value in drawn.items() if value % params.holdout_every == 0]
    if len(fallen) == len(drawn):  # 1 in 1
        fallen.remove(max(fallen, key=drawn.__getitem__))
    return sorted(fallen or [min(sources, key=drawn.__getitem__)])


def stages(
    params: PretrainParams,
    tickers: Sequence[str],
    sectors: Mapping[str, str | None],
    targets: Sequence[str],
) -> list[Stage]:
    """Resolve the declared chain; one stage of all sources where none is declared.

    Args:
        params: The chain and the budget that it shares.
        tickers: Sources that teach (those held out are not among them).
        sectors: What is known of sources and targets.
        targets: Tickers to be taught; only their sectors are used.

    Raises:
        SettingsError: If a stage names what is no source, or no source is left for it.
    """
    total = params.optimiser.n_updates
    declared = params.curriculum
    if not declared:
        return [Stage("all", tuple(tickers), total)]
    parts = _shares([stage.share for stage in declared], total)
    return [
        Stage(stage.name, _teachers(stage, tickers, sectors, targets), n_updates)
        for stage, n_updates in zip(declared, parts, strict=True)
    ]


def _teachers(
    stage: CurriculumStage,
    tickers: Sequence[str],
    sectors: Mapping[str, str | None],
    targets: Sequence[str],
) -> tuple[str, ...]:
    if not (stage.tickers or stage.sectors or stage.target_sectors):
        return tuple(tickers)
    strangers = sorted({*stage.tickers} - {*tickers})
    if strangers:
        raise SettingsError(
            f"curriculum stage {stage.name!r}: {strangers} do not teach; expected some of the "
            f"{len(tickers)} sources {sorted(tickers)[:20]}; targets and held-out sources never "
            f"do; correct the stage"
        )
    wanted = {*stage.sectors}
    if stage.target_sectors:
        wanted |= {sector for ticker in targets if (sector := sectors.get(ticker))}
    chosen = [t for t in tickers if t in stage.tickers or sectors.get(t) in wanted]
    if not chosen:
        known = sorted({sector for ticker in tickers if (sector := sectors.get(ticker))})
        raise SettingsError(
            f"curriculum stage {stage.name!r}: no source is of the sectors {sorted(wanted)}; the "
            f"sources' instruments say {known or 'nothing'}; correct the stage, or load "
            f"instruments with sectors"
        )
    return tuple(chosen)


def _shares(weights: Sequence[float], total: int) -> list[int]:
    # Whole updates that add up to the total, at least one each; the last stage takes the rest.
    parts: list[int] = []
    for number, weight in enumerate(weights[:-1]):
        after = len(weights) - number - 1
        wanted = round(total * weight / sum(weights))
        parts.append(min(max(1, wanted), total - sum(parts) - after))
    return [*parts, total - sum(parts)]


def stage_slice(
    panel: Panel, fold: Fold, stage: Stage, optimiser: OptimiserParams
) -> TrainingSlice:
    """Where a fold's model learns in a stage: its tickers with room for a path, else all."""
    train = fold.train
    ready = panel.ready[:, train.first : train.stop].sum(1).tolist()
    rows = tuple(row for row, sessions in enumerate(ready) if sessions > 0)
    room = optimiser.burn_in_sessions + optimiser.path_sessions
    chosen = tuple(row for row in rows if panel.tickers[row] in stage.tickers and ready[row] > room)
    everyone = len(stage.tickers) == len(panel.tickers)
    return TrainingSlice(rows if everyone or not chosen else chosen, train.first, train.stop)


def stage_seeds(seeds: tuple[int, ...], stage: int) -> tuple[int, ...]:
    """Seeds of a stage's paths; the first draws those of a training without stages."""
    return tuple(derive_seed(seed, "stage", stage) for seed in seeds) if stage else seeds


def stage_optimiser(optimiser: OptimiserParams, stage: Stage, done: int) -> OptimiserParams:
    """A stage's part of the budget, ``done`` updates having gone to earlier ones."""
    changes = {
        "n_updates": stage.n_updates,
        "cloning_updates": min(max(optimiser.cloning_updates - done, 0), stage.n_updates),
    }
    return optimiser.model_copy(update=changes)


def stage_adversary(
    params: PretrainParams, domains: tuple[int, ...] | None, done: int, n_updates: int
) -> Adversary | None:
    """What hides the domains in a stage: the weight goes on rising over all stages."""
    if domains is None:
        return None
    own, total = params.adversary, params.optimiser.n_updates
    return Adversary(
        domains, own.strength, own.units, own.rate_ratio, done / total, (done + n_updates) / total
    )


def adversary_domains(
    params: AdversaryParams, tickers: Sequence[str], sectors: Mapping[str, str | None]
) -> tuple[int, ...] | None:
    """Domain of each source ticker, numbered in the order of their names; None without adversary.

    Raises:
        SettingsError: If all sources are of one domain.
    """
    if not params.strength:
        return None
    names = [f"ticker {ticker}" for ticker in tickers]
    if params.label == "sector":
        names = [
            f"sector {sectors[t]}" if sectors.get(t) else name
            for t, name in zip(tickers, names, strict=True)
        ]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    if len(numbers) < 2:
        raise SettingsError(
            f"pretrain.adversary: expected sources of at least two domains to tell apart, found "
            f"only {names[0] if names else 'none'!r} among {len(names)} sources; name more "
            f"sources, use the other label, or set its strength to 0"
        )
    return tuple(numbers[name] for name in names)
