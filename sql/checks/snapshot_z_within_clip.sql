-- Every z-score is finite and within ±z_clip. Returns the rows of the others.
-- NaN is greater than any number.
select
    ticker,
    session_date,
    greatest(*columns(* exclude (ticker, session_date, open, close))) as highest,
    least(*columns(* exclude (ticker, session_date, open, close))) as lowest
from snapshot_rows
where
    greatest(*columns(* exclude (ticker, session_date, open, close)))
    > getvariable('z_clip')::float
    or least(*columns(* exclude (ticker, session_date, open, close)))
    < -getvariable('z_clip')::float
