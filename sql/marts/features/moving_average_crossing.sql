-- Short over long moving average of the close, less one: positive above the crossing. Fractions.
-- Grain: ticker × session_date. Known after that session's close.
select
    ticker,
    session_date,
    case
        when bar_number >= 19
            then
                2 * sum(close_e12) over trailing_10
                / nullif(sum(close_e12) over trailing_20, 0)::double - 1
    end as moving_average_10_20,
    case
        when bar_number >= 49
            then
                2.5 * sum(close_e12) over trailing_20
                / nullif(sum(close_e12) over trailing_50, 0)::double - 1
    end as moving_average_20_50
from int_bars
window
    trailing_10 as (
        partition by ticker order by session_date
        rows between 9 preceding and current row
    ),
    trailing_20 as (
        partition by ticker order by session_date
        rows between 19 preceding and current row
    ),
    trailing_50 as (
        partition by ticker order by session_date
        rows between 49 preceding and current row
    )
