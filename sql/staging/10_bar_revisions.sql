-- Grain: source × ticker × session_date × revision. Known from known_at on.
-- Bars as received: a correction is a further row, and nothing is ever overwritten.
-- No primary key: it would double the cost of a load, and the load's anti-join keeps the grain.
create table if not exists bar_revisions (
    source varchar not null,
    ticker varchar not null,
    session_date date not null,
    open double not null,
    high double not null,
    low double not null,
    close double not null,
    volume double,
    adj_close double,
    currency varchar,
    batch_id varchar not null,
    known_at timestamptz not null
);
