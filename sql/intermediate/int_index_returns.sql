-- The market's return: the declared index, else the equal-weight mean of that day's tickers.
-- Grain: session_date. Known after that session's close.
-- market_sums: int_market_sums of all batches, added up. Integer division keeps the mean
-- independent of the order of rows.
select
    session_date,
    case
        when declared_count > 0 then declared_total_e12::bigint
        else (total_e12::hugeint // return_count)::bigint
    end as index_return_e12
from market_sums
where declared_count > 0 or return_count > 0
