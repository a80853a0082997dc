"""Out-of-sample rows of every arm and reference policy in one fold, ready for the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from transfergate.errors import MarketError
from transfergate.evaluation import baselines
from transfergate.evaluation.baselines import Path, TickerMarket
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights
from transfergate.market.dynamics import (
    cost_rates,
    next_positions,
    outcomes,
    position_grid,
    return_table,
)
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams
from transfergate.transfer.arms import ArmRun
from transfergate.transfer.recipe import derive_seed
from transfergate.transfer.windows import score_window


def ticker_market(panel: Panel, market: MarketParams) -> TickerMarket:
    """Numpy view of a one-ticker panel for the reference policies.

    Raises:
        MarketError: If the panel holds more than one ticker.
    """
    if len(panel.tickers) != 1:
        raise MarketError(f"expected a panel of one ticker, found {len(panel.tickers)}")
    panel = panel.to("cpu")
    out = outcomes(panel, market)
    grid = position_grid(market, panel.device)
    net_returns = return_table(out.held, out.traded, out.executable, grid, out.cost_rate)
    return TickerMarket(
        features=panel.features[0].double().numpy(),
        ready=panel.ready[0].numpy(),
        net_returns=net_returns[0].numpy(),
        next_position=next_positions(out.executable, len(grid))[0].numpy(),
        positions=grid.numpy(),
        cost_rate=float(cost_rates(panel, market)[0, 0]),
    )


def arm_paths(
    panel: Panel, run: ArmRun, market: MarketParams, network: NetworkParams, burn_in: int
) -> list[Path]:
    """Test paths of an arm's K seeds; flat ones if the arm chose to stay flat."""
    test = test_window(run.fold)
    if run.choice is None:
        nothing = np.zeros(test.sessions)
        return [Path(nothing, nothing, nothing, nothing)] * len(run.seeds)
    return model_paths(panel, run.weights, test, market, network, burn_in)


def model_paths(
    panel: Panel,
    weights: Weights,
    test: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> list[Path]:
    """Paths of S stacked models over a window, each starting flat."""
    scored = score_window(panel, weights, test, market, network, burn_in)
    columns = [
        tensor.double().cpu().numpy()
        for tensor in (scored.net_return, scored.position, scored.turnover, scored.cost)
    ]
    return [Path(*(column[s] for column in columns)) for s in range(len(columns[0]))]


def reference_paths(
    panel: Panel,
    fold: Fold,
    foundation: Weights,
    market: MarketParams,
    network: NetworkParams,
    *,
    burn_in: int,
    seed_parts: Sequence[str | int],
) -> dict[str, Path]:
    """Zero-shot foundation, buy-and-hold, random and ridge on the fold's test sessions.

    Args:
        panel: The target ticker alone.
        fold: A fold with a test.
        foundation: The fold's own foundation (one model).
        market: The market.
        network: The foundation's network.
        burn_in: Sessions encoded before the first decision.
        seed_parts: What the random policy's seed is derived from.
    """
    test = test_window(fold)
    view = ticker_market(panel, market)
    rng = np.random.default_rng(derive_seed(*seed_parts, fold.name, "random"))
    return {
        "zero_shot": model_paths(panel, foundation, test, market, network, burn_in)[0],
        "buy_hold": baselines.buy_and_hold(view, test),
        "random": baselines.random_policy(view, test, rng),
        "ridge": baselines.ridge_policy(view, fold, test),
    }


def ledger_rows(panel: Panel, fold: Fold, paths: Sequence[Path]) -> pa.Table:
    """Rows of one arm in one fold; path k becomes seed k."""
    test = test_window(fold)
    dates = np.asarray(panel.sessions[test.first : test.stop], dtype="datetime64[D]")
    n_paths, n = len(paths), test.sessions
    return pa.table(
        {
            "seed": pa.array(np.repeat(np.arange(n_paths), n), pa.int32()),
            "session_date": pa.array(np.tile(dates, n_paths), pa.date32()),
            "net_return": pa.array(np.concatenate([path.net_return for path in paths])),
            "position": pa.array(np.concatenate([path.position for path in paths])),
            "turnover": pa.array(np.concatenate([path.turnover for path in paths])),
            "cost": pa.array(np.concatenate([path.cost for path in paths])),
        }
    )


def test_window(fold: Fold) -> Window:
    """The fold's test sessions; :class:`MarketError` for the refit, which has none."""
    if fold.test is None:
        raise MarketError(f"{fold.name} has no test sessions to score")
    return fold.test
