-- Grain: ticker × session_date, from the batch (with row_id) and, where it has none, from the
-- warehouse: lag() is the bar before. A bar whose prices make no sense is no neighbour.
-- Reads: bars_described, sessions, loaded(ticker, session_date, open, close, adj_close, held).
with batch_lines as (
    select
        row_id,
        ticker,
        session_date,
        session_number,
        open,
        close,
        adj_close,
        false as held
    from bars_described
    where
        copy_number = 0 and ticker is not null and session_number is not null
        and isfinite(open) and isfinite(close) and open > 0 and close > 0
    qualify row_number() over (partition by ticker, session_date order by row_id) = 1
)

from batch_lines
union all by name
select
    loaded.ticker,
    loaded.session_date,
    sessions.session_number,
    loaded.open,
    loaded.close,
    loaded.adj_close,
    loaded.held
from loaded
inner join sessions using (session_date)
anti join batch_lines
    on loaded.ticker = batch_lines.ticker and loaded.session_date = batch_lines.session_date
where
    isfinite(loaded.open) and isfinite(loaded.close) and loaded.open > 0 and loaded.close > 0
