"""What a person is asked before champions move."""

from __future__ import annotations

from collections import Counter
from typing import Any

from transfergate.evaluation.lookbook import LookBook
from transfergate.registry import Registry
from transfergate.settings import Settings
from transfergate.steps.evaluations import read_evaluation
from transfergate.steps.promotion import reason_to_keep
from transfergate.storage import open_store


def approval_request(
    settings: Settings, evaluation_id: str, pages: str = "/transfergate"
) -> dict[str, Any]:
    """Put an evaluation's promotions as a question; changes nothing.

    Args:
        settings: Settings.
        evaluation_id: The evaluation.
        pages: Path, or address, below which the reports are to be seen.

    Returns:
        ``{"tickers", "subject", "body"}``: whose champion would move now, and the question in
        Markdown, with the verdicts and the way to the report.

    Raises:
        RegistryError: If there is no such evaluation.
    """
    store = open_store(settings)
    registry = Registry(store, settings.tracking_uri)
    reports = read_evaluation(store, evaluation_id)["tickers"]
    _, looks = LookBook(store).read()
    moving = [
        ticker
        for ticker, report in reports.items()
        if reason_to_keep(settings, registry, ticker, report, evaluation_id, looks.get(ticker, []))
        is None
    ]
    counts = Counter(report["verdict"] for report in reports.values())
    hours = settings.approval.timeout_hours
    lines = [
        f"[Report with pictures]({pages}/evaluations/{evaluation_id})",
        "",
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())),
        "",
        "| ticker | candidate | champion now | reason |",
        "|---|---|---|---|",
        *(_row(registry, ticker, reports[ticker]) for ticker in moving),
        "",
        f"**Approve** makes these candidates champions. **Reject**, or no answer within "
        f"{hours:g} hours, promotes nothing: every champion stays.",
    ]
    names = ", ".join(moving[:5]) + (f" and {len(moving) - 5} more" if len(moving) > 5 else "")
    return {
        "tickers": moving,
        "subject": f"Promote {names}?" if moving else "Nothing to promote",
        "body": "\n".join(lines),
    }


def _row(registry: Registry, ticker: str, report: dict[str, Any]) -> str:
    champion = registry.champion(ticker)
    cells = (
        ticker,
        f"`{report['candidate']}`",
        f"`{champion.version}`" if champion else "none: flat",
        str(report["reasons"][0]).replace("|", "\\|").replace("\n", " "),
    )
    return f"| {' | '.join(cells)} |"
