"""Steps that bring bars in: plan, fetch into the landing zone, validate, load."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from transfergate import quality, warehouse
from transfergate.calendars import exchange_sessions
from transfergate.errors import BarsRejected, SettingsError, SourceError
from transfergate.settings import Settings, SourceParams
from transfergate.sources import open_source
from transfergate.sources.folder import Folder
from transfergate.steps.batches import (
    batch_reports,
    released_values,
    releases_of,
    special_sessions,
)
from transfergate.steps.described import describe, source_params
from transfergate.steps.history import (
    described_rows,
    known_history,
    landed_reference,
    tickers_asked,
)
from transfergate.steps.sessions import ExchangeSessions, batch_sessions
from transfergate.storage import ArtefactStore, content_hash, json_bytes
from transfergate.storage.bars import parquet_bytes, read_parquet
from transfergate.storage.landing import publish_landing, read_landed_bars

log = logging.getLogger(__name__)


def plan_ingest(
    settings: Settings,
    *,
    source: str | None = None,
    tickers: list[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    data: str | None = None,
) -> dict[str, Any]:
    """Resolve what is asked for into batches of tickers, one per fetch.

    Args:
        settings: Settings.
        source: Name of a source in the settings; None for the default one.
        tickers: None or empty for all that the source has.
        start: First session wanted (ISO date); None for all there are.
        end: Last session wanted (ISO date); None for all there are, and then staleness is not
            judged.
        data: Folder of bar files, for a source of kind ``files``; None for its own.

    Returns:
        ``{"source", "start", "end", "data", "description", "ticker_batches": [[...], ...]}``;
        ``description`` is what the folder's ``source.toml`` says.

    Raises:
        SourceError: If a date cannot be read, or the source lacks a ticker.
    """
    first, last = _date("start", start), _date("end", end)
    if first and last and first > last:
        raise SourceError(f"start {first} is after end {last}: exchange the two dates")
    name = source or settings.ingest.source
    description = describe(settings, name, data)
    params = source_params(settings, {"source": name, "data": data, "description": description})
    opened = open_source(params, settings.home / "fetching")
    known = tickers if tickers and not opened.lists_all else opened.tickers()
    if missing := sorted(set(tickers or ()) - set(known)):
        raise SourceError(
            f"source {name!r} has no bars for {', '.join(missing)}; it has "
            f"{len(known)} tickers, {', '.join(known[:20])}: ask for those, or name another source"
        )
    wanted = sorted(set(tickers or known))
    size = settings.ingest.batch_tickers
    batches = [wanted[i : i + size] for i in range(0, len(wanted), size)]
    log.info("ingest of %s: %d tickers in %d fetches", name, len(wanted), len(batches))
    return {
        "source": name,
        "start": start or None,
        "end": end or None,
        "data": Folder(params.root).root if params.root else None,
        "description": description,
        "ticker_batches": batches,
    }


def fetch_bars(settings: Settings, plan: dict[str, Any], tickers: list[str]) -> str:
    """Put the bars of some tickers into the landing zone, as received; returns their key.

    Raises:
        SourceError: If a ticker or a file cannot be had; names it.
    """
    params = source_params(settings, plan)
    source = open_source(params, settings.home / "fetching")
    bars = source.fetch(tickers, _date("start", plan["start"]), _date("end", plan["end"]))
    store = ArtefactStore(settings.artefact_root)
    key = publish_landing(store, plan["source"], bars, source.reference(tickers))
    log.info("fetched %d bars of %d tickers from %s", bars.num_rows, len(tickers), plan["source"])
    return key


def validate_bars(settings: Settings, plan: dict[str, Any], landing: list[str]) -> str:
    """Judge what was fetched, set bad rows apart, publish Data Docs; returns the batch's id.

    The id is a hash of the rows and of the rules that they are judged by, freshness included: the
    same rows under other rules are another batch, which adds no revision. A batch that was
    loaded before is not judged again.

    Raises:
        BarsRejected: If the batch as a whole cannot be trusted; names the report. Nothing of
            it can be loaded.
    """
    store = ArtefactStore(settings.artefact_root)
    known = list(batch_reports(store))
    bars, history, markets, batch_id = _received(settings, store, plan, landing, known)
    page = store.path(quality.report_key(batch_id))
    if store.exists(f"batches/{batch_id}/batch.json") and page.exists():
        log.info("batch %s was judged and loaded before: nothing to do", batch_id)
        return batch_id
    params = source_params(settings, plan)
    frame = described_rows(settings, markets, bars, history)
    context = _context(settings, store, plan, batch_id, bars, history, markets, known)
    validation = quality.validate_frame(frame, params.quality, context, store)
    report = {
        "batch_id": batch_id,
        "source": plan["source"],
        "start": plan["start"],
        "end": plan["end"],
        "calendar": params.calendar,
        "exchanges": [market.to_json() for market in markets],
        "landing": sorted(landing),
        **quality.report_of(validation, frame),
    }
    accepted, quarantined = quality.split_rows(bars, validation)
    if not validation.refusals:
        store.replace(f"batches/{batch_id}/accepted.parquet", parquet_bytes(accepted))
    store.replace(f"batches/{batch_id}/quarantine.parquet", parquet_bytes(quarantined))
    findings = quality.findings_of(validation, frame)
    store.replace(f"batches/{batch_id}/findings.parquet", parquet_bytes(findings))
    store.replace(f"batches/{batch_id}/validation.json", json_bytes(report))
    if quarantined.num_rows:
        quality.write_quarantine_page(store, report, quarantined)
    quality.write_batch_page(store, report)
    quality.write_index(store, list(batch_reports(store)))
    if validation.refusals:
        raise BarsRejected(
            f"batch {batch_id} of {plan['source']} ({report['received']} rows) is refused, nothing "
            f"was loaded: {'; '.join(validation.refusals)}. Look at {page}, then correct the "
            f"source, or the thresholds in sources.{plan['source']}.quality"
        )
    log.info("batch %s: %d accepted, %d quarantined", batch_id, report["accepted"],
             report["quarantined"])  # fmt: skip
    return batch_id


def load_bars(settings: Settings, plan: dict[str, Any], batch_id: str) -> dict[str, Any]:
    """Load a judged batch in one transaction; loading it again changes nothing.

    Returns:
        ``batch_id, source, received, loaded, new_revisions, unchanged, quarantined, tickers,
        first_session, last_session, known_at, already_loaded, report`` (path of its page).

    Raises:
        BarsRejected: If the batch was refused or never judged, or rows got lost.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    store = ArtefactStore(settings.artefact_root)
    folder = f"batches/{batch_id}"
    report = _judged(store, batch_id)
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        counts = warehouse.load_batch(
            conn,
            source=plan["source"],
            batch_id=batch_id,
            accepted=read_parquet(store.read(f"{folder}/accepted.parquet")),
            quarantine=read_parquet(store.read(f"{folder}/quarantine.parquet")),
            received=report["received"],
            known_at=datetime.now(UTC),
            reference=landed_reference(store, report["landing"]),
        )
    result = counts.to_json()
    already_loaded = result.pop("already_loaded")
    if not store.exists(f"{folder}/batch.json"):
        store.write_once(f"{folder}/batch.json", json_bytes(result))
        quality.write_batch_page(store, report, result)
        quality.write_index(store, list(batch_reports(store)))
    page = store.path(quality.report_key(batch_id))
    return {**result, "already_loaded": already_loaded, "report": str(page)}


