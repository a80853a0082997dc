"""Causal encoders of exogenous features, behind one interface: see ``base.Encoder``."""

from transfergate.learning.encoders.base import Draw, Encoder, EncoderTrace, Parameters
from transfergate.learning.encoders.gated import GRU, LSTM
from transfergate.learning.encoders.mlp import Mlp
from transfergate.learning.encoders.resnet_lstm import ResnetLstm
from transfergate.learning.encoders.transformer import Transformer

ENCODERS: dict[str, Encoder] = {
    "gru": GRU,
    "lstm": LSTM,
    "mlp": Mlp(),
    "transformer": Transformer(),
    "resnet_lstm": ResnetLstm(),
}
"""By ``NetworkParams.encoder``."""

__all__ = ["ENCODERS", "Draw", "Encoder", "EncoderTrace", "Parameters"]
