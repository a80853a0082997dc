-- The return that a ticker is related to: that of its index, else the mean of that day's tickers,
-- also on single days that the index lacks.
-- Grain: index_ticker × session_date; '' is the mean. Known after that session's close.
-- market_sums: int_market_sums of all batches, added up. Integer division keeps the mean
-- independent of the order of rows.
with
means as (
    select
        session_date,
        (total_e12::hugeint // return_count)::bigint as index_return_e12
    from market_sums
    where index_ticker = '' and return_count > 0
),

declared as (
    select
        index_ticker,
        session_date,
        total_e12::bigint as index_return_e12
    from market_sums
    where index_ticker <> '' and return_count > 0
),

named as (
    select unnest(getvariable('index_tickers')) as index_ticker
)

select
    '' as index_ticker,
    session_date,
    index_return_e12
from means
union all
from declared
union all
select
    named.index_ticker,
    means.session_date,
    means.index_return_e12
from means
cross join named
anti join declared
    on
        named.index_ticker = declared.index_ticker
        and means.session_date = declared.session_date