def _date(name: str, value: str | None) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError as error:
        raise SourceError(
            f"{name} {value!r} is no date, expected ISO such as 2018-02-07: correct it"
        ) from error


def _received(
    settings: Settings,
    store: ArtefactStore,
    plan: dict[str, Any],
    landing: Sequence[str],
    reports: Sequence[dict[str, Any]],
) -> tuple[pa.Table, warehouse.History, list[ExchangeSessions], str]:
    # All rows of the batch, in an order that does not depend on that of the fetches, what is known
    # around them, and the batch's id. The rows alone are not enough for it: the same rows may be
    # fresh today and stale next week, and a jump of today explained by an action of next week.
    keys = sorted(set(landing))
    tables = [read_landed_bars(store, key) for key in keys]
    tables.sort(key=lambda table: str(table["ticker"][0]) if table.num_rows else "")
    params = source_params(settings, plan)
    rules = json_bytes(
        {
            "description": plan.get("description") or {},
            "calendar": params.calendar,
            "special_sessions": [str(day) for day in params.special_sessions],
            "quality": params.quality.model_dump(mode="json"),
            "expectations": _expectations_file(params)[1],
            "prices": params.prices,
            "negative_prices": sorted(params.negative_prices),
            "oldest_acceptable": str(_oldest_acceptable(settings, plan)),
            "released": [release["release_id"] for release in releases_of(store, plan["source"])],
        }
    )
    received = pa.concat_tables(tables, promote_options="permissive")
    reference = landed_reference(store, keys)
    bars, history = known_history(settings, plan["source"], received, reference)
    markets = batch_sessions(
        params.calendar,
        bars,
        history,
        declared=params.special_sessions,
        accepted=special_sessions(reports, plan["source"]),
    )
    known = [
        str(history.actions.to_pylist()),
        str(history.symbols.to_pylist()),
        str([(m.exchange, sorted(m.tickers), sorted(m.special)) for m in markets]),
    ]
    return bars, history, markets, content_hash(plan["source"], rules, *known, *keys)


