-- Grain: ticker of one source that has bars or an instrument. Known at the moment asked for.
-- first_session and last_session: of its bars. currency: the instrument's, else of its last bar.
create or replace macro instruments_listed(source_name, moment) as table
    with traded as (
        select
            ticker,
            min(session_date) as first_session,
            max(session_date) as last_session,
            count(*) as bars,
            arg_max(currency, session_date) as currency
        from bars_as_of(source_name, moment)
        group by ticker
    )

    select
        ticker,
        instrument.name,
        instrument.asset_class,
        instrument.sector,
        instrument.exchange,
        coalesce(instrument.currency, traded.currency) as currency,
        instrument.index_ticker,
        instrument.cost_bps,
        traded.first_session,
        traded.last_session,
        coalesce(traded.bars, 0) as bars
    from instruments_as_of(source_name, moment) as instrument
    full outer join traded using (ticker);
