-- Grain: quarantined row (batch_id × row_id) that a person let through, once. The row itself stays
-- in quarantine; its bar is a revision of the load release_id, with the same known_at.
create table if not exists releases (
    release_id varchar not null,
    batch_id varchar not null,
    row_id bigint not null,
    source varchar not null,
    ticker varchar not null,
    session_date date not null,
    who varchar not null,
    why varchar not null,
    known_at timestamptz not null,
    primary key (batch_id, row_id)
);
