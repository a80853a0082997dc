-- Short over long moving average of the close, less one: positive above the crossing. Fractions.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 49
with
sums as (
    select
        ticker,
        session_date,
        bar_number,
        trailing_sum(close_sum, 10) as sum_10,
        trailing_sum(close_sum, 20) as sum_20,
        trailing_sum(close_sum, 50) as sum_50
    from int_running_sums
)

select
    ticker,
    session_date,
    case
        when bar_number >= 19 then 2 * sum_10 / nullif(sum_20, 0)::double - 1
    end as moving_average_10_20,
    case
        when bar_number >= 49 then 5 * sum_20 / (2 * nullif(sum_50, 0)::double) - 1
    end as moving_average_20_50
from sums
