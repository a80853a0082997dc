-- Grain: source × symbol × first_date × revision. Known from known_at on.
-- Which ticker a vendor's symbol stood for, both dates included; a null date is open. A null
-- ticker retracts the entry.
create table if not exists symbols (
    source varchar not null,
    symbol varchar not null,
    ticker varchar,
    first_date date,
    last_date date,
    batch_id varchar not null,
    known_at timestamptz not null
);
