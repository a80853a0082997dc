-- What a feature reads: the bars of the batch of tickers in hand, beside the market's return.
-- Grain: ticker × session_date, in this order. Known after that session's close.
-- bar_number counts a ticker's bars from 0, also where a batch starts later than its first bar.
-- return_e12 spans the gap where sessions are missing; null on a ticker's first bar. Measured from
-- |previous close|, so that a fall below zero, and a rise out of it, keep their signs.
-- Suffix _e12: fixed point in units of 1e-12; windows sum these, never doubles (macros.sql says
-- why).
with
returns as (
    select
        bars.*,
        batch.first_bar_number + row_number() over by_session - 1 as bar_number,
        lag(bars.close) over by_session as previous_close,
        to_e12(
            sign(lag(bars.close) over by_session)
            * (bars.close / lag(bars.close) over by_session - 1)
        ) as return_e12
    from int_adjusted_bars as bars
    inner join feature_batch as batch on bars.ticker = batch.ticker
    window by_session as (partition by bars.ticker order by bars.session_date)
)

select
    bars.ticker,
    bars.session_date,
    bars.bar_number,
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
left join int_index_returns as market on bars.session_date = market.session_date
order by bars.ticker, bars.session_date
