"""The semantic codec: a feature becomes a few hundred bytes, and damaged bytes a feature again."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels.bits import SymbolChannel, check_ber
from semanticnn_core.codec.code_order import optimal_order, order_by_name
from semanticnn_core.codec.layers import GDN, BERAttention, PReLU
from semanticnn_core.codec.payload import pack, payload_bytes, unpack
from semanticnn_core.codec.quantizer import SoftQuantizer
from semanticnn_core.codec.slicing import reflect_pad, slice_center, sliced_length
from semanticnn_core.config import CodecConfig

Shape = tuple[int, int, int]


@dataclass
class Transmission:
    """What one training pass through codec and channel yields."""

    feature: Tensor
    """The received feature, (B, C, H, W)."""
    symbols: Tensor
    """Indices of the centres sent, 0 the smallest, int64 (B, K, h, w)."""
    occupancy: Tensor
    """Soft share of each centre in the batch, (n,); differentiable."""


class Encoder(nn.Module):
    """The device's part: one convolution, GDN, PReLU, and a constant scale."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.conv = nn.Conv2d(config.feature_channels, config.code_channels, config.kernel, config.stride)
        self.gdn = GDN(config.code_channels)
        self.prelu = PReLU(config.code_channels)
        self.register_buffer("scale", torch.ones(()))
        overlap = config.kernel - config.stride
        self.margin = (overlap // 2, overlap - overlap // 2)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the latent (B, K, ⌈H / stride⌉, ⌈W / stride⌉) of a feature (B, C, H, W)."""
        return self.prelu(self.gdn(self.conv(self.padded(feature)))) * self.scale

    def padded(self, feature: Tensor) -> Tensor:
        """Add the zeros that bring height and width to whole strides and hold the kernel's overlap."""
        height, width = feature.shape[-2:]
        before, after = self.margin
        pads = (before, after + -width % self.stride, before, after + -height % self.stride)
        return F.pad(feature, pads) if any(pads) else feature


class DecoderBlock(nn.Module):
    """Transposed convolution, inverse GDN, PReLU and BER attention; doubles the size if `up`."""

    def __init__(self, inputs: int, outputs: int, up: bool) -> None:
        super().__init__()
        self.conv = _transposed(inputs, outputs, up)
        self.igdn = GDN(outputs, inverse=True)
        self.prelu = PReLU(outputs)
        self.attention = BERAttention(outputs)

    def forward(self, x: Tensor, log_ber: Tensor) -> Tensor:
        return self.attention(self.prelu(self.igdn(self.conv(x))), log_ber)


class Decoder(nn.Module):
    """The edge's part: blocks of growing size, then a transposed convolution into the feature's range.

    The last doubling is the output layer's: at full size a block costs more than all others together.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        doublings = config.stride.bit_length() - 1
        widths = (config.code_channels, *config.decoder_widths)
        still = len(config.decoder_widths) - max(doublings - 1, 0)
        self.blocks = nn.ModuleList(
            DecoderBlock(inputs, outputs, up=index >= still)
            for index, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.output = _transposed(widths[-1], config.feature_channels, up=doublings > 0)
        self.range = config.feature_range

    def forward(self, latent: Tensor, ber: float | Tensor, height: int, width: int) -> Tensor:
        """Return the feature (B, C, height, width) of a received latent, at a bit error rate (a number or (B,))."""
        log_ber = torch.as_tensor(ber, device=latent.device, dtype=latent.dtype).clamp(1e-5, 0.5).log10()
        log_ber = log_ber.expand(len(latent))
        for block in self.blocks:
            latent = block(latent, log_ber)
        return self.output(latent)[..., :height, :width].clamp(*self.range)


class SemanticCodec(nn.Module):
    """Encoder, quantiser and decoder around a channel that flips bits.

    `compress` and `decompress` handle the real bytes; `forward` is the same way for training.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = SoftQuantizer(config.centers, config.dequantizer)
        self.decoder = Decoder(config)
        if config.code_order != "optimal":
            self.set_code_order()
        self.to(memory_format=torch.channels_last)

    def forward(self, features: Tensor, channel: SymbolChannel, slice_ratio: float = 1.0) -> Transmission:
        """Send features (B, C, H, W) through the channel, differentiably."""
        latent = self.encoder(self._checked(features))
        received, index, occupancy = self.quantizer(_pixels_last(slice_center(latent, slice_ratio)), channel)
        padded = reflect_pad(_channels_first(received), *latent.shape[-2:])
        feature = self.decoder(padded, channel.ber, *features.shape[-2:])
        return Transmission(feature, _channels_first(index), occupancy)

    @torch.no_grad()
    def compress(self, features: Tensor, slice_ratio: float = 1.0) -> Tensor:
        """Return the payload, uint8 (B, ⌈symbols·bits / 8⌉), of features (B, C, H, W).

        Symbols leave row by row, pixel by pixel, all channels of a pixel together.
        """
        latent = _pixels_last(slice_center(self.encoder(self._checked(features)), slice_ratio))
        symbols = self.quantizer.encode(self.quantizer.assign(latent))
        return pack(symbols.flatten(1).byte(), self.quantizer.bits)

    @torch.no_grad()
    def decompress(
        self,
        payload: Tensor,
        ber: float | Tensor,
        feature_shape: Shape,
        slice_ratio: float = 1.0,
        received: int | None = None,
    ) -> Tensor:
        """Return the features (B, C, H, W) of received bytes.

        ber: the bit error rate the receiver believes in, a number or one per sample.
        feature_shape: (C, H, W), which the payload does not carry.
        received: how many bytes arrived when the tail was lost; what is missing becomes the mean symbol.
        Raises ValueError when the payload's length is not the one that shape and ratio give.
        """
        check_ber(ber)
        channels, rows, columns = self.code_shape(feature_shape, slice_ratio)
        count, bits = channels * rows * columns, self.quantizer.bits
        expected = payload_bytes(count, bits)
        length = expected if received is None else received
        if payload.dim() != 2 or payload.shape[1] != length or not 0 <= length <= expected:
            raise ValueError(
                f"a payload for feature {tuple(feature_shape)} at slice_ratio {slice_ratio:g} has {expected} bytes"
                f"{'' if received is None else f', of which {received} were said to arrive'}; "
                f"got shape {tuple(payload.shape)}"
            )
        index = self.quantizer.decode(unpack(F.pad(payload, (0, expected - length)), bits, count))
        values = self.quantizer.dequantize(index, ber)
        values[:, length * 8 // bits if length < expected else count :] = self.quantizer.prior @ self.quantizer.levels
        latent = _channels_first(values.view(-1, rows, columns, channels))
        _, height, width = self.code_shape(feature_shape)
        return self.decoder(reflect_pad(latent, height, width), ber, *feature_shape[1:])

    def code_shape(self, feature_shape: Shape, slice_ratio: float = 1.0) -> Shape:
        """Return channels, rows and columns of the code that is sent for a feature (C, H, W)."""
        if feature_shape[0] != self.config.feature_channels:
            raise ValueError(
                f"this codec is for features of {self.config.feature_channels} channels, got {tuple(feature_shape)}"
            )
        height, width = (-(-length // self.config.stride) for length in feature_shape[1:])
        return self.config.code_channels, sliced_length(height, slice_ratio), sliced_length(width, slice_ratio)

    def payload_bytes(self, feature_shape: Shape, slice_ratio: float = 1.0) -> int:
        """Return the bytes that really leave the device for one image."""
        channels, rows, columns = self.code_shape(feature_shape, slice_ratio)
        return payload_bytes(channels * rows * columns, self.config.bits)

    @torch.no_grad()
    def calibrate(self, features: Tensor) -> None:
        """Fit the encoder's start to a batch of features (B, C, H, W), before training.

        The convolution's outputs become centred with standard deviation 2, where GDN bends: latents are then
        bounded, and cannot outgrow the centres (beyond the outermost, soft assignment has no gradient). The
        constant scale brings latents to standard deviation 1, and the centres to their quantiles.
        """
        encoder = self.encoder
        encoder.scale.fill_(1.0)
        before = encoder.conv(encoder.padded(self._checked(features)))
        gain = 2 / before.std((0, 2, 3)).clamp_min(1e-6)
        encoder.conv.weight.mul_(gain[:, None, None, None])
        encoder.conv.bias.sub_(before.mean((0, 2, 3))).mul_(gain)
        encoder.scale.copy_(1 / encoder(features).std().clamp_min(1e-6))
        self.quantizer.fit_centers(encoder(features))

    def set_code_order(self, ber: tuple[float, float] = (1e-4, 5e-2), seed: int = 0) -> None:
        """Give the centres their code words: the configured order, or the optimum for centres, use and errors."""
        name, quantizer = self.config.code_order, self.quantizer
        if name == "optimal":
            code = optimal_order(quantizer.levels, quantizer.prior, ber, quantizer.dequantizer == "posterior")
        else:
            code = order_by_name(name, self.config.centers, seed)
        quantizer.code.copy_(code)

    def _checked(self, features: Tensor) -> Tensor:
        if features.dim() != 4 or features.shape[1] != self.config.feature_channels:
            raise ValueError(f"features must be (B, {self.config.feature_channels}, H, W), got {tuple(features.shape)}")
        return features


def _pixels_last(latent: Tensor) -> Tensor:
    """Return (B, h, w, K), the order in which symbols leave the device, of a latent (B, K, h, w)."""
    return latent.permute(0, 2, 3, 1).contiguous()


def _channels_first(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2)


def _transposed(inputs: int, outputs: int, up: bool) -> nn.ConvTranspose2d:
    """Return a transposed convolution that doubles the size (kernel 4) or keeps it (kernel 3)."""
    if up:
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=3, padding=1)
