"""The semantic codec: a feature becomes a few hundred bytes, and damaged bytes a feature again."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import Arrival, Payload, SymbolChannel
from semanticnn_core.codec.code_order import optimal_order, order_by_name
from semanticnn_core.codec.networks import Decoder, Encoder
from semanticnn_core.codec.payload import pack, payload_bytes, unpack
from semanticnn_core.codec.quantizer import SoftQuantizer
from semanticnn_core.codec.reed_muller import protect, recover
from semanticnn_core.codec.slicing import Windows, center_out, restored
from semanticnn_core.config import WHOLE, CodecConfig, Slice, Window

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


class SemanticCodec(nn.Module):
    """Encoder, quantiser and decoder around a channel that flips bits.

    device:  feature ─► Encoder ─► Windows.cut ─► SoftQuantizer.assign ─► pack ─► Payload
    edge:    Arrival ─► unpack ─► SoftQuantizer.dequantize ─► Windows.pad ─► Decoder ─► feature

    `compress` and `decompress` handle the real bytes; `forward` is the same for training.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = SoftQuantizer(config.centers, config.dequantizer)
        self.decoder = Decoder(config)
        self.register_buffer("importance", torch.zeros(config.code_channels, config.centers, dtype=torch.int8))
        if config.code_order != "optimal":
            self.set_code_order()
        self.to(memory_format=torch.channels_last)

    def forward(
        self, features: Tensor, channel: SymbolChannel, slice: Slice = WHOLE, corner: Tensor | None = None
    ) -> Transmission:
        """Send features (B, C, H, W) through the channel, differentiably.

        corner: where each sample's window lies, (1, 2) or (B, 2); in the middle when left out. It arrives unharmed.
        """
        windows = self.windows(features.shape[1:], slice)
        latent = self.encoder(features)
        received, index, occupancy = self.quantizer(_pixels_last(windows.cut(latent, corner)), channel)
        padded = windows.pad(_channels_first(received), corner)
        feature = self.decoder(padded, channel.ber, *features.shape[-2:])
        return Transmission(feature, _channels_first(index), occupancy)

    @torch.no_grad()
    def compress(self, features: Tensor, slice: Slice = WHOLE) -> Payload:
        """Return the payload, `payload_bytes` a sample, of features (B, C, H, W)."""
        self.windows(features.shape[1:], slice)  # refuses what does not fit before the encoder meets it
        return self.pack_index(self.quantizer.assign(self.encoder(features)), slice)

    @torch.no_grad()
    def pack_index(self, index: Tensor, slice: Slice = WHOLE) -> Payload:
        """Return the payload of indices of centres, int64 (B, K, H, W): what `compress` does after the encoder.

        All channels of a pixel leave together, pixels row by row or, in progressive order, from the middle outwards.
        The number of a chosen window leaves first.
        """
        windows = Windows(*index.shape[-2:], slice)
        number = self.best_window(index, slice)
        code = windows.cut(self.quantizer.encode(index), windows.corner(number))
        pixels = code.flatten(2).transpose(1, 2)  # (B, pixels, K)
        if slice.progressive:
            pixels = pixels[:, center_out(windows.rows, windows.columns)]
        data = pack(pixels.flatten(1).byte(), self.quantizer.bits)
        return Payload(data if number is None else torch.cat([protect(number), data], 1))

    @torch.no_grad()
    def decompress(self, arrival: Arrival, feature_shape: Shape, slice: Slice = WHOLE) -> Tensor:
        """Return the features (B, C, H, W) of what arrived, decoded at the rate that the receiver believes in.

        feature_shape: (C, H, W), which the payload does not carry; nor does it carry the slice.
        A symbol whose bytes were lost becomes the mean symbol; in progressive order, pixels that were lost are mirrored
        from the largest central window that is complete.
        Raises ValueError when the payload's length is not the one that shape and slice give.
        """
        windows, ber, data = self.windows(feature_shape, slice), arrival.estimated_ber, arrival.payload.data
        expected = self.payload_bytes(feature_shape, slice)
        if data.shape[1] != expected:
            raise ValueError(
                f"a payload for feature {tuple(feature_shape)} at slice ratio {slice.ratio:g}, window "
                f"{slice.window!r}, has {expected} bytes; got shape {tuple(data.shape)}"
            )
        head, pixels, channels = windows.head_bytes, windows.rows * windows.columns, self.config.code_channels
        index = self.quantizer.decode(unpack(data[:, head:], self.quantizer.bits, pixels * channels))
        values = self.quantizer.dequantize(index, ber).view(-1, pixels, channels)
        used = arrival.payload.used
        came = used if arrival.present is None else arrival.present & used
        if came.all():
            came = None
        else:
            here = _symbols_present(came[:, head:], self.quantizer.bits, pixels * channels).view_as(values)
            values = torch.where(here, values, self.quantizer.prior @ self.quantizer.levels)
        if slice.progressive and came is not None:
            values = restored(values, here.all(2), windows.rows, windows.columns)
        elif slice.progressive:
            values = values[:, center_out(windows.rows, windows.columns).argsort()]
        number = recover(data[:, :head], None if came is None else came[:, :head]) if head else None
        if head and came is not None:
            number = torch.where(came[:, :head].any(1), number, windows.middle)
        latent = _channels_first(values.unflatten(1, (windows.rows, windows.columns)))
        return self.decoder(windows.pad(latent, windows.corner(number)), ber, *feature_shape[1:])

    def best_window(self, index: Tensor, slice: Slice) -> Tensor | None:
        """Return the number of the window to send, (B,), for indices (B, K, H, W); None where there is no choice."""
        windows = Windows(*index.shape[-2:], slice)
        return windows.best(self.importance_map(index, slice.window)) if windows.announced else None

    def importance_map(self, index: Tensor, window: Window = "importance") -> Tensor:
        """Return what the device believes to matter, (B, H, W), of indices (B, K, H, W): a table's sum over channels.

        importance: integers, fitted to attribution maps; energy: squared centres.
        """
        if window == "energy":
            return (self.quantizer.levels[index] ** 2).sum(1)
        if not self.importance.any():
            raise ValueError("this codec has no table of importance; make one with fit_importance, or use 'center'")
        channels = torch.arange(index.shape[1], device=index.device)[:, None, None]
        return self.importance.long()[channels, index].sum(1)

    def windows(self, feature_shape: Shape, slice: Slice = WHOLE) -> Windows:
        """Return the windows that a slice may send of the code of a feature (C, H, W); another feature is refused."""
        if len(feature_shape) != 3 or feature_shape[0] != self.config.feature_channels:
            got = ", ".join(map(str, feature_shape))
            raise ValueError(f"features must be (B, {self.config.feature_channels}, H, W), got (B, {got})")
        return Windows(*(-(-length // self.config.stride) for length in feature_shape[1:]), slice)

    def payload_bytes(self, feature_shape: Shape, slice: Slice = WHOLE) -> int:
        """Return the bytes that really leave the device for one image, its window's number included."""
        windows = self.windows(feature_shape, slice)
        symbols = self.config.code_channels * windows.rows * windows.columns
        return payload_bytes(symbols, self.config.bits) + windows.head_bytes

    @torch.no_grad()
    def calibrate(self, features: Tensor) -> None:
        """Fit the encoder's start to a batch of features (B, C, H, W), before training.

        The convolution's outputs become centred with standard deviation 2, where GDN bends: latents are then
        bounded, and cannot outgrow the centres (beyond the outermost, soft assignment has no gradient). The
        constant scale brings latents to standard deviation 1, and the centres to their quantiles.
        """
        self.windows(features.shape[1:])
        encoder = self.encoder
        encoder.scale.fill_(1.0)
        before = encoder.conv(encoder.padded(features))
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


def _pixels_last(latent: Tensor) -> Tensor:
    """Return (B, h, w, K), the order in which symbols leave the device, of a latent (B, K, h, w)."""
    return latent.permute(0, 2, 3, 1).contiguous()


def _symbols_present(came: Tensor, bits: int, count: int) -> Tensor:
    """Return which symbols came whole, bool (B, count), of bytes that came, bool (B, n)."""
    first = torch.arange(count, device=came.device) * bits
    return came[:, first // 8] & came[:, (first + bits - 1) // 8]


def _channels_first(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2)
