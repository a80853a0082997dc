-- Every z-score is finite and within ±z_clip. Returns the others.
with
long as (
    unpivot (select * exclude (open, close) from snapshot_rows)
    on columns(* exclude (ticker, session_date))
    into name feature value z_score
)

select
    ticker,
    session_date,
    feature,
    z_score
from long
where not isfinite(z_score) or abs(z_score) > getvariable('z_clip')::float
