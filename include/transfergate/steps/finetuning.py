"""Step of one target ticker: train both arms over the folds, score, keep the record, refit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transfergate.evaluation.ledger import Ledger
from transfergate.evaluation.splits import Fold, Window, refit_fold
from transfergate.learning import Checkpoint, Weights, select_models
from transfergate.learning.runtime import choose_device, use_threads
from transfergate.market.panel import Panel
from transfergate.registry import Registry
from transfergate.settings import MarketParams, NetworkParams, Settings, WalkForwardParams
from transfergate.steps.champion import audited, score_champion
from transfergate.steps.folds import target_folds
from transfergate.steps.pretraining import (
    foundation_weights,
    load_panel,
    publish,
)
from transfergate.steps.progress import log_progress
from transfergate.storage import ArtefactStore, Snapshot, content_hash, json_bytes, open_snapshot
from transfergate.transfer import audits
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, ArmsTask, train_arms
from transfergate.transfer.bundles import sha256, weights_bytes
from transfergate.transfer.importance import fold_importance
from transfergate.transfer.pretraining import first_ready
from transfergate.transfer.recipe import derive_seed
from transfergate.transfer.records import arm_record, fold_checks
from transfergate.transfer.scoring import (
    arm_paths,
    ledger_rows,
    reference_paths,
    test_window,
)

log = logging.getLogger(__name__)


class TickerRun:
    """One ticker's way through training, scoring and recording."""

    def __init__(
        self,
        settings: Settings,
        store: ArtefactStore,
        manifest: dict[str, Any],
        recipe: str,
        ticker: str,
    ) -> None:
        self.settings, self.store, self.manifest = settings, store, manifest
        self.recipe, self.ticker = recipe, ticker
        self.snapshot: Snapshot = open_snapshot(store, manifest["snapshot_id"])
        self.ledger = Ledger(store)
        # The arms live in the foundation's market and network, whatever settings say by now.
        document = manifest["document"]
        self.market = MarketParams.model_validate(document["market"])
        self.network = NetworkParams.model_validate(document["network"])
        self.walk_forward = WalkForwardParams.model_validate(document["walk_forward"])
        self.burn_in = settings.finetune.optimiser.burn_in_sessions
        self.seed_parts = (settings.seed, recipe, ticker)

    def prepare(self) -> ArmsTask:
        """Read the panel, and say what is to be trained: new folds, and the refit."""
        use_threads(self.settings.torch_threads)
        panel = load_panel(self.snapshot, [self.ticker]).to(choose_device(self.settings.device))
        self.folds = folds = self._folds(panel)
        recorded = set(self.ledger.folds(self.recipe, self.ticker))
        new = [fold for fold in folds if fold.number not in recorded]
        refit = refit_fold(len(panel.sessions), self.walk_forward, first_ready(panel, [0]))
        foundations = foundation_weights(self.store, self.manifest, [*new, refit])
        log.info(
            "%s: training %d new folds of %d, and the refit", self.ticker, len(new), len(folds)
        )
        arms = [(FINETUNED, SCRATCH)] * len(new) + [(FINETUNED,)]
        return ArmsTask(panel, [*new, refit], foundations, arms, self.seed_parts)

    def train(self, task: ArmsTask) -> list[ArmRun]:
        """Train this ticker by itself; a killed one resumes from its last checkpoint."""
        return train_arms(
            task.panel,
            task.folds,
            task.foundations,
            arms_of_fold=task.arms_of_fold,
            market=self.market,
            network=self.network,
            params=self.settings.finetune,
            seed_parts=task.seed_parts,
            on_progress=log_progress(f"fine-tuning {self.ticker}"),
            checkpoint=Checkpoint(self.store, self.checkpoint_key),
        )

    @property
    def checkpoint_key(self) -> str:
        """Where the training of this ticker by itself keeps its progress."""
        return f"work/finetune-{self.recipe}-{self.manifest['version']}-{self.ticker}"

    def record(self, task: ArmsTask, runs: Sequence[ArmRun]) -> dict[str, Any]:
        """Score and record every new fold, publish the candidate, audit all of it."""
        panel, folds, foundations = task.panel, self.folds, task.foundations
        new = [fold for fold in task.folds if fold.test is not None]
        for number, fold in enumerate(new):
            arms = {run.arm: run for run in runs if run.fold.number == fold.number}
            self._record_fold(panel, fold, arms, select_models(foundations, [number]))
        candidate = self._publish_candidate(panel, runs[-1], folds)
        for run in runs:
            if run.collapsed:
                log.warning(
                    "%s %s, %s: %d of %d seeds hold nothing throughout validation; they count "
                    "like all others",
                    self.ticker,
                    run.fold.name,
                    run.arm,
                    run.collapsed,
                    len(run.seeds),
                )
        champion = self.score_champion(candidate, panel)
        records = [self.ledger.record(self.recipe, self.ticker, fold.number) for fold in folds]
        return {
            "candidate": candidate,
            "new_folds": len(new),
            "n_foundations": len({record["foundation_seed"] for record in records}),
            "audits": [
                audits.budget_parity(records),
                audits.leakage(records, self.ticker, self.manifest["sources"]),
                audits.accounting(records),
                audits.selection(records),
                audits.features(
                    panel, self.snapshot.table(self.ticker), self.snapshot.manifest["features"]
                ),
                *champion,
            ],
        }

    def score_champion(self, candidate: str, panel: Panel | None = None) -> list[dict[str, Any]]:
        """Score the champion that the candidate faces, and audit how."""
        champion = Registry(self.store, self.settings.tracking_uri).incumbent(
            self.ticker, candidate
        )
        if champion is None:
            return []

        def score() -> None:
            own = panel
            if own is None:
                use_threads(self.settings.torch_threads)
                own = load_panel(self.snapshot, [self.ticker])
                own = own.to(choose_device(self.settings.device))
            score_champion(
                self.snapshot,
                own,
                self._folds(own),
                recipe=self.recipe,
                version=champion.version,
                cost_bps=self.market.cost_bps,
            )

        return [audited(self.ledger, self.recipe, self.ticker, champion.version, score)]

    def _folds(self, panel: Panel) -> list[Fold]:
        checkpoints = self.manifest["checkpoints"]
        return target_folds(
            panel,
            self.snapshot.manifest["first_session_ordinal"],
            self.walk_forward,
            pretrained={checkpoint["fold"] for checkpoint in checkpoints},
            recorded=set(self.ledger.folds(self.recipe, self.ticker)),
        )

    def _record_fold(
        self, panel: Panel, fold: Fold, arms: dict[str, ArmRun], foundation: Weights
    ) -> None:
        """Publish rows of every arm, weights and record of one fold at once."""
        market, network = self.market, self.network
        rows = {
            name: ledger_rows(panel, fold, arm_paths(panel, run, market, network, self.burn_in))
            for name, run in arms.items()
        }
        references = reference_paths(
            panel,
            fold,
            {name: tensor.to(panel.features.device) for name, tensor in foundation.items()},
            market,
            network,
            burn_in=self.burn_in,
            seed_parts=self.seed_parts,
        )
        rows |= {name: ledger_rows(panel, fold, [path]) for name, path in references.items()}
        checkpoint = next(
            item for item in self.manifest["checkpoints"] if item["fold"] == fold.number
        )
        content = weights_bytes(arms[FINETUNED].weights)
        n_seeds = self.settings.finetune.n_seeds
        record = {
            "fold": fold.name,
            "windows": {
                "train": _dates(panel, fold.train),
                "validation": _dates(panel, fold.validation),
                "test": _dates(panel, test_window(fold)),
            },
            "scored": _dates(panel, test_window(fold)),
            "foundation_version": self.manifest["version"],
            "foundation_seed": checkpoint["seed"],
            "foundation_last_session": checkpoint["last_session"],
            "weights_sha256": sha256(content),
            "importance": self._importance(panel, fold, arms[FINETUNED]),
            **fold_checks(
                panel,
                fold,
                arms,
                rows,
                market=market,
                network=network,
                burn_in=self.burn_in,
                seeds=[derive_seed(*self.seed_parts, fold.name, k) for k in range(n_seeds)],
            ),
        }
        self.ledger.publish_fold(
            self.recipe, self.ticker, fold.number, rows, record, {"weights.safetensors": content}
        )

    def _importance(self, panel: Panel, fold: Fold, run: ArmRun) -> dict[str, Any]:
        """What each feature is worth to the fine-tuned policies; described, never chosen by."""
        return fold_importance(
            self.snapshot.manifest["features"],
            panel,
            None if run.choice is None else run.weights,
            test_window(fold),
            self.market,
            self.network,
            self.burn_in,
            derive_seed(*self.seed_parts, fold.name, "importance"),
        )

    def _publish_candidate(self, panel: Panel, run: ArmRun, folds: Sequence[Fold]) -> str:
        """Publish the refit as a model version: K policies, how to average them, and lineage."""
        content = weights_bytes(run.weights)
        bundle = {
            "ticker": self.ticker,
            "recipe": self.recipe,
            "snapshot_id": self.snapshot.id,
            "source": self.manifest["source"],
            "foundation_version": self.manifest["version"],
            "features": self.snapshot.manifest["features"],
            "feature_sql_hash": self.snapshot.manifest["sql_hash"],
            "z_window": self.snapshot.manifest["z_window"],
            "z_clip": self.snapshot.manifest["z_clip"],
            "market": self.market.model_dump(mode="json"),
            "network": self.network.model_dump(mode="json"),
            "burn_in_sessions": self.burn_in,
            "averaging": "equal sub-accounts: the position is the mean over the policies",
            "flat": run.choice is None,
            "train_sessions": _dates(panel, run.fold.train),
            "last_session": str(panel.sessions[run.fold.validation.stop - 1]),
            "weights_sha256": sha256(content),
            "folds": [fold.name for fold in folds],
            "code_version": self.settings.code_version,
            "run": arm_record(run, panel),
        }
        version = content_hash(json_bytes({**bundle, "code_version": ""}))
        bundle["version"] = version
        publish(self.store, f"candidates/{self.ticker}/{version}", bundle, "bundle.json", content)
        return version


def _dates(panel: Panel, window: Window) -> list[str]:
    return [str(panel.sessions[window.first]), str(panel.sessions[window.stop - 1])]
