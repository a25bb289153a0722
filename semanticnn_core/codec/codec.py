"""The semantic codec: a feature becomes a few hundred bytes, and damaged bytes a feature again."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import Arrival, BitChannel, Payload
from semanticnn_core.codec.belief import CERTAIN, beliefs
from semanticnn_core.codec.code_order import optimal_order, order_by_name
from semanticnn_core.codec.networks import Encoder, Weigh, new_decoder
from semanticnn_core.codec.parity import ParityCode, parity_code
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

    device:  feature ─► Encoder ─► Windows.cut ─► SoftQuantizer.assign ─► pack ─► ParityCode ─► Payload
    edge:    Arrival ─► Beliefs ─► SoftQuantizer.dequantize ─► Windows.pad ─► Decoder ─► feature

    `compress` and `decompress` handle the real bytes; `forward` is the same for training.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = SoftQuantizer(config.centers, config.dequantizer)
        self.decoder = new_decoder(config)
        self.register_buffer("importance", torch.zeros(config.code_channels, config.centers, dtype=torch.int8))
        if config.code_order != "optimal":
            self.set_code_order()
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        features: Tensor,
        channel: BitChannel,
        slice: Slice = WHOLE,
        corner: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Transmission:
        """Send features (B, C, H, W) through the channel, differentiably.

        corner: where each sample's window lies, (1, 2) or (B, 2); in the middle when left out. It arrives unharmed.
        present: which bytes of each payload arrive, bool (B, n), the window's number left out; None means all.
        """
        windows = self.windows(features.shape[1:], slice)
        latent = self.encoder(features)
        pixels = _pixels_last(windows.cut(latent, corner))
        bits = pixels[0].numel() * self.quantizer.bits
        parity = self._parity(bits)
        flips = channel.wrong_bits(len(pixels), bits + (8 * parity.parity_bytes if parity else 0), pixels.device)
        odds = _log_odds(channel.ber, pixels).reshape(-1, 1)
        heard = torch.where(flips, -odds, odds)  # of zeros: what is sent changes nothing
        if present is not None:
            heard = heard * _bits_apart(present.repeat_interleave(8, 1), bits)
        llr = _believed(heard, bits, parity)
        wrong = torch.sigmoid(-llr)
        received, spread, index, occupancy = self.quantizer(pixels, wrong.view(*pixels.shape, self.quantizer.bits))
        latent, spread = (windows.pad(_channels_first(each), corner) for each in (received, spread))
        feature = self.decoder(latent, spread, _left(llr), *features.shape[-2:])
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
        parity = self._parity(pixels[0].numel() * self.quantizer.bits)
        head = [] if number is None else [protect(number)]
        tail = [parity.encode(data)] if parity else []
        return Payload(torch.cat([*head, data, *tail], 1) if head or tail else data)

    @torch.no_grad()
    def decompress(self, arrival: Arrival, feature_shape: Shape, slice: Slice = WHOLE) -> Tensor:
        """Return the features (B, C, H, W) of what arrived, decoded at the rate that the receiver believes in.

        feature_shape: (C, H, W), which the payload does not carry; nor does it carry the slice.
        A symbol whose bytes were lost becomes the mean symbol; in progressive order, pixels that were lost are mirrored
        from the largest central window that is complete.
        Raises ValueError when the payload's length is not the one that shape and slice give.
        """
        windows, data = self.windows(feature_shape, slice), arrival.payload.data
        expected = self.payload_bytes(feature_shape, slice)
        if data.shape[1] != expected:
            raise ValueError(
                f"a payload for feature {tuple(feature_shape)} at slice ratio {slice.ratio:g}, window "
                f"{slice.window!r}, has {expected} bytes; got shape {tuple(data.shape)}"
            )
        head, pixels, channels = windows.head_bytes, windows.rows * windows.columns, self.config.code_channels
        came = arrival.payload.used if arrival.present is None else arrival.present & arrival.payload.used
        llr = self._heard(arrival, came, head, pixels * channels * self.quantizer.bits)
        both = torch.cat(self.quantizer.dequantize(llr.view(-1, pixels, channels, self.quantizer.bits)), 2)
        if slice.progressive:
            known = (llr != 0).view(-1, pixels, channels * self.quantizer.bits).all(2)
            both = restored(both, known, windows.rows, windows.columns)
        number = recover(data[:, :head], came[:, :head]) if head else None
        if head:
            number = torch.where(came[:, :head].any(1), number, windows.middle)
        both = _channels_first(both.unflatten(1, (windows.rows, windows.columns)))
        latent, spread = windows.pad(both, windows.corner(number)).chunk(2, 1)
        return self.decoder(latent, spread, _left(llr), *feature_shape[1:])

    def _heard(self, arrival: Arrival, came: Tensor, head: int, bits: int) -> Tensor:
        """Return what is believed of the symbols' bits behind a head of so many bytes, (B, bits)."""
        data, parity = arrival.payload.data[:, head:], self._parity(bits)
        ones, known = unpack(data, 1, 8 * data.shape[1]).bool(), came[:, head:].repeat_interleave(8, 1)
        ones, known = _bits_apart(ones, bits), _bits_apart(known, bits)
        ber = arrival.estimated_ber
        if arrival.ber is None and parity is not None:
            ones_known = _filled(ones, bits, parity), _filled(known, bits, parity, True)
            ber = beliefs(parity, data.device).error_rate(*ones_known)
        odds = _log_odds(ber, self.quantizer.levels).reshape(-1, 1)
        return _believed(torch.where(ones, -odds, odds) * known, bits, parity)

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
        bits = self.config.code_channels * windows.rows * windows.columns * self.config.bits
        parity = self._parity(bits)
        return windows.head_bytes + payload_bytes(bits, 1) + (parity.parity_bytes if parity else 0)

    def parity(self, feature_shape: Shape, slice: Slice = WHOLE) -> ParityCode | None:
        """Return the code that protects what a slice sends of a feature (C, H, W); None where nothing does."""
        windows = self.windows(feature_shape, slice)
        return self._parity(self.config.code_channels * windows.rows * windows.columns * self.config.bits)

    def _parity(self, bits: int) -> ParityCode | None:
        """Return the code that protects so many bits of symbols: the share of parity that is set, in whole words."""
        share, data = self.config.parity, payload_bytes(bits, 1)
        return parity_code(data, 4 * max(1, round(data / 4 * share / (1 - share)))) if share else None

    @torch.no_grad()
    def calibrate(self, features: Tensor, weigh: Weigh | None = None) -> None:
        """Fit the encoder's start to a batch of features (B, C, H, W), before training.

        The encoder begins as `Encoder.calibrate` leaves it, the centres at the quantiles of its latents.
        """
        self.windows(features.shape[1:])
        self.encoder.calibrate(features, weigh)
        self.quantizer.fit_centers(self.encoder(features))

    def half_rounded(self) -> "SemanticCodec":
        """Round the decoder's weights, in place, to the half precision in which they are published; returns the codec.

        The device's part keeps its own: the bytes that it sends depend on every digit.
        """
        self.decoder.half().float()
        return self

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


