"""The step that lets quarantined rows through: a new load with who and why; the rows stay."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from transfergate import quality, warehouse
from transfergate.errors import QuarantineError
from transfergate.settings import TICKER_PATTERN, Settings
from transfergate.steps.batches import batch_reports, index_batches, releases_of
from transfergate.steps.quarantine import Asked, quarantined, released_rows
from transfergate.storage import ArtefactStore, json_bytes, open_store
from transfergate.storage.bars import PRICES, parquet_bytes, read_parquet

log = logging.getLogger(__name__)


def release_quarantined(
    settings: Settings, asked: Asked, row_ids: Sequence[int], who: str, why: str
) -> dict[str, Any]:
    """Load rows of the quarantine as genuine.

    Args:
        settings: Settings.
        asked: With ``row_ids`` a batch; without, a source and a ticker or more, and of a session
            that several batches hold the newest batch's row is meant.
        row_ids: Rows of the batch; empty for all that ``asked`` means.
        who: Releases them.
        why: The reason, for whoever asks later.

    Returns:
        ``rows`` asked for, ``released`` now, ``already_released``, ``new_revisions``, ``releases``
        (ids) and ``message``.

    Raises:
        QuarantineError: If there is no such row, its batch was refused or not loaded, the
            warehouse's table cannot hold it, or two rows are of one ticker and session.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    if not who.strip() or not why.strip():
        raise QuarantineError("a release needs who and why: give --who NAME and --why REASON")
    source, rows = _chosen(settings, asked, row_ids)
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        releases, new = warehouse.release_rows(
            conn,
            source=source,
            asked=[(row["batch_id"], row["row_id"]) for row in rows],
            who=who,
            why=why,
            known_at=datetime.now(UTC),
        )
    store = open_store(settings)
    for release in releases:
        _publish(store, release)
    refresh_pages(settings, sorted({row["batch_id"] for row in rows}))
    before = len(rows) - new
    changed = releases[-1].new_revisions if new else 0
    message = f"{new} rows released as load {releases[-1].release_id}" if new else "nothing to do"
    if before:
        message += f"; {before} of {len(rows)} rows were released before"
    return {
        "source": source,
        "rows": len(rows),
        "released": new,
        "already_released": before,
        "new_revisions": changed,
        "releases": [release.release_id for release in releases],
        "message": message,
    }


def refresh_pages(settings: Settings, batch_ids: Sequence[str]) -> None:
    """Render the pages of some batches anew, and the index."""
    store = open_store(settings)
    reports = {report["batch_id"]: report for report in batch_reports(store)}
    released, releases = released_rows(settings), releases_of(store)
    for batch_id in batch_ids:
        report = reports[batch_id]
        own = [
            {**release, "rows": len(release["row_ids"][batch_id])}
            for release in releases
            if batch_id in release["row_ids"]
        ]
        quality.write_batch_page(store, report, report["load"], own)
        if report["quarantined"]:
            rows = read_parquet(store.read(f"batches/{batch_id}/quarantine.parquet"))
            quality.write_quarantine_page(store, report, rows, released.get(batch_id))
    index_batches(store)


def _chosen(
    settings: Settings, asked: Asked, row_ids: Sequence[int]
) -> tuple[str, list[dict[str, Any]]]:
    if not asked.batch and not (asked.source and asked.ticker):
        raise QuarantineError(
            "which rows? Give a batch with --rows, or --source and --ticker, perhaps with dates"
        )
    sources: set[str] = set()
    rows: list[dict[str, Any]] = []
    sessions: dict[tuple[Any, Any], str] = {}
    wanted = set(row_ids)
    refused = None
    for report, table in quarantined(settings, asked):
        if report["refusals"]:
            refused = report if table.num_rows else refused
            continue
        found = [
            {"batch_id": report["batch_id"], **row}
            for row in table.to_pylist()
            if not wanted or row["row_id"] in wanted
        ]
        # An older batch's row of a session that a newer one holds is not meant.
        found = [
            row
            for row in found
            if sessions.get((row["ticker"], row["session_date"]), row["batch_id"])
            == row["batch_id"]
        ]
        if not wanted:
            found = _without_copies(found)
        if found:
            _check_releasable(report, found)
            sources.add(report["source"])
            rows += found
            for row in found:
                sessions[row["ticker"], row["session_date"]] = row["batch_id"]
    if refused and not rows:
        raise QuarantineError(
            f"batch {refused['batch_id']} was refused whole, so none of its rows was loaded: "
            f"correct the source or its limits (sources.{refused['source']}.quality) and ingest "
            f"again"
        )
    if missing := sorted(wanted - {row["row_id"] for row in rows}):
        raise QuarantineError(
            f"batch {asked.batch!r} has no row {missing[0]} in quarantine; see transfergate "
            f"quarantine list --batch {asked.batch}"
        )
    if not rows:
        raise QuarantineError("no quarantined row fits; see transfergate quarantine list")
    return sources.pop(), rows


def _without_copies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Of a row and its copies, the row: the copies say nothing more.
    originals = {
        (row["ticker"], row["session_date"]) for row in rows if "no_copy" not in row["reasons"]
    }
    return [
        row
        for row in rows
        if "no_copy" not in row["reasons"] or (row["ticker"], row["session_date"]) not in originals
    ]


def _check_releasable(report: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    batch_id = report["batch_id"]
    seen: dict[tuple[Any, Any], int] = {}
    for row in rows:
        where = f"batch {batch_id}, row {row['row_id']}"
        if problem := _unfit(row):
            raise QuarantineError(
                f"{where}: {problem}, which the table of bars cannot hold; correct the source and "
                f"ingest again, or leave this row out. Nothing was released"
            )
        key = (row["ticker"], row["session_date"])
        if key in seen:
            raise QuarantineError(
                f"{where} and row {seen[key]} are both {key[0]} on {key[1]}: release one of them. "
                f"Nothing was released"
            )
        seen[key] = row["row_id"]


def _unfit(row: dict[str, Any]) -> str:
    if row["ticker"] is None or not re.fullmatch(TICKER_PATTERN, row["ticker"]):
        return f"ticker is {row['ticker']!r}"
    if row["session_date"] is None:
        return "session_date is null"
    for name in (*PRICES, "volume", "adj_close"):
        value = row[name]
        if value is None and name in PRICES:
            return f"{name} is null"
        if value is not None and not math.isfinite(value):
            return f"{name} is {value}"
    return ""


def _publish(store: ArtefactStore, release: warehouse.Release) -> None:
    # The record last: without it the rows are not there.
    key = f"releases/{release.source}/{release.release_id}"
    if store.exists(f"{key}.json"):
        return
    row_ids: dict[str, list[int]] = {}
    pairs = zip(
        release.rows["batch_id"].to_pylist(), release.rows["row_id"].to_pylist(), strict=True
    )
    for batch_id, row_id in pairs:
        row_ids.setdefault(batch_id, []).append(row_id)
    store.replace(f"{key}.parquet", parquet_bytes(release.rows))
    record = {
        **{name: getattr(release, name) for name in ("release_id", "source", "who", "why")},
        "known_at": release.known_at,
        "new_revisions": release.new_revisions,
        "row_ids": row_ids,
    }
    store.write_once(f"{key}.json", json_bytes(record))
