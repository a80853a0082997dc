"""A sizing curve as one self-contained page, and as text: what each share of history is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from transfergate.reporting.markup import table
from transfergate.reporting.page import asset, style
from transfergate.reporting.svg import band_chart
from transfergate.reporting.text import WIDTH, aligned
from transfergate.reporting.words import count, number

SIZING_LABELS = {
    "scratch": "from scratch",
    "head": "fine-tuned: head",
    "partial": "fine-tuned: partial",
    "full": "fine-tuned: full",
    "discriminative": "fine-tuned: discriminative",
}
REFERENCE_LABELS = {
    "zero_shot": "foundation untouched",
    "ridge": "ridge-linear, all history",
    "buy_hold": "buy and hold",
}

Result = Mapping[str, Any]


def render_sizing(result: Result) -> str:
    """Sharpe ratios and differences by share as aligned text of 100 columns, caveats below."""
    arms = ["scratch", *result["tiers"]]
    head = ["share", "sessions", *(SIZING_LABELS[arm].removeprefix("fine-tuned: ") for arm in arms)]
    head += [f"{tier} - scratch" for tier in result["tiers"]]
    rows = [head, *(_cells(point, arms) for point in result["shares"] if point["reason"] is None)]
    lines = [f"{result['ticker']}: {_what(result)}", "", *aligned(rows), ""]
    lines += [
        f"{REFERENCE_LABELS[name]}: {_value(item, 'sharpe')}"
        for name, item in result["references"].items()
    ]
    for text in (*_left_out(result), *caveats(result)):
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def sizing_page(result: Result) -> str:
    """The page: curves with bands, differences, a table, what it must not be used for."""
    ticker = escape(result["ticker"])
    notes = "".join(f"<li>{escape(text)}</li>" for text in (*_left_out(result), *caveats(result)))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>How much history? {ticker}</title>'
        f"<style>{style()}{asset('sizing.css')}</style></head><body><header>"
        f"<h1>How much of its own history does {ticker} need?</h1>"
        f'<p class="note">{escape(_what(result))}</p></header><main>'
        f"{_legend(result)}{_sharpe_chart(result)}{_difference_chart(result)}"
        f'<h2>What this is, and what it is not</h2><ul class="concerns">{notes}</ul>'
        f"{_sharpe_table(result)}{_difference_table(result)}{_references(result)}{_folds(result)}"
        f"</main></body></html>\n"
    )


def caveats(result: Result) -> list[str]:
    """What a reader must know before acting on the curve."""
    n, judged = result["n_sessions"], result["n_judged"]
    found = [
        "Exploration, not a verdict: nothing here was written to the record of returns or of "
        "looks, and no policy may be promoted on it. The largest of many figures is large partly "
        "by luck; look at the intervals.",
        "Choosing a tier or a share by this curve uses these sessions up: a policy chosen so "
        f"would be judged fairly only on sessions after {result['last_session']}.",
    ]
    if judged:
        found.append(
            f"{judged} of the {n} sessions were scored for verdicts before. A recipe changed "
            "because of this curve and judged on them again is tuned on its own test: the looks "
            "count it as a further look, but cannot undo that."
        )
    else:
        found.append(
            f"None of the {n} sessions is in the record of a verdict, and no test window that a "
            "verdict has yet to see was scored."
        )
    if result["on"] == "validation":
        found.append(
            "Scored on validation windows; early stopping and the grid's choice used sessions "
            "before them. The foundations' own early stopping saw these dates on source tickers, "
            "which favours the fine-tuned arms a little."
        )
    return found


def _what(result: Result) -> str:
    return (
        f"Sharpe ratio, net of costs, on {count(result['n_sessions'], 'held-out session')} of "
        f"{count(len(result['folds']), 'fold')} ({result['first_session']} to "
        f"{result['last_session']}, {result['on']} windows) after training on the latest part of "
        f"the history before each; {count(result['n_seeds'], 'paired seed')}, "
        f"{count(result['models'], 'model')}, foundation {result['foundation_version']}."
    )


def _left_out(result: Result) -> list[str]:
    """Shares that did not train, and those that trained with other paths than the settings'."""
    found = [
        f"{point['share']} %: too short to train on: {point['reason']}."
        for point in result["shares"]
        if point["reason"] is not None
    ]
    trained = [point for point in result["shares"] if point["reason"] is None]
    longest = max(point["path_sessions"] for point in trained)
    return found + [
        f"{point['share']} %: trained with paths of {point['path_sessions']} sessions, "
        f"{point['n_paths']} an update, for want of room for {longest}; about as many steps."
        for point in trained
        if point["path_sessions"] != longest
    ]


def _value(item: Mapping[str, Any], key: str) -> str:
    return f"{number(item[key], 2, sign=True)} ± {number(item['se'], 2)}"


