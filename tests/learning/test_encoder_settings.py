import pytest
from pydantic import ValidationError

from transfergate.settings import (
    FinetuneParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Settings,
)


def test_the_description_of_a_network_leaves_out_what_its_encoder_does_not_read():
    assert NetworkParams().model_dump() == {
        "encoder": "gru",
        "encoder_units": 24,
        "head_units": 24,
    }
    assert NetworkParams(attention_window=99).model_dump() == NetworkParams().model_dump()
    for params in (
        NetworkParams(encoder="mlp", encoder_layers=2),
        NetworkParams(encoder="transformer", attention_window=9, encoder_layers=3),
        NetworkParams(encoder="resnet_lstm", conv_kernel=2, conv_blocks=1),
    ):
        assert NetworkParams.model_validate(params.model_dump()) == params
        assert NetworkParams.model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "transformer", "encoder_units": 26}, "multiple of attention_heads"),
        ({"encoder": "lstm", "encoder_layers": 2}, "lstm has one layer"),
        ({"encoder": "resnet_lstm", "conv_kernel": 1}, "conv_kernel"),
        ({"encoder": "transformer", "attention_window": 1}, "attention_window"),
        ({"encoder": "mamba"}, "encoder"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(options: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        NetworkParams.model_validate(options)


@pytest.mark.parametrize("encoder", ["gru", "lstm", "mlp", "transformer", "resnet_lstm"])
def test_every_encoder_runs_with_the_default_burn_in(encoder: str):
    network = NetworkParams.model_validate({"encoder": encoder})
    assert Settings(network=network).network.context_sessions <= OptimiserParams().burn_in_sessions


def test_a_burn_in_shorter_than_the_window_is_refused_by_stage():
    network = NetworkParams(encoder="transformer", encoder_layers=2, attention_window=64)
    enough = OptimiserParams(burn_in_sessions=126)
    for stage in ("pretrain", "finetune"):
        parts = {
            "pretrain": PretrainParams(optimiser=enough),
            "finetune": FinetuneParams(optimiser=enough),
        }
        assert Settings(network=network, **parts).network == network
        short = OptimiserParams(burn_in_sessions=125)
        parts[stage] = parts[stage].model_copy(update={"optimiser": short})
        with pytest.raises(ValidationError, match=rf"{stage}.optimiser.*125.*raise it to 126"):
            Settings(network=network, **parts)
