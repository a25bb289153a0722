"""The integer encoder as C: sizes for the preprocessor, tables for the flash."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels.frames import Framing
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.reed_muller import WORDS
from semanticnn_core.codec.slicing import Windows
from semanticnn_core.config import WHOLE, Slice
from semanticnn_core.stm32.integer import IntegerEncoder
from semanticnn_core.stm32.quantize import ExportError
from semanticnn_core.systems.semanticnn import model_number

LONGEST_STEP = 2044
"""Numbers of the feature, 16 bits each, that a Cortex-M load can look ahead."""

LANES = 8
"""Products of 16-bit numbers that one Helium instruction adds up."""


@dataclass(frozen=True)
class Firmware:
    """An integer encoder and what the device sends of its code: everything that the generated C depends on."""

    encoder: IntegerEncoder
    codec: SemanticCodec
    feature_shape: tuple[int, int, int]
    slice: Slice = WHOLE

    def __post_init__(self) -> None:
        if self.slice.window == "energy":
            raise ExportError("the firmware chooses its window by importance; energy is there for comparison only")
        if self.slice.progressive:
            raise ExportError("the firmware sends rows as they come, in no progressive order")
        if self.slice.window == "importance" and not self.codec.importance.any():
            raise ExportError("this codec has no table of importance; make one with fit_importance, or use 'center'")
        if self.sizes["CODE_STEP"] > LONGEST_STEP:
            raise ExportError(
                f"the encoder's stride times its input channels is {self.sizes['CODE_STEP']}, more than the "
                f"{LONGEST_STEP} numbers that one load can look ahead; use a smaller stride"
            )

    @property
    def payload_bytes(self) -> int:
        """Bytes that leave for one image."""
        return self.codec.payload_bytes(self.feature_shape, self.slice)

    @cached_property
    def number(self) -> int:
        """The eight bits by which headers of frames name codec and slice."""
        return model_number(self.codec, self.slice)

    @property
    def framing(self) -> Framing | None:
        """How payloads leave in packets of the usual size; None where one takes too many."""
        try:
            return Framing(self.number, self.payload_bytes)
        except ValueError:
            return None

    @torch.no_grad()
    def frames(self, images: Tensor) -> bytes:
        """Return the frames that the firmware must send for images uint8 (B, 3, H, W), numbered from 0."""
        rows = enumerate(self.payload(images).numpy()) if self.framing else ()
        return b"".join(frame for number, row in rows for frame in self.framing.frames(row.tobytes(), number))

    @torch.no_grad()
    def payload(self, images: Tensor) -> Tensor:
        """Return the bytes, uint8 (B, n), that the firmware must send for images uint8 (B, 3, H, W)."""
        return self.codec.pack_index(self.encoder(images), self.slice).data

    @cached_property
    def places(self) -> Tensor | None:
        """Corners (n, 2) of the windows to choose from; None where there is but one."""
        return self.windows.corners if self.windows.announced else None

    @property
    def windows(self) -> Windows:
        """The windows that the slice may send."""
        return self.codec.windows(self.feature_shape, self.slice)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The numbers of snn_model.h by their names, less the prefix SNN_."""
        encoder, codec = self.encoder, self.codec
        stem, code = encoder.stem, encoder.code
        outputs, channels, kernel, _ = code.weight.shape
        stem_kernel = stem.weight.shape[-1]
        stem_size, feature_size = encoder.image_size // 2, self.feature_shape[1]
        size, rows, columns = self.windows.height, self.windows.rows, self.windows.columns
        chosen = self.places is not None  # then the whole code is computed, and kept until the end
        top, left = (0, 0) if chosen else self.windows.center[0].tolist()
        streamed = (size, size) if chosen else (rows, columns)
        paired, even = outputs + outputs % 2, streamed[1] + streamed[1] % 2
        seen_rows = self._stem_span(top, streamed[0])
        seen_columns = self._stem_span(left, streamed[1])
        pairs = -(-3 * stem_kernel // 2)
        image_row = max(3 * (encoder.image_size + 2 * encoder.stem_padding), 6 * (stem_size - 1) + 2 * pairs)
        feature_columns = max(feature_size + sum(encoder.margin), (left + even - 1) * code.stride + kernel)
        taps = kernel * channels
        gamma_row = -(-outputs // 4) * 4
        bits = codec.config.bits
        parity = codec.parity(self.feature_shape, self.slice)
        buffered = -(-size * size * outputs * bits // 8) + 1 if chosen else 0
        return {
            "MODEL_NUMBER": self.number,
            "IMAGE_SIZE": encoder.image_size,
            "PAYLOAD_BYTES": self.payload_bytes,
            "PUSH_BYTES": 0 if chosen else -(-columns * outputs * bits * self._rows_at_once(top, rows) // 8),
            "ZERO_RED": int(encoder.zero_point[0]),
            "ZERO_GREEN": int(encoder.zero_point[1]),
            "ZERO_BLUE": int(encoder.zero_point[2]),
            "STEM_KERNEL": stem_kernel,
            "STEM_PADDING": encoder.stem_padding,
            "STEM_CHANNELS": channels,
            "STEM_SIZE": stem_size,
            "STEM_PAIRS": pairs,
            "STEM_LANES": -(-3 * stem_kernel**2 // LANES) * LANES,
            "STEM_SHIFT": stem.shift,
            "STEM_TOP": seen_rows[0],
            "STEM_BOTTOM": seen_rows[1],
            "STEM_LEFT": seen_columns[0] // 2 * 2,
            "STEM_RIGHT": -(-seen_columns[1] // 2) * 2,
            "IMAGE_ROW": image_row + image_row % 2,
            "POOL": int(encoder.pool),
            "FEATURE_SIZE": feature_size,
            "FEATURE_ROW": feature_columns * channels,
            "CODE_KERNEL": kernel,
            "CODE_STRIDE": code.stride,
            "CODE_MARGIN": encoder.margin[0],
            "CODE_CHANNELS": outputs,
            "CODE_PAIRED": paired,
            "CODE_SIZE": size,
            "CODE_ROWS": -(-kernel // code.stride),
            "CODE_COLUMNS": even,
            "CODE_TAPS": taps,
            "CODE_UNROLL": next(each for each in (4, 2, 1) if taps // 4 % each == 0),
            "CODE_STEP": code.stride * channels,
            "CODE_SHIFT": code.shift,
            "WINDOW_TOP": top,
            "WINDOW_LEFT": left,
            "WINDOW_ROWS": streamed[0],
            "WINDOW_COLUMNS": streamed[1],
            "GAMMA_ROW": gamma_row,
            "GAMMA_UNROLL": next(each for each in (16, 8, 4, 2) if gamma_row // 2 % each == 0),
            "NORM_SHIFT": encoder.norm_shift,
            "SQUARE_SHIFT": encoder.square_shift,
            "CENTERS": codec.config.centers,
            "BITS": bits,
            "PLACES": 0 if self.places is None else len(self.places),
            "SENT_ROWS": rows,
            "SENT_COLUMNS": columns,
            "BUFFER_BYTES": buffered,
            "PARITY_ROWS": parity.rows if parity else 0,
        }

    def _rows_at_once(self, top: int, rows: int) -> int:
        """Return how many of the latent rows top … top + rows − 1 one image row completes at most."""
        encoder, code = self.encoder, self.encoder.code
        last = encoder.image_size - 1
        reach = encoder.stem.weight.shape[-1] - 1 - encoder.stem_padding
        times: Counter[int] = Counter()
        for latent in range(top, top + rows):
            end = latent * code.stride - encoder.margin[0] + code.weight.shape[-1] - 1
            row = min(end, self.feature_shape[1] - 1)
            times[min(2 * (2 * row + 1 if encoder.pool else row) + reach, last)] += 1
        return max(times.values())

    def _stem_span(self, start: int, length: int) -> tuple[int, int]:
        """Return which rows (or columns) of the stem latent rows (or columns) start … start + length − 1 see."""
        code, size = self.encoder.code, self.feature_shape[1]
        first = start * code.stride - self.encoder.margin[0]
        first, end = max(first, 0), min(first + (length - 1) * code.stride + code.weight.shape[-1], size)
        return (max(2 * first - 1, 0), 2 * end) if self.encoder.pool else (first, end)

    def helium_tables(self) -> dict[str, tuple[str, Tensor]]:
        """Return those of `tables` that cores with Helium read in another order: taps side by side, channel by channel.

        The stem's taps, kernel rows behind one another, are filled up with zeros to whole vectors; the encoder's lie by
        kernel row first.
        """
        stem, code = (layer.weight.movedim(1, -1) for layer in (self.encoder.stem, self.encoder.code))
        stem, code = stem.flatten(1), code.movedim(1, 0)  # (C, k · k · 3), (k, K, k, C)
        return {
            "stem_weight": ("int16_t", F.pad(stem, (0, -stem.shape[1] % LANES))),
            "code_weight": ("int8_t", F.pad(code.flatten(2), (0, 0, 0, code.shape[1] % 2))),
        }

    def tables(self) -> dict[str, tuple[str, Tensor]]:
        """Return the tables of snn_model.c by their names, less the prefix snn_: C type and values."""
        encoder, codec = self.encoder, self.codec
        tables = {
            "stem_weight": ("int16_t", _stem_order(encoder.stem.weight)),
            "stem_bias": ("int32_t", encoder.stem.bias),
            "stem_multiplier": ("int32_t", encoder.stem.multiplier),
            "code_weight": ("int8_t", _code_order(encoder.code.weight)),
            "code_bias": ("int32_t", F.pad(encoder.code.bias, (0, len(encoder.code.bias) % 2))),
            "code_multiplier": ("int32_t", encoder.code.multiplier),
            "gamma": ("uint16_t", F.pad(encoder.gamma, (0, -len(encoder.gamma) % 4))),
            "beta": ("uint64_t", encoder.beta),
            "threshold": ("int32_t", encoder.thresholds),
            "code_word": ("uint8_t", codec.quantizer.code.cpu().long()),
        }
        parity = codec.parity(self.feature_shape, self.slice)
        if parity:
            tables["parity_edge"] = ("uint16_t", _edge_order(parity.edges))
        if self.places is not None:
            words = (WORDS[: len(self.places)].long() << torch.arange(16)).sum(1)
            tables |= {
                "importance": ("int8_t", codec.importance.cpu().long()),
                "place": ("uint8_t", self.places),
                "place_word": ("uint16_t", words),
            }
        return tables


def _edge_order(edges: Tensor) -> Tensor:
    """Return parity's edges (n, 3) as add_word reads them: row · 64 + last of its word · 32 + shift."""
    word, row, shift = edges.T
    last = torch.cat([word[1:] != word[:-1], word.new_ones(1, dtype=torch.bool)])
    return row * 64 + last * 32 + shift


def _stem_order(weight: Tensor) -> Tensor:
    """Return stem weights (C, 3, k, k) as add_stem_row reads them: by channel pair and kernel row, taps in pairs.

    A row's taps follow the pixels (column, then colour) and are filled up with a zero to whole pairs; two pairs of
    channel a, two of channel b, and so on; a last single pair of each.
    """
    channels, _, kernel, _ = weight.shape
    rows = weight.permute(0, 2, 3, 1).reshape(channels, kernel, 3 * kernel)
    rows = F.pad(rows, (0, kernel % 2)).view(channels // 2, 2, kernel, -1).transpose(1, 2)  # (C/2, k, 2, taps)
    whole = rows.shape[-1] // 4 * 4
    fours = rows[..., :whole].unflatten(-1, (-1, 4)).transpose(2, 3).flatten(2)  # (C/2, k, whole · 2)
    return torch.cat([fours, rows[..., whole:].flatten(2)], 2)


def _code_order(weight: Tensor) -> Tensor:
    """Return encoder weights (K, C, k, k) as add_code_row reads them: by kernel row, pair of channels, four taps.

    The second and the third of four have changed places: bytes 0 and 2 of a word meet two neighbouring inputs.
    """
    outputs, _, kernel, _ = weight.shape
    rows = F.pad(weight.permute(2, 0, 3, 1).flatten(2), (0, 0, 0, outputs % 2))  # (k, K, k · C), odd K filled up
    return rows.view(kernel, -1, 2, rows.shape[-1] // 4, 4).transpose(2, 3)[..., [0, 2, 1, 3]]
