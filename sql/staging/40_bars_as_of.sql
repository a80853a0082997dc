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
qualify row_number() over (partition by ticker, session_date order by known_at desc) = 1;

-- Grain: ticker × session_date of one source. Known at the moment that is asked for.
-- Prices adjusted for splits and dividends by the vendor's own factor, adj_close / close, where
-- there is one; volume as received; raw_close is the price that was traded.
create or replace macro bars_adjusted(source_name, moment) as table
select
    ticker,
    session_date,
    open * adjustment as open,
    high * adjustment as high,
    low * adjustment as low,
    close * adjustment as close,
    volume,
    close as raw_close
from (
    select
        *,
        coalesce(adj_close / close, 1.0) as adjustment
    from bars_as_of(source_name, moment)
);
