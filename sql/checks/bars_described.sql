-- Grain: row of one batch, in the order received (row_id). What a row says by itself and beside its
-- copies, and its place in the exchange's calendar; null where the exchange was closed.
-- Reads: received(row_id, bars' columns, …), sessions(session_date, session_number).
select
    received.*,
    sessions.session_number,
    -- 0 for the first of identical rows, 1, 2, … for its copies.
    row_number() over (
        partition by
            received.ticker, received.session_date,
            open, high, low, close, volume, adj_close, currency
        order by row_id
    ) - 1 as copy_number,
    (greatest(open, high, low, close) - high) / nullif(abs(high), 0) as high_defect,
    (low - least(open, high, low, close)) / nullif(abs(low), 0) as low_defect
from received
left join sessions using (session_date)
