-- Grain: row of one batch, in the order received (row_id). Compares each row with its
-- neighbours and the exchange's calendar; says what is so, and leaves judging to the expectations.
-- Reads: received(row_id, bars' columns), sessions(session_date).
with sessions_numbered as (
    select
        session_date,
        row_number() over (order by session_date) as session_number
    from sessions
),

described as (
    select
        received.*,
        sessions_numbered.session_number,
        -- 0 for the first of identical rows, 1, 2, … for its copies.
        row_number() over (
            partition by
                received.ticker, received.session_date,
                open, high, low, close, volume, adj_close, currency
            order by row_id
        ) - 1 as copy_number,
        (greatest(open, high, low, close) - high) / nullif(abs(high), 0) as high_defect,
        (low - least(open, high, low, close)) / nullif(abs(low), 0) as low_defect,
        -- A bar whose prices make no sense must not make its neighbour's return an outlier.
        isfinite(open) and isfinite(close) and open > 0 and close > 0 as priced,
        case when adj_close > 0 and isfinite(adj_close) then adj_close / close else 1.0 end
            as adjustment
    from received
    left join sessions_numbered using (session_date)
),

-- One row per ticker and session, so that lag() is the previous session's bar.
distinct_bars as (
    select
        row_id,
        ticker,
        session_number,
        open * adjustment as open,
        close * adjustment as close
    from described
    where copy_number = 0 and priced and session_number is not null and ticker is not null
    qualify row_number() over (partition by ticker, session_number order by row_id) = 1
),

compared as (
    select
        row_id,
        close / lag(close) over by_session - 1 as adjusted_return,
        ln(close / lag(close) over by_session) as log_return,
        ln(lag(close) over by_session / open) as log_drop,
        session_number - lag(session_number) over by_session - 1 as missing_sessions,
        case
            when lead(row_id) over by_session is null
                then max(session_number) over () - session_number
        end as sessions_behind,
        row_number() over by_session as bar_number,
        ticker
    from distinct_bars
    window by_session as (partition by ticker order by session_number)
),

-- Candidates for a hidden split: a gap overnight beyond 18 %, and near a usual ratio.
split_ratios (ratio) as (
    values
    (1.25), (1.5), (2.0), (3.0), (4.0), (5.0), (7.0), (8.0), (10.0), (15.0), (20.0), (25.0),
    (0.5), (1 / 3.0), (0.25), (0.2), (0.125), (0.1), (0.05), (0.04), (0.02), (0.01)
),

gaps as (
    select
        gap.row_id,
        gap.log_drop,
        1.4826 * mad(earlier.log_return) as noise
    from compared as gap
    inner join compared as earlier
        on
            gap.ticker = earlier.ticker
            and earlier.bar_number between gap.bar_number - 63 and gap.bar_number - 1
    where abs(gap.log_drop) > 0.18
    group by gap.row_id, gap.log_drop
),

suspected as (
    select
        gaps.row_id,
        arg_min(ratio, abs(log_drop - ln(ratio))) as split_ratio
    from gaps
    inner join split_ratios on abs(log_drop - ln(ratio)) < greatest(0.02, 2 * noise)
    where abs(log_drop) > greatest(0.18, 8 * noise)
    group by gaps.row_id
)

select
    described.row_id,
    described.ticker,
    described.session_date,
    described.open,
    described.high,
    described.low,
    described.close,
    described.volume,
    described.adj_close,
    described.currency,
    described.session_number is null as off_calendar,
    described.copy_number,
    described.high_defect,
    described.low_defect,
    compared.adjusted_return,
    coalesce(compared.missing_sessions, 0) as missing_sessions,
    coalesce(compared.sessions_behind, 0) as sessions_behind,
    suspected.split_ratio
from described
left join compared using (row_id)
left join suspected using (row_id)
order by described.row_id
