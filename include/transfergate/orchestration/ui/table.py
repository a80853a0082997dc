"""Long tables: whole without a script; with it they search, filter, sort and turn pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from transfergate.orchestration.ui.markup import Html, attributes, element, html, join

PAGE_ROWS = 50
FEW = 8
"""Up to so many rows need no search."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: As text.
        kind: How it sorts and which way it is aligned; ``plain`` cannot be sorted.
        wide: Left out on a phone.
        choose: Offers its values in a list that filters the rows.
        note: What it means, shown with the title.
    """

    title: str
    kind: Literal["text", "number", "plain"] = "text"
    wide: bool = False
    choose: bool = False
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it sorts and filters by where that differs.

    Attributes:
        shown: ``Html``, or a value that is shown as escaped text; None as a dash.
        key: A number, a text or an ISO time; empty for the text that is shown. None stands last.
    """

    shown: object
    key: float | str | None = ""


@dataclass(frozen=True)
class Row:
    """Cells of a row with further attributes (``data_testid="batch-row"``)."""

    cells: Sequence[object]
    attributes: dict[str, object] = field(default_factory=dict)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object] | Row],
    *,
    caption: str,
    testid: str,
    noun: str = "rows",
    empty: object = "Nothing yet.",
    page_rows: int = PAGE_ROWS,
    sorted_by: str = "",
) -> Html:
    """A table; its first column names the row.

    Args:
        columns: Its columns.
        rows: Each a sequence of cells: ``Html``, values that become escaped text, or ``Cell``.
        caption: What it lists, for those who do not see the page.
        testid: Its ``data-testid``.
        noun: What a row is, in the plural: "tickers".
        empty: Stands in the table's place where there are no rows.
        page_rows: Rows on a page of the table, where scripts run.
        sorted_by: ``title`` or ``-title`` of the column that the rows come sorted by.
    """
    if not rows:
        return element("div", html(empty), class_="empty", data_testid=testid)
    found = [row if isinstance(row, Row) else Row(row) for row in rows]
    head = join(_head(column, sorted_by) for column in columns)
    body = join(_row(columns, row) for row in found)
    named = attributes(
        class_="data",
        data_testid=testid,
        data_table=True,
        data_page_rows=page_rows,
        data_noun=noun,
        data_few=len(found) <= FEW,
    )
    return Html(
        f'<div class="scroll" tabindex="0" role="group"{attributes(aria_label=caption)}>'
        f"<table{named}>{element('caption', caption, class_='unseen')}"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(column: Column, sorted_by: str) -> Html:
    down, up = sorted_by == f"-{column.title}", sorted_by == column.title
    return element(
        "th",
        column.title,
        scope="col",
        class_=_classes(column),
        title=column.note or None,
        data_kind=column.kind,
        data_choose=column.choose,
        aria_sort="descending" if down else "ascending" if up else None,
    )


def _row(columns: Sequence[Column], row: Row) -> Html:
    cells = []
    for number, (column, value) in enumerate(zip(columns, row.cells, strict=True)):
        cell = value if isinstance(value, Cell) else Cell(value)
        named: dict[str, object] = {"class_": _classes(column)}
        if cell.key != "":
            named["data_key"] = "" if cell.key is None else cell.key
        elif cell.shown is None:
            named["data_key"] = Html("")
        tag = "td" if number else "th"
        cells.append(element(tag, cell.shown, scope=None if number else "row", **named))
    return element("tr", *cells, **row.attributes)


def _classes(column: Column) -> str | None:
    return (
        " ".join(name for name, on in (("n", column.kind == "number"), ("wide", column.wide)) if on)
        or None
    )
