"""Run the feature relations of ``sql/`` over a batch of one source's tickers.

Each file of ``sql/intermediate`` and ``sql/marts`` is one select; its relation has the file's
name and is temporary, so bars are read, never written. A feature file,
``sql/marts/features/<name>.sql``, selects ``ticker``, ``session_date`` and one column or more:
these are the features. All relations of a batch live in the caller's connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams
from transfergate.warehouse.batch_bars import (
    STATES,
    FeatureRun,
    TickerPlan,
    create,
    named_failure,
    read_bars,
    replace_table,
    take_bars,
    ticker_slices,
)
from transfergate.warehouse.feature_sql import KEYS, FeatureSql
from transfergate.warehouse.smoothers import COLUMNS as SMOOTHED
from transfergate.warehouse.smoothers import smoothers
from transfergate.warehouse.zscores import z_scores

RESTART_BARS = 64
"""A restart point is kept at every bar whose number is a multiple of this."""

_SCORED_AT_ONCE = 200_000
# Which bar a row is of: as telling as both columns, and a third of the time to compare.
_PLACE = "hash(ticker, session_date) as place"

MARKET_SCHEMA = pa.schema(
    [
        ("index_ticker", pa.string()),
        ("session_date", pa.date32()),
        ("bars", pa.int64()),
        ("return_count", pa.int64()),
        ("total_e12", pa.decimal128(38, 0)),
    ]
)


@dataclass(frozen=True)
class TickerFeatures:
    """Feature rows of one ticker, from the first one that its plan wants.

    Attributes:
        ticker: The ticker.
        sessions: ``datetime64[D]``, shape (T,).
        prices: float64 (2, T): adjusted open and close.
        values_e12: int64 (F, T): features in units of 1e-12, 0 where not valid.
        valid: bool (F, T).
        scores: float32 (F, T): z-scores, NaN until warm.
        restart_points: ``bar_number, session_date, close`` and ``STATES``, of the whole batch.
    """

    ticker: str
    sessions: npt.NDArray[np.datetime64]
    prices: npt.NDArray[np.float64]
    values_e12: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    restart_points: pa.Table

    @classmethod
    def none(cls, n_features: int) -> TickerFeatures:
        """No rows of no ticker."""
        shape = (n_features, 0)
        return cls(
            "",
            np.empty(0, "datetime64[D]"),
            np.empty((2, 0)),
            np.empty(shape, np.int64),
            np.empty(shape, np.bool_),
            np.empty(shape, np.float32),
            pa.table({"bar_number": pa.array([], pa.int64())}),
        )


def market_sums(conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan]) -> pa.Table:
    """What a batch adds to the market's returns, from each plan's ``changed_from`` on."""
    read_bars(conn, run, plans)
    return market_of_bars(conn, run)


def market_of_bars(conn: DuckDBPyConnection, run: FeatureRun) -> pa.Table:
    """What the bars in ``int_adjusted_bars`` add to the market's returns."""
    with named_failure("int_market_sums"):
        return conn.sql(run.sql.text("int_market_sums")).to_arrow_table().cast(MARKET_SCHEMA)


def set_market(conn: DuckDBPyConnection, run: FeatureRun, market: pa.Table) -> None:
    """Build ``int_index_returns`` from the sums over all batches."""
    replace_table(conn, "market_sums", market)
    create(conn, "int_index_returns", run.sql.text("int_index_returns"))


def compute_features(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    plans: Sequence[TickerPlan],
    file: Path | None = None,
) -> tuple[tuple[str, ...], list[TickerFeatures]]:
    """Compute raw features and z-scores of a batch of tickers.

    Args:
        conn: Connection after ``begin`` and ``set_market``.
        run: The run.
        plans: The batch; memory grows with it, the result does not depend on it.
        file: Their adjusted bars, from ``keep_bars``; None to read them.

    Returns:
        The feature columns (files in the order of the settings, columns in each file's order),
        and the rows of every ticker that has any, sorted by ticker.

    Raises:
        SnapshotError: If a statement fails, or a feature relation breaks its contract.
    """
    if file is None:
        read_bars(conn, run, plans)
    else:
        take_bars(conn, run, plans, file)
    return features_of_bars(conn, run, plans)


def features_of_bars(
    conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan]
) -> tuple[tuple[str, ...], list[TickerFeatures]]:
    """``compute_features`` of the bars that ``int_adjusted_bars`` holds already."""
    create(conn, "int_bars", run.sql.text("int_bars"))
    smooth = "int_smoothers" in run.sql.batch_relations
    names = ["ticker", "session_date", "open", "close", _PLACE, *(SMOOTHED if smooth else ())]
    bars = conn.sql(f"select {', '.join(names)} from int_bars").to_arrow_table()
    if smooth:
        conn.register("int_smoothers", smoothers(bars, plans))
    if "int_running_sums" in run.sql.batch_relations:
        create(conn, "int_running_sums", run.sql.text("int_running_sums"))
    for name in run.sql.names:
        create(conn, name, run.sql.text(name), kind="view")
    columns = _feature_columns(conn, run.sql.names)
    places = bars["place"].to_numpy()
    values = np.empty((len(columns), bars.num_rows), np.int64)
    valid = np.empty(values.shape, np.bool_)
    row = 0
    for name in run.sql.names:
        for column in _fetch_e12(conn, name, places):
            valid[row] = column.is_valid().to_numpy(zero_copy_only=False)
            values[row] = column.fill_null(0).to_numpy()
            row += 1
    return columns, _split(bars, values, valid, run, plans, _restart_points(conn, run.sql))


