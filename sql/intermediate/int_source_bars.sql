-- Every ticker's bars with their number and simple return.
-- Grain: ticker × session_date. Known after that session's close.
-- return_e12 spans the gap where sessions are missing; null on a ticker's first bar. Measured from
-- |previous close|, so that a fall below zero, and a rise out of it, keep their signs.
select
    ticker,
    session_date,
    open,
    high,
    low,
    close,
    volume,
    raw_close,
    row_number() over by_session - 1 as bar_number,
    lag(close) over by_session as previous_close,
    to_e12(
        sign(lag(close) over by_session) * (close / lag(close) over by_session - 1)
    ) as return_e12
from int_adjusted_bars
window by_session as (partition by ticker order by session_date)
