"""Steps that look at the quarantine: count, list and show rows, write down suspected splits.

They read the Parquet of each batch, and never open the warehouse.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate.errors import QuarantineError
from transfergate.quality import QUARANTINE_SCHEMA, rule_of
from transfergate.quality.quarantine import csv_lines, harmless
from transfergate.settings import Settings
from transfergate.steps.batches import batch_reports, releases_of
from transfergate.storage import ArtefactStore, open_store
from transfergate.storage.bars import read_parquet

SUSPECTED_SPLIT = "suspected_split"
_EXPORTED = pa.schema(
    [
        *(("batch_id", pa.string()), ("source", pa.string()), ("released", pa.bool_())),
        *QUARANTINE_SCHEMA,
    ]
)


@dataclass(frozen=True)
class Asked:
    """Which quarantined rows are meant; what is not given does not limit them.

    Attributes:
        source: Name of the source.
        batch: Id of the batch, or its beginning.
        ticker: As received.
        reason: A rule's name.
        first: First session.
        last: Last session.
    """

    source: str | None = None
    batch: str | None = None
    ticker: str | None = None
    reason: str | None = None
    first: date | None = None
    last: date | None = None


def list_quarantine(settings: Settings, asked: Asked, limit: int = 20) -> dict[str, Any]:
    """Count the rows in quarantine by batch, reason and ticker, and list the first of them.

    Args:
        settings: Settings.
        asked: Which rows.
        limit: How many rows are listed, of the newest batches first.

    Returns:
        ``rows`` (how many), ``batches`` (``batch_id, source, state, rows, released``), ``reasons``
        and ``tickers`` (rows by name, the most first), ``shown`` (rows as received).
    """
    reasons: Counter[str] = Counter()
    tickers: Counter[str] = Counter()
    batches, shown = [], list[dict[str, Any]]()
    released = released_rows(settings)
    for report, rows in quarantined(settings, asked):
        if not rows.num_rows:
            continue
        row_ids = released.get(report["batch_id"], {})
        batches.append(
            {
                "batch_id": report["batch_id"],
                "source": report["source"],
                "state": _state(report),
                "rows": rows.num_rows,
                "released": sum(row_id in row_ids for row_id in rows["row_id"].to_pylist()),
            }
        )
        for reason, count in _value_counts(pc.list_flatten(rows["reasons"])):
            reasons[rule_of(str(reason))] += count
        for ticker, count in _value_counts(rows["ticker"]):
            tickers[str(ticker)] += count
        for row in rows.slice(0, min(max(limit - len(shown), 0), rows.num_rows)).to_pylist():
            shown.append(_shown(report, row, row["row_id"] in row_ids))
    return {
        "rows": sum(batch["rows"] for batch in batches),
        "batches": batches,
        "reasons": dict(reasons.most_common()),
        "tickers": dict(tickers.most_common()),
        "shown": shown,
    }


def show_quarantined(settings: Settings, batch: str, row_id: int) -> dict[str, Any]:
    """One row with all that is known of it: values, reasons, file, line, release.

    Raises:
        QuarantineError: If the batch has no such row in quarantine.
    """
    for report, rows in quarantined(settings, Asked(batch=batch)):
        # NumPy compares with a number that is larger than the column holds, Arrow does not.
        found = rows.filter(pa.array(rows["row_id"].to_numpy() == row_id)).to_pylist()
        if found:
            release = released_rows(settings).get(report["batch_id"], {}).get(row_id)
            shown = _shown(report, found[0], release is not None)
            return {**shown, "state": _state(report), "release": release}
    raise QuarantineError(
        f"batch {batch!r} has no row {row_id} in quarantine; see transfergate quarantine list"
    )


def suspected_actions(settings: Settings, asked: Asked) -> dict[str, Any]:
    """Suspected splits that wait in quarantine, as actions for a reviewer to correct.

    Returns:
        ``actions``: ``ticker, effect_date, kind, value`` of each, by ticker and date; of a jump
        that several batches hold, the newest batch's.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    released = released_rows(settings)
    narrowed = Asked(**{**vars(asked), "reason": SUSPECTED_SPLIT})
    for report, rows in quarantined(settings, narrowed):
        done = released.get(report["batch_id"], {})
        held = {
            (row["ticker"], str(row["session_date"]))
            for row in rows.select(["row_id", "ticker", "session_date"]).to_pylist()
            if row["row_id"] not in done
        }
        for jump in report["suspected_splits"]:
            key = (jump["ticker"], jump["session_date"])
            if key in held:
                action = {"ticker": key[0], "effect_date": key[1], "kind": "split"}
                found.setdefault(key, {**action, "value": jump["split_ratio"]})
    return {"actions": [found[key] for key in sorted(found)]}


