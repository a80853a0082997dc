"""Run the feature relations of ``sql/`` over one source's bars, and prove that none looks ahead.

Each file of ``sql/intermediate`` and ``sql/marts`` is one select; its relation has the file's
name and is temporary, so the warehouse file is read, never written. A feature file,
``sql/marts/features/<name>.sql``, selects ``ticker``, ``session_date`` and one column or more:
these are the features. All relations of a run live in the caller's connection.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from duckdb import DuckDBPyConnection, Error

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams
from transfergate.storage import content_hash

log = logging.getLogger(__name__)

KEYS = ("ticker", "session_date")
_SOURCE_RELATIONS = ("int_source_bars", "int_index_returns")
_BATCH_RELATIONS = ("int_bars", "int_smoothers")
_MARTS = ("feature_z_scores", "snapshot_rows")
_LEAKAGE_TICKERS = 4


@dataclass(frozen=True)
class FeatureSql:
    """The SQL that a run of features consists of, read once.

    Attributes:
        statements: Path below ``sql_dir`` -> text, in the order of execution.
        names: Feature files, in the order of the settings.
    """

    statements: dict[str, str]
    names: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Hash of every statement and of the features' order: other SQL, other features."""
        return content_hash(*(part for item in self.statements.items() for part in item))

    def text(self, relation: str) -> str:
        """The statement of one relation."""
        return next(text for path, text in self.statements.items() if Path(path).stem == relation)


def read_feature_sql(sql_dir: Path, names: Sequence[str]) -> FeatureSql:
    """Read the statements behind the named features.

    Raises:
        SnapshotError: If a file is missing; says which features there are.
    """
    paths = ["intermediate/macros.sql", "intermediate/int_adjusted_bars.sql"]
    paths += [f"intermediate/{name}.sql" for name in (*_SOURCE_RELATIONS, *_BATCH_RELATIONS)]
    paths += [f"marts/features/{name}.sql" for name in names]
    paths += [f"marts/{name}.sql" for name in _MARTS]
    for path in paths:
        if not (sql_dir / path).is_file() or not Path(path).stem.isidentifier():
            there = sorted(found.stem for found in (sql_dir / "marts/features").glob("*.sql"))
            raise SnapshotError(
                f"features.names: no file {sql_dir / path}; features there are: "
                f"{', '.join(there) or 'none'}: add the file or correct the setting"
            )
    return FeatureSql({path: (sql_dir / path).read_text() for path in paths}, tuple(names))


def read_bars(
    conn: DuckDBPyConnection, sql: FeatureSql, source: str, as_of: datetime | None = None
) -> None:
    """Fill ``int_adjusted_bars`` with a source's bars as known at a moment.

    Args:
        conn: The warehouse; gets the macros, session variables and temporary relations.
        sql: What ``read_feature_sql`` returned.
        source: Bars of this source only; sources never mix.
        as_of: What was known then; None for all. The variable ``as_of`` is the moment of the
            last load by then.

    Raises:
        SnapshotError: If there are no such bars.
    """
    conn.execute("set variable source_name = $source", {"source": source})
    # The last load that is seen, so that the same loads give the same moment.
    conn.execute(
        "set variable as_of = last_known_at(getvariable('source_name'), $as_of::timestamptz)",
        {"as_of": as_of.isoformat() if as_of else "infinity"},
    )
    conn.execute(sql.text("macros"))
    _create(conn, "int_adjusted_bars", sql.text("int_adjusted_bars"))
    if conn.execute("select count(*) from int_adjusted_bars").fetchone() == (0,):
        raise SnapshotError(
            f"source {source!r}: the warehouse has no bars as of {as_of or 'now'}, expected at "
            f"least one: ingest this source first"
        )


def prepare_market(
    conn: DuckDBPyConnection, sql: FeatureSql, index: str | None, index_tickers: Sequence[str]
) -> None:
    """Build the relations over all tickers: returns, and the market's return of each day.

    Args:
        conn: Connection that ``read_bars`` prepared.
        sql: The statements.
        index: The index series to relate to; None for the mean of that day's tickers.
        index_tickers: Series that are no stocks, left out of that mean.
    """
    conn.execute("set variable index_ticker = $index::varchar", {"index": index})
    _create_list(conn, "feature_index_tickers", index_tickers)
    for relation in _SOURCE_RELATIONS:
        _create(conn, relation, sql.text(relation))


def compute_features(
    conn: DuckDBPyConnection, sql: FeatureSql, params: FeatureParams, tickers: Sequence[str]
) -> tuple[str, ...]:
    """Build ``raw_features``, ``feature_z_scores`` and ``snapshot_rows`` for a batch of tickers.

    Args:
        conn: Connection that ``prepare_market`` prepared.
        sql: The statements.
        params: ``z_window`` in sessions, ``z_clip`` in standard deviations.
        tickers: The batch; memory grows with it, the result does not depend on it.

    Returns:
        The feature columns: files in the order of the settings, columns in each file's order.

    Raises:
        SnapshotError: If a statement fails, or a feature relation breaks its contract.
    """
    conn.execute("set variable z_window = $n::integer", {"n": params.z_window})
    conn.execute("set variable z_clip = $clip::double", {"clip": params.z_clip})
    _create_list(conn, "feature_batch_tickers", tickers)
    for relation in (*_BATCH_RELATIONS, *sql.names):
        _create(conn, relation, sql.text(relation))
    columns = _feature_columns(conn, sql.names)
    joins = "\n".join(f"left join {name} using (ticker, session_date)" for name in sql.names)
    _create(
        conn,
        "raw_features",
        f"select * from (select ticker, session_date from int_bars)\n{joins}",
    )
    for relation in _MARTS:
        _create(conn, relation, sql.text(relation))
    return columns


