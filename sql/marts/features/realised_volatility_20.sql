-- Sample standard deviation of the last 20 simple returns, annualised with 252. A fraction.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 19
-- Simple returns, because a price can fall to or below zero where a logarithm has no value.
with
sums as (
    select
        ticker,
        session_date,
        bar_number,
        trailing_sum(return_count, 20) as n,
        trailing_sum(return_sum, 20) as total,
        trailing_sum(return_squares, 20) as squares
    from int_running_sums
)

select
    ticker,
    session_date,
    case
        when bar_number >= 19 and n = 20
            then sqrt(
                252 * scaled_covariance(20, total, total, squares)::double / (20 * 19)
            ) / 1e12
    end as realised_volatility_20
from sums