def _cells(point: Mapping[str, Any], arms: Sequence[str]) -> list[str]:
    cells = [f"{point['share']} %", _sessions(point)]
    cells += [_value(point["arms"][arm], "sharpe") for arm in arms]
    return cells + [
        _value(point["arms"][arm]["against_scratch"], "delta_sharpe")
        for arm in arms
        if arm != "scratch"
    ]


def _sessions(point: Mapping[str, Any]) -> str:
    fewest, most = point["sessions"]["fewest"], point["sessions"]["most"]
    return str(fewest) if fewest == most else f"{fewest}-{most}"


def _legend(result: Result) -> str:
    items = "".join(
        f'<li class="{arm}"><i aria-hidden="true"></i>{SIZING_LABELS[arm]}</li>'
        for arm in ("scratch", *result["tiers"])
    )
    return f'<ul class="legend">{items}</ul>'


def _marks(result: Result) -> list[tuple[float, str]]:
    return [(float(point["share"]), f"{point['share']} %") for point in result["shares"]]


def _sharpe_chart(result: Result) -> str:
    curves = {
        arm: [
            (float(point["share"]), own["sharpe"], own["low"], own["high"])
            for point in result["shares"]
            if (own := point["arms"].get(arm)) is not None
        ]
        for arm in ("scratch", *result["tiers"])
    }
    last = ", ".join(f"{SIZING_LABELS[arm]} {own[-1][1]:+.2f}" for arm, own in curves.items())
    return band_chart(
        curves,
        "Held-out Sharpe ratio by share of the history; bands are 90 % intervals",
        f"Sharpe ratio by share of history. At the largest share: {last}.",
        _marks(result),
    )


def _difference_chart(result: Result) -> str:
    curves = {
        tier: [
            (float(point["share"]), own["delta_sharpe"], own["low"], own["high"])
            for point in result["shares"]
            if point["reason"] is None
            for own in [point["arms"][tier]["against_scratch"]]
        ]
        for tier in result["tiers"]
    }
    last = ", ".join(f"{SIZING_LABELS[arm]} {own[-1][1]:+.2f}" for arm, own in curves.items())
    return band_chart(
        curves,
        "Fine-tuned less from scratch, the same share for both; bands are 90 % intervals",
        f"Difference of Sharpe ratios by share of history. At the largest share: {last}.",
        _marks(result),
    )


def _sharpe_table(result: Result) -> str:
    arms = ("scratch", *result["tiers"])
    rows = [
        (
            f"{point['share']} %",
            _sessions(point),
            *(
                ["too short"] * len(arms)
                if point["reason"]
                else [_with_interval(point["arms"][arm], "sharpe") for arm in arms]
            ),
            "-" if point["reason"] else _flat(point, arms),
        )
        for point in result["shares"]
    ]
    return table(
        "Held-out Sharpe ratio by share of history",
        ("share", "sessions", *(SIZING_LABELS[arm] for arm in arms), "flat trainings"),
        rows,
        "Value ± standard error (over time and seeds, as in a verdict), and the 90 % interval. "
        "Sessions: in the fold with the shortest and with the longest history. Flat trainings: "
        "pairs of fold and seed that held nothing throughout, in the order of the columns; they "
        "count like all others.",
    )


def _difference_table(result: Result) -> str:
    rows = [
        (
            f"{point['share']} %",
            *(
                _with_interval(point["arms"][tier]["against_scratch"], "delta_sharpe")
                for tier in result["tiers"]
            ),
        )
        for point in result["shares"]
        if point["reason"] is None
    ]
    head = ("share", *(SIZING_LABELS[tier] for tier in result["tiers"]))
    return table("Fine-tuned less from scratch", head, rows, "Paired seeds, the same sessions.")


def _references(result: Result) -> str:
    rows = [
        (REFERENCE_LABELS[name], _with_interval(item, "sharpe"))
        for name, item in result["references"].items()
    ]
    note = "Standard errors over time only: these have no seeds."
    return table("On the same sessions, without training", ("policy", "Sharpe"), rows, note)


def _folds(result: Result) -> str:
    rows = [
        (escape(fold["fold"]), *(_dates(fold[part]) for part in ("train", "selected_on", "scored")))
        for fold in result["folds"]
    ]
    head = ("fold", "history, all of it", "selected on", "scored")
    return table("Folds", head, rows, "A share takes the latest part of the history.")


def _with_interval(item: Mapping[str, Any], key: str) -> str:
    ends = f"{number(item['low'], 2, sign=True)} to {number(item['high'], 2, sign=True)}"
    return f"{_value(item, key)}<br><small>{ends}</small>"


def _flat(point: Mapping[str, Any], arms: Sequence[str]) -> str:
    counts = [str(point["arms"][arm]["flat_fold_seeds"]) for arm in arms]
    return f"{', '.join(counts)} of {point['arms']['scratch']['fold_seeds']}"


def _dates(ends: Sequence[str]) -> str:
    return escape(f"{ends[0]} to {ends[1]}")
