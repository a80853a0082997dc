-- Arithmetic that the feature relations share; scalar macros only, no relation.
--
-- Windows sum integers, never floats: the last bits of a float sum depend on which rows are
-- present, so old rows would change when new ones arrive. Fixed point (1e-12) makes a row's
-- features the same bits whatever comes later.

-- A number in units of 1e-12, held within 1e4 so that products of window sums fit 128 bits.
create or replace temp macro to_e12(x) as
    case when isfinite(x) then round(greatest(-1e4, least(1e4, x)) * 1e12)::bigint end;

-- n² × covariance from exact sums over n rows; with x = y, n² × variance. Exact in hugeint.
create or replace temp macro scaled_covariance(n, sum_x, sum_y, sum_xy) as
    n * sum_xy - sum_x * sum_y;

-- A spread below 1e-9 is the rounding noise of a constant.
create or replace temp macro is_constant(n, scaled_variance) as
    scaled_variance <= n * (n - 1) * 1000000;

-- Sum over the last n rows from a running sum (int_running_sums), rows in the order of int_bars.
create or replace temp macro trailing_sum(running, n) as running - lag(running, n, 0) over ();

-- One session of Wilder's smoothing over n: the mean of inputs first … first+n-1 is the seed.
create or replace temp macro wilder_step(state, x, bar_number, n, first_bar) as
    case
        when bar_number < first_bar then 0.0::double
        when bar_number < first_bar + n - 1 then state + x
        when bar_number = first_bar + n - 1 then (state + x) / n
        else (state * (n - 1) + x) / n
    end;

-- One session of an exponential average of span n, seeded like Wilder's.
create or replace temp macro ema_step(state, x, bar_number, n, first_bar) as
    case
        when bar_number < first_bar then 0.0::double
        when bar_number < first_bar + n - 1 then state + x
        when bar_number = first_bar + n - 1 then (state + x) / n
        else state + (x - state) * (2.0::double / (n + 1))
    end;

-- z-score of the current row from the exact moments of its window; m is a struct of
-- value, n, total, total_of_squares. Null before n reaches the full window; 0 where the
-- window is constant: it carries no information. Clipped to ±clip.
create or replace temp macro z_from_moments(m, full_window, clip) as
    case
        when m.value is null or m.n < full_window then null
        when is_constant(m.n, scaled_covariance(m.n, m.total, m.total, m.total_of_squares)) then 0
        else greatest(-clip, least(clip,
            (m.n * m.value - m.total)::double / sqrt(
                m.n * scaled_covariance(m.n, m.total, m.total, m.total_of_squares)::double
                / (m.n - 1)
            )
        ))
    end;
