-- Every bar has its feature row and every feature row its bar. Returns tickers that differ.
with
bar_counts as (
    select
        bars.ticker,
        count(*) as found_rows
    from int_bars as bars
    inner join feature_batch as batch on bars.ticker = batch.ticker
    where bars.session_date >= batch.changed_from
    group by bars.ticker
),

feature_counts as (
    select
        ticker,
        count(*) as found_rows
    from snapshot_rows
    group by ticker
)

select
    ticker,
    bar_counts.found_rows as bar_rows,
    feature_counts.found_rows as feature_rows
from bar_counts
full outer join feature_counts using (ticker)
where bar_counts.found_rows is distinct from feature_counts.found_rows
