"""The semantic codec: a feature becomes a few hundred bytes, and damaged bytes a feature again."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels.bits import SymbolChannel, check_ber
from semanticnn_core.codec.code_order import optimal_order, order_by_name
from semanticnn_core.codec.networks import Decoder, Encoder
from semanticnn_core.codec.payload import pack, payload_bytes, unpack
from semanticnn_core.codec.quantizer import SoftQuantizer
from semanticnn_core.codec.reed_muller import protect, recover
from semanticnn_core.codec.slicing import (
    best_place,
    center_corner,
    centre_out,
    corners,
    cut,
    nested,
    reflect_pad,
    sliced_length,
)
from semanticnn_core.config import CodecConfig, Window

Shape = tuple[int, int, int]
WINDOWS = get_args(Window)


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

    `compress` and `decompress` handle the real bytes; `forward` is the same way for training.
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
        self, features: Tensor, channel: SymbolChannel, slice_ratio: float = 1.0, corner: Tensor | None = None
    ) -> Transmission:
        """Send features (B, C, H, W) through the channel, differentiably.

        corner: where each sample's window lies, (1, 2) or (B, 2); in the middle when left out. It arrives unharmed.
        """
        latent = self.encoder(self._checked(features))
        rows, columns = (sliced_length(length, slice_ratio) for length in latent.shape[-2:])
        if corner is None:
            corner = center_corner(*latent.shape[-2:], rows, columns)
        window = _pixels_last(cut(latent, rows, columns, corner))
        received, index, occupancy = self.quantizer(window, channel)
        padded = reflect_pad(_channels_first(received), *latent.shape[-2:], corner)
        feature = self.decoder(padded, channel.ber, *features.shape[-2:])
        return Transmission(feature, _channels_first(index), occupancy)

    @torch.no_grad()
    def compress(
        self, features: Tensor, slice_ratio: float = 1.0, window: Window = "center", progressive: bool = False
    ) -> Tensor:
        """Return the payload, uint8 (B, `payload_bytes`), of features (B, C, H, W).

        window: the central one, or the one of most `importance` or `energy`, whose place leaves first, in two bytes.
        progressive: pixels leave from the middle of the window outwards, not row by row; all channels of a pixel
        together.
        """
        index = self.quantizer.assign(self.encoder(self._checked(features)))
        return self.pack_index(index, slice_ratio, window, progressive)

    @torch.no_grad()
    def pack_index(
        self, index: Tensor, slice_ratio: float = 1.0, window: Window = "center", progressive: bool = False
    ) -> Tensor:
        """Return the payload of indices of centres, int64 (B, K, H, W): what `compress` does after the encoder."""
        index = _pixels_last(index)  # (B, H, W, K)
        code, place = self.quantizer.encode(index), self.best_place(index, slice_ratio, window)
        rows, columns = (sliced_length(length, slice_ratio) for length in code.shape[1:3])
        corner = self._corners(*code.shape[1:3], slice_ratio, window)
        if place is not None:
            corner = corner[place.cpu()]
        pixels = cut(_channels_first(code), rows, columns, corner).flatten(2).transpose(1, 2)  # (B, pixels, K)
        if progressive:
            pixels = pixels[:, centre_out(rows, columns)]
        payload = pack(pixels.flatten(1).byte(), self.quantizer.bits)
        return payload if place is None else torch.cat([protect(place), payload], 1)

    @torch.no_grad()
    def decompress(
        self,
        payload: Tensor,
        ber: float | Tensor,
        feature_shape: Shape,
        slice_ratio: float = 1.0,
        window: Window = "center",
        progressive: bool = False,
        received: int | None = None,
    ) -> Tensor:
        """Return the features (B, C, H, W) of received bytes.

        ber: the bit error rate the receiver believes in, a number or one per sample.
        feature_shape: (C, H, W), which the payload does not carry; nor does it carry ratio, window and order.
        received: how many bytes arrived when the tail was lost. What is missing is mirrored from the largest central
        window that is complete when the order is progressive, and becomes the mean symbol when it is not.
        Raises ValueError when the payload's length is not the one that all these give.
        """
        check_ber(ber)
        if torch.as_tensor(ber).numel() not in (1, len(payload)):
            raise ValueError(f"ber must be a number or one for each of {len(payload)} payloads, got {len(ber)}")
        channels, rows, columns = self.code_shape(feature_shape, slice_ratio)
        _, height, width = self.code_shape(feature_shape)
        count, bits = channels * rows * columns, self.quantizer.bits
        expected = self.payload_bytes(feature_shape, slice_ratio, window)
        length = expected if received is None else received
        if payload.dim() != 2 or payload.shape[1] != length or not 0 <= length <= expected:
            raise ValueError(
                f"a payload for feature {tuple(feature_shape)} at slice_ratio {slice_ratio:g}, window {window!r}, has "
                f"{expected} bytes{'' if received is None else f', of which {received} were said to arrive'}; "
                f"got shape {tuple(payload.shape)}"
            )
        payload = F.pad(payload, (0, expected - length))
        corner = self._corners(height, width, slice_ratio, window)
        head = 2 if len(corner) > 1 else 0
        if head:
            corner = corner[recover(payload[:, :head]).cpu().clamp_max(len(corner) - 1)]
        index = self.quantizer.decode(unpack(payload[:, head:], bits, count))
        values = self.quantizer.dequantize(index, ber)
        arrived = count if length == expected else max(length - head, 0) * 8 // bits
        values[:, arrived:] = self.quantizer.prior @ self.quantizer.levels
        pixels = values.view(-1, rows * columns, channels)
        if progressive:
            pixels = _placed(pixels, rows, columns, arrived // channels)
        latent = _channels_first(pixels.view(-1, rows, columns, channels))
        return self.decoder(reflect_pad(latent, height, width, corner), ber, *feature_shape[1:])

    def best_place(self, index: Tensor, slice_ratio: float, window: Window) -> Tensor | None:
        """Return the number of the window to send, (B,), for indices (B, H, W, K); None where there is no choice."""
        height, width = index.shape[1:3]
        places = self._corners(height, width, slice_ratio, window)
        if len(places) == 1:
            return None
        rows, columns = sliced_length(height, slice_ratio), sliced_length(width, slice_ratio)
        return best_place(self.importance_map(index, window), rows, columns, places)

    def importance_map(self, index: Tensor, window: Window = "importance") -> Tensor:
        """Return what the device believes to matter, (B, H, W), of indices (B, H, W, K): a table's sum over channels.

        importance: integers, fitted to attribution maps; energy: squared centres.
        """
        if window == "energy":
            return (self.quantizer.levels[index] ** 2).sum(-1)
        if not self.importance.any():
            raise ValueError("this codec has no table of importance; make one with fit_importance, or use 'center'")
        channels = torch.arange(index.shape[-1], device=index.device)
        return self.importance.long()[channels, index].sum(-1)

    def code_shape(self, feature_shape: Shape, slice_ratio: float = 1.0) -> Shape:
        """Return channels, rows and columns of the code that is sent for a feature (C, H, W)."""
        if feature_shape[0] != self.config.feature_channels:
            raise ValueError(
                f"this codec is for features of {self.config.feature_channels} channels, got {tuple(feature_shape)}"
            )
        height, width = (-(-length // self.config.stride) for length in feature_shape[1:])
        return self.config.code_channels, sliced_length(height, slice_ratio), sliced_length(width, slice_ratio)

    def payload_bytes(self, feature_shape: Shape, slice_ratio: float = 1.0, window: Window = "center") -> int:
        """Return the bytes that really leave the device for one image, its window's place included."""
        channels, rows, columns = self.code_shape(feature_shape, slice_ratio)
        places = self._corners(*self.code_shape(feature_shape)[1:], slice_ratio, window)
        return payload_bytes(channels * rows * columns, self.config.bits) + (2 if len(places) > 1 else 0)

    def _corners(self, height: int, width: int, slice_ratio: float, window: Window) -> Tensor:
        """Return the corners (n, 2) that a window may have; one alone needs no announcing."""
        if window not in WINDOWS:
            raise ValueError(f"window must be one of {', '.join(WINDOWS)}, got {window!r}")
        rows, columns = sliced_length(height, slice_ratio), sliced_length(width, slice_ratio)
        return (center_corner if window == "center" else corners)(height, width, rows, columns)

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


def _placed(pixels: Tensor, rows: int, columns: int, arrived: int) -> Tensor:
    """Return pixels (B, rows·columns, K) of progressive order row by row; those that did not arrive are mirrored."""
    order = centre_out(rows, columns).to(pixels.device)
    pixels = pixels[:, order.argsort()]
    complete = [each for each in nested(rows, columns) if each[2] * each[3] <= arrived]
    if not complete or arrived == rows * columns:
        return pixels
    top, left, high, wide = complete[-1]
    corner = torch.tensor([[top, left]])
    grid = _channels_first(pixels.view(-1, rows, columns, pixels.shape[-1]))
    mirrored = reflect_pad(cut(grid, high, wide, corner), rows, columns, corner).flatten(2).transpose(1, 2)
    here = (order.argsort() < arrived)[:, None]
    return torch.where(here, pixels, mirrored)


def _channels_first(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2)
