-- MACD(12, 26, 9): line, signal and histogram, as fractions of the close, so free of scale.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 0
select
    ticker,
    session_date,
    case when bar_number >= 33 then (ema_12 - ema_26) / nullif(abs(close), 0) end as macd_line,
    case when bar_number >= 33 then macd_signal / nullif(abs(close), 0) end as macd_signal,
    case
        when bar_number >= 33 then (ema_12 - ema_26 - macd_signal) / nullif(abs(close), 0)
    end as macd_histogram
from int_smoothers
