-- Grain: source × ticker × revision. Known from known_at on.
-- What is traded. exchange: a calendar's code. cost_bps: of turnover, in basis points.
create table if not exists instruments (
    source varchar not null,
    ticker varchar not null,
    name varchar,
    asset_class varchar,
    sector varchar,
    exchange varchar,
    currency varchar,
    index_ticker varchar,
    cost_bps double,
    batch_id varchar not null,
    known_at timestamptz not null
);
