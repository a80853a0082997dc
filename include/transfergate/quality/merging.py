"""One result of each expectation from its results on portions of a batch.

A portion holds whole tickers, so a rule about a row, or about rows of one ticker and session, finds
in portions what it finds in the whole: its counts are added up. So is how many rows there are, and
the last session is the latest of the portions'. A rule about the set of a column's values sees each
value once. All others see the whole of the columns that they name; ``kind_of`` says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SAMPLE_ROWS = 20
_ALIKE = ("ExpectTableColumnsToMatchSet",)
_FOLLOWS = ("ExpectTableRowCountToBeBetween", "ExpectColumnMaxToBeBetween")
_ACROSS_ROWS = (
    *("ExpectColumnValuesToBeUnique", "ExpectColumnValueZScoresToBeLessThan"),
    *("ExpectColumnValuesToBeIncreasing", "ExpectColumnValuesToBeDecreasing"),
)


def kind_of(expectation: Any) -> Literal["portions", "values", "whole"]:
    """What an expectation must see: portions of whole tickers, each value once, or everything."""
    from great_expectations.expectations import expectation as kinds

    name = type(expectation).__name__
    if name.startswith("ExpectColumnDistinctValues"):
        return "values"
    row_by_row = (
        kinds.ColumnMapExpectation,
        kinds.ColumnPairMapExpectation,
        kinds.MulticolumnMapExpectation,
    )
    if name == "ExpectCompoundColumnsToBeUnique":
        # Rows of one ticker and session lie in one portion.
        return "portions" if "ticker" in expectation.column_list else "whole"
    if name in (*_FOLLOWS, *_ALIKE):
        return "portions"
    by_row = isinstance(expectation, row_by_row) and name not in _ACROSS_ROWS
    return "portions" if by_row else "whole"


def broken_rows(result: Any) -> npt.NDArray[np.int64]:
    """Numbers of the rows that break an expectation, sorted; none for one about the whole."""
    listed = (result.result or {}).get("unexpected_index_list") or []
    if not listed or "row_id" not in listed[0]:
        return np.empty(0, np.int64)
    return np.unique(np.array([item["row_id"] for item in listed], np.int64))


@dataclass
class PortionResults:
    """What one expectation found in the portions so far."""

    first: Any
    rows: list[npt.NDArray[np.int64]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)
    sample: list[tuple[Any, Any]] = field(default_factory=list)
    observed: list[Any] = field(default_factory=list)

    def add(self, result: Any) -> None:
        """Add one portion's result; what it lists of every row is not kept."""
        details = result.result or {}
        if result.success is False and self.first.success:
            self.first = result
        if "unexpected_count" not in details:
            observed = details.get("observed_value")
            if observed is not None and observed == observed:
                self.observed.append(observed)
            return
        self.rows.append(broken_rows(result))
        for name in ("element_count", "missing_count", "unexpected_count"):
            self.counts[name] += details.get(name) or 0
        listed = details.pop("unexpected_list", None) or []
        self.values.update(tuple(v.values()) if isinstance(v, dict) else v for v in listed)
        indexes = details.pop("unexpected_index_list", None) or []
        self.sample += list(zip(indexes[:SAMPLE_ROWS], listed[:SAMPLE_ROWS], strict=False))

    @property
    def row_ids(self) -> npt.NDArray[np.int64]:
        """Every row that breaks it, sorted."""
        return np.unique(np.concatenate([np.empty(0, np.int64), *self.rows]))

    def merged(self) -> Any:
        """The result of the whole batch, as Great Expectations writes one."""
        result = self.first
        arguments = result.expectation_config.kwargs
        kind = _class_name(result.expectation_config.type)
        if self.counts:
            result.result = self._map_result()
            whole = self.counts["element_count"] - self.counts["missing_count"]
            good = whole - self.counts["unexpected_count"]
            result.success = not whole or good / whole >= arguments.get("mostly", 1.0)
        elif kind in _FOLLOWS and self.observed:
            observed, result.success = _followed(kind, self.observed, arguments)
            result.result = {"observed_value": observed}
        return result

    def _map_result(self) -> dict[str, Any]:
        counts = self.counts
        nonnull = counts["element_count"] - counts["missing_count"]
        self.sample.sort(key=lambda pair: int(pair[0].get("row_id", 0)))
        found: dict[str, Any] = dict(self.first.result)
        found.update(counts)
        share = _percent(counts["unexpected_count"], nonnull)
        found["unexpected_percent"] = share
        if "missing_percent" in found:
            found["missing_percent"] = _percent(counts["missing_count"], counts["element_count"])
            total = _percent(counts["unexpected_count"], counts["element_count"])
            found["unexpected_percent_total"] = total
            found["unexpected_percent_nonmissing"] = share
        found["partial_unexpected_list"] = [value for _, value in self.sample[:SAMPLE_ROWS]]
        found["partial_unexpected_index_list"] = [index for index, _ in self.sample[:SAMPLE_ROWS]]
        common = self.values.most_common(SAMPLE_ROWS)
        found["partial_unexpected_counts"] = [
            {"value": value, "count": count}
            for value, count in sorted(common, key=lambda item: (-item[1], str(item[0])))
        ]
        for name in ("unexpected_list", "unexpected_index_list"):
            found.pop(name, None)
        return found


def _followed(kind: str, observed: Sequence[Any], arguments: dict[str, Any]) -> tuple[Any, bool]:
    # What was seen in all portions, and whether it is as expected.
    value = sum(observed) if kind == "ExpectTableRowCountToBeBetween" else max(observed)
    low, high = arguments.get("min_value"), arguments.get("max_value")
    return value, (low is None or value >= low) and (high is None or value <= high)


def _class_name(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def _percent(part: int, whole: int) -> float | None:
    return part / whole * 100 if whole else None
