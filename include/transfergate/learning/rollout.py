"""Table rollouts: the actions from every possible position first, then the way through them.

With Gumbel noise g the action from previous position k is ``argmax(logits[k] + g)``, a draw from
the softmax policy. Drawn for all k at once, a trajectory is integer look-ups: the network is not
stepped. The noise is shared by all k and counter-based, as every other draw.

Shapes: S models, A = P actions and positions, D decisions, B paths.
Source: the Gumbel-max trick, Maddison, Tarlow & Minka 2014, A* Sampling, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.learning.sampling import PathBatch
from transfergate.market import dynamics
from transfergate.market.draws import draw_below

_ACTION = np.array([3])
_BITS = 24


@dataclass(frozen=True)
class Rollout:
    """Realised paths; every tensor (D, S, B).

    Attributes:
        held: int64, index of the position before each decision.
        action: int64, index of the chosen action, carried out or not.
        reached: bool, whether the decision lies in the slice and nothing has ruined the path.
        goes_on: float, 0 where a path is ruined or the slice ends with this decision, else 1.
    """

    held: Tensor
    action: Tensor
    reached: Tensor
    goes_on: Tensor

    def along(self, table: Tensor) -> Tensor:
        """Entries (D, S, B) of a table (D, S * B, P, P) by (previous, action) on these paths."""
        size = table.shape[-1]
        index = (self.held * size + self.action).view(len(table), -1, 1)
        return table.flatten(2).gather(2, index).view(self.held.shape)


def action_noise(
    seeds: npt.NDArray[np.uint64], update: int, shape: tuple[int, int, int], device: torch.device
) -> Tensor:
    """Draw standard Gumbel noise, a hash of (seed, update, path, decision, action).

    Args:
        seeds: One a model, (S,).
        update: Number of the update.
        shape: Actions A, decisions D, paths B.
        device: Where it goes; the numbers are the same on every device.

    Returns:
        float32 (S, A, D, B).
    """
    action, decision, path = np.ogrid[: shape[0], : shape[1], : shape[2]]
    when = np.array([update])
    bits = draw_below(
        1 << _BITS, seeds.reshape(-1, 1, 1, 1), [_ACTION, when, path, decision, action]
    )
    uniform = (bits + 0.5) * 2.0**-_BITS
    return torch.from_numpy((-np.log(-np.log(uniform))).astype(np.float32)).to(device)


def roll(logits: Tensor, noise: Tensor | None, batch: PathBatch, flat: int) -> Rollout:
    """Follow sampled actions, from the flat position.

    Args:
        logits: (S, A, D, B, P).
        noise: (S, A, D, B); None for the most probable actions.
        batch: The paths.
        flat: Index of the flat position.
    """
    models, _, sessions, paths, _ = logits.shape
    shape = (sessions, models, paths)
    noisy = logits if noise is None else logits + noise.unsqueeze(-1)
    chosen = noisy.argmax(1).transpose(0, 1)  # (D, S, B, P)
    held = dynamics.follow(chosen, batch.executable.view(shape), flat)[:-1]
    action = chosen.gather(-1, held.unsqueeze(-1)).squeeze(-1)
    within = batch.within.view(shape)
    nothing = Rollout(held, action, within, within.float())
    survives = torch.ones(shape, device=logits.device)
    if batch.alive is not None:
        survives = nothing.along(batch.alive)
    alive = torch.ones_like(survives)
    alive[1:] = survives.cumprod(0)[:-1]
    goes_on = survives.clone()
    goes_on[:-1] *= within[1:]
    return Rollout(held, action, within & (alive > 0), goes_on)
