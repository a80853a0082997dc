-- Releases are facts like bars: see 50_append_only.sql.
create or replace trigger releases_are_not_updated
after update on releases
for each statement
insert into refused_writes
select error('releases is append-only: a release cannot be changed');

create or replace trigger releases_are_not_deleted
after delete on releases
for each statement
insert into refused_writes
select error('releases is append-only: a release cannot be taken back; load a correction');
