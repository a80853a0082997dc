-- Grain: row of one batch, in the order received (row_id). Compares each row with its neighbours,
-- with what the warehouse holds around them and with the exchange's calendar; says what is so, and
-- leaves judging to the expectations.
-- Reads: received(row_id, bars' columns, …), sessions(session_date), loaded(ticker, session_date,
-- open, close, adj_close, held), actions(ticker, effect_date, kind, value). loaded: bars of the
-- warehouse; held ones wait in quarantine as a suspected split.
with recursive sessions_numbered as (
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
        (low - least(open, high, low, close)) / nullif(abs(low), 0) as low_defect
    from received
    left join sessions_numbered using (session_date)
),

-- One line for each ticker and session, from the batch and, where it has none, from the warehouse:
-- lag() is the bar before. A bar whose prices make no sense is no neighbour.
batch_lines as (
    select
        row_id,
        ticker,
        session_date,
        session_number,
        open,
        close,
        adj_close,
        false as held
    from described
    where
        copy_number = 0 and ticker is not null and session_number is not null
        and isfinite(open) and isfinite(close) and open > 0 and close > 0
    qualify row_number() over (partition by ticker, session_date order by row_id) = 1
),

lines as (
    from batch_lines
    union all by name
    select
        loaded.ticker,
        loaded.session_date,
        sessions_numbered.session_number,
        loaded.open,
        loaded.close,
        loaded.adj_close,
        loaded.held
    from loaded
    inner join sessions_numbered using (session_date)
    anti join batch_lines
        on loaded.ticker = batch_lines.ticker and loaded.session_date = batch_lines.session_date
    where
        isfinite(loaded.open) and isfinite(loaded.close) and loaded.open > 0 and loaded.close > 0
),

neighbours as (
    select
        *,
        lag(close) over by_session as previous_close,
        lag(ratio ignore nulls) over by_session as previous_ratio,
        session_number - lag(session_number) over by_session - 1 as missing_sessions,
        row_number() over by_session as bar_number
    from (
        select
            *,
            case when isfinite(adj_close / close) and adj_close > 0 then adj_close / close end
                as ratio
        from lines
    ) as rated
    window by_session as (partition by ticker order by session_date)
),

-- What the actions between a bar and the one before multiply the price by, as in bars_adjusted.
events as (
    select
        happened.kind,
        happened.value,
        first_bar.ticker,
        first_bar.bar_number,
        first_bar.previous_close,
        row_number() over (
            partition by first_bar.ticker, first_bar.bar_number
            order by happened.effect_date, happened.kind
        ) as event_number
    from actions as happened
    asof inner join neighbours as first_bar
        on happened.ticker = first_bar.ticker and happened.effect_date <= first_bar.session_date
    where first_bar.previous_close is not null
),

chain as (
    select
        ticker,
        bar_number,
        event_number,
        action_factor(kind, value, previous_close) as factor,
        price_after_action(kind, value, previous_close) as price_left
    from events
    where event_number = 1
    union all
    select
        later.ticker,
        later.bar_number,
        later.event_number,
        chain.factor * action_factor(later.kind, later.value, chain.price_left) as factor,
        price_after_action(later.kind, later.value, chain.price_left) as price_left
    from chain
    inner join events as later
        on
            chain.ticker = later.ticker
            and chain.bar_number = later.bar_number
            and chain.event_number + 1 = later.event_number
),

steps as (
    select
        ticker,
        bar_number,
        arg_max(factor, event_number) as factor
    from chain
    group by ticker, bar_number
),

stepped as (
    select
        neighbours.*,
        case
            when neighbours.ticker in (select acted.ticker from actions as acted)
                then coalesce(steps.factor, 1.0)
            else coalesce(ratio / previous_ratio, 1.0)
        end as step
    from neighbours
    left join steps using (ticker, bar_number)
),

compared as (
    select
        *,
        close * step / previous_close - 1 as adjusted_return,
        -- From the close before to the open, the close and the next bar's open; a fall is positive.
        ln(previous_close / (open * step)) as open_fall,
        ln(previous_close / (close * step)) as close_fall,
        ln(previous_close / (close * step))
        + ln(close / (lead(open) over by_session * lead(step) over by_session)) as next_fall
    from stepped
    window by_session as (partition by ticker order by session_date)
),

jumps as (
    select
        jump.*,
        greatest(0.18, 8 * 1.4826 * mad(earlier.close_fall)) as threshold,
        greatest(0.02, 2 * 1.4826 * mad(earlier.close_fall)) as tolerance
    from compared as jump
    left join compared as earlier
        on
            jump.ticker = earlier.ticker
            and earlier.bar_number between jump.bar_number - 63 and jump.bar_number - 1
    where abs(jump.open_fall) > 0.18 or abs(jump.close_fall) > 0.18
    group by all
),

-- One bar far off, and the next opens where the one before closed, to a quarter of the way.
spikes as (
    select
        row_id,
        ticker,
        bar_number
    from jumps
    where abs(close_fall) > threshold and abs(next_fall) < abs(close_fall) / 4
),

split_ratios (ratio) as (
    values
    (1.25), (1.5), (2.0), (3.0), (4.0), (5.0), (7.0), (8.0), (10.0), (15.0), (20.0), (25.0),
    (0.5), (1 / 3.0), (0.25), (0.2), (0.125), (0.1), (0.05), (0.04), (0.02), (0.01)
),

-- Actions that can explain a jump: splits, and dividends of more than a tenth of the price.
explanations as (
    select
        happened.ticker,
        next_session.session_number
    from actions as happened
    asof inner join sessions_numbered as next_session
        on happened.effect_date <= next_session.session_date
    asof inner join neighbours as first_bar
        on happened.ticker = first_bar.ticker and happened.effect_date <= first_bar.session_date
    where happened.kind = 'split' or happened.value > first_bar.previous_close / 10
),

-- A gap overnight beyond the ticker's noise and near a usual ratio, that the close and the next
-- bar keep to at least a half. What was loaded with these very prices has been accepted before.
suspected as (
    select
        jumps.row_id,
        jumps.ticker,
        jumps.session_date,
        arg_min(split_ratios.ratio, abs(open_fall - ln(split_ratios.ratio))) as split_ratio
    from jumps
    inner join split_ratios on abs(open_fall - ln(split_ratios.ratio)) < tolerance
    anti join spikes
        on jumps.ticker = spikes.ticker and jumps.bar_number - spikes.bar_number in (0, 1)
    anti join explanations
        on
            jumps.ticker = explanations.ticker
            and abs(jumps.session_number - explanations.session_number) <= 3
    anti join loaded
        on
            jumps.ticker = loaded.ticker
            and jumps.session_date = loaded.session_date
            and not loaded.held
            and jumps.open = loaded.open
            and jumps.close = loaded.close
    where
        abs(open_fall) > threshold
        and close_fall / open_fall >= 0.5
        and coalesce(next_fall / open_fall, 1) >= 0.5
    group by jumps.row_id, jumps.ticker, jumps.session_date
),

first_suspected as (
    select
        ticker,
        min(session_date) as session_date
    from suspected
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
        anti join described
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
    spikes.row_id is not null as spike
from described
left join compared using (row_id)
left join batch_ends using (row_id)
left join vanished using (row_id)
left join suspected using (row_id)
left join spikes using (row_id)
left join first_suspected on described.ticker = first_suspected.ticker
order by described.row_id
