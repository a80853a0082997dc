"""One door to versions and champions: history first, MLflow's alias derived from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from transfergate.errors import RegistryError
from transfergate.registry.history import ChampionHistory, ChampionRow, Promotion
from transfergate.registry.tracking import FOUNDATION_MODEL, Tracking, model_name
from transfergate.storage import ArtefactStore

log = logging.getLogger(__name__)


class Registry:
    """Versions and champions of one installation.

    Reading champions never touches MLflow.
    """

    def __init__(self, store: ArtefactStore, tracking_uri: str) -> None:
        self.store = store
        self.histories = ChampionHistory(store)
        self.tracking = Tracking(tracking_uri, _uri(store.location("mlflow")))

    def register_candidate(
        self,
        ticker: str,
        version: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]],
        notes: Mapping[str, str] | None = None,
    ) -> bool:
        """Enter a candidate of ``candidates/<ticker>/<version>`` once.

        Args:
            ticker: The ticker.
            version: Of its candidate.
            tags: Lineage.
            metrics: Final figures.
            curves: Learning curves.
            notes: What is said of it by now, such as a verdict; set on one that is there, too.

        Returns:
            True if it was entered, False if it was there already.

        Raises:
            RegistryError: If there is no such candidate.
        """
        key = self._candidate_key(ticker, version)
        name = model_name(ticker)
        return self.tracking.register(
            name, version, key, {**tags, "artefact": key}, metrics, curves, notes
        )

    def register_foundation(
        self,
        version: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]],
    ) -> bool:
        """Enter a foundation version once; True if it was entered, False if it was there."""
        key = f"foundations/{version}"
        return self.tracking.register(
            FOUNDATION_MODEL, version, key, {**tags, "artefact": key}, metrics, curves
        )

    def tracked_run(self, ticker: str, version: str) -> dict[str, str] | None:
        """``run_id`` and ``experiment_id`` in MLflow of a registered candidate, or None."""
        return self.tracking.run(model_name(ticker), version)

    def candidates(self, ticker: str) -> list[str]:
        """Versions of a ticker in the artefact store, sorted."""
        prefix = f"candidates/{ticker}"
        return sorted(
            key.split("/")[2] for key in self.store.keys(prefix) if key.endswith("/bundle.json")
        )

    def bundle(self, ticker: str, version: str) -> dict[str, Any]:
        """Description of a candidate.

        Raises:
            RegistryError: If there is no such candidate.
        """
        bundle: dict[str, Any] = self.store.read_json(
            f"{self._candidate_key(ticker, version)}/bundle.json"
        )
        return bundle

    def lineage(self, ticker: str, version: str) -> dict[str, str]:
        """What a candidate was made from, as tags: the plain values of its description."""
        return {
            name: str(value)
            for name, value in self.bundle(ticker, version).items()
            if isinstance(value, str | int | float)
        }

    def tickers(self) -> list[str]:
        """Tickers with a candidate or a champion history, sorted."""
        with_candidate = {key.split("/")[1] for key in self.store.keys("candidates")}
        return sorted(with_candidate | set(self.histories.tickers()))

    def champion(self, ticker: str) -> Promotion | None:
        """The promotion that serves, or None where flat serves."""
        stack = self.histories.stack(ticker)
        return stack[-1] if stack else None

    def incumbent(self, ticker: str, candidate: str) -> Promotion | None:
        """The champion that a candidate faces; for the champion itself, the one before it."""
        stack = [row for row in self.histories.stack(ticker) if row.version != candidate]
        return stack[-1] if stack else None

    def history(self, ticker: str) -> list[ChampionRow]:
        """All promotions, refreshes and rollbacks of a ticker, oldest first."""
        return self.histories.rows(ticker)

    def promote(
        self,
        ticker: str,
        version: str,
        who: str,
        when: datetime,
        why: str,
        evaluation: str | None = None,
        action: Literal["promote", "refresh"] = "promote",
        forced: bool = False,
    ) -> ChampionRow:
        """Make a candidate the champion: its history row first, then the alias.

        Raises:
            RegistryError: If there is no such candidate, it is the champion already, or somebody
                else changed the champion at the same time; nothing is changed.
        """
        self._candidate_key(ticker, version)
        row = self.histories.promote(
            ticker,
            version,
            who=who,
            when=when,
            why=why,
            evaluation=evaluation,
            action=action,
            forced=forced,
        )
        log.info("%s: %s is the champion, %s by %s", ticker, version, action, who)
        self._follow(ticker)
        return row

    def rollback(
        self, ticker: str, who: str, when: datetime, why: str, *, champion: str | None = None
    ) -> ChampionRow:
        """Go back to the champion before the current one; the first one's is none: flat serves.

        Args:
            ticker: The ticker.
            who: Who asks for it.
            when: The moment, aware.
            why: The reason.
            champion: The version that is to go; None for whatever serves.

        Raises:
            RegistryError: If there is no champion or another one than the named, the one before
                it was pruned, or somebody else changed it at the same time; nothing is changed.
        """
        self._refuse_pruned(ticker)
        row = self.histories.rollback(ticker, who=who, when=when, why=why, champion=champion)
        log.info("%s: rolled back to %s by %s", ticker, row.version or "flat", who)
        self._follow(ticker)
        return row

    def repair_aliases(self) -> list[str]:
        """Derive every alias from its history again; returns the tickers that needed it."""
        return [ticker for ticker in self.histories.tickers() if self._derive_alias(ticker)]

    def _follow(self, ticker: str) -> None:
        """Move the alias; the history stands whether or not MLflow can be reached."""
        try:
            self._derive_alias(ticker)
        except Exception as error:  # MLflow raises whatever its store or network raises
            log.warning(
                "%s: the champion is recorded, but MLflow's alias was not moved (%s); it is "
                "repaired at the next promotion, rollback or repair",
                ticker,
                error,
            )

    def _derive_alias(self, ticker: str) -> bool:
        champion = self.champion(ticker)
        version = None if champion is None else champion.version
        name = model_name(ticker)
        if self.tracking.aliased(name) == version:
            return False
        if version is not None and self.tracking.number(name, version) is None:
            self.register_candidate(ticker, version, self.lineage(ticker, version), {}, {})
        self.tracking.set_alias(name, version)
        return True

    def _refuse_pruned(self, ticker: str) -> None:
        before = self.histories.stack(ticker)[-2:-1]
        key = f"candidates/{ticker}/{before[0].version}/bundle.json" if before else None
        if key is not None and not self.store.exists(key):
            raise RegistryError(
                f"{ticker}: the champion before, {before[0].version}, is not there any more "
                f"({key}); nothing was changed: it lay further back than retention.champions. "
                f"Restore it from a backup, or promote another candidate"
            )

    def _candidate_key(self, ticker: str, version: str) -> str:
        key = f"candidates/{ticker}/{version}"
        if not version or not self.store.exists(f"{key}/bundle.json"):
            known = ", ".join(self.candidates(ticker)) or "none"
            raise RegistryError(
                f"{ticker}: no candidate {version!r}; there are: {known}; name one of these, or "
                f"run `transfergate finetune` first"
            )
        return key


def _uri(location: str) -> str:
    return location if "://" in location else Path(location).as_uri()
