"""The out-of-sample record: net daily returns of every arm, written once and never again.

A fold is one folder, ``ledger/<recipe>/<ticker>/fold-<number>/``: the rows of every arm, the
fine-tuned weights and the record ``fold.json``. It appears by one rename, so that a process that
is killed at any moment leaves the fold as before or complete; rows without ``fold.json`` do not
count. A champion that is run again lies beside them, at
``ledger/<recipe>/<ticker>/champion@<model version>/fold-<number>.parquet``.

Publishing the same rows again changes nothing; other rows of the same fold, or a session that
another fold holds already, are refused: re-scoring old sessions until the verdict pleases is not
possible. Another recipe has a record of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate.errors import StorageConflict
from transfergate.evaluation.ledger_rows import (
    ARMS,
    REFERENCE_ARMS,
    REQUIRED_ARMS,
    SCHEMA,
    normalise,
    parquet_bytes,
)
from transfergate.storage import ArtefactStore, json_bytes

__all__ = [
    "ARMS",
    "RECORD",
    "REFERENCE_ARMS",
    "REQUIRED_ARMS",
    "SCHEMA",
    "Ledger",
    "champion_key",
    "fold_key",
]

RECORD = "fold.json"
_KEY_PART = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=&_\-]*")


class Ledger:
    """Append-only record below ``ledger/`` of an artefact store."""

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store

    def publish_fold(
        self,
        recipe: str,
        ticker: str,
        fold: int,
        arms: Mapping[str, pa.Table],
        record: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Publish all that is known of one fold at once, and once only.

        Args:
            recipe: Hash of everything that defines both arms.
            ticker: The target.
            fold: Number of the fold.
            arms: Per arm ``seed, session_date, net_return, position, turnover, cost``, in any
                order; a champion is no arm of a fold, see :meth:`append_champion`.
            record: How the rows came about; ``rows`` (per arm: count and SHA-256) is added.
            files: Further files of the folder, such as weights.

        Returns:
            True if published, False if the same rows were there already.

        Raises:
            ValueError: If there is no arm, an arm is unknown, a column is missing, or a key part
                is malformed.
            StorageConflict: If the fold holds other rows, a (seed, session) stands twice in one
                arm, or another fold holds one of the sessions; nothing is written.
        """
        tables = {arm: normalise(recipe, ticker, fold, arm, rows) for arm, rows in arms.items()}
        if not tables or "champion" in tables:
            raise ValueError(
                f"{ticker}, fold {fold}: expected the rows of at least one arm and none of a "
                f"champion, found {sorted(tables)}"
            )
        key = fold_key(recipe, ticker, fold)
        if self.store.exists(f"{key}/{RECORD}"):
            return self._confirm_fold(recipe, ticker, fold, tables)
        for arm, table in tables.items():
            self._refuse_sessions_of_other_folds(recipe, ticker, fold, arm, table)
        contents = {f"{arm}.parquet": parquet_bytes(table) for arm, table in tables.items()}
        rows = {
            arm: {"rows": table.num_rows, "sha256": _sha256(contents[f"{arm}.parquet"])}
            for arm, table in tables.items()
        }
        contents |= dict(files or {})
        contents[RECORD] = json_bytes({**(record or {}), "rows": rows})

        def write(folder: Path) -> None:
            for name, content in contents.items():  # the record last
                (folder / name).write_bytes(content)

        if self.store.publish_folder(key, write):
            return True
        return self._confirm_fold(recipe, ticker, fold, tables)  # published meanwhile

    def append_champion(
        self, recipe: str, ticker: str, fold: int, version: str, rows: pa.Table
    ) -> bool:
        """Write the rows of a champion that was run again on one fold, once.

        Args:
            recipe: Whose record the rows belong to, not the champion's own recipe.
            ticker: The target.
            fold: Number of the fold.
            version: The champion's model version.
            rows: As for an arm.

        Returns:
            True if written, False if the same rows were there already.

        Raises:
            ValueError: If a column is missing or a key part is malformed.
            StorageConflict: If other rows are there, or in another fold of this champion.
        """
        table = normalise(recipe, ticker, fold, "champion", rows, version)
        key = champion_key(recipe, ticker, fold, version)
        if not self.store.exists(key):
            name = f"champion@{version}"
            self._refuse_sessions_of_other_folds(recipe, ticker, fold, name, table)
            try:
                return self.store.write_once(key, parquet_bytes(table))
            except StorageConflict:  # written meanwhile: identical rows are no conflict
                pass
        if self._table(key).equals(table):
            return False
        raise _scored_before(key)

    def holds_champion(self, recipe: str, ticker: str, fold: int, version: str) -> bool:
        """Whether a champion's rows of one fold were written."""
        return self.store.exists(champion_key(recipe, ticker, fold, version))

    def folds(self, recipe: str, ticker: str) -> list[int]:
        """Numbers of the published folds, ascending."""
        keys = self.store.keys(f"ledger/{_checked(recipe, 'recipe')}/{_checked(ticker, 'ticker')}")
        return sorted(int(key.split("/")[3][5:]) for key in keys if key.endswith(f"/{RECORD}"))

    def record(self, recipe: str, ticker: str, fold: int) -> dict[str, Any]:
        """What was recorded with a published fold; ``FileNotFoundError`` if it was not."""
        found: dict[str, Any] = self.store.read_json(f"{fold_key(recipe, ticker, fold)}/{RECORD}")
        return found

    def read(self, recipe: str, ticker: str) -> pa.Table:
        """All rows of a ticker under a recipe, sorted; empty if there are none.

        Raises:
            StorageConflict: If two folds hold the same session of one arm, or rows are not those
                that were published.
        """
        tables = [
            table
            for fold in self.folds(recipe, ticker)
            for table in self._fold_tables(recipe, ticker, fold).values()
        ]
        prefix = f"ledger/{recipe}/{ticker}"
        tables += [
            self._table(key)
            for key in self.store.keys(prefix)
            if key.split("/")[3][:9] == "champion@"
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

    def _confirm_fold(
        self, recipe: str, ticker: str, fold: int, tables: Mapping[str, pa.Table]
    ) -> bool:
        there = self._fold_tables(recipe, ticker, fold)
        if set(there) == set(tables) and all(there[arm].equals(tables[arm]) for arm in tables):
            return False
        raise _scored_before(fold_key(recipe, ticker, fold))

    def _fold_tables(self, recipe: str, ticker: str, fold: int) -> dict[str, pa.Table]:
        key = fold_key(recipe, ticker, fold)
        rows = self.record(recipe, ticker, fold)["rows"]
        return {arm: self._table(f"{key}/{arm}.parquet", rows[arm]["sha256"]) for arm in rows}

    def _refuse_sessions_of_other_folds(
        self, recipe: str, ticker: str, fold: int, name: str, table: pa.Table
    ) -> None:
        """``name`` is an arm, or ``champion@<version>``."""
        new = pc.unique(table["session_date"])
        prefix = f"ledger/{recipe}/{ticker}"
        if name.startswith("champion@"):
            others = [key for key in self.store.keys(f"{prefix}/{name}")]
        else:
            numbers = [number for number in self.folds(recipe, ticker) if number != fold]
            keys = [f"{fold_key(recipe, ticker, number)}/{name}.parquet" for number in numbers]
            others = [key for key in keys if self.store.exists(key)]
        for key in others:
            both = pc.filter(new, pc.is_in(new, value_set=self._table(key)["session_date"]))
            if len(both):
                raise StorageConflict(
                    f"{prefix}, fold {fold}, {name}: session {pc.min(both).as_py()} and "
                    f"{len(both) - 1} more are in the ledger already, in {key}; a session belongs "
                    f"to one fold"
                )

    def _table(self, key: str, expected_sha256: str | None = None) -> pa.Table:
        content = self.store.read(key)
        if expected_sha256 is not None and _sha256(content) != expected_sha256:
            raise StorageConflict(
                f"{key}: not the rows that were published with its fold (expected sha256 "
                f"{expected_sha256}, found {_sha256(content)}); restore the folder from a backup"
            )
        # A few hundred rows: read_table's data set and threads cost more than the reading.
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False).cast(SCHEMA)


def fold_key(recipe: str, ticker: str, fold: int) -> str:
    """Folder of one fold."""
    folder = f"ledger/{_checked(recipe, 'recipe')}/{_checked(ticker, 'ticker')}"
    return f"{folder}/fold-{fold:06d}"


def champion_key(recipe: str, ticker: str, fold: int, version: str) -> str:
    """Object of one champion's rows in one fold."""
    folder = f"ledger/{_checked(recipe, 'recipe')}/{_checked(ticker, 'ticker')}"
    return f"{folder}/champion@{_checked(version, 'model version')}/fold-{fold:06d}.parquet"


def _scored_before(key: str) -> StorageConflict:
    return StorageConflict(
        f"{key}: these sessions were scored before, with other results; the out-of-sample "
        f"record is write-once and was left as it is: score new sessions instead"
    )


def _checked(part: str, what: str) -> str:
    if not _KEY_PART.fullmatch(part):
        raise ValueError(f"{what} {part!r} cannot be part of a ledger key")
    return part


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
