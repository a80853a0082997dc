"""Causal encoders of exogenous features, behind one interface: see ``base.Encoder``."""

from transfergate.learning.encoders.base import Draw, Encoder, EncoderTrace, Parameters
from transfergate.learning.encoders.gated import GRU, LSTM
from transfergate.learning.encoders.mlp import Mlp

ENCODERS: dict[str, Encoder] = {"gru": GRU, "lstm": LSTM, "mlp": Mlp()}
"""By ``NetworkParams.encoder``."""

__all__ = ["ENCODERS", "Draw", "Encoder", "EncoderTrace", "Parameters"]
