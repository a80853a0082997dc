"""Steps that bring bars in: plan, fetch into the landing zone, load what was judged."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from transfergate import metrics, quality, warehouse
from transfergate.errors import BarsRejected, SourceError, TransferGateError
from transfergate.settings import TICKER_PATTERN, Settings, SourceParams
from transfergate.sources import Source, open_source
from transfergate.sources.folder import Folder
from transfergate.steps.batches import index_batches
from transfergate.steps.described import describe, iso_date, source_params
from transfergate.steps.history import landed_reference
from transfergate.steps.universes import absent, named_tickers
from transfergate.storage import ArtefactStore, open_store
from transfergate.storage.landing import publish_landing

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
    first, last = iso_date("start", start), iso_date("end", end)
    if first and last and first > last:
        raise SourceError(f"start {first} is after end {last}: exchange the two dates")
    _refuse_unusable(tickers or ())
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
    _tell_of_absent(settings, name, params, opened)
    _tell_of_cases(name, known)
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


def _tell_of_absent(settings: Settings, name: str, params: SourceParams, opened: Source) -> None:
    # No refusal: the bars of the others may come with the next delivery.
    named = named_tickers(params.universe)
    if not named or not opened.lists_all:
        return
    try:
        found = absent(settings, name, params, opened, named)
    except (TransferGateError, OSError, ValueError, KeyError) as error:
        log.warning("universe of %s: whether all of it has bars cannot be said: %s", name, error)
        return
    if found:
        log.warning(
            "universe of %s: no bars of %s in this delivery, nor in its last snapshot; nothing "
            "can be trained by it before they come, or are taken out of it",
            name,
            ", ".join(found[0]),
        )


def _tell_of_cases(name: str, known: Iterable[str]) -> None:
    # Two tickers, unless somebody says otherwise; a vendor may mean one.
    spellings: dict[str, list[str]] = {}
    for ticker in known:
        spellings.setdefault(ticker.upper(), []).append(ticker)
    twice = [" and ".join(sorted(some)) for some in spellings.values() if len(some) > 1]
    if twice:
        log.warning(
            "tickers of %s that differ in upper and lower case alone: %s%s; each is taken as a "
            "ticker of its own: where they are one, say ticker_case = 'upper' in the format",
            name,
            ", ".join(twice[:5]),
            f", … ({len(twice)} in all)" if len(twice) > 5 else "",
        )


def _refuse_unusable(tickers: Iterable[str]) -> None:
    # Before a source makes an address of one. Names that come with bars go to quarantine.
    if unusable := [repr(one)[:60] for one in tickers if not re.fullmatch(TICKER_PATTERN, one)]:
        raise SourceError(
            f"{', '.join(unusable[:5])}: no ticker, expected up to 20 letters, digits and "
            f". ^ = & _ -, the first a letter, a digit or ^; correct the name, nothing was fetched"
        )


def fetch_bars(settings: Settings, plan: dict[str, Any], tickers: list[str]) -> str:
    """Put the bars of some tickers into the landing zone, as received; returns their key.

    Raises:
        SourceError: If a ticker or a file cannot be had; names it.
    """
    params = source_params(settings, plan)
    source = open_source(params, settings.home / "fetching")
    bars = source.fetch(tickers, iso_date("start", plan["start"]), iso_date("end", plan["end"]))
    store = open_store(settings)
    key = publish_landing(store, plan["source"], bars, source.reference(tickers))
    log.info("fetched %d bars of %d tickers from %s", bars.num_rows, len(tickers), plan["source"])
    return key


def load_bars(settings: Settings, plan: dict[str, Any], batch_id: str) -> dict[str, Any]:
    """Load a judged batch in one transaction; loading it again changes nothing.

    Returns:
        ``batch_id, source, received, loaded, new_revisions, unchanged, quarantined, tickers,
        first_session, last_session, known_at, already_loaded, report`` (path of its page).

    Raises:
        BarsRejected: If the batch was refused or never judged, or rows got lost.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    store = open_store(settings)
    folder = f"batches/{batch_id}"
    report = _judged(store, batch_id)
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        warehouse.limit_memory(conn, settings.warehouse.memory_limit_mb)
        # One that is loaded needs its files no more, and retention prunes them.
        counts = warehouse.stored_counts(conn, batch_id) or warehouse.load_batch(
            conn,
            source=plan["source"],
            batch_id=batch_id,
            accepted=store.local(f"{folder}/accepted.parquet"),
            quarantine=store.local(f"{folder}/quarantine.parquet"),
            received=report["received"],
            known_at=datetime.now(UTC),
            reference=landed_reference(store, report["landing"]),
        )
    result = counts.to_json()
    already_loaded = result.pop("already_loaded")
    if not already_loaded:
        _tell(counts)
    if counts.last_session:  # a source that says the same again grows old
        age = (datetime.now(UTC).date() - counts.last_session).days
        metrics.gauge("data.age_days", age, counts.source)
    if not store.exists(f"{folder}/batch.json"):
        quality.write_batch_page(store, report, result)
        index_batches(store, result)
    page = store.location(quality.report_key(batch_id))
    return {**result, "already_loaded": already_loaded, "report": page}


def _tell(counts: warehouse.LoadCounts) -> None:
    metrics.counts(
        {
            "rows.received": counts.received,
            "rows.loaded": counts.loaded,
            "rows.quarantined": counts.quarantined,
            "rows.new_revisions": counts.new_revisions,
        },
        counts.source,
    )


def _judged(store: ArtefactStore, batch_id: str) -> dict[str, Any]:
    key = f"batches/{batch_id}/validation.json"
    if not store.exists(key):
        raise BarsRejected(
            f"batch {batch_id!r} was never judged, expected {store.location(key)}: "
            f"validate it first"
        )
    report: dict[str, Any] = store.read_json(key)
    if report["refusals"]:
        raise BarsRejected(
            f"batch {batch_id} was refused and cannot be loaded: {'; '.join(report['refusals'])}; "
            f"see {store.location(quality.report_key(batch_id))}"
        )
    return report
