-- Rate of change of the close over 5, 10 and 20 bars. Fractions.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 20
-- Rows lie in the order of int_bars: from bar n on, the row n before is the same ticker's.
select
    ticker,
    session_date,
    case
        when bar_number >= 5 then
            sign(lag(close, 5) over ())
            * (close / nullif(lag(close, 5) over (), 0) - 1)
    end as momentum_5,
    case
        when bar_number >= 10 then
            sign(lag(close, 10) over ())
            * (close / nullif(lag(close, 10) over (), 0) - 1)
    end as momentum_10,
    case
        when bar_number >= 20 then
            sign(lag(close, 20) over ())
            * (close / nullif(lag(close, 20) over (), 0) - 1)
    end as momentum_20
from int_bars
