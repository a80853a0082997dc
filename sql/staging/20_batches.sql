-- Grain: batch, one row for each that was loaded, written in the transaction of its bars.
-- received_rows = loaded_rows + quarantined_rows; loaded_rows = new_revisions + unchanged_rows.
create table if not exists batches (
    batch_id varchar primary key,
    source varchar not null,
    known_at timestamptz not null,
    received_rows bigint not null,
    loaded_rows bigint not null,
    new_revisions bigint not null,
    unchanged_rows bigint not null,
    quarantined_rows bigint not null,
    tickers bigint not null,
    first_session date,
    last_session date,
    check (received_rows = loaded_rows + quarantined_rows),
    check (loaded_rows = new_revisions + unchanged_rows)
);
