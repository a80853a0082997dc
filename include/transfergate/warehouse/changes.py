"""What became known between two moments: tickers, and the first session that differs."""

from __future__ import annotations

from datetime import date, datetime

from duckdb import DuckDBPyConnection

from transfergate.warehouse.batch_bars import (
    FeatureRun,
    TickerPlan,
    feature_worker,
    read_bars,
)

_CHANGED_BARS = """
select ticker, min(session_date)
from bar_revisions
where source = $source and known_at > $first::timestamptz and known_at <= $last::timestamptz
group by ticker
"""
# Facts without which bars_adjusted would give other prices, beside the bars themselves.
_CHANGED_ACTIONS = """
select distinct ticker
from corporate_actions
where source = $source and known_at > $first::timestamptz and known_at <= $last::timestamptz
order by ticker
"""
_DIFFERENCE = """
select ticker, min(session_date)
from (
    (from bars_then except all from int_adjusted_bars)
    union all
    (from int_adjusted_bars except all from bars_then)
)
group by ticker
"""


def changed_tickers(conn: DuckDBPyConnection, run: FeatureRun, then: datetime) -> dict[str, date]:
    """Tickers whose adjusted bars differ between a moment and the run's, in either direction.

    Bars change nothing before themselves, since adjustment runs forward; where corporate actions
    changed, both adjusted histories are compared.

    Args:
        conn: The warehouse.
        run: What is to be published.
        then: The moment of the snapshot before.

    Returns:
        Ticker -> first session that may differ; a ticker that is not named has equal bars.
    """
    moments = sorted([then, run.as_of])
    span = {
        "source": run.source,
        "first": moments[0].isoformat(),
        "last": moments[1].isoformat(),
    }
    changed: dict[str, date] = dict(conn.execute(_CHANGED_BARS, span).fetchall())
    acted = [str(row[0]) for row in conn.execute(_CHANGED_ACTIONS, span).fetchall()]
    if acted:
        plans = [TickerPlan(ticker) for ticker in acted]
        with feature_worker(conn, run) as worker:
            worker.execute("set variable as_of = $at::timestamptz", {"at": then.isoformat()})
            read_bars(worker, run, plans)
            worker.execute("create temp table bars_then as from int_adjusted_bars")
            worker.execute("set variable as_of = $at::timestamptz", {"at": run.as_of.isoformat()})
            read_bars(worker, run, plans)
            for ticker, session in worker.execute(_DIFFERENCE).fetchall():
                changed[ticker] = min(session, changed.get(ticker, session))
    return changed
