-- What a batch of tickers adds to the market's return of each session.
-- Grain: session_date. Known after that session's close.
-- Sums, so that batches add up in any order, and a correction is old sums less new ones.
-- Index series (is_index) are no part of the mean; declared_* is the index of the settings.
-- An index for each ticker would be a further key here and in int_index_returns.
with
returns as (
    select
        bars.ticker,
        bars.session_date,
        batch.is_index,
        batch.changed_from,
        to_e12(
            sign(lag(bars.close) over by_session)
            * (bars.close / lag(bars.close) over by_session - 1)
        ) as return_e12
    from int_adjusted_bars as bars
    inner join feature_batch as batch on bars.ticker = batch.ticker
    window by_session as (partition by bars.ticker order by bars.session_date)
)

select
    session_date,
    count(*) filter (where not is_index) as bars,
    count(return_e12) filter (where not is_index) as return_count,
    coalesce(sum(return_e12) filter (where not is_index), 0)::decimal(38, 0) as total_e12,
    count(return_e12) filter (where ticker = getvariable('index_ticker')) as declared_count,
    coalesce(
        sum(return_e12) filter (where ticker = getvariable('index_ticker')), 0
    )::decimal(38, 0) as declared_total_e12
from returns
where session_date >= changed_from
group by session_date
