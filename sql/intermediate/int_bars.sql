-- What a feature reads: the bars of the batch of tickers in hand, beside the market's return.
-- Grain: ticker × session_date. Known after that session's close.
-- bar_number counts a ticker's bars from 0. Suffix _e12: fixed point in units of 1e-12;
-- windows sum these, never doubles (macros.sql says why).
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
from int_source_bars as bars
inner join feature_batch_tickers as batch on bars.ticker = batch.ticker
left join int_index_returns as market on bars.session_date = market.session_date
