-- What one corporate action multiplies the factor by, and the price that it leaves, from the
-- price before it. A split into s shares: s. A dividend d: price / (price - d), the return of who
-- reinvests it at the price less the dividend (the reciprocal of CRSP's and Yahoo's factor for
-- earlier prices, 1 - d / price). A dividend of at least the price has no factor: 1.
create or replace macro action_factor(kind, value, price) as
    case
        when kind = 'split' then value
        when isfinite(price) and price > value then price / (price - value)
        else 1.0
    end;

create or replace macro price_after_action(kind, value, price) as
    case when kind = 'split' then price / value when price > value then price - value else price end;
