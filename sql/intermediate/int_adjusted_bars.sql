-- Bars of one source as they were known at a moment, adjusted for splits and dividends.
-- Grain: ticker × session_date. Known after that session's close (adjustment is a scale only:
-- every feature is a ratio, so a later factor does not change an earlier feature).
-- Bars without a close are left out: nothing can be decided on them.
select
    ticker,
    session_date,
    open,
    high,
    low,
    close,
    volume,
    raw_close
from bars_adjusted(getvariable('source_name'), getvariable('as_of'))
where isfinite(close)
