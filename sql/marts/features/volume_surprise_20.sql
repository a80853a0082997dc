-- Logarithm of the traded value, less its mean over the 20 bars before.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 20
-- 0 ("no surprise") where this bar's volume, or any of those 20, is missing or zero: index
-- series and currencies carry none.
with
sums as (
    select
        ticker,
        session_date,
        bar_number,
        log_traded_value_e12,
        trailing_sum(log_traded_value_count, 21) as n,
        trailing_sum(log_traded_value_sum, 21) as total
    from int_running_sums
)

select
    ticker,
    session_date,
    case
        when bar_number < 20 then null
        -- Of 21 bars with a value, the 20 before the current one.
        when n = 21
            then (20 * log_traded_value_e12 - (total - log_traded_value_e12))::double / 20e12
        else 0
    end as volume_surprise_20
from sums
