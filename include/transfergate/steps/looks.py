"""Which tickers may be looked at now, which verdicts stand, and what a report says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.calendars import exchange_sessions
from transfergate.evaluation.lookbook import LookBook
from transfergate.evaluation.looks import (
    Axis,
    Look,
    Standing,
    State,
    calendar_span,
    describe,
    level_of,
    rule_of_look,
    standing,
)
from transfergate.settings import GateParams, LookParams, Settings
from transfergate.steps.evaluations import read_evaluation
from transfergate.storage import ArtefactStore


@dataclass(frozen=True)
class LookPlan:
    """What is to be judged, on one state of the record of looks.

    Attributes:
        store: Where the looks and evaluations are.
        number: Under which this evaluation's looks will be entered.
        rule: The gate's rule at the level of a look.
        params: Looks planned a year.
        axis: Sessions of the exchange.
        standings: Per ticker with a record.
        stored: Reports of the verdicts that stand, per ticker.
        pools: ``config`` and ``pool`` of the evaluations that these come from.
    """

    store: ArtefactStore
    number: int
    rule: GateParams
    params: LookParams
    axis: Axis
    standings: Mapping[str, Standing]
    stored: Mapping[str, dict[str, Any]]
    pools: Sequence[dict[str, Any]]

    def due(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Records that are judged now: all but those whose last verdict stands."""
        return {ticker: table for ticker, table in tables.items() if ticker not in self.stored}

    def shown(self, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Records as far as their verdicts have seen them."""
        return {
            ticker: _seen(table, self.standings[ticker]) if ticker in self.stored else table
            for ticker, table in tables.items()
        }


def plan_looks(
    settings: Settings,
    store: ArtefactStore,
    document: Mapping[str, Any],
    results: Sequence[dict[str, Any]],
    tables: Mapping[str, pa.Table],
) -> LookPlan:
    """Decide per ticker whether its record may be looked at.

    Args:
        settings: Settings.
        store: Where the looks are.
        document: The foundation's, for calendar and folds.
        results: What fine-tuning returned.
        tables: The ledger's rows of each ticker that was trained.
    """
    last_number, book = LookBook(store).read()
    recipes = {result["ticker"]: result["recipe"] for result in results}
    dates = {ticker: _dates(table) for ticker, table in tables.items()}
    dates = {ticker: days for ticker, days in dates.items() if len(days)}
    past = [look for ticker in dates for look in book.get(ticker, [])]
    folds = document.get("walk_forward") or settings.walk_forward.model_dump()
    axis = Axis(np.array([], dtype="datetime64[D]"), int(folds["test_sessions"]))
    if dates:
        span = calendar_span(list(dates.values()), past)
        sessions = exchange_sessions(str(document.get("calendar", "XNYS")), *span)
        axis = Axis(np.array(sessions, dtype="datetime64[D]"), axis.block)
    standings = {
        ticker: standing(book.get(ticker, []), recipes[ticker], days, settings.looks, axis)
        for ticker, days in dates.items()
    }
    sources: dict[str, dict[str, Any]] = {}
    stored: dict[str, dict[str, Any]] = {}
    for ticker, now in standings.items():
        if now.state == "repeated" and now.last is not None:
            name = now.last.evaluation
            if name not in sources:
                sources[name] = read_evaluation(store, name)
            stored[ticker] = deepcopy(sources[name]["tickers"][ticker])
    pools = [{key: sources[name][key] for key in ("config", "pool")} for name in sorted(sources)]
    rule = rule_of_look(settings.gate, settings.looks)
    return LookPlan(store, last_number + 1, rule, settings.looks, axis, standings, stored, pools)


def settle(
    plan: LookPlan, reports: dict[str, dict[str, Any]], recipes: Mapping[str, str]
) -> list[Look]:
    """Complete the reports by what became of each look; returns the looks that were taken.

    Args:
        plan: The plan.
        reports: Per ticker, with ``candidate``; changed in place: block ``looks``, a sentence
            among the reasons, and INCONCLUSIVE where no look was left.
        recipes: Per ticker.
    """
    taken: list[Look] = []
    for ticker, report in reports.items():
        now = plan.standings.get(ticker)
        if now is None:
            report["looks"] = None
        elif ticker in plan.stored:
            _repeat(plan, now, report)
        elif not _could_promote(report, plan.rule):
            report["looks"] = _block(plan, now, "no look")
        elif now.state == "refused":
            _refuse(plan, now, ticker, report)
        else:
            look = _look(plan, now, ticker, recipes[ticker], report)
            report["looks"] = _block(plan, now, "look", look)
            report["reasons"].append(_sentence(report["looks"]))
            taken.append(look)
    return taken


def audit_again(report: dict[str, Any], audits: Sequence[dict[str, Any]]) -> None:
    """A verdict that would stand falls if an audit of the run fails now; changes ``report``."""
    failed = {item["name"]: item for item in audits if not item["passed"]}
    if not failed:
        return
    report["audits"] = {
        **report["audits"],
        **{name: {"passed": False, "figures": item["figures"]} for name, item in failed.items()},
    }
    report["reasons"].insert(
        0,
        f"The verdict {report['verdict']} stood until now; of this run the audits "
        f"{', '.join(sorted(failed))} failed, so it stands no longer.",
    )
    report["verdict"] = "INVALID"


def _repeat(plan: LookPlan, now: Standing, report: dict[str, Any]) -> None:
    """The stored report as it is, unless sessions or the candidate are new since."""
    last, block = now.last, report["looks"]
    if last is None or (now.new_sessions == 0 and report["candidate"] == last.candidate):
        return
    kept = {name: block[name] for name in ("per_year", "level", "threshold")}
    report["looks"] = {**_block(plan, now, "repeated"), **kept}
    missing = plan.params.min_new_sessions - now.new_sessions
    why = (
        f"{now.new_sessions} sessions are new since, {plan.params.min_new_sessions} are needed"
        if missing > 0
        else f"{now.new_sessions} sessions are new since, but the year's alpha is spent"
    )
    report["reasons"][-1] = (
        f"No new look was taken: {why}; this is the verdict of look {last.number}, on "
        f"{last.n_sessions} sessions up to {last.last_session} and candidate {last.candidate}. "
        f"{_next(report['looks'])}"
    )


def _refuse(plan: LookPlan, now: Standing, ticker: str, report: dict[str, Any]) -> None:
    report["looks"] = _block(plan, now, "refused")
    report["verdict"] = "INCONCLUSIVE"
    report["reasons"].insert(
        0,
        f"No alpha is left to look at {ticker} under this recipe: other recipes were judged on "
        f"these sessions, {report['looks']['in_year']} time(s) within a year, and "
        f"{plan.params.per_year} a year are planned. The figures are shown, but decide nothing. "
        f"{_next(report['looks'])}",
    )


def _look(
    plan: LookPlan, now: Standing, ticker: str, recipe: str, report: Mapping[str, Any]
) -> Look:
    return Look(
        ticker=ticker,
        recipe=recipe,
        number=len(now.looks) + 1,
        candidate=str(report["candidate"]),
        verdict=report["verdict"],
        first_session=str(now.dates[0]),
        last_session=str(now.dates[-1]),
        n_sessions=len(now.dates),
        per_year=plan.params.per_year,
        level=level_of(plan.rule),
    )


def _block(
    plan: LookPlan, now: Standing, state: State, taken: Look | None = None
) -> dict[str, Any]:
    return describe(now, plan.rule, plan.params, plan.axis, state=state, taken=taken)


def _could_promote(report: Mapping[str, Any], rule: GateParams) -> bool:
    """Whether evidence was weighed; a record that is too short or INVALID spends no alpha."""
    long_enough = int(report["n_sessions"]) >= rule.min_oos_sessions
    return (
        report["verdict"] != "INVALID" and long_enough and int(report["n_seeds"]) >= rule.min_seeds
    )


def _sentence(block: Mapping[str, Any]) -> str:
    return (
        f"Look {block['number']} at this ticker, {block['per_year']} a year planned, at level "
        f"{block['level']:.3g}; alpha spent so far: at most {block['alpha_spent']:.3g}. "
        f"{_next(block)}"
    )


def _next(block: Mapping[str, Any]) -> str:
    if block["next_admissible_sessions"] is None:
        return "No further look is in sight: plan more looks a year."
    day = block["next_admissible_date"]
    about = f", about {day}" if day else ""
    return f"Next look: in {block['next_admissible_sessions']} sessions{about}."


def _dates(table: pa.Table) -> Any:
    rows = table.filter(pc.equal(table["arm"], "finetuned"))
    return np.unique(rows["session_date"].to_numpy().astype("datetime64[D]"))


def _seen(table: pa.Table, now: Standing) -> pa.Table:
    if now.last is None:
        return table
    limit = date.fromisoformat(now.last.last_session)
    return table.filter(pc.less_equal(table["session_date"], limit))
