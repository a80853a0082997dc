-- Grain: ticker × session_date on which an action takes effect. Known after the session's open.
-- An action works on the first bar at or after its effect_date; one that precedes a ticker's
-- second bar does nothing. Multiplied from left to right, so that an action to come changes no
-- bit of an earlier factor; of actions on one date the dividend comes first, because it is cash
-- for a share held before.
create or replace macro action_factors(source_name, moment) as table
with recursive
acted_bars as (
    select ticker, session_date, close
    from bars_as_of(source_name, moment)
    where ticker in (select ticker from actions_as_of(source_name, moment))
),

events as (
    select
        action.ticker,
        action.kind,
        action.value,
        bar.session_date,
        bar.previous_close,
        row_number() over (
            partition by action.ticker order by action.effect_date, action.kind
        ) as event_number
    from actions_as_of(source_name, moment) as action
    asof join (
        select
            *,
            lag(close) over (partition by ticker order by session_date) as previous_close
        from acted_bars
    ) as bar
        on action.ticker = bar.ticker and action.effect_date <= bar.session_date
    where bar.previous_close is not null
),

chain as (
    select
        ticker,
        event_number,
        session_date,
        action_factor(kind, value, previous_close) as factor,
        price_after_action(kind, value, previous_close) as price_left
    from events
    where event_number = 1
    union all
    select
        event.ticker,
        event.event_number,
        event.session_date,
        chain.factor * action_factor(event.kind, event.value, before.price),
        price_after_action(event.kind, event.value, before.price)
    from chain
    inner join events as event
        on chain.ticker = event.ticker and event.event_number = chain.event_number + 1,
    lateral (
        select case
            when event.session_date = chain.session_date then chain.price_left
            else event.previous_close
        end as price
    ) as before
)

select ticker, session_date, arg_max(factor, event_number) as factor
from chain
group by ticker, session_date;

-- Grain: ticker × session_date of one source. Known at the moment that is asked for.
-- Prices times a factor that is 1 at a ticker's first bar and changes forward: with actions on
-- file from those; else from the vendor's adj_close / close over that of the ticker's first such
-- bar (a bar without one keeps the last); else 1. A new action changes no row before it. volume
-- as received; raw_close is the price that was traded; adjusted_by: actions, vendor or none.
create or replace macro bars_adjusted(source_name, moment) as table
with
acted as (
    select distinct ticker from actions_as_of(source_name, moment)
),

bars as materialized (
    select
        bar.ticker,
        session_date,
        open,
        high,
        low,
        close,
        volume,
        case
            when acted.ticker is null and isfinite(adj_close / close) and adj_close / close > 0
                then adj_close / close
        end as vendor_ratio,
        acted.ticker is not null as is_acted
    from bars_as_of(source_name, moment) as bar
    left join acted on bar.ticker = acted.ticker
),

vendors as (
    select
        ticker,
        arg_min(vendor_ratio, session_date) as first_ratio,
        count(vendor_ratio) < count(*) as has_gaps
    from bars
    where not is_acted
    group by ticker
    having count(vendor_ratio) > 0
),

factored as (
    select
        bars.*,
        coalesce(vendor_ratio / first_ratio, 1.0) as factor,
        case when vendors.ticker is null then 'none' else 'vendor' end as adjusted_by
    from bars
    left join vendors on bars.ticker = vendors.ticker
    where not is_acted and not coalesce(has_gaps, false)
    union all
    select
        bars.*,
        coalesce(
            last_value(vendor_ratio ignore nulls) over (
                partition by bars.ticker order by session_date
                rows between unbounded preceding and current row
            ) / first_ratio,
            1.0
        ),
        'vendor'
    from bars
    inner join vendors on bars.ticker = vendors.ticker
    where has_gaps
    union all
    select
        bars.*,
        coalesce(action.factor, 1.0),
        'actions'
    from bars
    asof left join action_factors(source_name, moment) as action
        on bars.ticker = action.ticker and bars.session_date >= action.session_date
    where is_acted
)

select
    ticker,
    session_date,
    open * factor as open,
    high * factor as high,
    low * factor as low,
    close * factor as close,
    volume,
    close as raw_close,
    factor,
    adjusted_by
from factored;
