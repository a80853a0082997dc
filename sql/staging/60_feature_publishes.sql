-- Which snapshot a source's bars gave as of a moment: where the next publish starts from.
-- Grain: source × features_key × as_of. features_key: hash of SQL and settings of the features.
-- A row says nothing new: it follows from the bars. Snapshots never change, so a row stays true.
create table if not exists feature_publishes (
    source varchar not null,
    features_key varchar not null,
    as_of timestamptz not null,
    snapshot_id varchar not null
);

-- Feature SQL that passed its checks (look-ahead, warm-up) on bars long enough to tell.
-- Grain: source × checks_key × passing.
create table if not exists feature_checks (
    source varchar not null,
    checks_key varchar not null
);

-- Sessions of an exchange between two days, as a version of exchange_calendars gives them.
-- Grain: calendar × version × span. To build a calendar takes longer than a new session's features.
create table if not exists calendar_spans (
    calendar varchar not null,
    version varchar not null,
    first_day date not null,
    last_day date not null,
    sessions date[] not null
);
