-- What a feature reads: the bars of the batch of tickers in hand, beside the return of
-- each ticker's index (int_index_returns).
-- Grain: ticker × session_date, in this order. Known after that session's close.
-- bar_number counts a ticker's bars from 0, also where a batch starts later than its first bar.
-- return_e12 spans the gap where sessions are missing; null on a ticker's first bar. Measured from
-- |previous close|, so that a fall below zero, and a rise out of it, keep their signs.
-- Suffix _e12: fixed point in units of 1e-12; windows sum these, never doubles (macros.sql says
-- why).
-- Windows without partition and order stream through int_adjusted_bars as it lies, without a sort.
with
rows_numbered as (
    select
        *,
        row_number() over () as place,
        case when ticker = lag(ticker) over () then lag(close) over () end as previous_close,
        coalesce(ticker <> lag(ticker) over (), true) as is_first
    from int_adjusted_bars
),

returns as (
    select
        *,
        place - max(case when is_first then place end) over so_far as batch_number,
        to_e12(sign(previous_close) * (close / previous_close - 1)) as return_e12
    from rows_numbered
    -- sqlfluff reads rows as the name of a window here.
    window so_far as (rows between unbounded preceding and current row) -- noqa: PRS
)

select
    bars.ticker,
    bars.session_date,
    batch.first_bar_number + bars.batch_number as bar_number,
    bars.open,
    bars.high,
    bars.low,
    bars.close,
    bars.previous_close,
    bars.volume,
    bars.return_e12,
    round(bars.close * 1e12)::hugeint as close_e12,
    case
        when bars.return_e12 is not null then coalesce(market.index_return_e12, 0)
    end as index_return_e12,
    -- Traded value, not shares: a split does not move it.
    case
        when bars.volume * abs(bars.raw_close) > 0
            then to_e12(ln(bars.volume * abs(bars.raw_close)))
    end as log_traded_value_e12
from returns as bars
inner join feature_batch as batch on bars.ticker = batch.ticker
left join int_index_returns as market
    on
        batch.index_ticker = market.index_ticker
        and bars.session_date = market.session_date
order by bars.ticker, bars.session_date
