"""Lineage: from a champion back to its bars, and from a batch of bars on to champions."""

from __future__ import annotations

import re

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from transfergate.orchestration.ui.attention import notice
from transfergate.orchestration.ui.data import current
from transfergate.orchestration.ui.flow import Card, Stage, flow
from transfergate.orchestration.ui.guard import BATCHES, EVALUATIONS, ReadableDags, guarded
from transfergate.orchestration.ui.links import ours, report_of
from transfergate.orchestration.ui.markup import Html, element, empty, join, link, section
from transfergate.orchestration.ui.moves import moves_table, put_there, who
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.words import delta, moment, verdict, version
from transfergate.registry.history import Promotion
from transfergate.registry.lineage import Ancestry, Descent, ancestry, descent
from transfergate.registry.records import (
    Batch,
    CandidateRecord,
    FoundationRecord,
    Judgement,
    SnapshotRecord,
    serving,
)
from transfergate.reporting.markup import TONES
from transfergate.reporting.words import count
from transfergate.settings import TICKER_PATTERN

router = guarded(EVALUATIONS)
batches = guarded(BATCHES)


@router.get("/lineage/champion/{ticker}", response_class=HTMLResponse)
def of_champion(ticker: str) -> str:
    """What the ticker's champion came from."""
    _, records = current()
    rows = records.history(ticker) if re.fullmatch(TICKER_PATTERN, ticker) else []
    if not rows:
        raise HTTPException(404, f"{ticker} never had a champion, so there is no lineage to show.")
    trail = (("Champions", ours("champions")), (ticker, ours("champions", ticker)))
    title = f"Lineage of {ticker}"
    top = None if ticker in records.unsure else serving(rows)
    found = ancestry(records, ticker, top.version) if top else None
    if found is None:
        records.champions([top] if top else [])  # says which record of it is not there
        history = link(ours("champions", ticker), f"See the history of {ticker}")
        if ticker in records.unsure:
            body = empty(f"Nobody can say from here what serves for {ticker}", history)
        elif top is not None:
            body = empty(f"The record of its champion, {top.version}, cannot be used", history)
        else:
            body = empty("Flat serves: nothing was learnt for it", history)
        body = join((notice(records.broken.values()), body))
        return page(title, body, active="champions", trail=trail)
    lead = "From the bars as received to the champion that serves."
    drawing = element("div", flow(_backwards(found), title))
    body = join((notice(records.broken.values()), drawing, _hashes(found)))
    return page(title, body, active="champions", trail=trail, lead=lead)


@batches.get("/lineage/batch/{batch_id}", response_class=HTMLResponse)
def of_batch(batch_id: str, readable: ReadableDags) -> str:
    """What was made of a batch; who may not read verdicts and champions sees none here either."""
    _, records = current()
    known = {batch.batch_id for batch in records.batches()}
    found = descent(records, batch_id) if batch_id in known else None
    if found is None and f"batches/{batch_id}/batch.json" in records.broken:
        body = notice(records.broken.values())
        return page("What became of a batch", body, active="batches")
    if found is None:
        raise HTTPException(404, f"No batch {batch_id} was loaded: refused ones lead nowhere.")
    title = f"What became of batch {batch_id}"
    trail = (("Data quality", ours("batches")), (batch_id, ours("batches", batch_id)))
    held, learnt = len(found.snapshots), len(found.champions)
    lead = (
        f"Loaded from {found.batch.source}. {count(held, 'feature snapshot')} "
        f"{'holds' if held == 1 else 'hold'} its bars"
    )
    if EVALUATIONS not in readable:
        lead += (
            f". To see candidates, verdicts and champions takes the right to read {EVALUATIONS}."
        )
        drawing = flow(_forwards(found)[:3], title)
        body = join((notice(records.broken.values()), drawing))
        return page(title, body, active="batches", trail=trail, lead=lead)
    lead += (
        f"; {count(learnt, 'champion')} that {'serves' if learnt == 1 else 'serve'} now learnt "
        f"from them."
    )
    moved = sorted((*found.champions, *found.former), key=lambda row: row.when, reverse=True)
    shown = [notice(records.broken.values()), flow(_forwards(found), title)]
    if moved:
        rows = moves_table(moved, testid="descendants-table", with_ticker=True)
        shown.append(section("Champions that learnt from it", rows))
    return page(title, join(shown), active="batches", trail=trail, lead=lead)


