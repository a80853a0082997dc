-- Grain: row of one batch that is a gap overnight beyond the ticker's noise and near a usual ratio,
-- that the close and the next bar keep to at least a half, and that no action explains. What was
-- loaded with these very prices has been accepted before.
-- Reads: bar_jumps, bars_compared, actions, sessions, loaded.
with split_ratios (ratio) as (
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
    asof inner join sessions as next_session
        on happened.effect_date <= next_session.session_date
    asof inner join bars_compared as first_bar
        on happened.ticker = first_bar.ticker and happened.effect_date <= first_bar.session_date
    where happened.kind = 'split' or happened.value > first_bar.previous_close / 10
)

select
    jumps.row_id,
    jumps.ticker,
    jumps.session_date,
    arg_min(split_ratios.ratio, abs(open_fall - ln(split_ratios.ratio))) as split_ratio
from bar_jumps as jumps
inner join split_ratios on abs(open_fall - ln(split_ratios.ratio)) < tolerance
anti join bar_jumps as spikes
    on
        spikes.spike
        and jumps.ticker = spikes.ticker
        and jumps.bar_number - spikes.bar_number in (0, 1)
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
