"""Letting quarantined rows through: a load of its own, with who and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from transfergate.errors import QuarantineError
from transfergate.storage import content_hash
from transfergate.storage.bars import BAR_SCHEMA
from transfergate.warehouse.connection import transaction
from transfergate.warehouse.loads import append_bars, moment_of, next_moment

log = logging.getLogger(__name__)

_NO_QUARANTINE = pa.schema([("row_id", pa.int64()), ("reasons", pa.list_(pa.string()))])


@dataclass(frozen=True)
class Release:
    """One release.

    Attributes:
        release_id: Names the load.
        source: Of the bars.
        who: Released it.
        why: Reason given.
        known_at: ISO moment from which on the bars are known.
        new_revisions: Bars that it changed; the others were loaded with these values already.
        rows: ``batch_id, row_id``, then the bars' columns.
    """

    release_id: str
    source: str
    who: str
    why: str
    known_at: str
    new_revisions: int
    rows: pa.Table


def release_rows(
    conn: duckdb.DuckDBPyConnection,
    *,
    source: str,
    asked: list[tuple[str, int]],
    who: str,
    why: str,
    known_at: datetime,
) -> tuple[list[Release], int]:
    """Load quarantined rows as bars, in one transaction; the rows stay in quarantine.

    Args:
        conn: An open warehouse, in no transaction; left in none.
        source: Of the rows.
        asked: ``(batch_id, row_id)`` of each row; those released before are left as they are.
        who: Releases them.
        why: The reason.
        known_at: When, with a time zone; moved to just after the last load where it is not later.

    Returns:
        The releases that hold the rows asked for, the new one last, and how many rows are new.

    Raises:
        QuarantineError: If a row is not in the quarantine of a loaded batch of the source, or a
            later delivery brought its bar with other values.
    """
    wanted = pa.table(
        {
            "batch_id": pa.array([batch for batch, _ in asked], pa.string()),
            "row_id": pa.array([row for _, row in asked], pa.int64()),
        }
    )
    conn.register("asked_rows", wanted)
    try:
        with transaction(conn):
            _check_there(conn, source, len(asked))
            fresh: pa.Table = conn.sql(
                f"""
                select batch_id, row_id, {", ".join(BAR_SCHEMA.names)}
                from quarantine
                semi join asked_rows using (batch_id, row_id)
                anti join releases using (batch_id, row_id)
                order by batch_id, row_id
                """
            ).to_arrow_table()
            if fresh.num_rows:
                _check_not_outdated(conn, source, fresh)
                _load(conn, source, fresh, who, why, next_moment(conn, known_at))
        names = conn.execute(
            "select release_id from releases semi join asked_rows using (batch_id, row_id) "
            "group by release_id order by max(known_at)"
        ).fetchall()
    finally:
        conn.unregister("asked_rows")
    log.info("%s: %d of %d rows released by %s", source, fresh.num_rows, len(asked), who)
    return [_read(conn, name) for (name,) in names], fresh.num_rows


def _check_there(conn: duckdb.DuckDBPyConnection, source: str, asked: int) -> None:
    ((there,),) = conn.execute(
        """
        select count(*) from quarantine
        semi join asked_rows using (batch_id, row_id) semi join batches using (batch_id)
        where source = ?
        """,
        [source],
    ).fetchall()
    if there != asked:
        raise QuarantineError(
            f"{asked - there} of {asked} rows are not in the quarantine of a loaded batch of "
            f"{source!r}: load the batch first, or list what there is with transfergate "
            f"quarantine list --source {source}"
        )


def _check_not_outdated(conn: duckdb.DuckDBPyConnection, source: str, rows: pa.Table) -> None:
    # A person may prefer a row to what was there before it, not to what the vendor said since.
    values = [name for name in BAR_SCHEMA.names if name not in ("ticker", "session_date")]
    differs = " or ".join(f"fresh.{name} is distinct from bar.{name}" for name in values)
    conn.register("fresh_rows", rows)
    found = conn.execute(
        f"""
        select fresh.batch_id, fresh.row_id, fresh.ticker, fresh.session_date, bar.batch_id
        from fresh_rows as fresh
        inner join batches as received using (batch_id)
        inner join (
            from bar_revisions where source = $source
            qualify row_number() over (
                partition by ticker, session_date order by known_at desc
            ) = 1
        ) as bar on fresh.ticker = bar.ticker and fresh.session_date = bar.session_date
        where bar.known_at > received.known_at and ({differs})
            and bar.batch_id not in (select release_id from releases)
        order by all
        """,
        {"source": source},
    ).fetchall()
    conn.unregister("fresh_rows")
    if found:
        batch, row, ticker, day, newer = found[0]
        raise QuarantineError(
            f"batch {batch}, row {row}: {ticker} on {day} came again with other values and was "
            f"loaded by batch {newer} ({len(found)} of {rows.num_rows} rows): expected rows that "
            f"no later delivery corrects. Nothing was released: leave such rows out by --rows, "
            f"--start and --end, or correct the source and ingest again"
        )


def _load(
    conn: duckdb.DuckDBPyConnection,
    source: str,
    rows: pa.Table,
    who: str,
    why: str,
    moment: datetime,
) -> None:
    pairs = zip(rows["batch_id"].to_pylist(), rows["row_id"].to_pylist(), strict=True)
    release_id = content_hash("release", source, *(f"{batch} {row}" for batch, row in pairs))
    bars = rows.select(BAR_SCHEMA.names).cast(BAR_SCHEMA)
    conn.register("released_rows", rows)
    # Before the load, whose batch row closes the moment for every other write.
    conn.execute(
        """
        insert into releases by name
        select batch_id, row_id, ticker, session_date, $release as release_id, $source as source,
            $who as who, $why as why, $moment as known_at
        from released_rows
        """,
        {"release": release_id, "source": source, "who": who, "why": why, "moment": moment},
    )
    conn.unregister("released_rows")
    append_bars(conn, source, release_id, bars, _NO_QUARANTINE.empty_table(), rows.num_rows, moment)


def _read(conn: duckdb.DuckDBPyConnection, release_id: str) -> Release:
    rows = conn.sql(
        f"""
        select batch_id, row_id, {", ".join(BAR_SCHEMA.names)}
        from quarantine semi join (from releases where release_id = ?) using (batch_id, row_id)
        order by batch_id, row_id
        """,
        params=[release_id],
    ).to_arrow_table()
    ((source, who, why, microseconds, new),) = conn.execute(
        """
        select any_value(releases.source), any_value(who), any_value(why),
            any_value(epoch_us(releases.known_at)), any_value(new_revisions)
        from releases inner join batches on releases.release_id = batches.batch_id
        where release_id = ?
        """,
        [release_id],
    ).fetchall()
    return Release(release_id, source, who, why, moment_of(microseconds).isoformat(), new, rows)
