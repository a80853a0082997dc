"""The expectations on a batch as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from transfergate.quality.suite import BatchContext, as_rule
from transfergate.settings import QualityParams

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def batch_expectations(params: QualityParams, context: BatchContext) -> Iterator[Expectation]:
    """What the batch as a whole should look like: staleness is critical, the rest are warnings."""
    import great_expectations.expectations as gxe

    yield from _freshness(params, context)
    limit = params.max_abs_return
    yield gxe.ExpectColumnValuesToBeBetween(
        column="adjusted_return",
        min_value=-limit,
        max_value=limit,
        **as_rule("return_outlier", f"adjusted close to close within ±{limit:.0%}", "warning"),
    )
    yield gxe.ExpectColumnValuesToBeNull(
        column="split_ratio",
        **as_rule("hidden_split", "no overnight gap like a split that is not adjusted", "warning"),
    )
    missing = params.max_missing_session_frac
    yield gxe.ExpectColumnValuesToBeBetween(
        column="missing_sessions",
        max_value=0,
        mostly=1.0 - missing,
        **as_rule("gap", f"no session is missing before a bar, {missing:.1%} excepted", "warning"),
    )
    behind = params.max_staleness_sessions
    yield gxe.ExpectColumnValuesToBeBetween(
        column="sessions_behind",
        max_value=behind,
        **as_rule(
            "ticker_stops_early", f"at most {behind} sessions before the batch ends", "warning"
        ),
    )
    yield gxe.ExpectColumnDistinctValuesToContainSet(
        column="ticker",
        value_set=list(context.tickers),
        **as_rule("ticker_coverage", "every ticker asked for has a row", "warning"),
    )
    if context.previous_rows is not None:
        least = int((1.0 - params.row_count_tolerance) * context.previous_rows)
        yield gxe.ExpectTableRowCountToBeBetween(
            min_value=max(least, 0),
            **as_rule(
                "row_count", f"at least {least} rows ({context.previous_rows} before)", "warning"
            ),
        )


def _freshness(params: QualityParams, context: BatchContext) -> Iterator[Expectation]:
    # One for each exchange: a fresh one must not hide a stale one.
    import great_expectations.expectations as gxe
    import pandas as pd
    from great_expectations.expectations.row_conditions import Column

    elsewhere = [ticker for _, tickers, _ in context.other_exchanges for ticker in tickers]
    # Conditions compare with == False, because they are built, not evaluated.
    on_session = Column("off_calendar") == False  # noqa: E712
    asked: list[tuple[str, Any, date]] = []
    if context.oldest_acceptable is not None and set(context.tickers) - set(elsewhere):
        own = on_session & Column("ticker").is_not_in(elsewhere) if elsewhere else on_session
        asked.append(("fresh", own, context.oldest_acceptable))
    for exchange, tickers, oldest in context.other_exchanges:
        there = on_session & Column("ticker").is_in(list(tickers))
        asked.append((f"fresh_{exchange}", there, oldest))
    for rule, condition, oldest in asked:
        yield gxe.ExpectColumnMaxToBeBetween(
            column="session_date",
            min_value=pd.Timestamp(oldest),
            row_condition=condition,
            **as_rule(
                rule, f"the last session is {oldest} or later, near the end "
                f"asked for (at most {params.max_staleness_sessions} sessions before it)"
            ),
        )  # fmt: skip
