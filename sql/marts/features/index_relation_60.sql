-- Correlation with, and beta to, the market's return over 60 sessions.
-- Grain: ticker × session_date. Known after that session's close.
-- warm_up: 59
-- 0 where either series is constant in the window: no relation can be seen.
with
sums as (
    select
        ticker,
        session_date,
        case when bar_number >= 59 then trailing_sum(return_count, 60) end as n,
        trailing_sum(return_sum, 60) as total,
        trailing_sum(index_sum, 60) as index_total,
        trailing_sum(return_squares, 60) as squares,
        trailing_sum(index_squares, 60) as index_squares,
        trailing_sum(products, 60) as products
    from int_running_sums
),

spreads as (
    select
        ticker,
        session_date,
        n,
        scaled_covariance(n, total, total, squares) as variance,
        scaled_covariance(n, index_total, index_total, index_squares) as index_variance,
        scaled_covariance(n, total, index_total, products) as covariance
    from sums
)

select
    ticker,
    session_date,
    case
        when n is null or n < 60 then null
        when is_constant(n, variance) or is_constant(n, index_variance) then 0
        else covariance::double / (sqrt(variance::double) * sqrt(index_variance::double))
    end as index_correlation_60,
    case
        when n is null or n < 60 then null
        when is_constant(n, index_variance) then 0
        else covariance::double / index_variance::double
    end as index_beta_60
from spreads
