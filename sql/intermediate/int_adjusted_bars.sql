-- Bars of a batch of tickers as they were known at a moment, adjusted for splits and dividends.
-- Grain: ticker × session_date, in this order. Known after that session's close (adjustment runs
-- forward from a ticker's first bar: a later event changes no earlier row).
-- Bars without a close are left out: nothing can be decided on them. feature_batch names the
-- tickers and from which session on they are needed.
select
    bars.ticker,
    bars.session_date,
    bars.open,
    bars.high,
    bars.low,
    bars.close,
    bars.volume,
    bars.raw_close
from bars_adjusted(getvariable('source_name'), getvariable('as_of')) as bars
inner join feature_batch as batch on bars.ticker = batch.ticker
where
    bars.session_date >= batch.first_session
    and isfinite(bars.close)
order by bars.ticker, bars.session_date
