"""Which paths every model trains on: slices of history, draws of starts, noise on the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.errors import NotEnoughData
from transfergate.learning.embeddings import Embeddings
from transfergate.learning.forecasts import Forecasts
from transfergate.learning.tables import RewardTables
from transfergate.market.draws import draw_below
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, OptimiserParams

_ROW, _START, _NOISE = (np.array([purpose]) for purpose in range(3))
_DRAWN_AHEAD = 16
"""Updates whose places are drawn at once: a draw of few paths is mostly the calls of it."""

_NOISE_BANK = 1 << 21
_NOISE_SEED = 20_260_101


@dataclass(frozen=True)
class TrainingSlice:
    """Where one model may learn.

    Attributes:
        rows: Tickers, as rows of the panel; each path is drawn from one of them, all equally
            often.
        first: First session t in which a decision is trained on; the burn-in may read earlier
            sessions.
        stop: Nothing at or after it is read: decisions have t + 1 < stop.
    """

    rows: tuple[int, ...]
    first: int
    stop: int


@dataclass(frozen=True)
class PathBatch:
    """Paths of some models. T = burn-in + L + tail sessions, D = L + tail of them decisions.

    Attributes:
        features: float32 (S, T, B, F), with noise.
        reward: (D, S * B, P, P), by (previous, action): of a ``tabled`` reward its table in per
            cent, of any other the net simple returns, as fractions. 0 beyond the slice.
        executable: bool (D, S * B).
        within: bool (D, S * B), whether the decision lies in the slice.
        alive: 0 where a transition ruins, (D, S * B, P, P); None if none does.
        rows: Row of the panel that each path is of, int64 (S, B).
        states: (S, D, B, H), what a frozen encoder says of the decisions; None if it is to run.
    """

    features: Tensor
    reward: Tensor
    executable: Tensor
    within: Tensor
    alive: Tensor | None
    rows: Tensor
    states: Tensor | None = None


@dataclass(frozen=True)
class PathDraw:
    """Drawn places, one per model and path, shape (S, B); all on the panel's device.

    ``noise`` is 0 where no model has noise or forecasts.
    """

    rows: Tensor
    starts: Tensor
    noise: Tensor


class PathSampler:
    """Draws paths; what model s gets is a function of its seed, its slice and the update."""

    def __init__(
        self,
        panel: Panel,
        market: MarketParams,
        optimiser: OptimiserParams,
        slices: tuple[TrainingSlice, ...],
        seeds: tuple[int, ...],
        input_noise: tuple[float, ...],
        turnover_bps: tuple[float, ...] = (),
        forecasts: tuple[str, ...] = (),
    ) -> None:
        """Check that every slice has room.

        Args:
            panel: Features and returns.
            market: Positions, costs, timing, reward.
            optimiser: Sizes.
            slices: Of each model.
            seeds: Of each model.
            input_noise: Of each model, in standard deviations.
            turnover_bps: Of each model, cost per unit of turnover in the reward alone, above the
                market's; left out, none.
            forecasts: Of each model, whose forecasts stand for returns in its rewards
                (``forecasts.py``); left out, nobody's.

        Raises:
            NotEnoughData: If a model's slice is shorter than one path in all of its rows.
        """
        self._panel, self._optimiser = panel, optimiser
        decisions = optimiser.path_sessions + optimiser.tail_sessions
        reads = optimiser.n_updates * len(seeds) * optimiser.n_paths * decisions
        self._tables = RewardTables(panel, market, reads)
        executable = self._tables.executable.cpu().numpy()
        self._penalty = torch.tensor(turnover_bps, device=panel.device) * 1e-4
        self._any_penalty = any(turnover_bps)
        self._table = _start_table(executable, slices, optimiser)
        places = [(one.rows, one.first, one.stop) for one in slices]
        self._forecasts = Forecasts.of(panel, market, places, forecasts)
        self._seeds = np.array(seeds, dtype=np.uint64)[:, None]
        last = torch.tensor([s.stop - 2 for s in slices], device=panel.device)
        self._last = last[:, None]
        self._noise_std = torch.tensor(input_noise, device=panel.device)
        self._noisy = any(input_noise)
        self._path_numbers = self._length * panel.n_features
        self._drawn: tuple[int, list[Tensor]] | None = None

    @property
    def _length(self) -> int:
        sizes = self._optimiser
        return sizes.burn_in_sessions + sizes.path_sessions + sizes.tail_sessions

    def draw(self, update: int) -> PathDraw:
        """Draw the places of all models' paths for one update."""
        first = update - update % _DRAWN_AHEAD
        if self._drawn is None or self._drawn[0] != first:
            self._drawn = first, self._draw(np.arange(first, first + _DRAWN_AHEAD))
        return PathDraw(*(places[update - first] for places in self._drawn[1]))

    def _draw(self, updates: npt.NDArray[np.int64]) -> list[Tensor]:
        # Rows, starts and noise of some updates, (U, S, B) each.
        table, when = self._table, updates[:, None, None]
        path, models = np.arange(self._optimiser.n_paths), np.arange(len(self._seeds))[:, None]
        slot = draw_below(table.count[:, None], self._seeds, [_ROW, when, path])
        low = table.low[models, slot]
        span = table.high[models, slot] - low
        starts = low + draw_below(span, self._seeds, [_START, when, path])
        noise = np.zeros_like(starts)
        if self._noisy or self._forecasts:
            noise = draw_below(_noise_places(self._path_numbers), self._seeds, [_NOISE, when, path])
        rows, device = table.row[models, slot], self._panel.device
        return [torch.from_numpy(x).to(device) for x in (rows, starts, noise)]

    def gather(
        self, draw: PathDraw, models: slice, embeddings: Embeddings | None = None
    ) -> PathBatch:
        """Read the drawn paths of some models; their states too, where ``embeddings`` has them."""
        sizes = self._optimiser
        rows, starts, last = draw.rows[models], draw.starts[models], self._last[models]
        offsets = torch.arange(self._length, device=rows.device) - sizes.burn_in_sessions
        sessions = starts[:, None, :] + offsets[None, :, None]
        inside = torch.minimum(sessions, last[:, None, :])
        features = self._panel.features
        flat = (rows[:, None, :] * features.shape[1] + inside).reshape(-1)
        x = features.reshape(-1, features.shape[2]).index_select(0, flat).view(*sessions.shape, -1)
        std = self._noise_std[models]
        if self._noisy:
            bank = _noise_windows(self._path_numbers, self._panel.device)
            noise = bank.index_select(0, draw.noise[models].reshape(-1))
            noise = noise.view(*rows.shape, self._length, -1).transpose(1, 2)
            x.addcmul_(noise, std[:, None, None, None])
        decisions = slice(sizes.burn_in_sessions, None)
        states = embeddings.take(models, rows, inside[:, decisions]) if embeddings else None
        penalty = self._penalty[models] if self._any_penalty else None
        found = self._rewards(rows, sessions[:, decisions], inside[:, decisions], penalty)
        if self._forecasts and self._forecasts.any(models):
            places = rows[:, None, :] * self._panel.n_sessions + inside[:, decisions]
            seen, coins = x[:, decisions], draw.noise[models]
            self._forecasts.rewrite(found[0], found[2], seen, places, models, coins, penalty)
        return PathBatch(x, *found, rows, states)

    def last_read(self, draw: PathDraw, models: slice) -> Tensor:
        """Latest session of which each model's paths read a return, int64 (S,)."""
        decisions = self._optimiser.path_sessions + self._optimiser.tail_sessions
        latest = draw.starts[models].amax(1) + decisions - 1
        return torch.minimum(latest, self._last[models, 0]) + 1

    def _rewards(
        self, rows: Tensor, sessions: Tensor, inside: Tensor, penalty: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        # Reward tables (D, S * B, P, P); beyond the slice nothing is earned and nothing done.
        within = (sessions == inside).transpose(0, 1).reshape(-1)
        places = (rows[:, None, :] * self._panel.n_sessions + inside).transpose(0, 1)
        flat = places.reshape(-1)
        charge = None if penalty is None else penalty[:, None].expand(places.shape).reshape(-1)
        reward, executable, ruined = self._tables.take(flat, charge)
        shape = (len(places), rows.numel(), *reward.shape[1:])
        if within.is_cuda or not within.all():
            reward, executable = reward * within[:, None, None], executable & within
        alive = None
        if ruined is not None:
            alive = (~(ruined & within[:, None, None])).float().view(shape)
        return reward.view(shape), executable.view(shape[:2]), within.view(shape[:2]), alive


@dataclass(frozen=True)
class _StartTable:
    # Per model and slot: a row and its range of starts [low, high); ``count`` slots are in use.
    row: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]


