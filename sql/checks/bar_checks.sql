-- Grain: row of one batch, in the order received (row_id). Compares each row with its neighbours,
-- with what the warehouse holds around them and with the exchange's calendar; says what is so, and
-- leaves judging to the expectations.
-- Reads: bars_described, bar_lines, bars_compared, bar_jumps and suspected_splits, each built by
-- the file of its name, and loaded: bars of the warehouse; held ones wait as a suspected split.
with batch_lines as (
    from bar_lines
    where row_id is not null
),

first_suspected as (
    select
        ticker,
        min(session_date) as session_date
    from suspected_splits
    group by ticker
),

batch_starts as (
    select
        ticker,
        min(session_date) as session_date
    from batch_lines
    group by ticker
),

-- Bars of the warehouse between the first and the last of the batch that it does not bring again,
-- counted at the next bar that it brings.
vanished as (
    select
        brought.row_id,
        count(*) as vanished
    from (
        select
            loaded.ticker,
            loaded.session_date
        from loaded
        inner join batch_starts on loaded.ticker = batch_starts.ticker
        anti join bars_described as described
            on loaded.ticker = described.ticker and loaded.session_date = described.session_date
        where not loaded.held and loaded.session_date > batch_starts.session_date
    ) as gone
    asof inner join batch_lines as brought
        on gone.ticker = brought.ticker and gone.session_date <= brought.session_date
    group by brought.row_id
),

-- The number of each ticker's last session; the caller compares them over the whole batch.
batch_ends as (
    select
        row_id,
        session_number as last_number
    from batch_lines
    qualify session_number = max(session_number) over (partition by ticker)
)

select
    described.* exclude (session_number, copy_number, high_defect, low_defect),
    described.session_number is null as off_calendar,
    described.copy_number,
    described.high_defect,
    described.low_defect,
    compared.adjusted_return,
    coalesce(compared.missing_sessions, 0) as missing_sessions,
    batch_ends.last_number,
    coalesce(vanished.vanished, 0) as vanished,
    suspected.split_ratio,
    coalesce(described.session_date >= first_suspected.session_date, false)
    and not exists (
        select 1
        from loaded
        where
            loaded.ticker = described.ticker
            and loaded.session_date = described.session_date
            and not loaded.held
            and loaded.open = described.open
            and loaded.close = described.close
    ) as suspected_split,
    coalesce(jumps.spike, false) as spike
from bars_described as described
left join bars_compared as compared using (row_id)
left join batch_ends using (row_id)
left join vanished using (row_id)
left join suspected_splits as suspected using (row_id)
left join bar_jumps as jumps using (row_id)
left join first_suspected on described.ticker = first_suspected.ticker
order by described.row_id
