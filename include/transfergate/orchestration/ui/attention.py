"""What needs attention, the gravest first: in the chain of DAGs, the sources, and the tickers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.redaction import hidden
from transfergate.orchestration.ui.chain_state import DagState, Waiting
from transfergate.orchestration.ui.links import airflow_dag, airflow_run, ours
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    element,
    html,
    join,
    link,
    section,
)
from transfergate.orchestration.ui.words import moment, sessions
from transfergate.registry.records import BrokenRecord
from transfergate.steps.standing import SourceStanding, TickerStanding

NAMES_SHOWN = 10
LATE = timedelta(hours=1)
"""So long after its time a run that has not started, or data that nobody took up, is late."""

Grave = Literal["broken", "act", "bad", "warn", "note"]
SYMBOLS = {"broken": "✖", "act": "!", "bad": "✖", "warn": "▲", "note": "i"}
TONES = {"broken": "bad", "act": "act", "bad": "bad", "warn": "warn", "note": "calm"}
BROKEN_SHOWN = 20


@dataclass(frozen=True)
class Concern:
    """One thing to look at.

    Attributes:
        grave: ``broken``: the page lacks it; ``act`` waits for a person, ``bad`` has failed,
            ``warn`` may mislead, ``note``.
        title: In a few words.
        detail: What it means and what to do, as ``Html`` or text.
    """

    grave: Grave
    title: str
    detail: object


def broken_concerns(broken: Collection[BrokenRecord]) -> list[Concern]:
    """Records that cannot be used: which, where, what to do; the page shows the rest."""
    found = [
        Concern(
            "broken",
            f"A record is broken: {one.key}",
            join((_sentence(hidden(one.problem)), ". It lies at ",
                  element("code", hidden(one.where)), ". ", one.advice)),
        )
        for one in sorted(broken, key=lambda one: one.key)
    ]  # fmt: skip
    left = found[BROKEN_SHOWN:]
    if left:
        names = [element("code", one.key) for one in sorted(broken, key=lambda one: one.key)]
        more = element("details", element("summary", "which"), join(names[BROKEN_SHOWN:], ", "))
        found[BROKEN_SHOWN:] = [Concern("broken", f"{len(left)} further records are broken", more)]
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def notice(broken: Collection[BrokenRecord]) -> Html:
    """Broken records at the head of a page; nothing where there are none."""
    return section("Needs attention", render(broken_concerns(broken))) if broken else Html("")


def chain_concerns(
    dags: Sequence[DagState], waiting: Sequence[Waiting], now: datetime
) -> list[Concern]:
    """What Airflow's own state calls for."""
    found = [_asked(item) for item in waiting]
    for dag in dags:
        way = airflow_link(airflow_dag(dag.dag_id), dag.dag_id)
        if not dag.known or dag.broken:
            why = "its file cannot be imported" if dag.broken else "Airflow has not parsed it"
            found.append(
                Concern("bad", f"{dag.dag_id} is missing", join((way, f": {why}; no run starts.")))
            )
            continue
        if dag.last and dag.last.state == "failed":
            run = airflow_link(airflow_run(dag.dag_id, dag.last.run_id), "Its tasks and logs")
            when = moment(dag.last.since.isoformat()) if dag.last.since else ""
            text = join((run, " say why; it ended ", when, ". Clear the failed task to try again."))
            found.append(Concern("bad", f"The last run of {dag.dag_id} failed", text))
        found += _late(dag, way, now)
    paused = [dag for dag in dags if dag.known and dag.paused and dag.dag_id in CHAIN]
    if paused:
        names = [airflow_link(airflow_dag(dag.dag_id), dag.dag_id) for dag in paused]
        text = join((join(names, ", "), ": nothing starts them, neither clock nor new data."))
        found.append(
            Concern("warn", _plural(len(paused), "DAG is paused", "DAGs are paused"), text)
        )
    return found


def source_concerns(sources: Iterable[SourceStanding]) -> list[Concern]:
    """Bars that are late, and features that lag behind them."""
    found = []
    ingest = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    build = airflow_link(airflow_dag("build_features"), "build_features")
    for one in sources:
        if one.problem:
            title = f"Whether bars of {one.source} are late cannot be said"
            found.append(Concern("broken", title, one.problem))
        if one.features_ahead and one.snapshot:
            parts = (
                f"The newest snapshot, {one.snapshot.snapshot_id}, holds sessions until "
                f"{one.snapshot.last_session}; the loaded batches end {one.bars_until}. The "
                f"batches were restored from an earlier state, or records of later ones are gone. "
                f"Ingest what is missing: run ",
                ingest,
                ".",
            )
            title = f"Features of {one.source} are newer than its bars"
            found.append(Concern("warn", title, join(parts)))
        if one.late and one.sessions_late is not None:
            over = f"They end {one.bars_until}; {sessions(one.sessions_late)} are over since."
            batches = link(ours("batches"), "its batches")
            detail = join((over, " Run ", ingest, " or look at ", batches, "."))
            found.append(Concern("warn", f"Bars of {one.source} are late", detail))
        if one.features_lag:
            detail = join(("Bars were loaded that no feature snapshot holds: run ", build, "."))
            found.append(Concern("warn", f"Features of {one.source} lag behind its bars", detail))
    return found


