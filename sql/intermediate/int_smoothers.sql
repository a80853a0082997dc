-- The recursive averages behind RSI, ATR and MACD, all in one pass over time.
-- Grain: ticker × session_date. Known after that session's close.
-- Seeds are TA-Lib's: plain means over the first full window; the fast average of MACD starts
-- late, so that both averages are seeded on the same session. A state is meaningful only from
-- its last seeding bar on (average_gain, average_loss, true_range: 14; macd_signal: 33).
-- A batch that starts at a later bar starts from the states of that bar (feature_batch).
-- warehouse/smoothers.py computes the same bits.
with recursive
smoothers as (
    select
        bars.ticker,
        bars.session_date,
        bars.bar_number,
        bars.close,
        if(bars.bar_number = 0, 0.0, batch.average_gain) as average_gain,
        if(bars.bar_number = 0, 0.0, batch.average_loss) as average_loss,
        if(bars.bar_number = 0, 0.0, batch.average_true_range) as average_true_range,
        if(bars.bar_number = 0, 0.0, batch.ema_12) as ema_12,
        if(bars.bar_number = 0, bars.close, batch.ema_26) as ema_26,
        if(bars.bar_number = 0, 0.0, batch.macd_signal) as macd_signal
    from int_bars as bars
    inner join feature_batch as batch
        on bars.ticker = batch.ticker and bars.bar_number = batch.first_bar_number
    union all
    select
        bars.ticker,
        bars.session_date,
        bars.bar_number,
        bars.close,
        wilder_step(
            state.average_gain,
            greatest(bars.close - bars.previous_close, 0),
            bars.bar_number, 14, 1
        ) as next_average_gain,
        wilder_step(
            state.average_loss,
            greatest(bars.previous_close - bars.close, 0),
            bars.bar_number, 14, 1
        ) as next_average_loss,
        wilder_step(
            state.average_true_range,
            greatest(
                bars.high - bars.low,
                abs(bars.high - bars.previous_close),
                abs(bars.low - bars.previous_close)
            ),
            bars.bar_number, 14, 1
        ) as next_average_true_range,
        ema_step(state.ema_12, bars.close, bars.bar_number, 12, 14) as next_ema_12,
        ema_step(state.ema_26, bars.close, bars.bar_number, 26, 0) as next_ema_26,
        ema_step(
            state.macd_signal, next_ema_12 - next_ema_26, bars.bar_number, 9, 25
        ) as next_macd_signal
    from smoothers as state
    inner join int_bars as bars
        on state.ticker = bars.ticker and state.bar_number + 1 = bars.bar_number
)

select * from smoothers
order by ticker, bar_number