def _bits_apart(values: Tensor, bits: int) -> Tensor:
    """Drop, of a payload's bits (B, 8n), those that only fill the last byte of so many bits of symbols."""
    return torch.cat([values[:, :bits], values[:, 8 * payload_bytes(bits, 1) :]], 1)


def _log_odds(ber: float | Tensor, like: Tensor) -> Tensor:
    """Return log P(right) / P(wrong) of a bit at a rate, a number or (B,)."""
    p = torch.as_tensor(ber, device=like.device, dtype=like.dtype)
    return (torch.log1p(-p) - p.log()).clamp(-CERTAIN, CERTAIN)


def _believed(llr: Tensor, bits: int, parity: ParityCode | None) -> Tensor:
    """Return what is believed of the symbols' bits, (B, bits), from what the link alone says of them and of parity."""
    if parity is None:
        return llr
    return beliefs(parity, llr.device)(_filled(llr, bits, parity, CERTAIN))[:, :bits]


def _filled(values: Tensor, bits: int, parity: ParityCode, filling: float = 0) -> Tensor:
    """Put what the zeros count for that fill the last word between values of symbols' and of parity's bits."""
    zeros = values.new_full((len(values), 32 * parity.words - bits), filling)
    return torch.cat([values[:, :bits], zeros, values[:, bits:]], 1)


def _left(llr: Tensor) -> Tensor:
    """Return the share of wrong bits, (B,), among those that something is known of; llr: (B, bits)."""
    wrong, known = torch.sigmoid(-llr.abs()), llr != 0
    return torch.where(known.any(1), (wrong * known).sum(1) / known.sum(1).clamp_min(1), 0.5)


def _channels_first(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2)
