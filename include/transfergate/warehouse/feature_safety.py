"""Refuse feature files that do more than select from the bars of a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from duckdb import DuckDBPyConnection, Error

from transfergate.errors import SnapshotError
from transfergate.warehouse.feature_sql import FeatureSql

READABLE = ("int_bars", "int_running_sums", "int_smoothers")
"""Relations that a feature file may read."""
OUR_MACROS = (
    *("to_e12", "scaled_covariance", "is_constant", "trailing_sum"),
    *("wilder_step", "ema_step", "z_from_moments"),
    "nullif",  # in DuckDB a macro too
)
_ROW_FUNCTIONS = ("unnest", "range", "generate_series")
# Functions of the moment that are written without parentheses, and so look like columns.
_MOMENTS = {
    *("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"),
    *("current_user", "session_user", "user", "current_catalog", "current_schema", "today"),
}


def check_safe(conn: DuckDBPyConnection, sql: FeatureSql) -> None:
    """Parse every feature file, without running it.

    Raises:
        SnapshotError: If a file holds anything but one select, reads a table, file or table
            function beyond ``READABLE``, or calls a function whose result is not the same on
            every call.
    """
    steady = {
        str(row[0])
        for row in conn.execute(
            "select function_name from duckdb_functions() where internal "
            "group by function_name having bool_and(stability = 'CONSISTENT')"
        ).fetchall()
    }
    for name in sql.names:
        path = f"marts/features/{name}.sql"
        for found, expected in _faults(_parsed(conn, path, sql.text(name)), steady):
            raise SnapshotError(
                f"{path}: found {found}, expected {expected}; nothing was run: a feature file is "
                f"one select over {', '.join(READABLE)}"
            )


def check_windows(conn: DuckDBPyConnection, sql: FeatureSql) -> None:
    """Refuse windows that are written to read later rows.

    Shocked bars show a look-ahead only near the cut: one that is rare (``case when … then
    lead(…)``) may leave no trace there, but it stands in the text.

    Raises:
        SnapshotError: If a window reads rows that follow, or is ordered from the latest to the
            earliest session, or rows are joined by anything but ticker and session; names the
            file.
    """
    for name in sql.names:
        path = f"marts/features/{name}.sql"
        for node in _nodes(_parsed(conn, path, sql.text(name))):
            if found := _later_rows(node) if node.get("class") == "WINDOW" else _other_rows(node):
                raise SnapshotError(
                    f"{path}: found {found}, expected windows of the current row and earlier ones: "
                    f"this looks ahead. Nothing was published: order by session_date, and read "
                    f"earlier rows by lag(x, n) or 'rows between n preceding and current row'"
                )


def _other_rows(node: dict[str, Any]) -> str:
    # A join by anything but ticker and session, or a query within a row, can reach later bars.
    if node.get("type") == "JOIN" and node.get("ref_type") != "NATURAL":
        by = {str(name).lower() for name in node.get("using_columns", ())}
        if not {"ticker", "session_date"} <= by or node.get("ref_type") != "REGULAR":
            return "a join without 'using (ticker, session_date)'"
    if node.get("class") == "SUBQUERY":
        return "a query within an expression"
    return ""


def _later_rows(window: dict[str, Any]) -> str:
    name = _function(window)
    if name == "lead":
        return "lead()"
    if name == "lag" and len(window["arguments"]) > 1:
        offset = window["arguments"][1]["expression"]
        if not str(offset.get("literal", {}).get("text", "")).isdigit():
            return "lag() by anything but a plain number"
    if "FOLLOWING" in window["start"] + window["end"]:
        return f"a frame of {name}() with rows that follow"
    days = [
        order["expression"]["column_names"][-1].lower()
        for order in window["orders"]
        if order["type"] == "DESCENDING" and order["expression"]["type"] == "COLUMN_REF"
    ]
    if {"session_date", "bar_number"} & set(days):
        return f"{name}() over sessions from the latest to the earliest"
    return ""


def _parsed(conn: DuckDBPyConnection, path: str, text: str) -> Any:
    try:
        statements = conn.extract_statements(text)
    except Error as error:
        raise SnapshotError(f"{path}: DuckDB cannot parse it: {error}; correct it") from error
    if len(statements) != 1:
        raise SnapshotError(
            f"{path}: found {len(statements)} statements, expected one select; nothing was run: "
            f"remove the others"
        )
    ((tree,),) = conn.execute("select json_serialize_sql($sql::varchar)", {"sql": text}).fetchall()
    parsed = json.loads(tree)
    if parsed["error"]:
        kind = str(statements[0].type).rpartition(".")[2].lower()
        raise SnapshotError(
            f"{path}: found a statement of type {kind}, expected a select; nothing was run: a "
            f"feature file neither writes nor changes settings"
        )
    return parsed["statements"]


def _faults(tree: Any, steady: set[str]) -> Iterator[tuple[str, str]]:
    nodes = list(_nodes(tree))
    named = {
        str(entry["key"])
        for node in nodes
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"]["map"]
    }
    for node in nodes:
        kind, name = node.get("type"), _function(node)
        if kind == "BASE_TABLE":
            path = node["qualified_name"]["path"]
            if len(path) != 1 or path[0] not in {*READABLE, *named}:
                yield f"table or file {'.'.join(path)!r}", f"one of {', '.join(READABLE)}"
        elif kind == "TABLE_FUNCTION":
            called = _function(node["function"])
            if called not in _ROW_FUNCTIONS:
                yield f"table function {called}()", "no reading of files, tables or queries by name"
        elif kind == "COLUMN_REF" and node["column_names"][-1].lower() in _MOMENTS:
            yield node["column_names"][-1], "nothing that depends on when or by whom it is run"
        elif name and name not in steady and name not in (*OUR_MACROS, *_ROW_FUNCTIONS):
            yield f"function {name}()", "functions that give the same result on every call"


def _function(node: dict[str, Any]) -> str | None:
    if node.get("class") not in ("FUNCTION", "WINDOW"):
        return None
    return str(node.get("function_name", "")).lower()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
