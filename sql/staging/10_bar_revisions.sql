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

-- Never filled: a trigger needs somewhere to write to, and error() stops it before it does.
create table if not exists refused_writes (message varchar);

create or replace trigger bar_revisions_are_not_updated
after update on bar_revisions
for each statement
insert into refused_writes
select error('bar_revisions is append-only: write a new revision instead of an update');

create or replace trigger bar_revisions_are_not_deleted
after delete on bar_revisions
for each statement
insert into refused_writes
select error('bar_revisions is append-only: write a new revision instead of a delete');
