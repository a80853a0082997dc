"""Step of the foundation: pre-train the family; and how its artefacts are read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfergate.errors import RegistryError
from transfergate.evaluation.splits import Fold
from transfergate.learning import Checkpoint, Weights, select_models
from transfergate.learning.runtime import choose_device, use_threads
from transfergate.market.panel import Panel, build_panel
from transfergate.settings import Settings
from transfergate.steps.described import last_described
from transfergate.steps.progress import log_progress
from transfergate.steps.retained import note_use
from transfergate.storage import (
    ArtefactStore,
    Snapshot,
    content_hash,
    json_bytes,
    open_snapshot,
    open_store,
)
from transfergate.transfer.bundles import read_weights, sha256, weights_bytes
from transfergate.transfer.curriculum import held_out
from transfergate.transfer.pretraining import (
    FoundationFamily,
    family_folds,
    pretrain_family,
    stage_checkpoint,
)
from transfergate.transfer.recipe import document_hash, foundation_document
from transfergate.transfer.universe import resolve_universe

log = logging.getLogger(__name__)


def pretrain_foundation(
    settings: Settings,
    snapshot_id: str,
    sources: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
) -> str:
    """Pre-train the foundation family on a snapshot's source tickers.

    Args:
        settings: Settings.
        snapshot_id: A published snapshot.
        sources: Tickers to learn from; None for the source's universe.
        targets: Tickers that must not be learnt from; None for the source's universe.

    Returns:
        The foundation version. Training that was done before is found again and not repeated; a
        killed one resumes from its last checkpoint.

    Raises:
        SettingsError: If no source ticker is left, or a ticker is both source and target.
        NotEnoughData: If the sources' history is too short.
    """
    store = open_store(settings)
    snapshot = open_snapshot(store, snapshot_id)
    universe = resolve_universe(
        last_described(settings, snapshot.manifest["source"]).universe,
        snapshot.manifest["tickers"],
        sources,
        targets,
    )
    holdout = held_out(universe.sources, settings.pretrain)
    tickers = [ticker for ticker in universe.sources if ticker not in holdout]
    document = foundation_document(settings, snapshot, universe.rule)
    version = content_hash(
        document_hash(document), snapshot.id, str(settings.seed), *universe.targets
    )
    if store.exists(f"foundations/{version}"):
        log.info("foundation %s exists, trained on the same snapshot: nothing to do", version)
        return version
    note_use(store, "snapshots", snapshot.id)
    if settings.torch_processes > 1:
        from transfergate.steps.ranks import pretrain_by_ranks

        pretrain_by_ranks(settings, snapshot_id, sources, targets)
        return version
    use_threads(settings.torch_threads)
    panel = load_panel(snapshot, tickers).to(choose_device(settings.device))
    folds = family_folds(panel, snapshot.manifest["first_session_ordinal"], settings.walk_forward)
    log.info(
        "pre-training %s: %d checkpoints on %d tickers, %d left out for the back-test",
        version,
        len(folds),
        len(tickers),
        len(holdout),
    )
    checkpoint = Checkpoint(store, f"work/foundation-{version}")
    family = pretrain_family(
        panel,
        folds,
        market=settings.market,
        network=settings.network,
        params=settings.pretrain,
        seed_parts=(settings.seed, document_hash(document)),
        checkpoint=checkpoint,
        on_progress=log_progress("pre-training"),
        sectors=sectors(snapshot),
        targets=universe.targets,
    )
    content = weights_bytes(family.result.weights)
    manifest = {
        "version": version,
        "snapshot_id": snapshot.id,
        "source": snapshot.manifest["source"],
        "sources": tickers,
        "holdout": holdout,
        "targets": universe.targets,
        "document": document,
        "seed": settings.seed,
        "code_version": settings.code_version,
        "device": str(choose_device(settings.device)),
        "weights_sha256": sha256(content),
        **_family_record(family, panel),
    }
    publish(store, f"foundations/{version}", manifest, "foundation.json", content)
    for stage in range(len(family.stages)):
        store.discard(stage_checkpoint(checkpoint, stage).key)
    return version


def _family_record(family: FoundationFamily, panel: Panel) -> dict[str, Any]:
    """What a manifest says of the training: budget, checkpoints, learning curve."""
    return {
        "env_steps": family.env_steps,
        "updates": family.updates,
        "checkpoints": [
            {
                "name": fold.name,
                "fold": fold.number,
                "seed": seed,
                "train_last_session": str(panel.sessions[fold.train.stop - 1]),
                "last_session": str(panel.sessions[family.last_session(model)]),
                "validation_sharpe": float(family.result.best_score[model]),
                "stages": family.lineage(model),
            }
            for model, (fold, seed) in enumerate(zip(family.folds, family.seeds, strict=True))
        ],
        "learning_curve": [[float(value) for value in row] for row in family.result.validation],
    }


def load_panel(snapshot: Snapshot, tickers: Sequence[str]) -> Panel:
    """The market of some tickers of a snapshot, on the CPU.

    Trading costs what a ticker's instrument says, else what the settings say; a cost of 0 is none.
    """
    said = snapshot.manifest.get("instruments", {})
    return build_panel(
        {ticker: snapshot.table(ticker) for ticker in tickers},
        snapshot.manifest["sessions"],
        snapshot.manifest["features"],
        {ticker: one["cost_bps"] for ticker, one in said.items() if one.get("cost_bps")},
    )


def sectors(snapshot: Snapshot) -> dict[str, str | None]:
    """Sector of each ticker of a snapshot, as far as its instruments say one."""
    said = snapshot.manifest.get("instruments", {})
    return {ticker: one.get("sector") for ticker, one in said.items()}


def read_foundation(store: ArtefactStore, version: str) -> dict[str, Any]:
    """Manifest of a foundation version.

    Raises:
        RegistryError: If there is none.
    """
    key = f"foundations/{version}/foundation.json"
    if not store.exists(key):
        raise RegistryError(
            f"foundation {version!r} does not exist below {store.location()}; run "
            f"pre-training first"
        )
    manifest: dict[str, Any] = store.read_json(key)
    return manifest


def foundation_weights(
    store: ArtefactStore, manifest: dict[str, Any], folds: Sequence[Fold]
) -> Weights:
    """Each fold's own foundation, stacked in the order of ``folds``.

    Raises:
        RegistryError: If the family has no checkpoint for a fold.
    """
    weights = read_weights(
        store, f"foundations/{manifest['version']}/weights.safetensors", manifest["weights_sha256"]
    )
    index = {checkpoint["name"]: i for i, checkpoint in enumerate(manifest["checkpoints"])}
    missing = [fold.name for fold in folds if fold.name not in index]
    if missing:
        raise RegistryError(
            f"foundation {manifest['version']}: no checkpoint for {missing}, it has "
            f"{sorted(index)}; pre-train on the snapshot that the folds come from"
        )
    return select_models(weights, [index[fold.name] for fold in folds])


def publish(
    store: ArtefactStore, key: str, document: dict[str, Any], name: str, weights: bytes
) -> bool:
    """Publish weights and their description together, or find them published."""

    def write(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(weights)
        (folder / name).write_bytes(json_bytes(document))

    return store.publish_folder(key, write)
