-- What a snapshot holds: z-scores beside the adjusted prices that the market trades at.
-- Grain: ticker × session_date. Known after that session's close.
select
    z_scores.*,
    bars.open,
    bars.close
from int_bars as bars
inner join feature_z_scores as z_scores
    on bars.ticker = z_scores.ticker and bars.session_date = z_scores.session_date
