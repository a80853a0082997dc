-- The market's return: the declared index, else the equal-weight mean of that day's tickers.
-- Grain: session_date. Known after that session's close.
-- Index series themselves (feature_index_tickers) do not enter the mean. Integer division
-- keeps the mean independent of the order of rows.
with
equal_weight as (
    select
        session_date,
        (sum(return_e12) // count(return_e12))::bigint as index_return_e12
    from int_source_bars
    where
        return_e12 is not null
        and ticker not in (select excluded.ticker from feature_index_tickers as excluded)
    group by session_date
),

declared as (
    select
        session_date,
        return_e12 as index_return_e12
    from int_source_bars
    where return_e12 is not null and ticker = getvariable('index_ticker')
)

select
    session_date,
    coalesce(declared.index_return_e12, equal_weight.index_return_e12) as index_return_e12
from equal_weight
full outer join declared using (session_date)
