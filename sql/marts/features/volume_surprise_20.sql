-- Logarithm of the traded value, less its mean over the 20 bars before.
-- Grain: ticker × session_date. Known after that session's close.
-- 0 ("no surprise") where this bar's volume, or any of those 20, is missing or zero: index
-- series and currencies carry none.
with
prior as (
    select
        ticker,
        session_date,
        bar_number,
        log_traded_value_e12,
        count(log_traded_value_e12) over prior_20 as n,
        sum(log_traded_value_e12) over prior_20 as total
    from int_bars
    window prior_20 as (
        partition by ticker order by session_date
        rows between 20 preceding and 1 preceding
    )
)

select
    ticker,
    session_date,
    case
        when bar_number < 20 then null
        when n = 20 and log_traded_value_e12 is not null
            then (20 * log_traded_value_e12 - total)::double / 20e12
        else 0
    end as volume_surprise_20
from prior
