"""The step that judges a batch: rows are accepted or set apart, or the batch is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from transfergate import metrics, quality, warehouse
from transfergate.calendars import exchange_sessions
from transfergate.errors import BarsRejected, SettingsError, SourceError
from transfergate.settings import Settings, SourceParams
from transfergate.sources.folder import Folder
from transfergate.steps.batches import (
    batch_reports,
    index_batches,
    released_values,
    releases_of,
    special_sessions,
)
from transfergate.steps.described import iso_date, source_params
from transfergate.steps.history import described_portions, known_history, tickers_asked
from transfergate.steps.rows import NO_DAY, BatchRows
from transfergate.steps.sessions import ExchangeSessions, batch_sessions
from transfergate.storage import ArtefactStore, content_hash, json_bytes, open_store
from transfergate.storage.bars import BAR_SCHEMA, parquet_bytes, read_parquet, write_parquet_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Batch:
    """A batch before it is judged.

    Attributes:
        id: Its id.
        rows: Its rows; a table where the columns of a fetch break the contract.
        history: What is known around it.
        markets: The exchanges whose sessions it is judged by.
        reports: Of all batches before.
        expectations: Where the source's own expectations are, and what they say; empty for none.
    """

    id: str
    rows: BatchRows | pa.Table
    history: warehouse.History
    markets: Sequence[ExchangeSessions]
    reports: Sequence[dict[str, Any]]
    expectations: tuple[str, str]


@dataclass(frozen=True)
class _Portions:
    """Frames that are made anew each time they are asked for."""

    make: Callable[[], Iterable[pd.DataFrame]]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter(self.make())


def validate_bars(settings: Settings, plan: dict[str, Any], landing: list[str]) -> str:
    """Judge what was fetched, set bad rows apart, publish Data Docs; returns the batch's id.

    The id is a hash of the rows and of the rules that they are judged by, freshness included: the
    same rows under other rules are another batch, which adds no revision. A batch that was
    loaded before is not judged again. Rows are read by portions of tickers: memory grows with the
    rows that break a rule, and by nine bytes with each other one.

    Raises:
        BarsRejected: If the batch as a whole cannot be trusted; names the report. Nothing of
            it can be loaded.
    """
    store = open_store(settings)
    batch = _received(settings, store, plan, landing)
    page = quality.report_key(batch.id)
    if store.exists(f"batches/{batch.id}/batch.json") and store.exists(page):
        log.info("batch %s was judged and loaded before: nothing to do", batch.id)
        return batch.id
    params = source_params(settings, plan)
    validation, rows = _judged(settings, store, plan, batch)
    report = {
        "batch_id": batch.id,
        "source": plan["source"],
        "start": plan["start"],
        "end": plan["end"],
        "calendar": params.calendar,
        "exchanges": [market.to_json() for market in batch.markets],
        "landing": sorted(landing),
        **quality.report_of(validation, rows),
    }
    _write_rows(store, batch, validation)
    findings = quality.findings_of(validation, rows)
    store.replace(f"batches/{batch.id}/findings.parquet", parquet_bytes(findings))
    store.replace(f"batches/{batch.id}/validation.json", json_bytes(report))
    if validation.reasons:
        quarantined = read_parquet(store.read(f"batches/{batch.id}/quarantine.parquet"))
        quality.write_quarantine_page(store, report, quarantined)
    quality.write_batch_page(store, report)
    index_batches(store)
    if validation.refusals:
        metrics.count("batches.refused", 1, plan["source"])
        raise BarsRejected(
            f"batch {batch.id} of {plan['source']} ({report['received']} rows) is refused, nothing "
            f"was loaded: {'; '.join(validation.refusals)}. Look at "
            f"{store.location(page)}, then correct the source, or the thresholds in "
            f"sources.{plan['source']}.quality"
        )
    log.info("batch %s: %d accepted, %d quarantined", batch.id, report["accepted"],
             report["quarantined"])  # fmt: skip
    return batch.id


def _judged(
    settings: Settings, store: ArtefactStore, plan: dict[str, Any], batch: _Batch
) -> tuple[quality.Validation, quality.JudgedRows]:
    context = _context(settings, store, plan, batch)
    params = source_params(settings, plan).quality
    if not isinstance(batch.rows, BatchRows):
        frame: pd.DataFrame = batch.rows.to_pandas(date_as_object=False)
        rows = quality.JudgedRows.of(frame)
        return quality.validate_portions([frame], rows, params, context, store)
    whole, days = batch.rows, batch.rows.days[batch.rows.days != NO_DAY]
    ends = [date(1970, 1, 1) + timedelta(days=int(day)) for day in
            ((days.min(), days.max()) if len(days) else ())]  # fmt: skip
    rows = quality.JudgedRows(
        pd.Series(pd.Categorical.from_codes(whole.codes, pd.Index(list(whole.names), dtype="str"))),
        first_session=ends[0] if ends else None,
        last_session=ends[1] if ends else None,
        vendor_adjusted=whole.vendor_adjusted,
    )
    portions = _Portions(
        lambda: described_portions(settings, store, whole, batch.markets, batch.history)
    )
    return quality.validate_portions(portions, rows, params, context, store)


def _write_rows(store: ArtefactStore, batch: _Batch, validation: quality.Validation) -> None:
    # Accepted rows of a batch that may be loaded, and quarantined ones; one fetch at a time.
    parts = [("quarantine", 1)] if validation.refusals else [("accepted", 0), ("quarantine", 1)]
    for name, place in parts:
        key = f"batches/{batch.id}/{name}.parquet"
        if not isinstance(batch.rows, BatchRows):
            store.replace(key, parquet_bytes(quality.split_rows(batch.rows, validation)[place]))
            continue
        schema = (BAR_SCHEMA, quality.QUARANTINE_SCHEMA)[place]
        if place and not validation.reasons:
            store.replace(key, parquet_bytes(schema.empty_table()))
            continue
        with store.replacing(key) as file:
            write_parquet_rows(
                file,
                schema,
                (
                    quality.split_rows(table, validation, start)[place]
                    for start, table in batch.rows.tables(store)
                ),
            )


def _received(
    settings: Settings, store: ArtefactStore, plan: dict[str, Any], landing: Sequence[str]
) -> _Batch:
    # The rows alone are not enough for the batch's id: the same rows may be fresh today and stale
    # next week, and a jump of today explained by an action of next week.
    params = source_params(settings, plan)
    expectations = _expectations_file(params)
    rules = json_bytes(
        {
            "description": plan.get("description") or {},
            "calendar": params.calendar,
            "special_sessions": [str(day) for day in params.special_sessions],
            "quality": params.quality.model_dump(mode="json"),
            "expectations": expectations[1],
            "prices": params.prices,
            "negative_prices": sorted(params.negative_prices),
            "oldest_acceptable": str(_oldest_acceptable(settings, plan)),
            "released": [release["release_id"] for release in releases_of(store, plan["source"])],
        }
    )
    reports = list(batch_reports(store))
    rows, history = known_history(settings, plan["source"], store, landing)
    no_rows = pa.table(
        {"ticker": pa.array([], pa.string()), "session_date": pa.array([], pa.date32())}
    )
    markets = batch_sessions(
        params.calendar,
        rows.keyed if isinstance(rows, BatchRows) else no_rows,
        history,
        declared=params.special_sessions,
        accepted=special_sessions(reports, plan["source"]),
    )
    known = [
        str(history.actions.to_pylist()),
        str(history.symbols.to_pylist()),
        str([(m.exchange, sorted(m.tickers), sorted(m.special)) for m in markets]),
    ]
    batch_id = content_hash(plan["source"], rules, *known, *sorted(set(landing)))
    return _Batch(batch_id, rows, history, markets, reports, expectations)


def _context(
    settings: Settings, store: ArtefactStore, plan: dict[str, Any], batch: _Batch
) -> quality.BatchContext:
    loads = [
        report["load"]
        for report in batch.reports
        if report["load"] and report["source"] == plan["source"] and report["batch_id"] != batch.id
        and _days_asked(report) == _days_asked(plan)
    ]  # fmt: skip
    params = source_params(settings, plan)
    where, content = batch.expectations
    latest = max(loads, key=lambda load: str(load["known_at"]), default=None)
    return quality.BatchContext(
        batch_id=batch.id,
        tickers=tickers_asked(plan, batch.rows),
        oldest_acceptable=_oldest_acceptable(settings, plan),
        other_exchanges=tuple(
            (market.exchange, tuple(sorted(market.tickers)), oldest)
            for market in batch.markets[1:]
            if (oldest := _oldest_acceptable(settings, plan, market.exchange))
        ),
        previous_rows=latest["received"] if latest else None,
        prices=params.prices,
        acted=frozenset(batch.history.actions["ticker"].to_pylist()),
        negative_prices=params.negative_prices,
        declared=quality.parse_expectations(content, where) if where else (),
        released=released_values(store, plan["source"]),
        retracted=tuple(
            f"{ticker} {day}: {ratio:g} new shares for one old"
            for ticker, day, ratio in batch.history.retracted
        ),
    )


def _days_asked(asked: Mapping[str, Any]) -> int | None:
    # How many days; None for an open end. A week that is filled in is no small delivery of years.
    first, last = iso_date("start", asked["start"]), iso_date("end", asked["end"])
    return (last - first).days if first and last else None


def _expectations_file(params: SourceParams) -> tuple[str, str]:
    # Where the source's own expectations are, and what they say; empty where it has none.
    if not params.expectations:
        return "", ""
    try:
        if params.root:
            folder = Folder(params.root)
            if folder.exists(params.expectations):
                content = folder.read(params.expectations).to_pybytes().decode("utf-8-sig")
                return folder.url(params.expectations), content
        path = Path(params.expectations)
        return str(path), path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, SourceError) as error:
        raise SettingsError(
            f"sources.<name>.expectations: {params.expectations!r} cannot be read beside the bars "
            f"nor from {Path.cwd()}: {error}; correct the path"
        ) from error


def _oldest_acceptable(
    settings: Settings, plan: dict[str, Any], exchange: str | None = None
) -> date | None:
    # The last session of a batch must not be earlier; None where no end was asked for.
    end = iso_date("end", plan["end"])
    if end is None:
        return None
    params = source_params(settings, plan)
    allowed = params.quality.max_staleness_sessions
    # Twice the sessions and a fortnight, in days, hold that many sessions.
    first = end - timedelta(days=2 * allowed + 14)
    sessions = exchange_sessions(exchange or params.calendar, first, end)
    return sessions[-1 - allowed] if len(sessions) > allowed else first
