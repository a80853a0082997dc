-- Rate of change of the close over 5, 10 and 20 bars. Fractions.
-- Grain: ticker × session_date. Known after that session's close.
select
    ticker,
    session_date,
    sign(lag(close, 5) over by_session)
    * (close / nullif(lag(close, 5) over by_session, 0) - 1) as momentum_5,
    sign(lag(close, 10) over by_session)
    * (close / nullif(lag(close, 10) over by_session, 0) - 1) as momentum_10,
    sign(lag(close, 20) over by_session)
    * (close / nullif(lag(close, 20) over by_session, 0) - 1) as momentum_20
from int_bars
window by_session as (partition by ticker order by session_date)
