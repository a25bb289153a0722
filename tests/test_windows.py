"""Adaptive windows and the progressive order on the real bytes: what is sent, and what a cut payload still gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.reed_muller import protect
from semanticnn_core.codec.slicing import corners, cut, nested, sliced_length
from semanticnn_core.config import CodecConfig
from semanticnn_core.systems import SemanticNN
from semanticnn_core.tasks import SplitModel


def tiny(seed: int = 0, table: bool = True) -> SemanticCodec:
    torch.manual_seed(seed)
    config = CodecConfig(feature_channels=4, code_channels=4, kernel=2, stride=2, decoder_widths=(8,))
    codec = SemanticCodec(config).double().eval()
    codec.calibrate(features(8))
    codec.set_code_order()
    if table:
        codec.importance.copy_(torch.randint(-127, 128, codec.importance.shape))
    return codec


def features(count: int = 3, height: int = 12, width: int = 12) -> Tensor:
    return 6 * torch.rand(count, 4, height, width, dtype=torch.float64) ** 2


SHAPE = (4, 12, 12)


def indices(codec: SemanticCodec, x: Tensor) -> Tensor:
    return codec.quantizer.assign(codec.encoder(x)).permute(0, 2, 3, 1)


@settings(max_examples=40, deadline=None)
@given(
    window=st.sampled_from(["center", "importance", "energy"]),
    progressive=st.booleans(),
    ratio=st.floats(0.02, 1),
    size=st.tuples(st.integers(2, 15), st.integers(2, 15)),
    seed=st.integers(0, 1000),
)
def test_the_bytes_decode_to_what_training_sees_at_the_same_window(window, progressive, ratio, size, seed):
    codec, x = tiny(seed), features(3, *size)
    payload = codec.compress(x, ratio, window, progressive)
    assert payload.shape == (3, codec.payload_bytes(x.shape[1:], ratio, window))
    received = codec.decompress(payload, 0.0, x.shape[1:], ratio, window, progressive)
    index = indices(codec, x)
    place = codec.best_place(index, ratio, window)
    corner = None
    if place is not None:
        rows, columns = (sliced_length(length, ratio) for length in index.shape[1:3])
        corner = corners(*index.shape[1:3], rows, columns)[place]
        assert torch.equal(payload[:, :2], protect(place))
    assert torch.allclose(received, codec(x, BinarySymmetric(0.0), ratio, corner).feature)


def test_the_window_goes_where_the_table_points():
    codec, x = tiny(), features(4)
    codec.importance.zero_()
    index = indices(codec, x)
    codec.importance[1, 5] = 10
    sought = (index[..., 1] == 5).long()
    assert torch.equal(codec.importance_map(index), 10 * sought)
    place = codec.best_place(index, 0.3, "importance")
    rows = sliced_length(6, 0.3)
    places = corners(6, 6, rows, rows)
    found = cut(sought[:, None], rows, rows, places[place]).sum((1, 2, 3))
    every = torch.stack([cut(sought[:, None], rows, rows, each[None]).sum((1, 2, 3)) for each in places])
    assert torch.equal(found, every.amax(0))


def test_the_place_costs_two_bytes_only_where_there_is_a_choice():
    codec = tiny()
    assert codec.payload_bytes(SHAPE, 0.5, "importance") == codec.payload_bytes(SHAPE, 0.5) + 2
    assert codec.payload_bytes(SHAPE, 1.0, "importance") == codec.payload_bytes(SHAPE, 1.0)


def test_three_flips_in_the_place_change_nothing():
    codec, x = tiny(), features()
    payload = codec.compress(x, 0.4, "importance")
    whole = codec.decompress(payload, 0.0, SHAPE, 0.4, "importance")
    damaged = payload.clone()
    damaged[:, 0] ^= 0b10010
    damaged[:, 1] ^= 0b1
    assert torch.equal(codec.decompress(damaged, 0.0, SHAPE, 0.4, "importance"), whole)
    damaged = torch.zeros_like(payload)
    damaged[:, :2] = 255  # a code word of no place that exists must not break anything
    assert codec.decompress(damaged, 0.0, SHAPE, 0.4, "importance").isfinite().all()


class Latent(torch.nn.Module):
    def forward(self, latent: Tensor, ber: float, height: int, width: int) -> Tensor:
        return latent


@pytest.mark.parametrize("window", ["center", "importance"])
def test_a_progressive_payload_cut_after_a_whole_window_is_that_window_mirrored(window):
    codec, x = tiny(), features()
    whole = codec.compress(x, 1.0, window, progressive=True)
    for *_, rows, columns in nested(6, 6):
        received = rows * columns * 4 * 3 // 8 + (rows * columns * 4 * 3 % 8 > 0)
        ratio = (rows / 6) ** 2
        got = codec.decompress(whole[:, :received], 0.0, SHAPE, 1.0, window, True, received)
        assert torch.allclose(got, codec.decompress(codec.compress(x, ratio), 0.0, SHAPE, ratio))


@pytest.mark.parametrize("window", ["center", "energy"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_a_progressive_payload_decodes_wherever_it_is_cut_and_more_bytes_leave_fewer_wrong(window, ratio):
    codec, x = tiny(), features(2)
    codec.decoder = Latent()
    payload = codec.compress(x, ratio, window, True)
    whole = codec.decompress(payload, 0.0, SHAPE, ratio, window, True)
    wrong = []
    for received in range(payload.shape[1] + 1):
        got = codec.decompress(payload[:, :received], 0.0, SHAPE, ratio, window, True, received)
        assert got.isfinite().all()
        wrong.append(int((got != whole).any(1).sum()))
    assert wrong[0] > wrong[-1] == 0
    assert wrong[len(wrong) // 2] < wrong[2]


def test_what_cannot_be_sent_is_refused_by_name():
    codec = tiny(table=False)
    with pytest.raises(ValueError, match="no table of importance.*fit_importance"):
        codec.compress(features(), 0.5, "importance")
    with pytest.raises(ValueError, match="window must be one of center, importance, energy, got 'left'"):
        codec.compress(features(), 0.5, "left")
    payload = codec.compress(features(), 0.5)
    with pytest.raises(ValueError, match="window 'energy', has 26 bytes"):
        codec.decompress(payload, 0.0, SHAPE, 0.5, "energy")


def test_the_system_counts_the_place():
    torch.manual_seed(0)
    device, edge = torch.nn.Conv2d(3, 4, 3, 2, 1).double(), torch.nn.Flatten()

    class Pixels(torch.nn.Module):
        def forward(self, images):
            return device(images.double()).clamp(0, 6)

    model = SplitModel(Pixels(), edge, 24).double().frozen()
    images = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    sent = {window: SemanticNN(model, tiny(), 0.5, window=window).infer(images, BinarySymmetric(0.01, 0)).bytes_sent
            for window in ("center", "importance")}  # fmt: skip
    assert sent["importance"].tolist() == [each + 2 for each in sent["center"].tolist()] == [26] * 3
