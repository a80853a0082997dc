-- Every z-score is finite and within ±z_clip. Returns the rows of the others.
-- NaN is greater than any number; a clip that nobody has set is 0, so that the check fails.
select
    ticker,
    session_date,
    greatest(*columns(* exclude (ticker, session_date, open, close))) as highest,
    least(*columns(* exclude (ticker, session_date, open, close))) as lowest
from snapshot_rows
where
    greatest(*columns(* exclude (ticker, session_date, open, close)))
    > coalesce(getvariable('z_clip'), 0)::float
    or least(*columns(* exclude (ticker, session_date, open, close)))
    < -coalesce(getvariable('z_clip'), 0)::float
