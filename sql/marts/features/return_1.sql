-- Simple return of the session, close to close. A fraction.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 0
select
    ticker,
    session_date,
    return_e12 / 1e12 as return_1
from int_bars
