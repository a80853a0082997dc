"""Which row groups of a Parquet file a fetch needs, so that it reads no more of a large panel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_HIGHEST = "\U0010ffff"


def groups_with(
    content: pa.Buffer, name: str, texts: Collection[str], *, empty: bool
) -> list[int] | None:
    """Row groups that may hold one of some texts: all that their statistics do not rule out.

    Blanks around a cell's text count as nothing. With blanks behind, a cell is above the text and
    below whatever goes on otherwise; a group in which a cell could begin with one is kept.

    Args:
        content: The file.
        name: Of the column.
        texts: Texts looked for.
        empty: Whether cells without a text are looked for too.

    Returns:
        Their numbers; None for all.
    """
    groups = _groups(content)
    kept = [
        k for k, group in enumerate(groups)
        if _may_hold(_statistics(group, name), texts, empty=empty)
    ]  # fmt: skip
    return None if len(kept) == len(groups) else kept


def read_groups(content: pa.Buffer, groups: Sequence[int], names: list[str]) -> pa.Table:
    """Some columns of some row groups."""
    file = pq.ParquetFile(pa.BufferReader(content))
    return file.read_row_groups(list(groups), columns=names).select(names)


def rows_of(content: pa.Buffer, groups: Iterable[int]) -> npt.NDArray[np.int64]:
    """Numbers of their rows in the whole file, from 1."""
    ends = np.cumsum([0, *(group.num_rows for group in _groups(content))])
    ranges = [np.arange(ends[k], ends[k + 1], dtype=np.int64) + 1 for k in groups]
    return np.concatenate([np.empty(0, dtype=np.int64), *ranges])


def _may_hold(said: pq.Statistics | None, texts: Collection[str], *, empty: bool) -> bool:
    if said is None or not said.has_min_max or not isinstance(said.min, str):
        return True
    low, high = said.min, said.max
    if not low or low[0] <= " " or high[0] > "\x7f":  # beyond ASCII there are blanks too
        return True
    if empty and said.null_count != 0:
        return True
    return any(low <= text + _HIGHEST and text <= high for text in texts)


def _statistics(group: pq.RowGroupMetaData, name: str) -> pq.Statistics | None:
    leaves = (group.column(k) for k in range(group.num_columns))
    return next((leaf.statistics for leaf in leaves if leaf.path_in_schema == name), None)


def _groups(content: pa.Buffer) -> list[pq.RowGroupMetaData]:
    found = pq.read_metadata(pa.BufferReader(content))
    return [found.row_group(k) for k in range(found.num_row_groups)]
