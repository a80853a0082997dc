-- Grain: ticker × session_date of bar_lines. Each bar beside the one before and the one after, on
-- one basis: by the actions on file, else by the vendor's adjusted close.
-- Reads: bar_lines, actions(ticker, effect_date, kind, value).
with recursive neighbours as (
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
        from bar_lines
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
)

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