def _start_table(
    executable: npt.NDArray[np.bool_],
    slices: tuple[TrainingSlice, ...],
    optimiser: OptimiserParams,
) -> _StartTable:
    # A row counts from its first executable decision, found without looking past the slice: a
    # start must lie before it anyway.
    n_rows, n_sessions = executable.shape
    awake = np.where(executable.any(1), executable.argmax(1), n_sessions)
    size = max(len(s.rows) for s in slices)
    row, low, high = (np.zeros((len(slices), size), dtype=np.int64) for _ in range(3))
    count = np.zeros(len(slices), dtype=np.int64)
    for model, part in enumerate(slices):
        if part.stop > n_sessions or part.first < 0 or max(part.rows, default=0) >= n_rows:
            raise NotEnoughData(
                f"model {model}: {part} leaves the panel of {n_rows} rows and {n_sessions} "
                f"sessions; choose rows and sessions inside it"
            )
        rows = np.array(part.rows, dtype=np.int64)
        floor = np.maximum(awake[rows], max(part.first, optimiser.burn_in_sessions))
        top = part.stop - optimiser.path_sessions
        usable = floor < top
        if not usable.any():
            raise NotEnoughData(
                f"model {model}: a path needs {optimiser.path_sessions} decisions, after "
                f"{optimiser.burn_in_sessions} sessions of burn-in, but the rows {part.rows} have "
                f"at most {max(0, part.stop - 1 - int(floor.min(initial=n_sessions)))} "
                f"in sessions [{part.first}, {part.stop}); use longer history or shorter paths"
            )
        count[model] = usable.sum()
        row[model, : count[model]] = rows[usable]
        low[model, : count[model]] = floor[usable]
        high[model] = top
    return _StartTable(row, low, high, count)


def _noise_places(length: int) -> int:
    # How many windows of ``length`` the bank has.
    return max(_NOISE_BANK, 16 * length) - length + 1


@lru_cache(maxsize=2)
def _noise_windows(length: int, device: torch.device) -> Tensor:
    # One fixed bank of normal draws, seen through all windows of ``length``: every path's noise
    # is a window at a drawn offset. Costs a copy instead of millions of normal draws per update,
    # and is the same on every device.
    places = _noise_places(length)
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    bank = torch.randn(places + length - 1, generator=generator).to(device)
    return bank.as_strided((places, length), (1, 1))
