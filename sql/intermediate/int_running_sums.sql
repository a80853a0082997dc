-- Running sums over the batch: a trailing sum is one subtraction (macro trailing_sum).
-- Grain: ticker × session_date, in the order of int_bars. Known after that session's close.
-- They run on from one ticker to the next: a window of n bars is this ticker's from its
-- bar_number n - 1 on, and only there may it be read. Windows without partition and order
-- stream through the rows as they lie, without a sort.
select
    ticker,
    session_date,
    bar_number,
    log_traded_value_e12,
    count(return_e12) over running as return_count,
    coalesce(sum(return_e12) over running, 0) as return_sum,
    coalesce(sum(return_e12::hugeint * return_e12) over running, 0) as return_squares,
    coalesce(sum(index_return_e12) over running, 0) as index_sum,
    coalesce(sum(index_return_e12::hugeint * index_return_e12) over running, 0) as index_squares,
    coalesce(sum(return_e12::hugeint * index_return_e12) over running, 0) as products,
    sum(close_e12) over running as close_sum,
    count(log_traded_value_e12) over running as log_traded_value_count,
    coalesce(sum(log_traded_value_e12) over running, 0) as log_traded_value_sum
from int_bars
window running as (rows between unbounded preceding and current row)
