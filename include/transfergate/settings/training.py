"""Settings of the training plane: folds, market, network, budgets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from transfergate.settings.algorithms import Algorithm, CloningParams, DqnParams, SampledParams
from transfergate.settings.base import Params
from transfergate.settings.regularisation import Regularisation as Regularisation


class WalkForwardParams(Params):
    """Folds: expanding train | embargo | validation | embargo | test, in sessions."""

    n_folds: int = Field(8, ge=1, le=200)
    min_train_sessions: int = Field(504, ge=60)
    embargo_sessions: int = Field(5, ge=0)
    validation_sessions: int = Field(126, ge=20)
    test_sessions: int = Field(63, ge=5)


class MarketParams(Params):
    """Positions, costs and timing of the one market that training and back-test share."""

    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    cost_bps: float = Field(5.0, ge=0.0, le=500.0, description="per unit of absolute turnover")
    timing: Literal["next_open", "same_close"] = Field(
        "next_open", description="same_close exists for replications only; the gate refuses it"
    )
    reward: Literal[
        "log_return", "simple_return", "path_sharpe", "differential_sharpe", "drawdown"
    ] = Field("log_return", description="what training maximises (market/rewards.py)")
    sharpe_decay: float = Field(
        0.01, gt=0.0, lt=1.0, description="weight of the newest session: differential_sharpe"
    )
    drawdown_penalty: float = Field(
        1.0, ge=0.0, description="per unit of the episode's maximum log drawdown: drawdown"
    )

    @model_validator(mode="after")
    def _grid(self) -> MarketParams:
        if 0.0 not in self.positions or list(self.positions) != sorted(set(self.positions)):
            raise ValueError(
                f"positions {self.positions} must be strictly increasing and contain 0.0 (flat)"
            )
        return self


class NetworkParams(Params):
    """The policy network: a causal encoder and a position head.

    Options that an encoder does not read are left out of its description, and so out of recipes.
    """

    encoder: Literal["gru", "lstm", "mlp", "transformer", "resnet_lstm"] = "gru"
    encoder_units: int = Field(24, ge=1, le=1024)
    encoder_layers: int = Field(
        1, ge=1, le=8, description="of the mlp and the transformer; others have one"
    )
    attention_heads: int = Field(
        4, ge=1, le=16, description="of the transformer; divides encoder_units"
    )
    attention_window: int = Field(
        32, ge=2, le=512, description="sessions that a transformer's layer sees, its own included"
    )
    conv_blocks: int = Field(2, ge=1, le=6, description="residual blocks of the resnet_lstm")
    conv_kernel: int = Field(3, ge=2, le=9, description="sessions that each convolution spans")
    head_units: int = Field(24, ge=1, le=1024)

    @property
    def context_sessions(self) -> int:
        """Earlier sessions that must be encoded before states are those of a long record.

        The transformer's reach and that of the convolutions; a recurrent layer reaches back
        without end, but forgets, and adds nothing here.
        """
        if self.encoder == "transformer":
            return self.encoder_layers * (self.attention_window - 1)
        if self.encoder == "resnet_lstm":
            return 2 * (self.conv_kernel - 1) * int(2**self.conv_blocks - 1)
        return 0

    @model_validator(mode="after")
    def _fits(self) -> NetworkParams:
        if self.encoder == "transformer" and self.encoder_units % self.attention_heads:
            raise ValueError(
                f"encoder_units {self.encoder_units} must be a multiple of attention_heads "
                f"{self.attention_heads}; change one of them"
            )
        if self.encoder not in {"mlp", "transformer"} and self.encoder_layers != 1:
            raise ValueError(
                f"encoder_layers {self.encoder_layers}: {self.encoder} has one layer; leave it at "
                f"1, or choose mlp or transformer"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unread(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        read = _OPTIONS_READ.get(self.encoder, frozenset())
        unread = frozenset[str]().union(*_OPTIONS_READ.values()) - read
        return {name: value for name, value in handler(self).items() if name not in unread}


_OPTIONS_READ = {
    "mlp": frozenset({"encoder_layers"}),
    "transformer": frozenset({"encoder_layers", "attention_heads", "attention_window"}),
    "resnet_lstm": frozenset({"conv_blocks", "conv_kernel"}),
}


class OptimiserParams(Params):
    """How the policies learn: algorithm, budget, hyper-parameters (docs/learning.md).

    The defaults were chosen on planted markets only (``market/planted.py``), never on real bars.
    What the algorithm does not read, and defaults that came later, are left out of its description,
    and so out of recipes.
    """

    algorithm: Algorithm = Field(
        "exact_ppo", description="exact: by dynamic programming over positions; else sampled or Q"
    )
    n_updates: int = Field(100, ge=1)
    epochs: int = Field(1, ge=1, le=50, description="passes over one batch of paths")
    n_paths: int = Field(4, ge=1)
    path_sessions: int = Field(126, ge=8)
    burn_in_sessions: int = Field(32, ge=0, description="encoded before the loss starts")
    tail_sessions: int = Field(16, ge=0, description="look-ahead for values, no loss on it")
    learning_rate: float = Field(1e-2, gt=0.0, le=1.0)
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="of the learning rate; cosine ends at 5 %, linear at 0"
    )
    clip: float = Field(0.2, gt=0.0, lt=1.0)
    discount: float = Field(0.99, gt=0.0, le=1.0)
    max_gradient_norm: float = Field(0.5, gt=0.0)
    n_validations: int = Field(6, ge=1, description="checkpoints that early stopping chooses from")
    cloning_updates: int = Field(
        0, ge=0, description="first updates, out of n_updates, that imitate the rule of cloning"
    )
    cloning: CloningParams = CloningParams()
    sampled: SampledParams = SampledParams()
    dqn: DqnParams = DqnParams()

    @model_validator(mode="after")
    def _consistent(self) -> OptimiserParams:
        if self.algorithm in ("exact_a2c", "a2c") and self.epochs != 1:
            raise ValueError(
                f"algorithm {self.algorithm!r} takes one step a batch, found epochs "
                f"{self.epochs}; set epochs to 1 or use exact_ppo or ppo"
            )
        if not self.algorithm.startswith("exact") and self.tail_sessions < 1:
            raise ValueError(
                f"algorithm {self.algorithm!r} bootstraps from the session after a path: "
                f"expected tail_sessions of at least 1, found {self.tail_sessions}"
            )
        if self.cloning_updates > self.n_updates:
            raise ValueError(
                f"cloning_updates {self.cloning_updates} exceed n_updates {self.n_updates}, of "
                f"which they are a part; lower them"
            )
        if self.sampled.n_minibatches > self.n_paths:
            raise ValueError(
                f"sampled.n_minibatches {self.sampled.n_minibatches} exceed n_paths "
                f"{self.n_paths}, which they divide; lower them"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unread(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unread = set()
        if self.algorithm not in ("ppo", "a2c"):
            unread.add("sampled")
        if self.algorithm != "dqn":
            unread.add("dqn")
        if self.cloning_updates == 0:
            unread |= {"cloning", "cloning_updates"}
        if self.schedule == "cosine":
            unread.add("schedule")
        if self.algorithm == "exact_ppo":
            unread.add("algorithm")
        return {name: value for name, value in handler(self).items() if name not in unread}


class AdversaryParams(Params):
    """A discriminator that the encoder learns to confuse while it is pre-trained."""

    strength: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="final weight of the reversed gradient, reached along Ganin's schedule; 0: off",
    )
    label: Literal["ticker", "sector"] = Field(
        "ticker", description="what the discriminator reads; a ticker of no known sector is its own"
    )
    units: int = Field(16, ge=1, le=1024, description="of the discriminator's hidden layer")
    rate_ratio: float = Field(
        5.0, gt=0.0, le=100.0, description="discriminator's learning rate / the policy's"
    )


class CurriculumStage(Params):
    """One universe of the chain; of the sources, those that any of its rules names."""

    name: str = Field(min_length=1, max_length=60)
    tickers: tuple[str, ...] = ()
    sectors: tuple[str, ...] = ()
    target_sectors: bool = Field(False, description="sources of the targets' sectors")
    share: float = Field(1.0, gt=0.0, description="of the updates, relative to the other stages'")


class PretrainParams(Params):
    """Pre-training of the foundation family."""

    optimiser: OptimiserParams = OptimiserParams(n_updates=300, n_paths=16)
    regularisation: Regularisation = Regularisation(input_noise=0.3)
    adversary: AdversaryParams = AdversaryParams()
    curriculum: tuple[CurriculumStage, ...] = Field(
        (),
        max_length=10,
        description="stages in order, a stage without a rule takes all sources; empty: one of all",
    )
    holdout_tickers: tuple[str, ...] | None = Field(
        None, description="sources that only the back-test sees; unset: holdout_every decides"
    )
    holdout_every: int = Field(
        10, ge=0, description="about one source in n is left out, by its name; 0: none"
    )
    holdout_min_sources: int = Field(
        10, ge=2, description="with fewer sources than this, holdout_every leaves none out"
    )
    admit_constant: bool = Field(
        False, description="register a foundation that always holds one position, too"
    )

    @model_validator(mode="after")
    def _stages(self) -> PretrainParams:
        names = [stage.name for stage in self.curriculum]
        if len(set(names)) < len(names):
            raise ValueError(f"curriculum: expected distinct names of its stages, found {names}")
        if len(names) > self.optimiser.n_updates:
            raise ValueError(
                f"curriculum: {len(names)} stages share {self.optimiser.n_updates} updates, "
                f"expected at least one each; raise n_updates or drop stages"
            )
        return self


class FinetuneParams(Params):
    """Fine-tuning and its from-scratch control: one budget, one grid, paired seeds."""

    strategy: Literal["head", "partial", "full", "discriminative"] = Field(
        "full",
        description="what of the foundation moves: its head, all but the first layer, everything, "
        "or everything with lower layers slower",
    )
    learning_rate_ratio: float = Field(
        0.1, gt=0.0, le=1.0, description="fine-tuned learning rate / from-scratch learning rate"
    )
    layer_rate_decay: float = Field(
        1.0 / 2.6,
        gt=0.0,
        le=1.0,
        description="discriminative: each layer's rate / that of the layer above (Howard & Ruder)",
    )
    foundation_pull: float = Field(
        0.0, ge=0.0, description="L2-SP: pull of the fine-tuned arm alone to the foundation"
    )
    optimiser: OptimiserParams = OptimiserParams(n_validations=2)
    grid: tuple[Regularisation, ...] = Field(
        (
            Regularisation(input_noise=1.0, forecast="lasso"),
            Regularisation(input_noise=1.0, forecast="ridge"),
            Regularisation(input_noise=0.3),
        ),
        min_length=1,
        max_length=12,
        description="choices that inner validation selects from, the same for both arms; the most "
        "restrained first",
    )
    choice_margin: float = Field(
        1.0,
        ge=0.0,
        le=5.0,
        description="standard errors by which a choice may be below the best in validation and "
        "still be taken, if it comes earlier in the grid; 0: always the best",
    )
    n_seeds: int = Field(5, ge=1, le=50)
    tickers_per_task: int = Field(
        8,
        ge=1,
        le=500,
        exclude=True,  # changes no result, so no recipe
        description="tickers that one task trains in one stack at most; fewer while there are "
        "fewer than 8 tasks, so that these run side by side",
    )
