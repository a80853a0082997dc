"""The parts that pages are made of: text stays text, a table stands without a script."""

from __future__ import annotations

import pytest

from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    attributes,
    badge,
    element,
    html,
    link,
)
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table

EVIL = """<script>alert("1")</script>'"""


def test_text_is_escaped_and_html_is_not():
    assert html(EVIL) == "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#x27;"
    assert html(Html("<b>")) == "<b>"
    assert html(None) == "-"
    assert EVIL not in element("p", EVIL, title=EVIL)


def test_attributes_are_escaped_and_absent_ones_left_out():
    assert attributes(class_="a", data_key='"', hidden=True, title=None, open=False) == (
        ' class="a" data-key="&quot;" hidden'
    )


@pytest.mark.parametrize("build", [link, airflow_link])
def test_links_escape_both_parts(build):
    assert EVIL not in build(EVIL, EVIL)


def test_a_sign_stays_beside_its_word():
    assert badge("promote", "good", "✔").count("✔</span>\u00a0promote") == 1


def test_a_page_escapes_its_title_and_body_and_marks_where_one_is():
    shown = page(EVIL, EVIL, active="champions", lead=EVIL, trail=[(EVIL, EVIL)])
    assert EVIL not in shown
    assert shown.count('aria-current="page"') == 1
    assert '<a class="skip" href="#main">' in shown
    assert '<main id="main"' in shown
    assert "https://" not in shown  # nothing from elsewhere
    assert "http://" not in shown


def test_a_table_holds_every_row_without_a_script_and_escapes_cells():
    rows = [Row((EVIL, Cell("1,200", 1200.0)), {"data_testid": "row"}) for _ in range(600)]
    shown = table([Column("name"), Column("n", "number")], rows, caption=EVIL, testid="t")
    assert shown.count('data-testid="row"') == 600
    assert EVIL not in shown
    assert 'data-key="1200.0"' in shown
    assert "hidden" not in shown


def test_an_unknown_value_sorts_last_and_reads_as_a_dash():
    shown = table([Column("a"), Column("n", "number")], [("x", None)], caption="c", testid="t")
    assert '<td class="n" data-key="">-</td>' in shown


def test_an_empty_table_says_what_to_do():
    shown = table([Column("a")], [], caption="c", testid="t", empty=Html("<p>Run it.</p>"))
    assert "<p>Run it.</p>" in shown
    assert "<table" not in shown


def test_a_row_with_too_few_cells_is_a_mistake():
    with pytest.raises(ValueError, match="zip"):
        table([Column("a"), Column("b")], [("x",)], caption="c", testid="t")
