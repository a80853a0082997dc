"""Data quality: batches, what was found in each, their quarantine, their Data Docs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from fastapi import Header, HTTPException, Query
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse

from transfergate.orchestration.ui.attention import notice
from transfergate.orchestration.ui.data import current, shown
from transfergate.orchestration.ui.docs_policy import docs_headers
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
from transfergate.orchestration.ui.quality_batch import batch_page, loaded_of
from transfergate.orchestration.ui.quality_rows import PAGE_ROWS, quarantine_page
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import moment
from transfergate.quality import (
    Filter,
    JudgedBatch,
    gx_page_key,
    judged_batches,
    quarantine_csv,
    quarantine_part,
    report_key,
)
from transfergate.registry.facts import plain
from transfergate.registry.records import Records
from transfergate.storage import ArtefactStore

router = guarded(BATCHES)

TONES = {"ok": ("good", "✔"), "warning": ("warn", "▲"), "critical": ("bad", "✖")}
BATCH_ID = re.compile(r"[0-9a-f]{8,64}")
DOCS_PATH = re.compile(r"(\w[\w.-]*/)*\w[\w.-]*")  # nothing in it leads out of the folder
NAME = 200  # characters of a filter at most

Text = Annotated[str, Query(max_length=NAME)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10_000_000)]


@router.get("/batches", response_class=HTMLResponse)
def batches() -> str:
    """Every batch of bars that was judged, the newest first."""
    _, records = current()
    store = records.store
    found = judged_batches(store, records.recall, records.note)
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
    body = join((notice(records.broken.values()), _batch_table(found), docs))
    return page("Data quality", body, active="batches", lead=lead)


@router.get("/batches/{batch_id}", response_class=HTMLResponse)
def batch(batch_id: str) -> str:
    """What was checked in one batch, and what was found."""
    _, records = current()
    report = _report(records, batch_id)
    load = f"batches/{batch_id}/batch.json"
    told = records.read([load], loaded_of, absent="").get(load)
    if report is not None:
        head = notice(records.broken.values())
        made = shown(
            records,
            f"batches/{batch_id}/validation.json",
            lambda: batch_page(records.store, report, told, head),
        )
        if made is not None:
            return made
    return _broken(records, batch_id)


@router.get("/batches/{batch_id}/quarantine", response_class=HTMLResponse)
def quarantine(
    batch_id: str, ticker: Text = "", reason: Text = "", page_number: PageNumber = 1
) -> str:
    """Quarantined rows of one batch, a page of them."""
    _, records = current()
    report = _report(records, batch_id)
    if report is None:
        return _broken(records, batch_id)
    wanted = Filter(ticker.strip(), reason.strip())
    first = (page_number - 1) * PAGE_ROWS
    try:
        part = quarantine_part(_rows(records.store, batch_id), wanted, first, PAGE_ROWS)
    except (pa.ArrowException, OSError, KeyError) as error:
        records.note(f"batches/{batch_id}/quarantine.parquet", error)
        return _broken(records, batch_id)
    made = shown(
        records,
        f"batches/{batch_id}/validation.json",
        lambda: quarantine_page(report, wanted, part, page_number),
    )
    return made if made is not None else _broken(records, batch_id)


@router.get("/batches/{batch_id}/quarantine.csv")
def quarantine_file(batch_id: str, ticker: Text = "", reason: Text = "") -> StreamingResponse:
    """The same rows, all of them, as CSV."""
    _, records = current()
    store = records.store
    if _report(records, batch_id) is None:
        raise HTTPException(404, "The record of this batch is broken; its page says what to do.")
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
def data_docs_file(path: str, host: Annotated[str, Header()] = "") -> FileResponse:
    """One page of the data-quality reports; no script runs in it but those shipped with it."""
    store = current()[1].store
    headers = docs_headers(host)
    if not store.location().startswith("s3://"):
        return serve(store.path("data_docs"), path, headers)
    if DOCS_PATH.fullmatch(path):
        with suppress(FileNotFoundError):
            return FileResponse(store.local(f"data_docs/{path}"), headers=headers)
    raise HTTPException(404, "there is no such page")


def _report(records: Records, batch_id: str) -> dict[str, Any] | None:
    """The report of a batch; None if it is broken, which the records have noted then."""
    key = f"batches/{batch_id}/validation.json"
    if BATCH_ID.fullmatch(batch_id) and (
        records.store.exists(key) or records.store.exists(key.replace("validation", "batch"))
    ):
        return records.read({key: None}, plain, {key: "batch.json beside it"}).get(key)
    raise HTTPException(404, "There is no batch of this id; the list of batches has all of them.")


def _broken(records: Records, batch_id: str) -> str:
    """What is left of a batch whose report, or quarantine, cannot be read."""
    left = [
        link(ours(*key.split("/")), name)
        for key, name in (
            (report_key(batch_id), "Its page as a file"),
            (gx_page_key(batch_id), "Great Expectations' Data Docs of it"),
        )
        if records.store.exists(key)
    ]
    body = join(
        (
            notice(records.broken.values()),
            empty(
                "Records of this batch are broken", join(left, " · ") or "Nothing is left of it."
            ),
        )
    )
    trail = (("Data quality", ours("batches")),)
    return page(f"Batch {batch_id}", body, active="batches", trail=trail)


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