def _context(
    settings: Settings,
    store: ArtefactStore,
    plan: dict[str, Any],
    batch_id: str,
    bars: pa.Table,
    history: warehouse.History,
    markets: Sequence[ExchangeSessions],
    reports: Sequence[dict[str, Any]],
) -> quality.BatchContext:
    loads = [
        report["load"]
        for report in reports
        if report["load"] and report["source"] == plan["source"] and report["batch_id"] != batch_id
    ]
    params = source_params(settings, plan)
    where, content = _expectations_file(params)
    latest = max(loads, key=lambda load: str(load["known_at"]), default=None)
    return quality.BatchContext(
        batch_id=batch_id,
        tickers=tickers_asked(plan, bars),
        oldest_acceptable=_oldest_acceptable(settings, plan),
        other_exchanges=tuple(
            (market.exchange, tuple(sorted(market.tickers)), oldest)
            for market in markets[1:]
            if (oldest := _oldest_acceptable(settings, plan, market.exchange))
        ),
        previous_rows=latest["received"] if latest else None,
        prices=params.prices,
        acted=frozenset(history.actions["ticker"].to_pylist()),
        negative_prices=params.negative_prices,
        declared=quality.parse_expectations(content, where) if where else (),
        released=released_values(store, plan["source"]),
    )


def _expectations_file(params: SourceParams) -> tuple[str, str]:
    # Path and content of the source's own expectations; empty where it has none.
    if not params.expectations:
        return "", ""
    path = Path(params.root or ".") / params.expectations
    path = path if path.is_file() else Path(params.expectations)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"sources.<name>.expectations: {params.expectations!r} cannot be read beside the bars "
            f"nor from {Path.cwd()}: {error.strerror}; correct the path"
        ) from error


def _oldest_acceptable(
    settings: Settings, plan: dict[str, Any], exchange: str | None = None
) -> date | None:
    # The last session of a batch must not be earlier; None where no end was asked for.
    end = _date("end", plan["end"])
    if end is None:
        return None
    params = source_params(settings, plan)
    allowed = params.quality.max_staleness_sessions
    # Twice the sessions and a fortnight, in days, hold that many sessions.
    first = end - timedelta(days=2 * allowed + 14)
    sessions = exchange_sessions(exchange or params.calendar, first, end)
    return sessions[-1 - allowed] if len(sessions) > allowed else first


def _judged(store: ArtefactStore, batch_id: str) -> dict[str, Any]:
    key = f"batches/{batch_id}/validation.json"
    if not store.exists(key):
        raise BarsRejected(
            f"batch {batch_id!r} was never judged, expected {store.path(key)}: validate it first"
        )
    report: dict[str, Any] = store.read_json(key)
    if report["refusals"]:
        raise BarsRejected(
            f"batch {batch_id} was refused and cannot be loaded: {'; '.join(report['refusals'])}; "
            f"see {store.path(quality.report_key(batch_id))}"
        )
    return report
