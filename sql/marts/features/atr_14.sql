-- Average true range over 14 sessions, Wilder's smoothing, as a fraction of the close.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 0
select
    ticker,
    session_date,
    case when bar_number >= 14 then average_true_range / nullif(abs(close), 0) end as atr_14
from int_smoothers
