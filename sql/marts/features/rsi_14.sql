-- Relative strength index over 14 sessions, Wilder's smoothing. 0 … 100; 50 where nothing moved.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 0
select
    ticker,
    session_date,
    case
        when bar_number >= 14
            then coalesce(100 * average_gain / nullif(average_gain + average_loss, 0), 50)
    end as rsi_14
from int_smoothers
