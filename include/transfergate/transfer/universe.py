"""Who teaches and who is taught: a rule, and what it gives on the tickers that there are.

The recipe hashes the rule, not the tickers: under a rule a listing or a delisting is data. Each
ticker's role depends on its own name alone, so that a new listing changes nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfergate.errors import SettingsError
from transfergate.settings import UniverseParams
from transfergate.storage import content_hash


@dataclass(frozen=True)
class Universe:
    """The rule, and its result.

    Attributes:
        rule: ``{"sources": [...]}`` where they were named, ``{"all_but": [...]}`` where only the
            targets were, ``{"target_every": n}`` where nobody was: part of the recipe.
        sources: Tickers to learn from, sorted.
        targets: Tickers to be taught, sorted: those named, else all that are no sources.
    """

    rule: dict[str, Any]
    sources: list[str]
    targets: list[str]


def resolve_universe(
    params: UniverseParams,
    available: Sequence[str],
    sources: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
) -> Universe:
    """Apply what was asked for now, else the settings', else the default rule.

    Args:
        params: The source's universe.
        available: Tickers of the snapshot.
        sources: Tickers to learn from, named for this run.
        targets: Tickers to be taught, named for this run; they are never learnt from.

    Raises:
        SettingsError: If a ticker is both, a source is not available, or none is left.
    """
    named = sorted({*(sources or params.sources)})
    held_back = sorted({*(targets or params.targets)})
    if not targets and sources:  # sources named for this run go before the settings' targets
        held_back = [ticker for ticker in held_back if ticker not in named]
    rule: dict[str, Any]
    if named:
        rule, teachers = {"sources": named}, named
    elif held_back:
        rule = {"all_but": held_back}
        teachers = [ticker for ticker in available if ticker not in held_back]
    else:
        rule = {"target_every": params.target_every}
        teachers = [t for t in available if not falls_to_targets(t, params.target_every)]
    both = sorted(set(teachers) & set(held_back))
    missing = sorted(set(teachers) - set(available))
    if both or missing or not teachers:
        raise SettingsError(
            f"source tickers {teachers}: both source and target: {both}; not in the snapshot: "
            f"{missing}; it has {len(available)}: {sorted(available)[:20]}; name other sources or "
            f"ingest the missing bars"
        )
    there = [ticker for ticker in held_back if targets or ticker in available]
    taught = there or [ticker for ticker in available if ticker not in teachers]
    return Universe(rule, sorted(teachers), sorted(taught))


def falls_to_targets(ticker: str, target_every: int) -> bool:
    """Whether the default rule makes a ticker a target: a hash of its name alone, 1 in n."""
    return int(content_hash("target", ticker), 16) % target_every == 0
