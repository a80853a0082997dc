"""How moves of the champion are shown: what was done, by whom, in which run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transfergate.orchestration.ui.links import airflow_run, ours, report_of
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    badge,
    element,
    empty,
    join,
    link,
)
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import ACTIONS, moment, short
from transfergate.registry.history import ChampionRow

SHOWN = 300
_RUN = re.compile(r"^(?P<who>.*?),? in run (?P<run>\S+)$", re.DOTALL)
_SIGNS = {"promote": ("good", "▲"), "rollback": ("warn", "↩"), "refresh": ("calm", "↻")}


def put_there(row: ChampionRow) -> Html:
    """The verdict or the person that made a champion."""
    if row.forced:
        return badge("by hand, against the gate", "warn", "▲")
    if row.action == "refresh":
        return badge("refresh", "calm", "↻")
    return badge("promote", "good", "✔")


def action(row: ChampionRow) -> Html:
    """What was done, in a word."""
    tone, sign = _SIGNS[row.action]
    return badge(ACTIONS[row.action], tone, sign)


def who(row: ChampionRow) -> Html:
    """Who did it, with the way to the run where there was one."""
    found = _RUN.match(row.who)
    if not found:
        return join((row.who,))
    dag = "roll_back_champion" if row.action == "rollback" else "finetune_tickers"
    run = airflow_link(airflow_run(dag, found["run"]), "its run")
    return join((found["who"], ", ", run))


def moves_table(rows: Sequence[ChampionRow], *, testid: str, with_ticker: bool) -> Html:
    """Rows of champion histories, newest first; of very many the newest."""
    columns = [
        Column("When"),
        *([Column("Ticker")] if with_ticker else []),
        Column("What", choose=True),
        Column("Serves then"),
        Column("Before", wide=True),
        Column("Who", wide=True),
        Column("Why", wide=True),
        Column("Evidence"),
    ]
    left = len(rows) - SHOWN
    more = f"The newest {SHOWN} of {len(rows):,}; a ticker's own page has all of its moves."
    shown = table(
        columns,
        [_row(row, with_ticker) for row in rows[:SHOWN]],
        caption="Promotions, refreshes and rollbacks, newest first",
        testid=testid,
        noun="moves",
        sorted_by="-When",
        empty=empty(
            "No champion was ever made",
            "The gate makes one where fine-tuning clearly beat learning from scratch; until "
            "then nothing is held.",
        ),
    )
    return join((element("p", more, class_="note"), shown)) if left > 0 else shown


def _row(row: ChampionRow, with_ticker: bool) -> Row:
    report = (
        link(report_of(row.evaluation, row.ticker), "report") if row.evaluation else Cell("by hand")
    )
    cells = (
        Cell(moment(row.when), row.when),
        *([link(ours("champions", row.ticker), row.ticker)] if with_ticker else []),
        join((action(row), " (against the gate)")) if row.forced else action(row),
        short(row.version),
        short(row.previous),
        who(row),
        row.why,
        report if row.action != "rollback" else Cell(None),
    )
    return Row(cells, {"data_testid": "move-row"})
