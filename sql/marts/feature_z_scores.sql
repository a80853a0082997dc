-- Every feature as a z-score over its ticker's trailing window, the current bar included.
-- Grain: ticker × session_date. Known after that session's close.
-- raw_features is the join of the feature relations that the settings name. Null until
-- z_window values exist without a gap; 0 where they are constant; clipped to ±z_clip.
with
fixed_point as (
    select
        ticker,
        session_date,
        to_e12(columns(* exclude (ticker, session_date)))
    from raw_features
),

moments as (
    select
        ticker,
        session_date,
        struct_pack(
            value := columns(* exclude (ticker, session_date)),
            n := count(columns(* exclude (ticker, session_date))) over trailing_rows,
            total := sum(columns(* exclude (ticker, session_date))) over trailing_rows,
            total_of_squares := sum(
                columns(* exclude (ticker, session_date))::hugeint
                * columns(* exclude (ticker, session_date))
            ) over trailing_rows
        )
    from fixed_point
    window trailing_rows as (
        partition by ticker order by session_date
        rows between getvariable('z_window') - 1 preceding and current row
    )
)

select
    ticker,
    session_date,
    z_from_moments(
        columns(* exclude (ticker, session_date)),
        getvariable('z_window'),
        getvariable('z_clip')
    )::float
from moments
