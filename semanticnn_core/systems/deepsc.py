"""DeepSC (Xie et al., TSP 2021) as the paper compares it: transformers over the positions of the feature.

Faithful: transformers on both sides, 32-bit floats leave. Its encoder is far beyond a weak device; the row shows what
that would buy. Fair: SemanticNN's light encoder, three bits a value, and the transformer at the edge alone.
Adapted: positions are 4×4 patches of the feature with learned position vectors, which the released code lacks;
attention runs over them, where the released code lets it run over the batch. Left out: the mutual-information term.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.systems.adjscc import FloatADJSCC, UniformADJSCC
from semanticnn_core.systems.learned import code_settings, code_side
from semanticnn_core.tasks.split import SplitModel

WIDTH, HEADS, LAYERS = 128, 8, 3


class EdgeDeepSC(UniformADJSCC):
    """A light encoder, and a transformer as decoder."""

    title = "DeepSC*, edge alone"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        self.decoder = TransformerDecoder(model, self.channels)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return self.decoder(latent, ber)


class DeepSC(FloatADJSCC):
    """Transformers on both sides of 16 floats a position."""

    title = "DeepSC*"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        settings = code_settings(model, 1)
        self.patches = nn.Conv2d(model.feature_shape[0], WIDTH, settings.kernel, settings.stride)
        self.look, self.narrow = Transformer(self.grid**2), nn.Linear(WIDTH, self.channels)
        self.encoder, self.decoder = nn.Identity(), TransformerDecoder(model, self.channels)

    def encode(self, feature: Tensor) -> Tensor:
        tokens = self.narrow(self.look(self.patches(feature).flatten(2).transpose(1, 2)))
        return tokens.transpose(1, 2).reshape(-1, *self.code_shape).clamp(-4, 4)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return self.decoder(latent, ber)


class Transformer(nn.Module):
    """Layers of self-attention over tokens (B, places, 128) with learned positions."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(places, WIDTH))
        layers = (
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens + self.positions)


class TransformerDecoder(nn.Module):
    """Tokens of a code become patches of the feature; the bit error rate is added to each token."""

    def __init__(self, model: SplitModel, channels: int) -> None:
        super().__init__()
        self.stride, self.range = code_settings(model, 1).stride, model.feature_range
        self.enter, self.know = nn.Linear(channels, WIDTH), nn.Linear(1, WIDTH)
        self.look = Transformer(code_side(model) ** 2)
        self.leave = nn.Linear(WIDTH, model.feature_shape[0] * self.stride**2)

    def forward(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        rate = torch.as_tensor(ber, device=latent.device, dtype=latent.dtype).clamp(1e-5, 0.5).log10() + 3
        tokens = self.enter(latent.flatten(2).transpose(1, 2)) + self.know(
            rate.reshape(-1, 1, 1).expand(len(latent), 1, 1)
        )
        patches = self.leave(self.look(tokens)).transpose(1, 2).unflatten(2, latent.shape[-2:])
        return F.pixel_shuffle(patches, self.stride).clamp(*self.range)
