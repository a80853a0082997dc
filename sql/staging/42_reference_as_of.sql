-- The latest revision of each fact about a source as of a moment; retracted ones are gone.

-- Grain: ticker × effect_date × kind of one source.
create or replace macro actions_as_of(source_name, moment) as table
select ticker, effect_date, kind, value, batch_id, known_at
from (
    from corporate_actions
    where source = source_name and known_at <= moment
    qualify row_number() over (partition by ticker, effect_date, kind order by known_at desc) = 1
)
where value is not null;

-- Grain: ticker of one source.
create or replace macro instruments_as_of(source_name, moment) as table
select * exclude (source)
from instruments
where source = source_name and known_at <= moment
qualify row_number() over (partition by ticker order by known_at desc) = 1;

-- Grain: symbol × first_date of one source.
create or replace macro symbols_as_of(source_name, moment) as table
select symbol, ticker, first_date, last_date, batch_id, known_at
from (
    from symbols
    where source = source_name and known_at <= moment
    qualify row_number() over (partition by symbol, first_date order by known_at desc) = 1
)
where ticker is not null;

-- When the last fact about a source that was known at a moment became known; null before the first.
create or replace macro last_known_at(source_name, moment) as (
    select max(known_at)
    from (
        select max(known_at) as known_at from bar_revisions
        where source = source_name and known_at <= moment
        union all
        select max(known_at) from batches where source = source_name and known_at <= moment
    )
);
