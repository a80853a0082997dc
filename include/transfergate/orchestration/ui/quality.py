"""Data quality: batches, what was found in each, their quarantine, their Data Docs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import HTTPException, Query
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse

from transfergate.orchestration.ui.data import current
from transfergate.orchestration.ui.guard import BATCHES, guarded, serve
from transfergate.orchestration.ui.links import airflow_dag, ours
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    badge,
    element,
    empty,
    join,
    link,
)
from transfergate.orchestration.ui.quality_batch import batch_page
from transfergate.orchestration.ui.quality_rows import PAGE_ROWS, quarantine_page
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import moment
from transfergate.quality import (
    Filter,
    JudgedBatch,
    judged_batches,
    quarantine_csv,
    quarantine_part,
)
from transfergate.registry.records import Records
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import Recall

router = guarded(BATCHES)

TONES = {"ok": ("good", "✔"), "warning": ("warn", "▲"), "critical": ("bad", "✖")}
BATCH_ID = re.compile(r"[0-9a-f]{8,64}")
DOCS_PATH = re.compile(r"(\w[\w.-]*/)*\w[\w.-]*")  # nothing in it leads out of the folder
NAME = 200  # characters of a filter at most

_RECALLED: dict[Records, Recall] = {}

Text = Annotated[str, Query(max_length=NAME)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10_000_000)]


@router.get("/batches", response_class=HTMLResponse)
def batches() -> str:
    """Every batch of bars that was judged, the newest first."""
    _, records = current()
    store = records.store
    recall = _RECALLED.setdefault(records, Recall(store))
    found = judged_batches(store, recall)
    docs = ""
    if store.exists("data_docs/index.html"):
        docs = element(
            "p",
            link(ours("data_docs", "index.html"), "Data Docs", data_testid="data-docs-link"),
            ": the same, as files that open without Airflow.",
        )
    lead = (
        "What came in, and what was let through. Received rows are loaded, quarantined one by one, "
        "or refused with their whole batch."
    )
    body = join((_batch_table(found), docs))
    return page("Data quality", body, active="batches", lead=lead)


@router.get("/batches/{batch_id}", response_class=HTMLResponse)
def batch(batch_id: str) -> str:
    """What was checked in one batch, and what was found."""
    store = current()[1].store
    report = _report(store, batch_id)
    load = f"batches/{batch_id}/batch.json"
    return batch_page(store, report, store.read_json(load) if store.exists(load) else None)


@router.get("/batches/{batch_id}/quarantine", response_class=HTMLResponse)
def quarantine(
    batch_id: str, ticker: Text = "", reason: Text = "", page_number: PageNumber = 1
) -> str:
    """Quarantined rows of one batch, a page of them."""
    store = current()[1].store
    report = _report(store, batch_id)
    wanted = Filter(ticker.strip(), reason.strip())
    first = (page_number - 1) * PAGE_ROWS
    part = quarantine_part(_rows(store, batch_id), wanted, first, PAGE_ROWS)
    return quarantine_page(report, wanted, part, page_number)


@router.get("/batches/{batch_id}/quarantine.csv")
def quarantine_file(batch_id: str, ticker: Text = "", reason: Text = "") -> StreamingResponse:
    """The same rows, all of them, as CSV."""
    store = current()[1].store
    _report(store, batch_id)
    lines = quarantine_csv(_rows(store, batch_id), Filter(ticker.strip(), reason.strip()))
    return StreamingResponse(
        lines,
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="quarantine-{batch_id}.csv"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


@router.get("/data_docs/{path:path}")
def data_docs_file(path: str) -> FileResponse:
    """One page of the data-quality reports."""
    store = current()[1].store
    if not store.location().startswith("s3://"):
        return serve(store.path("data_docs"), path)
    if DOCS_PATH.fullmatch(path):
        with suppress(FileNotFoundError):
            return FileResponse(store.local(f"data_docs/{path}"))
    raise HTTPException(404, "there is no such page")


def _report(store: ArtefactStore, batch_id: str) -> dict[str, Any]:
    if BATCH_ID.fullmatch(batch_id):
        try:
            found: dict[str, Any] = store.read_json(f"batches/{batch_id}/validation.json")
            return found
        except FileNotFoundError:
            pass
    raise HTTPException(404, "There is no batch of this id; the list of batches has all of them.")


def _rows(store: ArtefactStore, batch_id: str) -> Path:
    try:
        return store.local(f"batches/{batch_id}/quarantine.parquet")
    except FileNotFoundError:
        raise HTTPException(404, "This batch has no file of quarantined rows.") from None


def _batch_table(found: list[JudgedBatch]) -> Html:
    columns = [
        Column("Batch"),
        Column("When", wide=True, note="Loaded, or else judged"),
        Column("Source", wide=True, choose=True),
        Column("Verdict", choose=True),
        Column("Received", "number", wide=True),
        Column("Loaded", "number", wide=True),
        Column("Quarantined", "number", note="Rows set apart one by one"),
        Column("Refused", "number", wide=True, note="Rows of a batch that was refused as a whole"),
        Column("Sessions", wide=True),
    ]
    start = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    return table(
        columns,
        [_row(one) for one in found],
        caption="Batches of bars, the newest first",
        testid="batches-table",
        noun="batches",
        sorted_by="-When",
        empty=empty("No batch was judged yet", join(("Run the DAG ", start, "."))),
    )


def _row(one: JudgedBatch) -> Row:
    tone, sign = TONES[one.tone]
    here = ours("batches", one.batch_id)
    quarantined: object = f"{one.quarantined:,}"
    if one.quarantined:
        quarantined = link(f"{here}/quarantine", quarantined)
        if one.released:
            told = element("small", f"{one.released:,} released", class_="note")
            quarantined = join((quarantined, " ", told))
    refused: object = f"{one.refused:,}"
    if one.refused:
        refused = link(f"{here}/quarantine", refused)
    sessions = " … ".join(day for day in dict.fromkeys(one.sessions) if day)
    cells = (
        link(here, element("code", one.batch_id), data_testid="batch-link"),
        Cell(moment(one.when), one.when),
        one.source,
        badge(one.verdict, tone, sign),
        Cell(f"{one.received:,}", one.received),
        Cell(f"{one.loaded:,}", one.loaded),
        Cell(quarantined, one.quarantined),
        Cell(refused, one.refused),
        Cell(element("span", sessions, class_="moment"), one.sessions[1]),
    )
    return Row(cells, {"data_testid": "batch-row"})
