-- What brought this file's schema up to date: a hash of these scripts, DuckDB's version, and the
-- tables and triggers that came of them. Grain: one row.
-- Opening compares it, so that scripts run where one of these is another, and else not.
create table if not exists staging_applied (fingerprint varchar not null);
