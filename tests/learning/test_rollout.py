"""Table rollouts against a policy that is stepped through the environment, session by session."""

import numpy as np
import torch
from scipy import stats

from transfergate.learning import TrainingSlice, encode, head_logits, init_weights
from transfergate.learning.critic import values_of, with_critic
from transfergate.learning.rollout import action_noise, roll
from transfergate.learning.sampled import realised_reward, sampled_terms
from transfergate.learning.sampling import PathSampler
from transfergate.learning.tables import REWARD_SCALE
from transfergate.market import EpisodeParams, MarketEnv, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

SIZES = OptimiserParams(
    algorithm="ppo", n_paths=3, path_sessions=12, burn_in_sessions=4, tail_sessions=5
)
NET = NetworkParams(encoder="mlp", encoder_units=6, head_units=5)


def test_table_rollouts_equal_stepping_the_environment_with_the_same_noise(make_job):
    panel = planted_panel(3, 120, n_noise=2, seed=8)
    panel.tradable[:, 20:120:7] = False
    market = MarketParams(positions=(-1.0, -0.5, 0.0, 1.0), cost_bps=20.0)
    job = make_job(SIZES, market=market, network=NET, panel=panel, stop=110, scale=80.0)
    logits, trace = job.forward(job.batch.features)
    models, actions, sessions, paths, _ = logits.shape
    values = values_of(job.weights, trace.head.states)[0].view(models, sessions, paths, -1)
    noise = action_noise(job.hyper.seeds, 0, (actions, sessions, paths), logits.device)
    rollout = roll(logits, noise, job.batch, job.hyper.flat)
    reward = realised_reward(job.hyper.reward, job.batch, rollout)
    terms = sampled_terms(job, logits, values, rollout, reward)
    slices = (TrainingSlice((0, 1, 2), 10, 110),) * models
    draw = PathSampler(panel, market, SIZES, slices, (50, 51), (0.0, 0.0)).draw(0)
    compared = set()
    for model in range(models):
        one = {name: value[model : model + 1] for name, value in job.weights.items()}
        for path in range(paths):
            env = MarketEnv(panel, market, EpisodeParams(episode_sessions=12))
            place = {
                "ticker": panel.tickers[int(draw.rows[model, path])],
                "session": int(draw.starts[model, path]),
            }
            seen, _ = env.reset(seed=0, options=place)
            for t in range(SIZES.path_sessions):
                held = market.positions.index(float(seen[panel.n_features]))
                assert held == rollout.held[t, model, path]
                x = torch.from_numpy(seen[: panel.n_features]).view(1, 1, 1, -1)
                h = encode(one, NET, x)
                row = head_logits(one, h)[0, 0, 0, held]
                action = int((row + noise[model, :, t, path]).argmax())
                assert action == rollout.action[t, model, path]
                where = (model, t, path)
                log_prob = torch.log_softmax(row, 0)[action]
                torch.testing.assert_close(terms.log_prob[where], log_prob)
                value = values_of(one, h.view(1, 1, -1))[0][0, 0, held]
                torch.testing.assert_close(terms.value[where], value)
                seen, earned, *_ = env.step(np.int64(action))
                want = torch.tensor(earned * REWARD_SCALE, dtype=torch.float32)
                torch.testing.assert_close(reward[t, model, path], want, rtol=1e-5, atol=1e-6)
                compared.add((held, action))
    assert len(compared) > 8


def test_the_most_probable_actions_are_followed_without_noise(make_job):
    job = make_job(SIZES, scale=80.0)
    logits, _ = job.forward(job.batch.features)
    rollout = roll(logits, None, job.batch, job.hyper.flat)
    for t in range(len(rollout.held)):
        for model in range(2):
            for path in range(3):
                row = logits[model, :, t, path, rollout.held[t, model, path]]
                assert int(row.argmax()) == rollout.action[t, model, path]


def test_nothing_goes_on_behind_ruin_or_the_slices_end(make_job):
    job = make_job(SIZES, ruin=True, stop=24, scale=80.0)
    logits, _ = job.forward(job.batch.features)
    rollout = roll(logits, None, job.batch, job.hyper.flat)
    alive = rollout.along(job.batch.alive)
    within = job.batch.within.view(alive.shape)
    assert not within.all()
    assert (alive == 0).any()
    for model in range(2):
        for path in range(3):
            lives = True
            for t in range(len(alive)):
                here = (t, model, path)
                assert bool(rollout.reached[here]) == (lives and bool(within[here]))
                ends = alive[here] == 0 or (t + 1 < len(alive) and not within[t + 1, model, path])
                assert rollout.goes_on[here] == float(not ends)
                lives = lives and bool(alive[here])


def test_the_noise_is_gumbel_and_belongs_to_the_model_alone():
    seeds = np.array([4, 9], dtype=np.uint64)
    both = action_noise(seeds, 3, (3, 50, 20), torch.device("cpu"))
    alone = action_noise(seeds[1:], 3, (3, 50, 20), torch.device("cpu"))
    assert torch.equal(both[1], alone[0])
    assert not torch.equal(both[0], both[1])
    later = action_noise(seeds, 4, (3, 50, 20), torch.device("cpu"))
    assert not torch.equal(both, later)
    for draws in (both[0], both[1], later[0]):
        assert stats.kstest(draws.flatten().numpy(), "gumbel_r").pvalue > 1e-3


def test_a_critic_depends_on_its_own_seed():
    weights = init_weights(NET, 3, 3, [1, 2])
    both = with_critic(weights, SIZES, [1, 2])
    alone = with_critic({k: v[1:] for k, v in weights.items()}, SIZES, [2])
    assert torch.equal(both["critic.hidden"][1], alone["critic.hidden"][0])
    assert not torch.equal(both["critic.hidden"][0], both["critic.hidden"][1])
    assert set(with_critic(weights, OptimiserParams(), [1, 2])) == set(weights)
