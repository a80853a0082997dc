"""An evaluation as one self-contained HTML page: readable offline, light and dark.

Everything that comes from data is escaped; the script on the page only sorts, filters and unfolds
what is there, so that the page says the same without it. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from transfergate.reporting.charts import Charts
from transfergate.reporting.overview import forest, summary
from transfergate.reporting.sections import section
from transfergate.reporting.words import count

OPEN_UP_TO = 3
"""With so few tickers all of them are unfolded."""
POINTS = 320
"""Points of a curve; a third of them where there are many tickers, so that the page stays small."""
MANY = 60


def evaluation_page(evaluation: Mapping[str, Any], charts: Mapping[str, Charts]) -> str:
    """Render an evaluation.

    Args:
        evaluation: What the gate returned, with ``performance``, ``flat_seeds`` and ``regimes``
            per ticker where known, and ``evaluation_id``, ``foundation_version`` and
            ``foundation`` (the cost of pre-training) where there are such.
        charts: Per ticker what ``chart_data`` returned.
    """
    name = evaluation.get("evaluation_id", "")
    reports = evaluation["tickers"]
    anchors = {ticker: f"t{i}" for i, ticker in enumerate(reports)}
    links = {ticker: f"#{anchor}" for ticker, anchor in anchors.items()}
    sections = "".join(
        section(
            ticker,
            report,
            charts.get(ticker),
            anchor=anchors[ticker],
            is_open=len(reports) <= OPEN_UP_TO,
            points=POINTS if len(reports) <= MANY else POINTS // 3,
            delta_min=float(evaluation["config"]["delta_min"]),
        )
        for ticker, report in reports.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">'
        f"<title>Does pre-training help? {escape(name)}</title><style>{style()}</style>"
        f'</head><body><a class="skip" href="#all">Skip to the tickers</a><header>'
        f"<h1>Does pre-training help?</h1><p class='note'>{question(evaluation)}</p></header><main>"
        f"{summary(evaluation, links)}{forest(evaluation, anchors)}"
        f'<section aria-labelledby="each"><h2 id="each">Ticker by ticker</h2>'
        f'<p class="note" id="chosen" hidden></p>{sections}</section>'
        f'<section aria-labelledby="origin"><h2 id="origin">Where this came from</h2>'
        f'<p class="note">{origin(evaluation)}</p></section></main>'
        f"<script>{asset('page.js')}</script></body></html>\n"
    )


def question(evaluation: Mapping[str, Any]) -> str:
    """What was compared, as HTML."""
    return (
        f"{count(len(evaluation['tickers']), 'ticker')}: policies fine-tuned from a foundation "
        f"against policies trained from scratch with the same budget, net of costs, on sessions "
        f"that neither had seen."
    )


def origin(evaluation: Mapping[str, Any]) -> str:
    """By which rule it was judged, and where it came from, as HTML."""
    parts = [_rule(evaluation["config"])]
    if evaluation.get("evaluation_id"):
        parts.append(f"Evaluation {escape(evaluation['evaluation_id'])}.")
    if evaluation.get("foundation_version"):
        parts.append(f"Foundation {escape(evaluation['foundation_version'])}{_cost(evaluation)}.")
    return " ".join(parts)


def _cost(evaluation: Mapping[str, Any]) -> str:
    """What pre-training cost besides the budgets of the arms, and its share of each target."""
    foundation = evaluation.get("foundation") or {}
    steps = foundation.get("env_steps")
    if not steps:
        return ""
    each = round(steps / max(len(evaluation["tickers"]), 1))
    return (
        f", pre-trained on {count(foundation.get('n_sources', 0), 'ticker')} with {steps:,} "
        f"environment steps and {foundation.get('updates', 0):,} updates ({each:,} steps for each "
        f"target here), which the arms' budgets do not include"
    )


def _rule(config: Mapping[str, Any]) -> str:
    return (
        f"Rule: evidence {escape(str(config['evidence']))}; smallest difference that matters "
        f"{config['delta_min']:g}; error rates {config['alpha_promote']:g} to promote and "
        f"{config['alpha_reject']:g} to reject; at least {config['min_oos_sessions']} sessions."
    )


def style() -> str:
    """The look of a self-contained page."""
    return asset("content.css") + asset("page.css")


@cache
def asset(name: str) -> str:
    """A style sheet or script that is written into pages."""
    return (files("transfergate.reporting") / "assets" / name).read_text(encoding="utf-8")
