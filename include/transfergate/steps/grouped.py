"""Step of some target tickers: trained in one stack, scored and recorded one by one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transfergate.errors import NotEnoughData, StorageUnavailable, TransferGateError
from transfergate.learning import Checkpoint
from transfergate.settings import Settings
from transfergate.steps.finetuning import TickerRun
from transfergate.steps.pretraining import read_foundation
from transfergate.steps.progress import log_progress
from transfergate.steps.retained import note_use
from transfergate.storage import ArtefactStore, content_hash, json_bytes, open_store
from transfergate.transfer.arms import ArmRun, ArmsTask
from transfergate.transfer.recipe import document_hash, recipe_document
from transfergate.transfer.together import train_together

log = logging.getLogger(__name__)


def finetune_ticker(settings: Settings, foundation_version: str, ticker: str) -> dict[str, Any]:
    """Fine-tune one ticker; as ``finetune_group``."""
    return finetune_group(settings, foundation_version, [ticker])[0]


def finetune_group(
    settings: Settings, foundation_version: str, tickers: Sequence[str]
) -> list[dict[str, Any]]:
    """Train, score and record both arms of some tickers, and refit their candidates on all data.

    Folds that are in the ledger already are neither trained nor scored again; a ticker that was
    done before is not repeated; training that was killed resumes from its checkpoint. A ticker's
    own defect is in its result and stops no other.

    Returns:
        One for each ticker, in order: ``{"ticker", "status", "reason", "recipe", "candidate",
        "foundation_version", "n_foundations", "audits", "missing_sessions", "new_folds",
        "already"}`` with status ``trained``, ``no_folds`` (too short a history: nothing was
        trained) or ``failed`` (the reason says why).

    Raises:
        StorageUnavailable: If the object store is away; what was recorded is found again.
    """
    store = open_store(settings)
    manifest = read_foundation(store, foundation_version)
    note_use(store, "foundations", foundation_version)
    recipe = document_hash(recipe_document(manifest["document"], settings))
    jobs = [_Job(TickerRun(settings, store, manifest, recipe, ticker)) for ticker in tickers]
    for job in jobs:
        job.find_or_prepare()
    _train(settings, store, [job for job in jobs if job.task is not None])
    for job in jobs:
        job.record()
    return [job.result for job in jobs]


class _Job:
    """One ticker of a group: its work, and what is known of its result."""

    def __init__(self, run: TickerRun) -> None:
        self.run = run
        self.task: ArmsTask | None = None
        self.runs: list[ArmRun] | None = None
        version = run.manifest["version"]
        self._key = f"finetunes/{run.recipe}/{run.ticker}/run-{version}.json"
        self.result: dict[str, Any] = {
            "ticker": run.ticker,
            "status": "failed",
            "reason": None,
            "recipe": run.recipe,
            "candidate": None,
            "foundation_version": version,
            "n_foundations": 0,
            "audits": [],
            "missing_sessions": 0,
            "new_folds": 0,
            "already": False,
        }

    def find_or_prepare(self) -> None:
        """Take the result of an earlier run if there is one, else say what is to be trained."""
        run, store = self.run, self.run.store
        if store.exists(self._key):
            log.info("%s: fine-tuned before, in %s", run.ticker, self._key)
            stored: dict[str, Any] = store.read_json(self._key)
            kept = [audit for audit in stored["audits"] if audit["name"] != "champion"]
            facing = run.score_champion(stored["candidate"])
            self.result = {
                **stored,
                "audits": [*kept, *facing],
                "already": True,
                "new_folds": 0,
            }
            return
        try:
            self.task = run.prepare()
        except TransferGateError as error:
            self.refuse(error)

    def train_alone(self) -> None:
        """Train this ticker in a stack of its own."""
        if self.task is None:
            return
        try:
            self.runs = self.run.train(self.task)
        except TransferGateError as error:
            self.refuse(error)

    def record(self) -> None:
        """Score and record what was trained."""
        if self.task is None or self.runs is None:
            return
        try:
            done = self.run.record(self.task, self.runs)
        except TransferGateError as error:
            self.refuse(error)
            return
        self.result.update(done, status="trained")
        content = json_bytes({**self.result, "already": True, "new_folds": 0})
        self.run.store.write_once(self._key, content)
        self.run.store.discard(self.run.checkpoint_key)

    def refuse(self, error: TransferGateError) -> None:
        """Put a defect of this ticker into its result; a store that is away is no defect of it."""
        if isinstance(error, StorageUnavailable):
            raise error
        self.task = None
        self.result["reason"] = str(error)
        if isinstance(error, NotEnoughData):
            self.result.update(status="no_folds", missing_sessions=error.missing_sessions)
        else:
            log.warning("%s failed: %s", self.run.ticker, error)


def _train(settings: Settings, store: ArtefactStore, jobs: Sequence[_Job]) -> None:
    # In one stack; where that fails, one by one, so that each ticker answers for itself.
    if len(jobs) > 1:
        names = [job.run.ticker for job in jobs]
        first = jobs[0].run
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        key = f"work/finetune-{first.recipe}-{first.manifest['version']}-{content_hash(*names)}"
        try:
            found = train_together(
                [job.task for job in jobs if job.task is not None],
                market=first.market,
                network=first.network,
                params=settings.finetune,
                checkpoint=Checkpoint(store, key),
                on_progress=log_progress(f"fine-tuning {shown}"),
            )
        except StorageUnavailable:
            raise
        except TransferGateError as error:
            log.warning("training %s together failed, now one by one: %s", shown, error)
        else:
            for job, runs in zip(jobs, found, strict=True):
                job.runs = runs
            return
    for job in jobs:
        job.train_alone()
