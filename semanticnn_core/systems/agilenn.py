"""AgileNN (Huang & Gao, MobiCom 2022): a fifth of the channels is answered on the device, the rest is sent.

Adapted to a split, as the paper marks with *: the network is frozen, so the channels that stay are the fifth whose
attributions are largest, where AgileNN trains the feature to have such a fifth. Kept: a local head of averages and one
linear layer, eight centres 6·sigmoid(θ) inside ReLU6's range, the weighted sum of both answers. The local answer never
crosses the link and is not counted as bytes. Faithful: trained without errors, its symbols compressed by LZW, as its
authors advise; the rest of a stream is lost with the first damaged code. Fair: fixed length, trained on the channel.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.codec.payload import pack, unpack
from semanticnn_core.systems.learned import (
    FeatureCodec,
    channels_for,
    edge_decoder,
    from_binary,
    light_encoder,
    to_binary,
)
from semanticnn_core.systems.lzw import lzw_codes, lzw_symbols
from semanticnn_core.tasks.split import SplitModel

BITS = 3
LOCAL = 0.2
"""Share of the channels that stay on the device."""


class AgileNN(FeatureCodec):
    """Fixed length: three bits a value."""

    title = "AgileNN*"

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        if len(model.output_shape) != 1:
            raise ValueError(f"{self.title} answers on the device too, with a class an image: it is for classifiers")
        channels, all_channels = channels_for(model, size, BITS), model.feature_shape[0]
        self.bits, self.code_shape = self.grid**2 * BITS * channels, (channels, self.grid, self.grid)
        self.register_buffer("stays", torch.zeros(all_channels, dtype=torch.bool))
        self.stays[: max(round(LOCAL * all_channels), 1)] = True  # until `start` knows better
        self.encoder, self.decoder = light_encoder(model, channels), edge_decoder(model, channels)
        self.centers = nn.Parameter(torch.linspace(-2.2, 2.2, 2**BITS))  # θ
        self.head = nn.Sequential(nn.LazyBatchNorm1d(), nn.LazyLinear(model.output_shape[0]))
        self.head(torch.zeros(2, int(self.stays.sum()) * 16))
        self.share = nn.Parameter(torch.tensor(-2.0))

    def start(self, features: Tensor, model: SplitModel) -> None:
        """Choose the channels that stay, by |gradient × feature| of the answers."""
        with torch.enable_grad():
            looked_at = features.clone().requires_grad_()
            (slope,) = torch.autograd.grad(model.edge_part(looked_at).amax(1).sum(), looked_at)
        chosen = (slope * features).abs().sum((0, 2, 3)).topk(int(self.stays.sum())).indices
        self.stays.zero_()[chosen] = True
        super().start(self._sent(features), model)

    def encode(self, feature: Tensor) -> Tensor:
        return self.encoder(self._sent(feature)) * 1.5 + 3  # centred in the range of the centres

    def to_bits(self, latent: Tensor) -> Tensor:
        return to_binary((latent[..., None] - self.levels).abs().argmin(-1).flatten(1), BITS)

    @property
    def levels(self) -> Tensor:
        return 6 * torch.sigmoid(self.centers)

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        return self.levels[from_binary(bits, BITS)].view(-1, *self.code_shape)

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        latent = (latent - 3) / 1.5
        return self.decoder(latent, torch.zeros_like(latent), ber, *self.feature_shape[1:])

    def local(self, feature: Tensor) -> Mapping[str, Tensor]:
        kept = nn.functional.adaptive_avg_pool2d(feature[:, self.stays], 4)
        return {"answer": self.head(kept.flatten(1))}

    def answer(self, outputs: Tensor, local: Mapping[str, Tensor]) -> Tensor:
        share = torch.sigmoid(self.share)
        return share * local["answer"] + (1 - share) * outputs

    def _sent(self, feature: Tensor) -> Tensor:
        return feature * ~self.stays[:, None, None]


class LocalHead(AgileNN):
    """Nothing is sent: the device's own answer is all there is, and no link can make it worse.

    A linear layer cannot read digits that are lighter or darker than what is behind them, however it is trained.
    """

    title = "AgileNN*, local head alone"
    rate = 5e-3  # one linear layer bears large steps

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__(model, size)
        self.bits = 0
        self.mean = nn.Parameter(torch.zeros(model.feature_shape))  # all that the edge knows of the feature
        del self.encoder, self.decoder, self.centers, self.share

    def encode(self, feature: Tensor) -> Tensor:
        return feature.new_zeros(len(feature), 0)

    def to_bits(self, latent: Tensor) -> Tensor:
        return latent.bool()

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        return bits.float()

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        return self.mean.expand(len(latent), -1, -1, -1)

    def answer(self, outputs: Tensor, local: Mapping[str, Tensor]) -> Tensor:
        return local["answer"]


class CompressedAgileNN(AgileNN):
    """Variable length: the symbols through LZW."""

    title = "AgileNN*, LZW"

    def compress(self, feature: Tensor) -> Payload:
        symbols = from_binary(self.to_bits(self.encode(feature)), BITS)
        streams = [lzw_codes(each, 2**BITS) for each in symbols.tolist()]
        length = torch.tensor([-(-len(each) // 8) for each in streams])
        bits = torch.zeros(len(streams), 8 * int(length.max()), dtype=torch.uint8)
        for row, stream in zip(bits, streams, strict=True):
            row[: len(stream)] = torch.tensor(stream, dtype=torch.uint8)
        return Payload(pack(bits, 1), length)

    def decompress(self, arrival: Arrival) -> Tensor:
        data = arrival.payload.data
        count = self.bits // BITS
        streams = unpack(data, 1, 8 * data.shape[1]).tolist()
        used = (8 * arrival.payload.length).tolist()
        middle = 2 ** (BITS - 1)
        symbols = [lzw_symbols(each[:end], 2**BITS, count) for each, end in zip(streams, used, strict=True)]
        index = torch.tensor([each + [middle] * (count - len(each)) for each in symbols])
        with torch.no_grad():
            return self.decode(self.levels[index].view(-1, *self.code_shape), arrival.estimated_ber)
