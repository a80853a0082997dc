"""Reading a file of returns for the gate: Parquet or CSV, with columns checked on the way in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from transfergate.errors import GateInputError
from transfergate.evaluation.gate.columns import COLUMN_TYPES, Returns, check_columns


def read_returns(path: Path) -> Returns:
    """Read ``ticker, session_date, fold, arm, seed, net_return``; other columns are dropped.

    Args:
        path: ``*.parquet`` (``*.pq``), or ``*.csv`` (``*.csv.gz``) with a header line, dates as
            ``YYYY-MM-DD``.

    Returns:
        The rows, and per ticker with a cell that cannot be read what is wrong.

    Raises:
        GateInputError: If there is no such file, it is not what its name says, it is empty, or
            a column is missing or of the wrong type.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise GateInputError(f"{path}: {found}; name a Parquet or CSV file of returns")
    names = path.name.lower()
    text = names.endswith((".csv", ".csv.gz"))
    try:
        if names.endswith((".parquet", ".pq")):
            table = pq.read_table(path, partitioning=None)
        elif text:
            table = _read_csv(path)
        else:
            raise GateInputError(f"{path}: expected a name that ends in .parquet or .csv")
    except (pa.ArrowInvalid, OSError) as error:
        raise GateInputError(
            f"{path}: cannot be read: {error}; expected columns {', '.join(COLUMN_TYPES)}"
        ) from error
    try:
        return check_columns(table, text=text)
    except GateInputError as error:
        raise GateInputError(f"{path}: {error}") from error


def _read_csv(path: Path) -> pa.Table:
    """All columns as text: :func:`check_columns` reads the numbers and names what it cannot."""
    types = dict.fromkeys(COLUMN_TYPES, pa.string())
    options = pacsv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return pacsv.read_csv(path, convert_options=options)
