-- Facts are append-only, and the database itself holds it: a statement that updates or deletes,
-- even none of the rows, fails; so does an insert whose known_at is not after that of every batch
-- before it, which would change what was known at a moment in the past. A load writes its row in
-- batches last. MERGE, INSERT OR REPLACE and ON CONFLICT are refused by DuckDB on any table that
-- has a trigger. DuckDB knows no users: whoever may write the file may drop a trigger or a table.

-- Never filled: a trigger needs somewhere to write to, and error() stops it before it does.
create table if not exists refused_writes (message varchar);

create or replace trigger bar_revisions_are_not_updated
after update on bar_revisions
for each statement
insert into refused_writes
select error('bar_revisions is append-only: load a new batch instead of an update');

create or replace trigger bar_revisions_are_not_deleted
after delete on bar_revisions
for each statement
insert into refused_writes
select error('bar_revisions is append-only: load a new batch instead of a delete');

create or replace trigger bar_revisions_are_not_backdated
after insert on bar_revisions referencing new table as added
for each statement
insert into refused_writes
select error(
    'bar_revisions is append-only: batch ' || batch_id || ' is dated before the last load; load it now'
)
from added
where known_at <= (select max(known_at) from batches);

create or replace trigger corporate_actions_are_not_updated
after update on corporate_actions
for each statement
insert into refused_writes
select error('corporate_actions is append-only: load a new batch instead of an update');

create or replace trigger corporate_actions_are_not_deleted
after delete on corporate_actions
for each statement
insert into refused_writes
select error('corporate_actions is append-only: load a new batch instead of a delete');

create or replace trigger corporate_actions_are_not_backdated
after insert on corporate_actions referencing new table as added
for each statement
insert into refused_writes
select error(
    'corporate_actions is append-only: batch ' || batch_id || ' is dated before the last load; load it now'
)
from added
where known_at <= (select max(known_at) from batches);

create or replace trigger instruments_are_not_updated
after update on instruments
for each statement
insert into refused_writes
select error('instruments is append-only: load a new batch instead of an update');

create or replace trigger instruments_are_not_deleted
after delete on instruments
for each statement
insert into refused_writes
select error('instruments is append-only: load a new batch instead of a delete');

create or replace trigger instruments_are_not_backdated
after insert on instruments referencing new table as added
for each statement
insert into refused_writes
select error(
    'instruments is append-only: batch ' || batch_id || ' is dated before the last load; load it now'
)
from added
where known_at <= (select max(known_at) from batches);

create or replace trigger symbols_are_not_updated
after update on symbols
for each statement
insert into refused_writes
select error('symbols is append-only: load a new batch instead of an update');

create or replace trigger symbols_are_not_deleted
after delete on symbols
for each statement
insert into refused_writes
select error('symbols is append-only: load a new batch instead of a delete');

create or replace trigger symbols_are_not_backdated
after insert on symbols referencing new table as added
for each statement
insert into refused_writes
select error(
    'symbols is append-only: batch ' || batch_id || ' is dated before the last load; load it now'
)
from added
where known_at <= (select max(known_at) from batches);

create or replace trigger quarantine_are_not_updated
after update on quarantine
for each statement
insert into refused_writes
select error('quarantine is append-only: load a new batch instead of an update');

create or replace trigger quarantine_are_not_deleted
after delete on quarantine
for each statement
insert into refused_writes
select error('quarantine is append-only: load a new batch instead of a delete');

create or replace trigger quarantine_is_not_added_to
after insert on quarantine referencing new table as added
for each statement
insert into refused_writes
select error(
    'quarantine is append-only: batch ' || batch_id || ' is complete; load a new batch'
)
from added
where batch_id in (select batch_id from batches);

create or replace trigger batches_are_not_updated
after update on batches
for each statement
insert into refused_writes
select error('batches is append-only: load a new batch instead of an update');

create or replace trigger batches_are_not_deleted
after delete on batches
for each statement
insert into refused_writes
select error('batches is append-only: load a new batch instead of a delete');

create or replace trigger batches_are_not_backdated
after insert on batches referencing new table as added
for each statement
insert into refused_writes
select error(
    'batches is append-only: batch ' || batch_id || ' is dated before the last load; load it now'
)
from added
where exists (
    from batches as earlier
    where earlier.batch_id <> added.batch_id and earlier.known_at >= added.known_at
);