def ticker_concerns(tickers: Sequence[TickerStanding]) -> list[Concern]:
    """Tickers grouped by what is remarkable about them."""
    found = []
    for grave, title, meaning, applies in _KINDS:
        names = [one.ticker for one in tickers if applies(one)]
        if names:
            detail = join((f"{meaning} ", element("span", _names(names), class_="names")))
            found.append(Concern(grave, f"{title}: {_plural(len(names), 'ticker')}", detail))
    return found


def render(concerns: Sequence[Concern]) -> Html:
    """The list, the gravest first; a sentence where there is nothing."""
    if not concerns:
        calm = element("p", Html("<strong>Nothing needs attention.</strong>"), class_="calm-state")
        return element("div", calm, data_testid="attention")
    order = list(TONES)
    items = [
        element(
            "li",
            element("span", SYMBOLS[item.grave], class_="sign", aria_hidden="true"),
            element("div", element("strong", item.title), element("p", html(item.detail))),
            class_=TONES[item.grave],
        )
        for item in sorted(concerns, key=lambda item: order.index(item.grave))
    ]
    return element("ul", *items, class_="attention", data_testid="attention")


def _asked(item: Waiting) -> Concern:
    way = f"{airflow_run(item.dag_id, item.run_id)}/required_actions"
    text = (
        "A promotion waits for an answer since ",
        moment(item.since.isoformat()),
        ": ",
        airflow_link(way, "approve or refuse", data_testid="approval-link"),
        ".",
    )
    return Concern("act", item.subject, join(text))


def _late(dag: DagState, way: Html, now: datetime) -> list[Concern]:
    if dag.queued_since and (dag.paused or now - dag.queued_since > LATE):
        why = "it is paused" if dag.paused else "no run took it up"
        text = (way, " has new data to work on since ", moment(dag.queued_since.isoformat()))
        return [Concern("warn", f"{dag.dag_id} is waiting: {why}", join((*text, ".")))]
    if dag.next_run and now - dag.next_run > LATE:
        text = (way, " should have run at ", moment(dag.next_run.isoformat()))
        return [
            Concern("warn", f"{dag.dag_id} is late", join((*text, ": does the scheduler run?")))
        ]
    return []


def _names(names: Sequence[str]) -> Html:
    links = [link(ours("champions", name), name) for name in names]
    shown = join(links[:NAMES_SHOWN], ", ")
    if len(links) <= NAMES_SHOWN:
        return shown
    more = element("summary", f"and {len(links) - NAMES_SHOWN} more")
    return join((shown, " ", element("details", more, join(links[NAMES_SHOWN:], ", "))))


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _said(name: str) -> Callable[[TickerStanding], bool]:
    return lambda one: one.judgement is not None and one.judgement.verdict == name


_KINDS: tuple[tuple[Grave, str, str, Callable[[TickerStanding], bool]], ...] = (
    (
        "broken",
        "What serves cannot be said",
        "The history of their champion is broken; see the records above.",
        lambda one: one.unsure,
    ),
    (
        "bad",
        "Invalid",
        "The comparison itself was not sound; repair what the report names and judge again.",
        _said("INVALID"),
    ),
    (
        "bad",
        "Negative transfer",
        "The foundation made them worse than learning from scratch; what served goes on.",
        _said("REJECT_NEGATIVE_TRANSFER"),
    ),
    (
        "warn",
        "Guard failed",
        "Better than from scratch, yet not good enough to trade.",
        _said("REJECT_GUARDRAIL"),
    ),
    (
        "warn",
        "Serving against the gate",
        "Somebody made them champions although the gate had not said promote.",
        lambda one: one.champion is not None and one.champion.forced,
    ),
    (
        "warn",
        "Weak control",
        "The from-scratch arm lost to holding nothing or to a linear policy: beating it shows "
        "little.",
        lambda one: one.judgement is not None and one.judgement.weak_control,
    ),
    (
        "warn",
        "Old model",
        "The champion learnt from data that ended long before the newest features: fine-tune anew.",
        lambda one: one.old,
    ),
    (
        "warn",
        "Model newer than its features",
        "The champion learnt from sessions that the newest snapshot does not reach: the snapshots "
        "or the batches were restored from an earlier state. Ingest and build features anew.",
        lambda one: one.ahead,
    ),
    (
        "note",
        "Too short to judge",
        "Sessions are missing until a verdict is possible.",
        lambda one: one.judgement is not None and one.judgement.missing_sessions > 0,
    ),
)