def _split(
    bars: pa.Table,
    values: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
    run: FeatureRun,
    plans: Sequence[TickerPlan],
    points: pa.Table,
) -> list[TickerFeatures]:
    by_ticker = {plan.ticker: plan for plan in plans}
    sessions = bars["session_date"].to_numpy().astype("datetime64[D]")
    prices = np.stack([bars[name].to_numpy() for name in ("open", "close")])
    points_of = dict(ticker_slices(points))
    none = points.slice(0, 0).drop_columns(["ticker"])
    wanted = []
    start = 0
    for ticker, part in ticker_slices(bars):
        plan, end = by_ticker[ticker], start + part.num_rows
        wanted.append((ticker, start, start + plan.first_row - plan.first_bar_number, end))
        start = end
    scores = _scores(values, valid, [rows for _, *rows in wanted], run.params)
    return [
        TickerFeatures(
            ticker,
            sessions[first:end],
            prices[:, first:end],
            values[:, first:end],
            valid[:, first:end],
            scored,
            points_of[ticker].drop_columns(["ticker"]) if ticker in points_of else none,
        )
        for (ticker, _, first, end), scored in zip(wanted, scores, strict=True)
    ]


def _scores(
    values: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
    tickers: Sequence[Sequence[int]],
    params: FeatureParams,
) -> list[npt.NDArray[np.float32]]:
    """Score rows ``first … end`` of each ticker, whose bars begin at ``start``.

    Short tickers of one length are scored at once: a call costs as much as some thousand values.
    """
    found: list[npt.NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(tickers)
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (start, first, end) in enumerate(tickers):
        before = min(first - start, params.z_window - 1)
        groups.setdefault((before, end - first), []).append(number)
    for (before, rows), members in groups.items():
        at_once = max(1, _SCORED_AT_ONCE // max(1, len(values) * (before + rows)))
        for place in range(0, len(members), at_once):
            part = members[place : place + at_once]
            spans = [slice(tickers[number][1] - before, tickers[number][2]) for number in part]
            stacked = [np.concatenate([side[:, span] for span in spans]) if len(spans) > 1
                       else side[:, spans[0]] for side in (values, valid)]  # fmt: skip
            scored = z_scores(stacked[0], stacked[1], params.z_window, params.z_clip)[:, before:]
            for number, own in zip(part, np.split(scored, len(part)), strict=True):
                found[number] = own
    return found


def _restart_points(conn: DuckDBPyConnection, sql: FeatureSql) -> pa.Table:
    smoothers = "int_smoothers" in sql.batch_relations
    states = ", ".join(name if smoothers else f"null::double as {name}" for name in STATES)
    return conn.sql(
        f"select ticker, bar_number, session_date, close, {states} "
        f"from {'int_smoothers' if smoothers else 'int_bars'} "
        f"where bar_number > 0 and bar_number % {RESTART_BARS} = 0 order by ticker, bar_number"
    ).to_arrow_table()


def _fetch_e12(
    conn: DuckDBPyConnection, name: str, places: npt.NDArray[np.uint64]
) -> Iterator[pa.Array]:
    # Shipped relations lie in the order of int_bars, so no join is needed; it is checked.
    with named_failure(name):
        found = conn.sql(
            f"select {_PLACE}, to_e12(columns(* exclude (ticker, session_date))) from {name}"
        ).to_arrow_table()
        if not np.array_equal(found.column(0).to_numpy(), places):
            found = conn.sql(
                f"select 0, to_e12(columns(feature.* exclude (ticker, session_date))) "
                f"from int_bars as bars left join {name} as feature using (ticker, session_date) "
                f"order by bars.ticker, bars.session_date"
            ).to_arrow_table()
    if found.num_rows != len(places):
        raise SnapshotError(
            f"marts/features/{name}.sql: gives {found.num_rows} rows for {len(places)} bars, "
            f"expected at most one for each ticker and session: correct its select"
        )
    for column in found.columns[1:]:
        yield column.combine_chunks()


def _feature_columns(conn: DuckDBPyConnection, names: Sequence[str]) -> tuple[str, ...]:
    owner: dict[str, str] = {}
    for name in names:
        found = [str(row[0]) for row in conn.execute(f"describe {name}").fetchall()]
        columns = [column for column in found if column not in KEYS]
        if not set(KEYS) <= set(found) or not columns:
            raise SnapshotError(
                f"marts/features/{name}.sql: expected the columns ticker, session_date and at "
                f"least one feature, found {', '.join(found)}: correct its select"
            )
        for column in columns:
            if column in owner or column in ("open", "close"):
                raise SnapshotError(
                    f"marts/features/{name}.sql: column {column!r} is taken by "
                    f"{owner.get(column, 'the prices')}; feature columns are unique over all "
                    f"files: rename it"
                )
            owner[column] = name
    return tuple(owner)
