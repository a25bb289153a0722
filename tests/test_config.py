"""Settings: what is wrong is refused by name, what is right survives JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semanticnn_core.config import (
    BER_GRID,
    PAPER,
    WHOLE,
    BaseTrainConfig,
    CodecConfig,
    CodecTrainConfig,
    Slice,
    TrainConfig,
    percent,
)

ALL = (Slice, CodecConfig, TrainConfig, BaseTrainConfig, CodecTrainConfig)


@pytest.mark.parametrize("settings_type", ALL)
def test_an_unknown_key_is_named_beside_the_known_ones(settings_type):
    with pytest.raises(ValueError, match="'centres'") as caught:
        settings_type.from_dict({"centres": 8})
    assert all(each.name in str(caught.value) for each in dataclasses.fields(settings_type))


@pytest.mark.parametrize(
    ("settings_type", "name", "value"),
    [
        (Slice, "ratio", 0),
        (Slice, "ratio", -0.5),
        (Slice, "ratio", 1.01),
        (Slice, "ratio", math.nan),
        (Slice, "ratio", "half"),
        (Slice, "ratio", True),
        (Slice, "ratio", None),
        (Slice, "window", "left"),
        (Slice, "window", None),
        (Slice, "progressive", 1),
        (Slice, "progressive", "yes"),
        (CodecConfig, "centers", 8.0),
        (CodecConfig, "centers", "8"),
        (CodecConfig, "centers", True),
        (CodecConfig, "centers", None),
        (CodecConfig, "centers", 128),
        (CodecConfig, "centers", 1),
        (CodecConfig, "stride", 3),
        (CodecConfig, "stride", 0),
        (CodecConfig, "kernel", 17),
        (CodecConfig, "kernel", 2),  # smaller than the stride of 4
        (CodecConfig, "code_channels", 0),
        (CodecConfig, "feature_channels", -1),
        (CodecConfig, "feature_range", (6.0, 0.0)),
        (CodecConfig, "feature_range", (0.0, 0.0)),
        (CodecConfig, "feature_range", (0.0,)),
        (CodecConfig, "feature_range", (0.0, math.nan)),
        (CodecConfig, "decoder_widths", 64),
        (CodecConfig, "decoder_widths", ()),
        (CodecConfig, "decoder_widths", (64, 1.5)),
        (CodecConfig, "decoder_widths", (64, 0)),
        (CodecConfig, "decoder_widths", "64"),
        (CodecConfig, "code_order", "best"),
        (CodecConfig, "dequantizer", ["plain"]),
        (TrainConfig, "epochs", 0),
        (TrainConfig, "epochs", 2.5),
        (TrainConfig, "learning_rate", math.nan),
        (TrainConfig, "learning_rate", -1e-3),
        (TrainConfig, "learning_rate", "fast"),
        (TrainConfig, "seed", -1),
        (TrainConfig, "batch_size", True),
        (BaseTrainConfig, "flip", 1),
        (BaseTrainConfig, "label_smoothing", 1.0),
        (CodecTrainConfig, "ber", (0.05, 0.01)),
        (CodecTrainConfig, "ber", (0.0, 0.01)),  # log-uniform draws need more than zero
        (CodecTrainConfig, "ber", (0.01, 0.6)),
        (CodecTrainConfig, "ber", 0.01),
        (CodecTrainConfig, "slice_ratio", (0.0, 1.0)),
        (CodecTrainConfig, "slice_ratio", (1.0, 0.5)),
        (CodecTrainConfig, "sigma", (1.0, 2.0, 3.0)),
    ],
)
def test_a_wrong_value_is_refused_naming_the_field(settings_type, name, value):
    for make in (lambda: settings_type(**{name: value}), lambda: settings_type.from_dict({name: value})):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            make()


def test_centers_and_strides_are_powers_of_two():
    for name, most in (("centers", 64), ("stride", 16)):
        for value in range(1, most + 1):
            arguments = {name: value, "kernel": 16}
            if value.bit_count() == 1 and (name == "stride" or value > 1):
                assert getattr(CodecConfig(**arguments), name) == value
            else:
                with pytest.raises(ValueError, match=name):
                    CodecConfig(**arguments)


@pytest.mark.parametrize("bits", range(1, 7))
def test_bits_count_the_centers(bits):
    assert CodecConfig(centers=2**bits).bits == bits


def test_a_decoder_too_shallow_for_its_stride_is_refused():
    assert dataclasses.replace(PAPER, stride=16, kernel=16, decoder_widths=(8, 8, 8)).decoder_widths == (8, 8, 8)
    with pytest.raises(ValueError, match="decoder_widths.*3 blocks"):
        dataclasses.replace(PAPER, stride=16, kernel=16, decoder_widths=(8, 8))
    with pytest.raises(ValueError, match="must all be equal"):
        CodecConfig(decoder_widths=(8, 16))


@pytest.mark.parametrize("feature_range", [(0.0, math.inf), (-math.inf, math.inf), (-1.0, 1.0)])
def test_json_keeps_tuples_and_infinities(feature_range):
    config = CodecConfig(feature_range=feature_range, decoder_widths=(8, 8, 8))
    text = json.dumps(config.to_dict(), allow_nan=False)  # Infinity is not JSON
    assert CodecConfig.from_dict(json.loads(text)) == config


@settings(max_examples=50, deadline=None)
@given(
    learning_rate=st.floats(1e-8, 10),
    ber=st.tuples(st.floats(1e-9, 0.5), st.floats(1e-9, 0.5)).map(lambda pair: tuple(sorted(pair))),
    epochs=st.integers(1, 100_000),
    alpha=st.floats(0, 1e6),
)
def test_json_keeps_every_number(**values):
    config = CodecTrainConfig(**values)
    assert CodecTrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_values_as_a_notebook_writes_them():
    config = CodecTrainConfig(learning_rate=1, alpha=0, ber=[0.01, 0.05], sigma=[1, 4])
    assert config.learning_rate == 1.0 and type(config.learning_rate) is float
    assert config.ber == (0.01, 0.05) and config.sigma == (1.0, 4.0) and type(config.sigma[0]) is float
    hash(config)  # lists became tuples


@pytest.mark.parametrize("settings_type", ALL)
def test_settings_are_frozen(settings_type):
    name = dataclasses.fields(settings_type)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings_type(), name, 1)


def test_the_ber_grid_is_the_documented_one():
    assert [round(100 * ber, 2) for ber in BER_GRID] == [0.01, 0.25, 1, 2.5, 5]


def test_a_slice_is_the_whole_code_unless_it_says_otherwise():
    assert Slice() == WHOLE == Slice(1, "center", False) and type(Slice(1).ratio) is float
    part = Slice(np.float32(0.5), "energy", progressive=True)
    assert Slice.from_dict(json.loads(json.dumps(part.to_dict()))) == part and part != WHOLE
    assert len({WHOLE, Slice(1.0), part}) == 2, "slices can be keys"


def test_rates_are_written_as_percent():
    assert [percent(ber) for ber in (*BER_GRID, 0.0, 0.5)] == [
        "0.01 %", "0.25 %", "1 %", "2.5 %", "5 %", "0 %", "50 %",
    ]  # fmt: skip
