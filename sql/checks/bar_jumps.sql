-- Grain: ticker × session_date of bars_compared, where the open or the close is far from the close
-- before. How far is far for this ticker, and whether the bar stands alone.
-- Reads: bars_compared.
with jumps as (
    select
        jump.*,
        greatest(0.18, 8 * 1.4826 * mad(earlier.close_fall)) as threshold,
        greatest(0.02, 2 * 1.4826 * mad(earlier.close_fall)) as tolerance
    from bars_compared as jump
    left join bars_compared as earlier
        on
            jump.ticker = earlier.ticker
            and earlier.bar_number between jump.bar_number - 63 and jump.bar_number - 1
    where abs(jump.open_fall) > 0.18 or abs(jump.close_fall) > 0.18
    group by all
)

select
    *,
    -- One bar far off, and the next opens where the one before closed, to a quarter of the way.
    coalesce(abs(close_fall) > threshold and abs(next_fall) < abs(close_fall) / 4, false) as spike
from jumps