def check_no_look_ahead(
    conn: DuckDBPyConnection,
    sql: FeatureSql,
    params: FeatureParams,
    index: str | None,
    index_tickers: Sequence[str],
) -> None:
    """Change, then remove, every bar after a cut: no feature up to the cut may differ by a bit.

    Runs on the index and the few tickers with the longest histories, since it judges the SQL
    and not the data. ``int_adjusted_bars`` is as before when it returns; relations built from it
    are not: call ``prepare_market`` afterwards.

    Raises:
        SnapshotError: If a feature knew later bars; names the features.
    """
    tickers = _longest_histories(conn, index_tickers)
    _create_list(conn, "leakage_tickers", [*tickers, *([index] if index else [])])
    conn.execute("alter table int_adjusted_bars rename to kept_adjusted_bars")
    try:
        _create(conn, "leakage_cut", _LEAKAGE_CUT)
        for name, world in _LEAKAGE_WORLDS.items():
            _create(conn, "int_adjusted_bars", world)
            prepare_market(conn, sql, index, index_tickers)
            columns = compute_features(conn, sql, params, tickers)
            for relation in ("raw_features", "feature_z_scores"):
                if name == "as they are":
                    _create(conn, f"expected_{relation}", f"from {relation}")
                else:
                    _compare_up_to_cut(conn, relation, columns, name)
    finally:
        conn.execute("drop table if exists int_adjusted_bars")
        conn.execute("alter table kept_adjusted_bars rename to int_adjusted_bars")


# Three quarters into the sessions, so that slow features are warm before it.
_LEAKAGE_CUT = """
select quantile_disc(session_date, 0.75) as session_date
from kept_adjusted_bars where ticker in (select ticker from leakage_tickers)
"""
_LEAKAGE_WORLDS = {
    "as they are": """
        from kept_adjusted_bars where ticker in (select ticker from leakage_tickers)
    """,
    "changed": """
        select * exclude (shock) replace (
            open * shock as open, high * shock as high, low * shock as low,
            close * shock as close, raw_close * shock as raw_close, volume * shock as volume
        )
        from (
            select *, case
                when session_date > (select session_date from leakage_cut)
                    then 1.2 + hash(ticker, session_date) % 1000 / 1000
                else 1
            end as shock
            from kept_adjusted_bars where ticker in (select ticker from leakage_tickers)
        )
    """,
    "removed": """
        from kept_adjusted_bars
        where ticker in (select ticker from leakage_tickers)
            and session_date <= (select session_date from leakage_cut)
    """,
}


def _compare_up_to_cut(
    conn: DuckDBPyConnection, relation: str, columns: Sequence[str], world: str
) -> None:
    differs = ", ".join(
        f'count(*) filter (now."{column}" is distinct from before."{column}")' for column in columns
    )
    cut, *counts = conn.execute(
        f"select any_value(leakage_cut.session_date)::varchar, {differs} "
        f"from expected_{relation} as before cross join leakage_cut "
        f"left join {relation} as now "
        f"on before.ticker = now.ticker and before.session_date = now.session_date "
        f"where before.session_date <= leakage_cut.session_date"
    ).fetchall()[0]
    leaking = [
        f"{column} ({count} rows)" for column, count in zip(columns, counts, strict=True) if count
    ]
    if leaking:
        raise SnapshotError(
            f"{relation}: with the bars after {cut} {world}, rows up to that session differ, "
            f"expected not one bit: {', '.join(leaking)}; these features look ahead. Nothing "
            f"was published: let their SQL read only bars up to the current one"
        )


def _longest_histories(conn: DuckDBPyConnection, index_tickers: Sequence[str]) -> list[str]:
    _create_list(conn, "feature_index_tickers", index_tickers)
    rows = conn.execute(
        "select ticker from int_adjusted_bars "
        "where ticker not in (select ticker from feature_index_tickers) "
        "group by ticker order by count(*) desc, ticker limit $n",
        {"n": _LEAKAGE_TICKERS},
    ).fetchall()
    return [str(ticker) for (ticker,) in rows]


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


def _create(conn: DuckDBPyConnection, relation: str, select: str) -> None:
    with _named_failure(relation):
        conn.execute(f"create or replace temp table {relation} as\n{select}")


def _create_list(conn: DuckDBPyConnection, relation: str, tickers: Sequence[str]) -> None:
    conn.execute(
        f"create or replace temp table {relation} as select unnest($tickers::varchar[]) as ticker",
        {"tickers": list(tickers)},
    )


@contextmanager
def _named_failure(relation: str) -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise SnapshotError(
            f"relation {relation}: its SQL does not run on these bars: {error}; correct "
            f"{relation}.sql, or look for prices beyond 1e25 where a value is out of range"
        ) from error