def quarantined(settings: Settings, asked: Asked) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Of each batch that has such rows, the newest first: its report and the rows.

    Raises:
        QuarantineError: If a batch is named that there is not, or that several begin with, or the
            first session is after the last.
        SettingsError: If there is no such source, nor a batch of it.
    """
    if asked.first and asked.last and asked.first > asked.last:
        raise QuarantineError(
            f"first session {asked.first} is after the last, {asked.last}: exchange the two dates"
        )
    store = open_store(settings)
    everything = list(batch_reports(store))
    if asked.source and asked.source not in {report["source"] for report in everything}:
        settings.source(asked.source)
    reports = [report for report in everything if _is_meant(report, asked)]
    if asked.batch and len(reports) != 1:
        known = sorted(report["batch_id"] for report in everything)
        raise QuarantineError(
            f"{len(reports)} batches begin with {asked.batch!r}, expected one; there are "
            f"{', '.join(known[:20]) or 'none'}: name one of these"
        )
    # What is judged and not loaded yet, or refused, is newer than what is.
    reports.sort(key=lambda report: (report["load"] or {}).get("known_at", "~"), reverse=True)
    for report in reports:
        rules = {item["rule"] for item in report["quarantined_by_rule"]}
        if report["quarantined"] and (asked.reason is None or asked.reason in rules):
            key = f"batches/{report['batch_id']}/quarantine.parquet"
            yield report, _narrowed(read_parquet(store.read(key)), asked)


def export_quarantine(settings: Settings, asked: Asked, path: Path) -> dict[str, Any]:
    """Write quarantined rows with batch, source and whether they were released, a batch at a time.

    The file takes its name when all rows are in it: a failure leaves what was there before.

    Args:
        settings: Settings.
        asked: Which rows.
        path: Ends in ``.parquet``, or in ``.csv``: there reasons are one text, and text that a
            spreadsheet would run has an apostrophe before it.

    Returns:
        ``rows, file``.

    Raises:
        QuarantineError: If the file has another ending or cannot be written, or the rows cannot be
            read.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise QuarantineError(f"{path}: ends in {path.suffix!r}, expected .csv or .parquet")
    target = path.resolve()
    released, rows = released_rows(settings), 0
    try:
        with ExitStack() as stack:
            aside = stack.enter_context(ArtefactStore(target.parent).replacing(target.name))
            file = stack.enter_context(aside.open("wb"))
            parquet = None
            if path.suffix == ".parquet":
                parquet = stack.enter_context(pq.ParquetWriter(file, _EXPORTED, compression="zstd"))
            else:
                file.write(csv_lines([_EXPORTED.names]))
            for report, table in _readable(quarantined(settings, asked)):
                told = _told(report, table, released.get(report["batch_id"], {}))
                rows += told.num_rows
                if parquet:
                    parquet.write_table(told)
                else:
                    file.write(csv_lines(_cells(told)))
    except OSError as error:
        raise QuarantineError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder that you may "
            f"write to"
        ) from error
    return {"rows": rows, "file": str(target)}


def _readable(found: Iterator[tuple[dict[str, Any], pa.Table]]) -> Iterator[Any]:
    # What goes wrong where rows are read is not said of the file that is written.
    try:
        yield from found
    except OSError as error:
        raise QuarantineError(
            f"the quarantine cannot be read ({error}); look at whether the artefact root is there "
            f"and may be read, then run the same again"
        ) from error


def _told(report: dict[str, Any], rows: pa.Table, released: Mapping[int, Any]) -> pa.Table:
    # Rows of one batch in the columns of an export; a batch with a broken structure lacks some.
    let_through = [row_id in released for row_id in rows["row_id"].to_pylist()]
    values = {
        "batch_id": pa.array([report["batch_id"]] * rows.num_rows, pa.string()),
        "source": pa.array([report["source"]] * rows.num_rows, pa.string()),
        "released": pa.array(let_through, pa.bool_()),
        **{name: rows[name] for name in rows.column_names},
    }
    return pa.table(
        {
            field.name: values.get(field.name, pa.nulls(rows.num_rows, field.type))
            for field in _EXPORTED
        },
        schema=_EXPORTED,
    )


def _cells(rows: pa.Table) -> Iterator[list[Any]]:
    for batch in rows.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            row["reasons"] = "; ".join(row["reasons"])
            yield [harmless(row[name]) for name in _EXPORTED.names]


def released_rows(settings: Settings) -> dict[str, dict[int, dict[str, Any]]]:
    """Of each batch its released rows: ``release_id, who, why, known_at`` by ``row_id``."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for release in releases_of(open_store(settings)):
        facts = {name: release[name] for name in ("release_id", "who", "why", "known_at")}
        for batch_id, row_ids in release["row_ids"].items():
            found.setdefault(batch_id, {}).update(dict.fromkeys(row_ids, facts))
    return found


def _is_meant(report: dict[str, Any], asked: Asked) -> bool:
    return (asked.source is None or report["source"] == asked.source) and (
        asked.batch is None or report["batch_id"].startswith(asked.batch)
    )


def _narrowed(rows: pa.Table, asked: Asked) -> pa.Table:
    if asked.ticker is not None:
        rows = rows.filter(pc.equal(rows["ticker"], asked.ticker))
    if asked.first is not None:
        rows = rows.filter(pc.greater_equal(rows["session_date"], asked.first))
    if asked.last is not None:
        rows = rows.filter(pc.less_equal(rows["session_date"], asked.last))
    if asked.reason is not None:
        lists = rows["reasons"].combine_chunks()
        reasons = pc.list_flatten(lists)
        named = pc.or_(pc.equal(reasons, asked.reason), pc.starts_with(reasons, asked.reason + ":"))
        rows = rows.take(pc.unique(pc.list_parent_indices(lists).filter(named)))
    return rows


def _value_counts(values: pa.Array) -> list[tuple[Any, int]]:
    return [(item["values"], item["counts"]) for item in pc.value_counts(values).to_pylist()]


def _shown(report: dict[str, Any], row: dict[str, Any], released: bool) -> dict[str, Any]:
    day, unreadable = row["session_date"], row.get("unreadable")
    prices = {
        name: str(value) if isinstance(value, float) and value - value != 0.0 else value
        for name, value in row.items()
    }
    return {
        "batch_id": report["batch_id"],
        "source": report["source"],
        **prices,
        "session_date": str(day) if day else None,
        "unreadable": json.loads(unreadable) if unreadable else {},
        "released": released,
    }


def _state(report: dict[str, Any]) -> str:
    if report["refusals"]:
        return "refused"
    return "loaded" if report["load"] else "not loaded"
