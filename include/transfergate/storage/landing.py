"""The landing zone: what one fetch brought, exactly as received, under a hash of its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transfergate.storage.artefacts import ArtefactStore, content_hash
from transfergate.storage.bars import (
    ACTION_SCHEMA,
    INSTRUMENT_SCHEMA,
    LANDING_SCHEMA,
    SYMBOL_SCHEMA,
    parquet_bytes,
    read_parquet,
)


@dataclass(frozen=True)
class Reference:
    """What a source says about its tickers besides their bars; empty tables where it says nothing.

    Attributes:
        actions: Splits and dividends, in ``ACTION_SCHEMA``.
        instruments: What is traded, in ``INSTRUMENT_SCHEMA``.
        symbols: Which ticker a symbol stood for when, in ``SYMBOL_SCHEMA``.
    """

    actions: pa.Table = field(default_factory=ACTION_SCHEMA.empty_table)
    instruments: pa.Table = field(default_factory=INSTRUMENT_SCHEMA.empty_table)
    symbols: pa.Table = field(default_factory=SYMBOL_SCHEMA.empty_table)


def publish_landing(store: ArtefactStore, source: str, bars: pa.Table, reference: Reference) -> str:
    """Write one fetch to ``landing/<source>/<hash>/``, whole or not at all; returns that key.

    Args:
        store: Where.
        source: Name of the source.
        bars: Bars as received; columns of ``LANDING_SCHEMA`` that are missing become null.
        reference: What else came; empty tables are not written.
    """
    contents = {"bars": parquet_bytes(_with_provenance(bars))}
    for part in fields(reference):
        table: pa.Table = getattr(reference, part.name)
        if table.num_rows:
            contents[part.name] = parquet_bytes(table)
    digest = content_hash(*(text for item in sorted(contents.items()) for text in item))
    key = f"landing/{source}/{digest}"

    def write(folder: Path) -> None:
        for name, content in contents.items():
            (folder / f"{name}.parquet").write_bytes(content)

    store.publish_folder(key, write)
    return key


def read_landed_bars(store: ArtefactStore, key: str) -> pa.Table:
    """Bars of one fetch, in ``LANDING_SCHEMA`` where its columns are sound."""
    return _with_provenance(read_parquet(store.read(f"{key}/bars.parquet")))


def landed_bars_are_sound(store: ArtefactStore, key: str) -> bool:
    """Whether the bars of one fetch have the landing zone's columns and types."""
    schema = pq.read_schema(store.local(f"{key}/bars.parquet"))
    bars = _with_provenance(schema.empty_table())
    return bool(bars.schema.remove_metadata().equals(LANDING_SCHEMA))


def read_landed_columns(store: ArtefactStore, key: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of the bars of one fetch; one that it lacks is null."""
    path = store.local(f"{key}/bars.parquet")
    there = [name for name in columns if name in pq.read_schema(path).names]
    if not there:
        rows = pq.read_metadata(path).num_rows
        return pa.table({n: pa.nulls(rows, LANDING_SCHEMA.field(n).type) for n in columns})
    table = pq.read_table(path, columns=there)
    for name in set(columns) - set(there):
        kind = LANDING_SCHEMA.field(name).type
        table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table.select(list(columns))


def read_landed_reference(store: ArtefactStore, key: str) -> Reference:
    """What one fetch brought besides bars; these are not read."""
    tables = {
        part.name: read_parquet(store.read(f"{key}/{part.name}.parquet"))
        for part in fields(Reference)
        if store.exists(f"{key}/{part.name}.parquet")
    }
    return Reference(**tables)


def _with_provenance(bars: pa.Table) -> pa.Table:
    for name in ("origin", "line", "unreadable", "symbol"):
        if name not in bars.column_names:
            bars = bars.append_column(
                name, pa.nulls(bars.num_rows, LANDING_SCHEMA.field(name).type)
            )
    return bars
