-- Grain: source × ticker × effect_date × kind × revision. Known from known_at on.
-- Splits and dividends as received. effect_date: first session on the new basis. value: of a
-- split, new shares for one old share; of a dividend, cash for one share held before; null where
-- this revision retracts the action.
create table if not exists corporate_actions (
    source varchar not null,
    ticker varchar not null,
    effect_date date not null,
    kind varchar not null,
    value double,
    batch_id varchar not null,
    known_at timestamptz not null,
    check (kind in ('split', 'dividend')),
    check (value is null or (isfinite(value) and value > 0))
);
