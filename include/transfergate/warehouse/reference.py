"""Appending corporate actions, instruments and symbols: what changed becomes a revision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from transfergate.errors import BarsRejected
from transfergate.storage.bars import ACTION_SCHEMA, INSTRUMENT_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference


@dataclass(frozen=True)
class _Kind:
    """One table of reference data.

    Attributes:
        table: Its name in the warehouse.
        part: Its name in ``Reference``.
        schema: Its columns as received.
        keys: What tells two facts apart; the other columns are what is said.
        unusable: SQL condition of a row that cannot be stored.
        expected: The contrary, in words.
        retracted: Column whose null takes a fact back; None where none can be.
    """

    table: str
    part: str
    schema: pa.Schema
    keys: tuple[str, ...]
    unusable: str
    expected: str
    retracted: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(name for name in self.schema.names if name not in self.keys)


KINDS = (
    _Kind(
        *("corporate_actions", "actions", ACTION_SCHEMA, ("ticker", "effect_date", "kind")),
        unusable="ticker is null or effect_date is null or kind is null "
        "or kind not in ('split', 'dividend') or value <= 0 or not isfinite(value)",
        expected="ticker, effect_date, kind split or dividend, and a value above 0 or none",
        retracted="value",
    ),
    _Kind(
        *("instruments", "instruments", INSTRUMENT_SCHEMA, ("ticker",)),
        unusable="ticker is null or cost_bps < 0 or not isfinite(cost_bps)",
        expected="ticker, and cost_bps of at least 0 or none",
    ),
    _Kind(
        *("symbols", "symbols", SYMBOL_SCHEMA, ("symbol", "first_date")),
        unusable="symbol is null or last_date < first_date",
        expected="symbol, and last_date not before first_date",
        retracted="ticker",
    ),
)


def append_reference(
    conn: duckdb.DuckDBPyConnection,
    *,
    source: str,
    batch_id: str,
    reference: Reference,
    moment: datetime,
) -> None:
    """Append what a batch says anew about its tickers; what is on file already adds nothing.

    A fact that a batch does not mention stays as it is: only a null value retracts an action, a
    null ticker a symbol.

    Args:
        conn: The warehouse, in the transaction of the load.
        source: Where it comes from; sources never mix.
        batch_id: The batch.
        reference: What came.
        moment: When it became known: later than any load before.

    Raises:
        BarsRejected: As ``check_reference``.
    """
    check_reference(conn, source, reference)
    for kind in KINDS:
        table: pa.Table = getattr(reference, kind.part)
        if not table.num_rows:
            continue
        same = " and ".join(f"current.{k} is not distinct from new.{k}" for k in kind.keys)
        differs = " or ".join(f"current.{v} is distinct from new.{v}" for v in kind.values)
        known = f"new.{kind.retracted} is not null" if kind.retracted else "true"
        conn.register("new_facts", table.select(kind.schema.names))
        try:
            conn.execute(
                f"""
                insert into {kind.table} by name
                with current as (
                    from {kind.table} where source = $source
                    qualify row_number() over (
                        partition by {", ".join(kind.keys)} order by known_at desc
                    ) = 1
                )
                select distinct new.*, $source as source, $batch_id as batch_id,
                    $moment as known_at
                from new_facts as new left join current on {same}
                where case when current.batch_id is null then {known} else {differs} end
                order by {", ".join(f"new.{key}" for key in kind.keys)}
                """,
                {"source": source, "batch_id": batch_id, "moment": moment},
            )
        finally:
            conn.unregister("new_facts")


def check_reference(conn: duckdb.DuckDBPyConnection, source: str, reference: Reference) -> None:
    """Refuse facts that cannot be stored, or that contradict each other.

    Args:
        conn: Any connection.
        source: Named in the message.
        reference: What came.

    Raises:
        BarsRejected: Names the rows and what was expected.
    """
    for kind in KINDS:
        table: pa.Table = getattr(reference, kind.part)
        if not table.num_rows:
            continue
        keys = ", ".join(kind.keys)
        conn.register("new_facts", table.select(kind.schema.names))
        try:
            unusable = conn.execute(f"from new_facts where {kind.unusable} limit 3").fetchall()
            torn = conn.execute(
                f"select {keys}, count(*) from (select distinct * from new_facts) "
                f"group by {keys} having count(*) > 1 order by all limit 3"
            ).fetchall()
        finally:
            conn.unregister("new_facts")
        found = [
            *(f"row {_shown(row)}, expected {kind.expected}" for row in unusable),
            *(f"{row[-1]} different rows for {_shown(row[:-1])}, expected one" for row in torn),
        ]
        if found:
            raise BarsRejected(
                f"{kind.part} of {source}: {'; '.join(found)}. Nothing was loaded: correct "
                f"these rows (two dividends on one day are one, their sum) and ingest again"
            )


def new_facts(conn: duckdb.DuckDBPyConnection, batch_id: str) -> dict[str, Any]:
    """How many revisions a batch added: ``new_actions, new_instruments, new_symbols``."""
    counts: dict[str, Any] = {}
    for kind in KINDS:
        ((count,),) = conn.execute(
            f"select count(*) from {kind.table} where batch_id = ?", [batch_id]
        ).fetchall()
        counts[f"new_{kind.part}"] = int(count)
    return counts


def _shown(row: tuple[object, ...]) -> str:
    return ", ".join("null" if value is None else str(value) for value in row)
