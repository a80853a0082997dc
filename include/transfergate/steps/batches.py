"""What batches and releases left among the artefacts: read by the steps and their pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from transfergate import quality
from transfergate.storage import ArtefactStore, json_bytes
from transfergate.storage.bars import BAR_SCHEMA, read_parquet


def batch_reports(store: ArtefactStore) -> Iterator[dict[str, Any]]:
    """Every batch that was judged: its ``validation.json`` with ``load`` and ``released``.

    ``load`` is its ``batch.json``, None while it is not loaded; ``released`` how many of its
    rows were released since.
    """
    released: dict[str, int] = {}
    for release in releases_of(store):
        for batch_id, row_ids in release["row_ids"].items():
            released[batch_id] = released.get(batch_id, 0) + len(row_ids)
    for key in store.keys("batches"):
        if key.endswith("/validation.json"):
            load = key.replace("validation.json", "batch.json")
            report = store.read_json(key)
            yield {
                **report,
                "load": store.read_json(load) if store.exists(load) else None,
                "released": released.get(report["batch_id"], 0),
            }


def index_batches(store: ArtefactStore, loaded: dict[str, Any] | None = None) -> None:
    """Render the list of batches; again where one was judged, loaded or released meanwhile.

    Of two commands at once the one that looked first may write last, and each looks again after
    it has written.

    Args:
        store: The artefacts.
        loaded: ``batch.json`` of a batch that was just loaded. It is written here, after the list:
            a load that is interrupted before is done again, and its pages with it.
    """
    own = f"batches/{loaded['batch_id']}/batch.json" if loaded else ""
    while True:
        seen = _records(store, own)
        reports = [
            {**report, "load": loaded}
            if loaded and report["batch_id"] == loaded["batch_id"]
            else report
            for report in batch_reports(store)
        ]
        quality.write_index(store, reports)
        if loaded:
            store.write_once(own, json_bytes(loaded))
        if _records(store, own) == seen:
            return


def _records(store: ArtefactStore, but: str) -> dict[str, str | None]:
    found = store.versions("batches") | store.versions("releases")
    return {key: told for key, told in found.items() if key.endswith(".json") and key != but}


def special_sessions(reports: Iterable[dict[str, Any]], source: str) -> dict[str, set[date]]:
    """Exchange -> days that loaded batches of a source accepted as special sessions.

    Args:
        reports: What ``batch_reports`` gives.
        source: Whose batches.
    """
    found: dict[str, set[date]] = {}
    for report in reports:
        if report["load"] and report["source"] == source:
            for market in report.get("exchanges", ()):
                days = {date.fromisoformat(day) for day in market["special_sessions"]}
                found.setdefault(market["exchange"], set()).update(days)
    return found


def releases_of(store: ArtefactStore, source: str | None = None) -> list[dict[str, Any]]:
    """Releases of a source, or of all, in the order of their moments.

    Each has ``release_id, source, who, why, known_at, new_revisions`` and ``row_ids``: of each
    batch the rows that were released.
    """
    prefix = f"releases/{source}" if source else "releases"
    found = [store.read_json(key) for key in store.keys(prefix) if key.endswith(".json")]
    return sorted(found, key=lambda release: str(release["known_at"]))


def released_values(store: ArtefactStore, source: str) -> frozenset[quality.BarValues]:
    """Values of the released rows of a source; of each ticker and session the last release."""
    last: dict[tuple[Any, ...], quality.BarValues] = {}
    for release in releases_of(store, source):
        rows = read_parquet(store.read(f"releases/{source}/{release['release_id']}.parquet"))
        for row in rows.select(BAR_SCHEMA.names).to_pylist():
            last[row["ticker"], row["session_date"]] = tuple(row.values())
    return frozenset(last.values())
