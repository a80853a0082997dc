"""The out-of-sample record: net daily returns of every arm, written once and never again.

One object per (recipe, ticker, fold, arm, model version), at
``ledger/<recipe>/<ticker>/fold-<number>/<arm>[@<model version>].parquet``. Writing the same rows
again changes nothing; other rows under the same key, or a session that another fold of the arm
holds already, are refused: re-scoring old sessions until the verdict pleases is not possible.
"""

from __future__ import annotations

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate.errors import StorageConflict
from transfergate.storage import ArtefactStore

REQUIRED_ARMS = ("finetuned", "scratch")
REFERENCE_ARMS = ("zero_shot", "buy_hold", "champion", "ridge", "random")
ARMS = REQUIRED_ARMS + REFERENCE_ARMS

SCHEMA = pa.schema(
    [
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("session_date", pa.date32(), nullable=False),
        pa.field("net_return", pa.float64(), nullable=False),
        pa.field("position", pa.float64(), nullable=False),
        pa.field("turnover", pa.float64(), nullable=False),
        pa.field("cost", pa.float64(), nullable=False),
        pa.field("model_version", pa.string()),
    ]
)
_KEY_PART = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=&_\-]*")


class Ledger:
    """Append-only record below ``ledger/`` of an artefact store."""

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store

    def append(self, recipe: str, ticker: str, fold: int, arm: str, rows: pa.Table) -> bool:
        """Write the rows of one arm in one fold, once.

        Args:
            recipe: Hash of everything that defines both arms.
            ticker: The target.
            fold: Number of the fold.
            arm: One of :data:`ARMS`.
            rows: ``seed, session_date, net_return, position, turnover, cost`` and, where a model
                was run again, one ``model_version`` for all rows; any order.

        Returns:
            True if written, False if the same rows were there already.

        Raises:
            ValueError: If the arm is unknown, a column is missing or a key part is malformed.
            StorageConflict: If the key holds other rows, a (seed, session) stands twice in
                ``rows``, or another fold holds one of the sessions; nothing is written.
        """
        table = _normalise(recipe, ticker, fold, arm, rows)
        version = table["model_version"][0].as_py()
        name = arm if version is None else f"{arm}@{_checked(version, 'model version')}"
        folder = f"ledger/{_checked(recipe, 'recipe')}/{_checked(ticker, 'ticker')}"
        key = _key(recipe, ticker, fold, name)
        if self.store.exists(key):
            return self._confirm(key, table)
        self._refuse_sessions_of_other_folds(folder, fold, name, table)
        try:
            return self.store.write_once(key, _parquet_bytes(table))
        except StorageConflict:  # written meanwhile: identical rows are no conflict
            return self._confirm(key, table)

    def holds(
        self, recipe: str, ticker: str, fold: int, arm: str, version: str | None = None
    ) -> bool:
        """Whether the rows of one arm, or of one model version of it, were written."""
        name = arm if version is None else f"{arm}@{version}"
        return self.store.exists(_key(recipe, ticker, fold, name))

    def read(self, recipe: str, ticker: str) -> pa.Table:
        """All rows of a ticker under a recipe, sorted; empty if there are none.

        Raises:
            StorageConflict: If two folds hold the same session of one arm.
        """
        tables = [
            self._read(key)
            for key in self.store.keys(f"ledger/{recipe}/{ticker}")
            if key.endswith(".parquet")
        ]
        order = [
            (name, "ascending") for name in ("arm", "model_version", "seed", "session_date", "fold")
        ]
        table = pa.concat_tables([SCHEMA.empty_table(), *tables]).sort_by(order)
        keys = table.select(["arm", "model_version", "seed", "session_date"])
        distinct = keys.group_by(keys.column_names).aggregate([]).num_rows
        if distinct != table.num_rows:
            raise StorageConflict(
                f"ledger/{recipe}/{ticker}: {table.num_rows - distinct} sessions stand in two "
                f"folds of one arm, expected each once; remove the fold that was written with "
                f"other session boundaries"
            )
        return table.combine_chunks()

    def _confirm(self, key: str, table: pa.Table) -> bool:
        if self._read(key).equals(table):
            return False
        raise StorageConflict(
            f"{key}: these sessions were scored before, with other results; the out-of-sample "
            f"record is write-once and was left as it is: score new sessions instead"
        )

    def _refuse_sessions_of_other_folds(
        self, folder: str, fold: int, name: str, table: pa.Table
    ) -> None:
        own = f"{folder}/fold-{fold:06d}/"
        new = pc.unique(table["session_date"])
        for key in self.store.keys(folder):
            if key.startswith(own) or not key.endswith(f"/{name}.parquet"):
                continue
            both = pc.filter(new, pc.is_in(new, value_set=self._read(key)["session_date"]))
            if len(both):
                raise StorageConflict(
                    f"{own}{name}.parquet: session {pc.min(both).as_py()} and {len(both) - 1} "
                    f"more are in the ledger already, in {key}; a session belongs to one fold"
                )

    def _read(self, key: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.store.read(key))).cast(SCHEMA)


def _normalise(recipe: str, ticker: str, fold: int, arm: str, rows: pa.Table) -> pa.Table:
    """Contract columns and types, sorted by seed and session."""
    if arm not in ARMS:
        raise ValueError(f"{ticker}: unknown arm {arm!r}, expected one of {', '.join(ARMS)}")
    wanted = SCHEMA.names[4:-1]
    missing = [name for name in wanted if name not in rows.column_names]
    if missing or rows.num_rows == 0:
        raise ValueError(
            f"{ticker} {arm}, fold {fold}: rows lack {missing}; expected {wanted} and at least "
            f"one row, found {rows.num_rows} rows of {rows.column_names}"
        )
    n = rows.num_rows
    columns = {
        "recipe": pa.array([recipe] * n),
        "ticker": pa.array([ticker] * n),
        "fold": pa.array(np.full(n, fold), pa.int32()),
        "arm": pa.array([arm] * n),
        **{name: rows[name].combine_chunks() for name in wanted},
        "model_version": rows["model_version"].combine_chunks()
        if "model_version" in rows.column_names
        else pa.nulls(n, pa.string()),
    }
    table = (
        pa.table(columns)
        .cast(SCHEMA)
        .sort_by([("seed", "ascending"), ("session_date", "ascending")])
    )
    if len(pc.unique(table["model_version"])) != 1:
        raise ValueError(f"{ticker} {arm}, fold {fold}: expected one model version for all rows")
    if table.group_by(["seed", "session_date"]).aggregate([]).num_rows != n:
        raise StorageConflict(f"{ticker} {arm}, fold {fold}: a (seed, session_date) stands twice")
    return table.combine_chunks()


def _key(recipe: str, ticker: str, fold: int, name: str) -> str:
    return f"ledger/{recipe}/{ticker}/fold-{fold:06d}/{name}.parquet"


def _checked(part: str, what: str) -> str:
    if not _KEY_PART.fullmatch(part):
        raise ValueError(f"{what} {part!r} cannot be part of a ledger key")
    return part


def _parquet_bytes(table: pa.Table) -> bytes:
    """The same rows give the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 20)
    return sink.getvalue()
