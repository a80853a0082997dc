-- What a batch of tickers adds to the returns that tickers are related to, session by session.
-- Grain: index_ticker × session_date, in this order. Known after that session's close.
-- index_ticker '' is the mean of the day's tickers, of which index series (is_index) are no part;
-- any other is an index that somebody names, with its own return.
-- Sums, so that batches add up in any order, and a correction is old sums less new ones.
with
steps as (
    select
        ticker,
        session_date,
        close,
        case when ticker = lag(ticker) over () then lag(close) over () end as previous_close
    from int_adjusted_bars
),

returns as (
    select
        steps.ticker,
        steps.session_date,
        batch.is_index,
        to_e12(sign(previous_close) * (close / previous_close - 1)) as return_e12
    from steps
    inner join feature_batch as batch on steps.ticker = batch.ticker
    where steps.session_date >= batch.changed_from
)

select
    '' as index_ticker,
    session_date,
    count(*) as bars,
    count(return_e12) as return_count,
    coalesce(sum(return_e12), 0)::decimal(38, 0) as total_e12
from returns
where not is_index
group by session_date
union all
select
    ticker,
    session_date,
    0 as bars,
    1 as return_count,
    return_e12::decimal(38, 0) as total_e12
from returns
where return_e12 is not null and list_contains(getvariable('index_tickers'), ticker)
order by index_ticker, session_date
