import numpy as np
import pytest
import torch

from transfergate.market import PlantedParams, planted_panel
from transfergate.market.planted import observed_signal

KINDS = ("ar", "regime", "momentum")


def daily(kind: str, n: int = 40, t: int = 2000, seed: int = 1) -> np.ndarray:
    panel = planted_panel(n, t, kind=kind, n_features=1, seed=seed)
    return (panel.overnight + panel.intraday).numpy()


def test_the_first_market_keeps_its_bytes():
    panel = planted_panel(2, 50)
    got = [
        panel.intraday[1, 7].item(),
        panel.overnight[0, 3].item(),
        panel.features[1, 49, 15].item(),
    ]
    assert got == pytest.approx(
        [-0.0011383651583223846, 0.0006712787915602902, -0.7525727152824402], rel=1e-14
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_market_has_the_features_asked_for_and_the_seed_is_all_that_it_hangs_on(kind: str):
    panel = planted_panel(2, 60, kind=kind, n_features=4, seed=3)
    assert panel.features.shape == (2, 60, 4)
    again = planted_panel(2, 60, kind=kind, n_features=4, seed=3)
    other = planted_panel(2, 60, kind=kind, n_features=4, seed=4)
    assert torch.equal(panel.intraday, again.intraday)
    assert not torch.equal(panel.intraday, other.intraday)
    returns = (panel.overnight + panel.intraday).numpy()
    shown = np.clip(observed_signal(PlantedParams(kind), returns), -5.0, 5.0)
    np.testing.assert_array_equal(panel.features[..., 0].numpy(), shown.astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_feature_0_is_known_at_the_close(kind: str):
    returns = daily(kind, 2, 100)
    changed = returns.copy()
    changed[:, 60:] += 1.0
    before, after = (observed_signal(PlantedParams(kind), r) for r in (returns, changed))
    np.testing.assert_array_equal(before[:, :60], after[:, :60])
    assert (before[:, 60:] != after[:, 60:]).all()


def test_ar_has_the_autocorrelation_planted():
    r = daily("ar")
    assert (r[:, 1:] * r[:, :-1]).mean() / (r * r).mean() == pytest.approx(0.3, abs=0.02)


def test_momentum_follows_the_average_of_past_returns_and_it_is_standardised():
    params = PlantedParams("momentum")
    r = daily("momentum")
    average = observed_signal(params, r)[:, 200:-1] * params.momentum_deviation
    following = r[:, 201:]
    assert (average * following).sum() / (average**2).sum() == pytest.approx(params.pull, abs=0.1)
    assert average.std() / params.momentum_deviation == pytest.approx(1.0, abs=0.1)


def test_regimes_have_the_drift_and_the_length_planted():
    # The autocovariance of returns at lag h is drift^2 (2 stay - 1)^h: no other trace is left.
    params = PlantedParams("regime")
    r = daily("regime", 200, 4000) / params.daily_volatility
    for lag in (1, 20, 100):
        want = params.drift**2 * (2.0 * params.stay - 1.0) ** lag
        assert (r[:, lag:] * r[:, :-lag]).mean() == pytest.approx(want, abs=0.005)
