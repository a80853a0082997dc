-- Sample standard deviation of the last 20 simple returns, annualised with 252. A fraction.
-- Grain: ticker × session_date. Known after that session's close.
-- Simple returns, because a price can fall to or below zero where a logarithm has no value.
select
    ticker,
    session_date,
    case
        when count(return_e12) over trailing_20 = 20
            then sqrt(
                252 * scaled_covariance(
                    20,
                    sum(return_e12) over trailing_20,
                    sum(return_e12) over trailing_20,
                    sum(return_e12::hugeint * return_e12) over trailing_20
                )::double / (20 * 19)
            ) / 1e12
    end as realised_volatility_20
from int_bars
window trailing_20 as (
    partition by ticker order by session_date
    rows between 19 preceding and current row
)
