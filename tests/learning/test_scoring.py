import pytest
import torch

from transfergate.errors import TrainingError
from transfergate.learning import encode, head_logits, init_weights, next_targets, score_greedy
from transfergate.market import EpisodeParams, MarketEnv, dynamics, planted_panel
from transfergate.settings import MarketParams, NetworkParams

NET = NetworkParams(encoder_units=6, head_units=5)
MARKET = MarketParams(positions=(-2.0, 0.0, 1.0), cost_bps=10.0)


def lively_weights(models: int):
    weights = init_weights(NET, 4, 3, range(models))
    return {name: value * (200.0 if "output" in name else 1.0) for name, value in weights.items()}


def panel_with_defects():
    panel = planted_panel(3, 160, n_noise=3, seed=2)
    panel.tradable[0, 50:56] = False
    panel.ready[1, 70:75] = False
    return panel


def test_the_back_test_equals_an_account_in_the_environment():
    panel, weights, rows = panel_with_defects(), lively_weights(4), [0, 1, 2, 0]
    first, stop, burn_in = 40, 140, 10
    scored = score_greedy(panel, weights, NET, MARKET, rows, first, stop, burn_in)
    assert scored.session.tolist() == list(range(41, 140))
    assert (scored.turnover.mean(1) > 0.05).all()
    for model, row in enumerate(rows):
        one = {name: value[model : model + 1] for name, value in weights.items()}
        x = panel.features[row, first - burn_in : stop][None, None]
        table = head_logits(one, encode(one, NET, x))[0, 0, burn_in:].argmax(-1)
        params = EpisodeParams(first=first, stop=stop, episode_sessions=None)
        env = MarketEnv(panel, MARKET, params)
        observation, _ = env.reset(seed=0, options={"ticker": panel.tickers[row]})
        for t in range(stop - 1 - first):
            held = MARKET.positions.index(float(observation[-1]))
            observation, _, _, truncated, info = env.step(table[t, held].numpy())
            assert info["net_return"] == pytest.approx(scored.net_return[model, t].item())
            assert info["turnover"] == pytest.approx(scored.turnover[model, t].item())
            assert observation[-1] == scored.position[model, t].item()
            assert scored.cost[model, t].item() == pytest.approx(1e-3 * info["turnover"])
        assert truncated


def test_nothing_at_or_after_stop_is_read():
    panel, poisoned, weights = panel_with_defects(), panel_with_defects(), lively_weights(3)
    for name in ("features", "overnight", "intraday"):
        getattr(poisoned, name)[:, 100:] = 7.0
    poisoned.tradable[:, 100:] = False
    a, b = (
        score_greedy(p, weights, NET, MARKET, [0, 1, 2], 30, 100, 10) for p in (panel, poisoned)
    )
    for name in ("net_return", "position", "turnover", "cost"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_the_next_target_is_what_the_back_test_then_holds():
    panel, weights, rows = panel_with_defects(), lively_weights(3), [0, 1, 2]
    scored = score_greedy(panel, weights, NET, MARKET, rows, 30, 120, 10)
    executable = dynamics.outcomes(panel, MARKET).executable
    for session in (30, 60, 72, 118):
        target = next_targets(panel, weights, NET, MARKET, rows, 30, session, 10)
        held = scored.position[:, session - 30]
        for model, row in enumerate(rows):
            if executable[row, session]:
                assert target[model] == held[model]
    last = next_targets(panel, weights, NET, MARKET, rows, 30, 159, 10)
    assert set(last.tolist()) <= set(MARKET.positions)


def test_ruin_ends_the_record_at_zero():
    panel, weights = panel_with_defects(), lively_weights(8)
    panel.intraday[0, 80] = 4.0
    panel.intraday[0, 90] = 4.0
    scored = score_greedy(panel, weights, NET, MARKET, [0] * 8, 40, 140, 10)
    ruined = scored.net_return[:, 39] == -1.0
    assert ruined.any()
    assert not ruined.all()
    assert not scored.net_return[ruined, 40:].any()
    assert not scored.position[ruined, 40:].any()
    assert not scored.turnover[ruined, 40:].any()
    assert scored.net_return[~ruined, 40:].any()


def test_burn_in_is_clipped_at_the_panels_start():
    panel, weights = panel_with_defects(), lively_weights(1)
    a = score_greedy(panel, weights, NET, MARKET, [0], 5, 60, 5)
    b = score_greedy(panel, weights, NET, MARKET, [0], 5, 60, 50)
    assert torch.equal(a.net_return, b.net_return)


@pytest.mark.parametrize(("first", "stop", "rows"), [(50, 51, [0]), (0, 200, [0]), (0, 9, [0, 1])])
def test_unusable_records_are_refused(first: int, stop: int, rows: list[int]):
    with pytest.raises(TrainingError, match="at least one decision"):
        score_greedy(panel_with_defects(), lively_weights(1), NET, MARKET, rows, first, stop, 5)