def _backwards(found: Ancestry) -> list[Stage]:
    files = [_landing(key) for batch in found.batches for key in batch.landing]
    parents = [foundation_card(found.foundation)] if found.foundation else []
    return [
        Stage("Bars as received", files, "The landing files are not listed any more."),
        Stage("Batch loaded", [_batch(batch) for batch in found.batches], "No record is left."),
        Stage("Feature snapshot", [snapshot_card(found.snapshot)] if found.snapshot else []),
        Stage("Foundation", parents, "No record is left."),
        Stage("Candidate", [candidate_card(found.candidate)]),
        Stage("Verdict", [_judgement(found.judgement)] if found.judgement else [], "never judged"),
        Stage("Champion", [_champion(found.promotion, here=True)] if found.promotion else []),
    ]


def _forwards(found: Descent) -> list[Stage]:
    champions = [_champion(row, here=False) for row in found.champions]
    return [
        Stage("Batch", [_batch(found.batch, here=True)]),
        Stage("Feature snapshots", [snapshot_card(one) for one in found.snapshots], "none yet"),
        Stage("Foundations", [foundation_card(one) for one in found.foundations], "none yet"),
        Stage("Candidates", [candidate_card(one) for one in found.candidates], "none yet"),
        Stage("Verdicts", [_judgement(one) for one in found.judgements], "none yet"),
        Stage("Champions", champions, "None serves that learnt from it."),
    ]


def _landing(key: str) -> Card:
    _, source, content = key.split("/", 2)
    return Card(version(content), [("source", source), ("file", element("code", key))])


def _batch(batch: Batch, *, here: bool = False) -> Card:
    return Card(
        version(batch.batch_id),
        [
            ("source", batch.source),
            ("loaded", f"{batch.loaded:,} of {batch.received:,} bars, {batch.tickers} tickers"),
            ("quarantined", f"{batch.quarantined:,}" if batch.quarantined else None),
            ("sessions", f"{batch.first_session} to {batch.last_session}"),
            ("known at", moment(batch.known_at)),
        ],
        [
            link(ours("batches", batch.batch_id), "quality", data_testid="batch-link"),
            link(ours("data_docs", "batches", f"{batch.batch_id}.html"), "Data Docs"),
            *([] if here else [link(ours("lineage", "batch", batch.batch_id), "onwards")]),
        ],
        here=here,
    )


def snapshot_card(one: SnapshotRecord) -> Card:
    """A feature snapshot."""
    return Card(
        version(one.snapshot_id),
        [
            ("tickers", len(one.tickers)),
            ("features", one.n_features),
            ("sessions", f"{one.first_session} to {one.last_session}"),
            ("SQL", version(one.sql_hash)),
        ],
    )


def foundation_card(one: FoundationRecord) -> Card:
    """A foundation version."""
    return Card(
        version(one.version),
        [
            ("taught by", ", ".join(one.sources[:4]) + _more(len(one.sources) - 4)),
            ("family of", f"{one.n_checkpoints} checkpoints"),
            ("snapshot", version(one.snapshot_id)),
        ],
    )


def candidate_card(one: CandidateRecord) -> Card:
    """A candidate."""
    return Card(
        join((one.ticker, " ", version(one.version))),
        [
            ("learnt until", one.last_session),
            ("policies", one.n_seeds),
            ("recipe", version(one.recipe)),
            ("foundation", version(one.foundation_version)),
        ],
    )


def _judgement(one: Judgement) -> Card:
    return Card(
        join((one.ticker, " ", verdict(one.verdict))),
        [
            ("Δ Sharpe", delta(one.delta_sharpe, one.se)),
            ("sessions", f"{one.n_sessions:,}"),
            ("look", one.look_number),
        ],
        [link(report_of(one.evaluation_id, one.ticker), "report")],
        tone=TONES.get(one.verdict, ""),
    )


def _champion(row: Promotion, *, here: bool) -> Card:
    return Card(
        join((row.ticker, " ", version(row.version))),
        [("put there by", put_there(row)), ("since", moment(row.when)), ("who", who(row))],
        [
            link(ours("champions", row.ticker), "history"),
            *([] if here else [link(ours("lineage", "champion", row.ticker), "back")]),
        ],
        tone="champion",
        here=here,
    )


def _hashes(found: Ancestry) -> Html:
    """What it takes to make the same again, in full."""
    pairs = [
        ("Candidate's weights, SHA-256", found.candidate.weights_sha256),
        ("Code of the training", found.candidate.code_version),
    ]
    if found.foundation:
        pairs += [
            ("Foundation's weights, SHA-256", found.foundation.weights_sha256),
            ("Code of the pre-training", found.foundation.code_version),
        ]
    rows = [element("div", element("dt", name), element("dd", version(x))) for name, x in pairs]
    return section("Fingerprints", element("dl", *rows, class_="facts broad"))


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
