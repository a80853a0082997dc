-- Correlation with, and beta to, the market's return over 60 sessions.
-- Grain: ticker × session_date. Known after that session's close.
-- 0 where either series is constant in the window: no relation can be seen.
with
sums as (
    select
        ticker,
        session_date,
        count(return_e12) over trailing_60 as n,
        sum(return_e12) over trailing_60 as total,
        sum(index_return_e12) over trailing_60 as index_total,
        sum(return_e12::hugeint * return_e12) over trailing_60 as squares,
        sum(index_return_e12::hugeint * index_return_e12) over trailing_60 as index_squares,
        sum(return_e12::hugeint * index_return_e12) over trailing_60 as products
    from int_bars
    window trailing_60 as (
        partition by ticker order by session_date
        rows between 59 preceding and current row
    )
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
        when n < 60 then null
        when is_constant(n, variance) or is_constant(n, index_variance) then 0
        else covariance::double / (sqrt(variance::double) * sqrt(index_variance::double))
    end as index_correlation_60,
    case
        when n < 60 then null
        when is_constant(n, index_variance) then 0
        else covariance::double / index_variance::double
    end as index_beta_60
from spreads
