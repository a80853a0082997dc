-- Grain: ticker × session_date of one source. Known at the moment that is asked for.
-- The latest revision of each bar; two loads never share a known_at, so the latest is unique.
create or replace macro bars_as_of(source_name, moment) as table
select
    ticker,
    session_date,
    open,
    high,
    low,
    close,
    volume,
    adj_close,
    currency,
    batch_id,
    known_at
from bar_revisions
where source = source_name and known_at <= moment
-- The last revision of its session. One window for each ticker sorts, where one for each bar hashes.
qualify
    session_date is distinct from
    lead(session_date) over (partition by ticker order by session_date, known_at);
