-- One row per ticker and session. Returns the duplicates.
select
    ticker,
    session_date,
    count(*) as found_rows
from snapshot_rows
group by ticker, session_date
having count(*) > 1
