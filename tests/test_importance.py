"""The device's table of importance: it finds the symbol that matters, in integers, and the window that has it."""

import pytest
import torch
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import Windows, sliced_length
from semanticnn_core.config import CodecConfig, Slice
from semanticnn_core.datasets.base import Split
from semanticnn_core.explain.importance import fit_importance, importance_agreement
from semanticnn_core.tasks.split import SplitModel

SIGN = 2
"""The channel that alone decides."""


class Pixels(nn.Module):
    """Three colours as a feature of three channels in [0, 1]."""

    def forward(self, images):
        return images.float() / 255


class Reader(nn.Module):
    """Speaks for class 1 by the sum of one channel, for class 0 by nothing."""

    def forward(self, feature):
        score = feature[:, SIGN].sum((1, 2))
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.fixture
def model() -> SplitModel:
    return SplitModel(Pixels(), Reader(), 16, (0.0, 1.0)).frozen()


@pytest.fixture
def split() -> Split:
    """Noise in all channels, but the deciding one has a bright 4×4 square somewhere and is dark elsewhere."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (60, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[:, SIGN] = 0
    corners = 2 * torch.randint(0, 7, (60, 2), generator=generator)
    for image, (top, left) in zip(images, corners.tolist(), strict=True):
        image[SIGN, top : top + 4, left : left + 4] = 255
    return Split({"image": images, "label": torch.ones(60, dtype=torch.long)})


@pytest.fixture
def codec() -> SemanticCodec:
    """A codec whose symbols are the feature's: channel k of the code is channel k, averaged over 2×2 pixels."""
    config = CodecConfig(
        feature_channels=3, feature_range=(0.0, 1.0), code_channels=3, kernel=2, stride=2, centers=4,
        decoder_widths=(4,), code_order="natural",
    )  # fmt: skip
    codec = SemanticCodec(config).eval()
    codec.encoder = nn.AvgPool2d(2)
    with torch.no_grad():
        codec.quantizer.centers.copy_(torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]))
    return codec.requires_grad_(False)


def symbols(codec, model, split):
    return codec.quantizer.assign(codec.encoder(model.device_part(split["image"])))


def test_the_symbol_that_matters_is_found(codec, model, split):
    assert not codec.importance.any()
    fit_importance(codec, model, split, images=60)
    assert codec.importance.dtype == torch.int8 and codec.importance.shape == (3, 4)
    deciding = codec.importance[SIGN].int()
    assert deciding.abs().max() == 127 and deciding.argmax() == 3
    others = codec.importance[[0, 1]].int().abs()
    assert others.max() < 0.1 * (deciding[3] - deciding[0])  # noise is worth nothing
    assert importance_agreement(codec, model, split) > 0.99


def test_the_map_is_the_sum_of_table_entries(codec, model, split):
    codec.importance.copy_(torch.randint(-127, 128, (3, 4), dtype=torch.int8))
    index = symbols(codec, model, split)[:2]
    map_ = codec.importance_map(index)
    assert not map_.is_floating_point()
    for place in ((0, 0, 0), (1, 3, 5), (1, 7, 7)):
        expected = sum(int(codec.importance[channel, symbol]) for channel, symbol in enumerate(index[place[0], :, *place[1:]].tolist()))
        assert int(map_[place]) == expected


@pytest.mark.parametrize("slice_ratio", [0.1, 0.25, 0.5])
def test_the_window_holds_the_planted_square(codec, model, split, slice_ratio):
    fit_importance(codec, model, split, images=60)
    index = symbols(codec, model, split)
    size = sliced_length(8, slice_ratio)
    slice = Slice(slice_ratio, "importance")
    places = Windows(8, 8, slice).corners
    bright = (index[:, SIGN] == 3).float()
    kept = torch.stack([bright[:, top : top + size, left : left + size].sum((1, 2)) for top, left in places.tolist()])
    chosen = codec.best_window(index, slice)
    assert torch.equal(kept.gather(0, chosen[None])[0], kept.amax(0))  # no window has more of the square
    if len(places) == (8 - size + 1) ** 2:
        assert torch.equal(kept.amax(0), bright.sum((1, 2)))


def test_another_guide_gives_another_table(codec, model, split):
    class Other(Reader):
        def forward(self, feature):
            return super().forward(feature.roll(1, 1))  # reads channel 1 as if it were the deciding one

    fit_importance(codec, model, split, images=60, guide=Other())
    assert codec.importance[1].int().abs().max() == 127
    assert (codec.importance[SIGN, 3].int() - codec.importance[SIGN, 0].int()).abs() < 20  # the symbols it uses


def test_a_codec_without_a_table_says_what_to_do(codec, model, split):
    feature = model.device_part(split["image"][:1])
    with pytest.raises(ValueError, match="fit_importance"):
        codec.compress(feature, Slice(0.5, "importance"))
    expected = codec.payload_bytes(model.feature_shape, Slice(0.5))
    assert codec.compress(feature, Slice(0.5, "center")).data.shape == (1, expected)
    assert codec.compress(feature, Slice(0.5, "energy")).data.shape == (1, expected + 2)
