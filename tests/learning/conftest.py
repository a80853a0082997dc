from collections.abc import Callable

import numpy as np
import pytest
import torch

from transfergate.learning import TrainingSlice, init_weights
from transfergate.learning.adam import AdamState
from transfergate.learning.critic import fresh_memory, with_critic
from transfergate.learning.hyper import Hyper, Job
from transfergate.learning.sampling import PathBatch, PathSampler
from transfergate.market import Panel, dynamics, planted_panel
from transfergate.market.rewards import reward_of
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job() -> MakeJob:
    """One update's job: models on paths drawn from a panel with sessions that cannot be traded."""

    def make(
        optimiser: OptimiserParams,
        *,
        models: int = 2,
        market: MarketParams | None = None,
        network: NetworkParams | None = None,
        panel: Panel | None = None,
        stop: int = 150,
        same: bool = False,
        ruin: bool = False,
        scale: float = 1.0,
        update: int = 0,
        cloned_feature: int | None = None,
    ) -> Job:
        market = market or MarketParams()
        network = network or NetworkParams(encoder="mlp", encoder_units=4, head_units=5)
        if panel is None:
            panel = planted_panel(3, 220, n_noise=2, seed=3)
            panel.tradable[:, 20:220:9] = False
        seeds = tuple(range(50, 50 + models))
        places = (50,) * models if same else seeds
        slices = (TrainingSlice(tuple(range(len(panel.tickers))), 10, stop),) * models
        sampler = PathSampler(panel, market, optimiser, slices, places, (0.0,) * models)
        batch = sampler.gather(sampler.draw(update), slice(0, models))
        if ruin:
            alive = torch.rand(batch.reward.shape, generator=torch.Generator().manual_seed(4)) < 0.9
            stuck = ~batch.executable[..., None, None]
            alive = torch.where(stuck, alive.diagonal(dim1=2, dim2=3).unsqueeze(-1), alive)
            if same:
                alive = alive.view(len(alive), models, -1, *alive.shape[2:])
                alive = alive[:, :1].expand_as(alive).reshape(batch.reward.shape)
            batch = PathBatch(**{**vars(batch), "alive": alive.float()})
        drawn = (7,) if same else seeds
        weights = init_weights(network, panel.n_features, len(market.positions), drawn)
        weights = with_critic(weights, optimiser, drawn)
        factor = {name: scale if name.endswith(".output") else 1.0 for name in weights}
        weights = {
            name: (value * factor[name]).expand(models, *value.shape[1:]).clone()
            for name, value in weights.items()
        }
        hyper = Hyper(
            network=network,
            optimiser=optimiser,
            reward=reward_of(market),
            flat=dynamics.flat_index(market),
            grid=dynamics.position_grid(market, panel.device),
            cloned_feature=cloned_feature,
            seeds=np.array(seeds, dtype=np.uint64),
            rates=torch.full((models,), optimiser.learning_rate),
            penalties=None,
            dropouts=(0.0,) * models,
            adversary=None,
            factors=None,
            masks={},
            any_frozen=False,
            train_encoder=True,
        )
        start = {name: value.clone() for name, value in weights.items()}
        memory = fresh_memory(weights, optimiser)
        return Job(weights, start, AdamState.zeros(weights), memory, batch, hyper, 1.0, update)

    return make
