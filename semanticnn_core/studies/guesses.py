"""A guess beside what was measured, and what the notebooks ask one to guess."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semanticnn_core.channels import BitErrors
from semanticnn_core.channels.radio import lora_ber
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.datasets import Split
from semanticnn_core.explain.kept import keep
from semanticnn_core.systems.base import OffloadSystem, offload
from semanticnn_core.systems.journey import follow
from semanticnn_core.tasks.split import SplitModel

RATES = tuple(number / 100 for number in range(1, 41))
RATIOS = tuple(number / 20 for number in range(2, 21))


def compare_guess(guess: Any, measured: Any, unit: str = "") -> None:
    """Print what was guessed beside what was measured, numbers in `unit` or names; without a guess the measured alone.

    measured: None where this run could not measure it.
    """
    found = "nothing was measured here" if measured is None else f"measured {_written(measured, unit)}"
    print(found if guess is None else f"you guessed {_written(guess, unit)}, {found}")


def spread_over_seeds(system: OffloadSystem, image: Tensor, ber: float, seeds: int = 10) -> float:
    """Return by how much the worst channel seed's squared error of the feature is above the best one's, in %.

    image: uint8 (3, H, W).
    """
    errors = [follow(system, image, ber, seed).mse for seed in range(seeds)]
    return 100 * (max(errors) / min(errors) - 1)


def tipping_rate(system: OffloadSystem, image: Tensor, seed: int) -> float | None:
    """Return the smallest of `RATES`, in %, at which the edge's answer for an image uint8 (3, H, W) changes."""
    journeys = (follow(system, image, rate, seed) for rate in RATES)
    return next((100 * each.ber for each in journeys if each.classes[0] != each.classes[1]), None)


def smallest_slice(model: SplitModel, codec: SemanticCodec, image: Tensor, window: str) -> float | None:
    """Return the smallest of `RATIOS` from which on the answer for an image uint8 (3, H, W) stays, without errors."""
    kept = None
    for ratio in reversed(RATIOS):
        seen = keep(model, codec, image[None], ratio)
        if int(seen.answers[window]) != int(seen.clean):
            break
        kept = ratio
    return kept


def damaged_bytes(system: OffloadSystem, image: Tensor, ber: float, seed: int) -> float:
    """Return the share of the payload's bytes that arrive damaged, in %; image uint8 (3, H, W)."""
    journey = follow(system, image, ber, seed)
    return 100 * float((journey.payload != journey.arrived).double().mean())


@torch.no_grad()
def boxes_left(system: OffloadSystem, split: Split, ber: float, seed: int) -> float:
    """Return how many boxes a detector still names at a rate, of those it names without errors, in %."""
    counts = []
    for rate in (0.0, ber):
        received = offload(system, split["image"], BitErrors(rate).channel(seed)).received
        counts.append(sum(map(len, system.model.task.answers(received.outputs)["box"])))
    return 100 * counts[1] / max(counts[0], 1)


def snr_for(ber: float, spreading_factor: int) -> float:
    """Return the signal-to-noise ratio, to a tenth of a decibel, from which on LoRa flips fewer bits than `ber`."""
    levels = (level / 10 for level in range(-300, 100))
    return next(level for level in levels if lora_ber(level, spreading_factor) < ber)


def ahead_from(table: Any, name: str, other: str, rates: Sequence[float]) -> float | None:
    """Return the rate, in %, from which on a system is above another at all larger ones; table: a column a rate."""
    if not {name, other} <= set(table.index):
        return None
    found = None
    for rate in sorted(rates, reverse=True):
        if table.loc[name, rate] <= table.loc[other, rate]:
            break
        found = 100 * rate
    return found


def _written(value: Any, unit: str) -> str:
    try:
        return f"{float(f'{float(value):.3g}'):,g} {unit}".rstrip()
    except (TypeError, ValueError, RuntimeError):  # no number
        return str(value)
