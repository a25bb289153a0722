"""Adaptive windows and the progressive order on the real bytes: what is sent, and what a cut payload still gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semanticnn_core.channels import Arrival, BinarySymmetric, Payload
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.reed_muller import protect
from semanticnn_core.codec.slicing import HEAD_BYTES, Windows, nested, sliced_length
from semanticnn_core.config import CodecConfig, Slice
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.tasks import SplitModel


def tiny(seed: int = 0, table: bool = True) -> SemanticCodec:
    torch.manual_seed(seed)
    config = CodecConfig(4, code_channels=4, kernel=2, stride=2, centers=8, decoder_widths=(8,), parity=0.0)
    codec = SemanticCodec(config).double().eval()
    codec.calibrate(features(8))
    codec.set_code_order()
    if table:
        codec.importance.copy_(torch.randint(-127, 128, codec.importance.shape))
    return codec


def features(count: int = 3, height: int = 12, width: int = 12) -> Tensor:
    return 6 * torch.rand(count, 4, height, width, dtype=torch.float64) ** 2


class Latent(torch.nn.Module):
    def forward(self, latent: Tensor, spread: Tensor, ber: float, height: int, width: int) -> Tensor:
        return latent


SHAPE = (4, 12, 12)


def indices(codec: SemanticCodec, x: Tensor) -> Tensor:
    return codec.quantizer.assign(codec.encoder(x))


def perfect(payload: Payload) -> Arrival:
    return Arrival(payload, ber=0.0)


@settings(max_examples=40, deadline=None)
@given(
    window=st.sampled_from(["center", "importance", "energy"]),
    progressive=st.booleans(),
    ratio=st.floats(0.02, 1),
    size=st.tuples(st.integers(2, 15), st.integers(2, 15)),
    seed=st.integers(0, 1000),
)
@pytest.mark.slow
def test_the_bytes_decode_to_what_training_sees_at_the_same_window(window, progressive, ratio, size, seed):
    codec, x, slice = tiny(seed), features(3, *size), Slice(ratio, window, progressive)
    payload = codec.compress(x, slice)
    assert payload.data.shape == (3, codec.payload_bytes(x.shape[1:], slice))
    received = codec.decompress(perfect(payload), x.shape[1:], slice)
    index = indices(codec, x)
    number = codec.best_window(index, slice)
    corner = None
    if number is not None:
        corner = Windows(*index.shape[2:], slice).corners[number]
        assert torch.equal(payload.data[:, :2], protect(number))
    assert torch.allclose(received, codec(x, BinarySymmetric(0.0), slice, corner).feature)


def test_the_window_goes_where_the_table_points():
    codec, x = tiny(), features(4)
    codec.importance.zero_()
    index = indices(codec, x)
    codec.importance[1, 5] = 10
    sought = (index[:, 1] == 5).long()
    assert torch.equal(codec.importance_map(index), 10 * sought)
    slice = Slice(0.3, "importance")
    windows, number = Windows(6, 6, slice), codec.best_window(index, slice)
    assert len(windows.corners) == (6 - sliced_length(6, 0.3) + 1) ** 2
    found = windows.cut(sought[:, None], windows.corners[number]).sum((1, 2, 3))
    every = torch.stack([windows.cut(sought[:, None], each[None]).sum((1, 2, 3)) for each in windows.corners])
    assert torch.equal(found, every.amax(0))


def test_the_number_costs_two_bytes_only_where_there_is_a_choice():
    codec = tiny()
    assert codec.payload_bytes(SHAPE, Slice(0.5, "importance")) == codec.payload_bytes(SHAPE, Slice(0.5)) + 2
    assert codec.payload_bytes(SHAPE, Slice(1.0, "importance")) == codec.payload_bytes(SHAPE, Slice(1.0))


def test_three_flips_in_the_number_change_nothing():
    codec, x, slice = tiny(), features(), Slice(0.4, "importance")
    payload = codec.compress(x, slice)
    whole = codec.decompress(perfect(payload), SHAPE, slice)
    damaged = payload.data.clone()
    damaged[:, 0] ^= 0b10010
    damaged[:, 1] ^= 0b1
    assert torch.equal(codec.decompress(perfect(Payload(damaged)), SHAPE, slice), whole)
    damaged = torch.zeros_like(damaged)
    damaged[:, :2] = 255  # a code word of no window that exists must not break anything
    assert codec.decompress(perfect(Payload(damaged)), SHAPE, slice).isfinite().all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [[0], [1], [0, 1]])
def test_a_lost_head_leaves_the_code_and_only_moves_the_window(progressive, lost):
    """One of its bytes names the best window that agrees with it; without both, it is the one nearest to the middle."""
    codec, x, slice = tiny(), features(4), Slice(0.4, "importance", progressive)
    codec.decoder, payload, windows = Latent(), codec.compress(x, slice), Windows(6, 6, slice)
    present = torch.ones_like(payload.data, dtype=torch.bool)
    present[:, lost] = False
    noise = torch.randint(256, payload.data.shape, dtype=torch.uint8)
    arrival = Arrival(Payload(torch.where(present, payload.data, noise)), present, ber=0.0)
    got = codec.decompress(arrival, SHAPE, slice)
    words = protect(torch.arange(32))
    kept = [byte for byte in range(HEAD_BYTES) if byte not in lost]
    same = (words[None][..., kept] == payload.data[:, None, kept]).all(2)  # (B, 32): no bit of theirs was hit
    number = same.long().argmax(1) if kept else torch.full((len(x),), windows.middle)
    numbers = torch.arange(len(x))
    assert same[numbers, codec.best_window(indices(codec, x), slice)].all()
    whole = codec.decompress(perfect(payload), SHAPE, slice)
    window = windows.cut(whole, windows.corner(codec.best_window(indices(codec, x), slice)))
    assert torch.equal(windows.cut(got, windows.corner(number)), window)
    assert torch.equal(got, windows.pad(window, windows.corner(number)))


@pytest.mark.parametrize("window", ["center", "importance"])
def test_a_progressive_payload_cut_after_a_whole_window_is_that_window_mirrored(window):
    codec, x, slice = tiny(), features(), Slice(1.0, window, progressive=True)
    whole = perfect(codec.compress(x, slice))
    for *_, rows, columns in nested(6, 6):
        received = rows * columns * 4 * 3 // 8 + (rows * columns * 4 * 3 % 8 > 0)
        smaller = Slice((rows / 6) ** 2)
        got = codec.decompress(whole.cut(received), SHAPE, slice)
        assert torch.allclose(got, codec.decompress(perfect(codec.compress(x, smaller)), SHAPE, smaller))


@pytest.mark.parametrize("window", ["center", "energy"])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.slow
def test_a_progressive_payload_decodes_wherever_it_is_cut_and_more_bytes_leave_fewer_wrong(window, ratio):
    codec, x, slice = tiny(), features(2), Slice(ratio, window, progressive=True)
    codec.decoder = Latent()
    arrival = perfect(codec.compress(x, slice))
    whole = codec.decompress(arrival, SHAPE, slice)
    wrong = []
    for received in range(arrival.payload.data.shape[1] + 1):
        got = codec.decompress(arrival.cut(received), SHAPE, slice)
        assert got.isfinite().all()
        wrong.append(int((got != whole).any(1).sum()))
    assert wrong[0] > wrong[-1] == 0
    assert wrong[len(wrong) // 2] < wrong[2]


def test_what_cannot_be_sent_is_refused_by_name():
    codec = tiny(table=False)
    with pytest.raises(ValueError, match="no table of importance.*fit_importance"):
        codec.compress(features(), Slice(0.5, "importance"))
    with pytest.raises(ValueError, match="window must be one of 'center', 'importance', 'energy', got 'left'"):
        codec.compress(features(), Slice(0.5, "left"))
    payload = codec.compress(features(), Slice(0.5))
    with pytest.raises(ValueError, match="window 'energy', has 26 bytes"):
        codec.decompress(perfect(payload), SHAPE, Slice(0.5, "energy"))


def test_the_system_counts_the_number():
    torch.manual_seed(0)
    device, edge = torch.nn.Conv2d(3, 4, 3, 2, 1).double(), torch.nn.Flatten()

    class Pixels(torch.nn.Module):
        def forward(self, images):
            return device(images.double()).clamp(0, 6)

    model = SplitModel(Pixels(), edge, 24).double().frozen()
    images = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    sent = {}
    for window in ("center", "importance"):
        system = SemanticNN(model, tiny(), Slice(0.5, window))
        sent[window] = offload(system, images, BinarySymmetric(0.01, 0)).payload.length.tolist()
        assert sent[window] == [system.payload_bytes] * 3
    assert sent["importance"] == [each + 2 for each in sent["center"]] == [26] * 3
