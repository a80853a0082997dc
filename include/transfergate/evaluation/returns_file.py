"""Reading a file of returns for the gate: Parquet or CSV, with columns checked on the way in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from transfergate.errors import GateInputError
from transfergate.evaluation.gate.record import COLUMN_TYPES, check_columns

MISSING_WORDS = ["", "NA", "NaN", "nan", "null", "NULL", "None"]


def read_returns(path: Path) -> pa.Table:
    """Read ``ticker, session_date, fold, arm, seed, net_return``; other columns are dropped.

    Args:
        path: ``*.parquet`` (``*.pq``), or ``*.csv`` (``*.csv.gz``) with a header line, dates as
            ``YYYY-MM-DD``.

    Raises:
        GateInputError: If there is no such file, it is not what its name says, it is empty, or
            a column is missing or of the wrong type.
    """
    if not path.is_file():
        raise GateInputError(f"{path}: no such file; name a Parquet or CSV file of returns")
    names = path.name.lower()
    try:
        if names.endswith((".parquet", ".pq")):
            table = pq.read_table(path)
        elif names.endswith((".csv", ".csv.gz")):
            table = _read_csv(path)
        else:
            raise GateInputError(f"{path}: expected a name that ends in .parquet or .csv")
    except (pa.ArrowInvalid, OSError) as error:
        raise GateInputError(
            f"{path}: cannot be read: {error}; expected columns {', '.join(COLUMN_TYPES)}"
        ) from error
    try:
        return check_columns(table)
    except GateInputError as error:
        raise GateInputError(f"{path}: {error}") from error


def _read_csv(path: Path) -> pa.Table:
    types = {
        name: pa.string() if name in ("ticker", "arm") else wanted
        for name, wanted in COLUMN_TYPES.items()
    }
    return pacsv.read_csv(
        path,
        convert_options=pacsv.ConvertOptions(
            column_types=types, null_values=MISSING_WORDS, strings_can_be_null=False
        ),
    )
