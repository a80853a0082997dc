"""Step that prunes: marks what must stay (``retained``), then sweeps the rest, dependants first.

Whatever names another object goes before what it names, and each folder goes as a whole, so that a
prune that is killed at any moment leaves every record that can be seen with all that it names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from transfergate import metrics
from transfergate.quality.docs import gx_page_key
from transfergate.settings import RetentionParams, Settings
from transfergate.steps.retained import USES, Ages, Kept, in_use, retained
from transfergate.storage import ArtefactStore, open_store

log = logging.getLogger(__name__)

What = Literal["all", "artefacts", "litter", "cache"]
SHOWN = 1000
"""So many names of each kind a report lists; it counts all."""

NEVER = ("ledger/", "looks/", "champions/", "releases/", "mlflow/")
"""Prefixes that no prune touches: the record, the looks, who served when, who released what."""


@dataclass(frozen=True)
class Doomed:
    """One thing that goes: its kind, its name, and how."""

    kind: str
    name: str
    remove: Callable[[], object]


def prune(
    settings: Settings, *, delete: bool, what: What = "all", now: datetime | None = None
) -> dict[str, Any]:
    """Delete what nothing needs any more, or say what that would be.

    Args:
        settings: Settings; ``retention`` says what stays.
        delete: False only reports.
        what: ``artefacts``, ``litter`` of killed writers, this machine's ``cache``, or all.
        now: The moment that ages are counted from; None for the present.

    Returns:
        ``{"deleted": bool, "kept": {kind: n}, "pruned": {kind: n}, "names": {kind: [...]}}``;
        ``names`` lists at most 1000 of a kind.

    Raises:
        StorageUnavailable: If the object store is away; running it again goes on.
    """
    store, moment = open_store(settings), now or datetime.now(UTC)
    params = settings.retention
    kept = retained(store, params, moment) if what in ("all", "artefacts") else Kept()
    pruned: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for one in _doomed(settings, store, kept, params, moment, what):
        pruned[one.kind] = pruned.get(one.kind, 0) + 1
        if len(shown := names.setdefault(one.kind, [])) < SHOWN:
            shown.append(one.name)
        if delete:
            one.remove()
    if delete and "data docs" in pruned:
        from transfergate.steps.batches import index_batches

        index_batches(store)
    if delete:
        metrics.counts({f"pruned.{kind.replace(' ', '_')}": n for kind, n in pruned.items()})
    log.info("prune: %s %s", "deleted" if delete else "would delete", pruned or "nothing")
    counts = {kind: len(value) for kind, value in vars(kept).items()}
    return {"deleted": delete, "kept": counts, "pruned": pruned, "names": names}


def _doomed(
    settings: Settings,
    store: ArtefactStore,
    kept: Kept,
    params: RetentionParams,
    now: datetime,
    what: What,
) -> Iterator[Doomed]:
    ages = Ages(store, now)
    if what in ("all", "artefacts"):
        yield from _evaluations(ages, kept, params)
        yield from _candidates(ages, kept, params)
        yield from _foundations(ages, kept, params)
        yield from _snapshots(ages, kept, params)
        yield from _batches(ages, kept, params)
        yield from _old(ages, "work", "checkpoints", params.work_days)
        yield from _old(ages, USES, "notes of use", params.days)
    if what in ("all", "litter"):
        for place in store.litter(now - timedelta(days=params.litter_days)):
            yield Doomed("litter", place, partial(store.sweep, place))
    if what in ("all", "cache"):
        yield from _copies(settings.home / "cache", now, params)
        yield from _copies(settings.home / "fetching" / "files", now, params)


def _evaluations(ages: Ages, kept: Kept, params: RetentionParams) -> Iterator[Doomed]:
    store = ages.store
    keys: dict[str, list[str]] = {}
    for key in store.keys("evaluations"):
        parts = key.split("/")
        if len(parts) > 2 and parts[1] != "latest":
            keys.setdefault(parts[1], []).append(key)
    for name, own in keys.items():
        verdicts = f"evaluations/{name}/verdicts.json"
        # Without verdicts: what is left of one whose removal was cut short.
        youngest = verdicts if verdicts in own else own[0]
        if name in kept.evaluations or not ages.older(youngest, params.days):
            continue
        ordered = sorted(own, key=lambda key: key != verdicts)  # the verdicts first
        yield Doomed("evaluations", name, partial(_discard, store, ordered))


def _candidates(ages: Ages, kept: Kept, params: RetentionParams) -> Iterator[Doomed]:
    store = ages.store
    doomed = []
    for key in store.keys("candidates"):
        _, ticker, version, *rest = key.split("/")
        gone = rest == ["bundle.json"] and (ticker, version) not in kept.candidates
        if gone and ages.older(key, params.days):
            doomed.append((ticker, version))
    runs = _runs_of(store, doomed)
    for ticker, version in doomed:
        folder, own = f"candidates/{ticker}/{version}", runs.get((ticker, version), [])
        # The record first: else that run would be found done, without its candidate.
        yield Doomed("candidates", f"{ticker} {version}", partial(_drop, store, own, folder))


def _runs_of(
    store: ArtefactStore, candidates: list[tuple[str, str]]
) -> dict[tuple[str, str], list[str]]:
    tickers = {ticker for ticker, _ in candidates}
    runs: dict[tuple[str, str], list[str]] = {}
    for key in store.keys("finetunes") if tickers else ():
        ticker = key.split("/")[2]
        if ticker in tickers:
            runs.setdefault((ticker, str(store.read_json(key)["candidate"])), []).append(key)
    return runs


def _foundations(ages: Ages, kept: Kept, params: RetentionParams) -> Iterator[Doomed]:
    store = ages.store
    for name in _folders(store, "foundations", "foundation.json"):
        key = f"foundations/{name}"
        if name not in kept.foundations and ages.older(f"{key}/foundation.json", params.days):
            backtest = [f"backtests/{name}.json"]
            drop = partial(_drop, store, backtest, key)
            yield Doomed("foundations", name, partial(_unless_used, ages, name, params, drop))


def _snapshots(ages: Ages, kept: Kept, params: RetentionParams) -> Iterator[Doomed]:
    store = ages.store
    for name in _folders(store, "snapshots", "manifest.json"):
        key = f"snapshots/{name}"
        if name not in kept.snapshots and ages.older(f"{key}/manifest.json", params.days):
            drop = partial(store.withdraw, key)
            yield Doomed("snapshots", name, partial(_unless_used, ages, name, params, drop))


def _batches(ages: Ages, kept: Kept, params: RetentionParams) -> Iterator[Doomed]:
    store = ages.store
    keys = set(store.keys("batches"))
    docs = set(store.keys("data_docs"))
    for key in sorted(key for key in keys if key.endswith("/validation.json")):
        batch_id = key.split("/")[1]
        folder = f"batches/{batch_id}"
        files = keys & {f"{folder}/accepted.parquet", f"{folder}/findings.parquet"}
        loaded = f"{folder}/batch.json"
        if loaded in keys and files and ages.older(loaded, params.batch_files_days):
            yield Doomed(
                "batch files",
                batch_id,
                partial(_discard, store, sorted(files)),
            )
        pages = _pages(docs, batch_id)
        if pages and batch_id not in kept.batches and ages.older(key, params.docs_days):
            yield Doomed("data docs", batch_id, partial(_discard, store, pages))
    landed = sorted({"/".join(key.split("/")[:3]) for key in store.keys("landing")})
    for key in landed:
        if key not in kept.landing and ages.older(f"{key}/bars.parquet", params.landing_days):
            yield Doomed("landing", key, partial(store.withdraw, key))


def _pages(docs: set[str], batch_id: str) -> list[str]:
    own = f"data_docs/batches/{batch_id}"
    return sorted(
        key
        for key in docs
        if key in (f"{own}.html", gx_page_key(batch_id)) or key.startswith(f"{own}/")
    )


def _old(ages: Ages, prefix: str, kind: str, days: int) -> Iterator[Doomed]:
    for key in list(ages.store.keys(prefix)):
        if ages.older(key, days):
            yield Doomed(kind, key, partial(ages.store.discard, key))


def _copies(cache: Path, now: datetime, params: RetentionParams) -> Iterator[Doomed]:
    # What has not been read for long; then, the longest ago first, what is too much for the disk.
    found = []
    for path in cache.rglob("*") if cache.is_dir() else ():
        with suppress(FileNotFoundError):
            status = path.stat()
            if path.is_file():
                used = max(status.st_atime, status.st_mtime)
                found.append((used, status.st_size, path))
    found.sort()
    left = sum(size for _, size, _ in found)
    old = (now - timedelta(days=params.cache_days)).timestamp()
    in_use = (now - timedelta(days=1)).timestamp()
    for used, size, path in found:
        if used < old or (left > params.cache_mb * 1_000_000 and used < in_use):
            left -= size
            name = path.relative_to(cache).as_posix()
            yield Doomed("local copies", name, partial(path.unlink, missing_ok=True))


def _folders(store: ArtefactStore, prefix: str, manifest: str) -> list[str]:
    return [key.split("/")[1] for key in store.keys(prefix) if key.endswith(f"/{manifest}")]


def _drop(store: ArtefactStore, keys: list[str], folder: str) -> None:
    _discard(store, keys)
    store.withdraw(folder)


def _unless_used(
    ages: Ages, name: str, params: RetentionParams, drop: Callable[[], object]
) -> None:
    # A run may have begun with it since what stays was marked.
    if name not in in_use(ages, params.days):
        drop()


def _discard(store: ArtefactStore, keys: list[str]) -> None:
    for key in keys:
        store.discard(key)
