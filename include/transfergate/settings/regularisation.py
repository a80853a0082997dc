"""Settings of one choice of the grid: what holds a policy back from learning noise by heart."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from transfergate.settings.base import Params


class Regularisation(Params):
    """One choice of the grid that both arms search; every strength of 0 is off.

    ``forecast`` came later than recipes: at its default it is left out of the description.
    """

    input_noise: float = Field(0.0, ge=0.0, description="standard deviations added to z-scores")
    l1_first_layer: float = Field(
        0.0, ge=0.0, description="on absolute first-layer weights, per gradient step"
    )
    group_lasso: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="length taken from each feature's row of the first layer, per unit of "
        "learning rate and step; a row that reaches 0 is a feature that is not read",
    )
    weight_decay: float = Field(
        0.0, ge=0.0, le=10.0, description="L2: shrinks all matrices by rate times this, per step"
    )
    dropout: float = Field(
        0.0, ge=0.0, le=0.9, description="share of encoder outputs that the head misses in training"
    )
    turnover_penalty_bps: float = Field(
        0.0,
        ge=0.0,
        le=500.0,
        description="cost per unit of turnover in the training reward alone, above the market's",
    )
    l2_pull: float = Field(
        0.0, ge=0.0, description="pull to the starting weights: the foundation's or the initial"
    )
    forecast: Literal["none", "ridge", "lasso"] = Field(
        "none",
        description="what stands for returns in the training reward: themselves, or the forecast "
        "of a linear regression on the sessions that the model trains on",
    )

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {n: v for n, v in handler(self).items() if (n, v) != ("forecast", "none")}
