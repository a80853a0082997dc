-- Grain: batch × row_id, one row for each that was refused, with its original values.
-- reasons: the expectations that it broke. row_id: its number in the batch, from 0.
-- origin and line: where it was found. unreadable: JSON {column: text} of cells that hold nothing
-- readable.
create table if not exists quarantine (
    batch_id varchar not null,
    source varchar not null,
    row_id bigint not null,
    ticker varchar,
    session_date date,
    open double,
    high double,
    low double,
    close double,
    volume double,
    adj_close double,
    currency varchar,
    reasons varchar[] not null
);

-- Columns that warehouses of earlier versions lack.
alter table quarantine add column if not exists origin varchar;
alter table quarantine add column if not exists line bigint;
alter table quarantine add column if not exists unreadable varchar;
-- What the vendor called it, where a map of symbols gave the ticker, or none on that session.
alter table quarantine add column if not exists symbol varchar;
