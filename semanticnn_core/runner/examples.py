"""Test images on their way, as strips of small pictures: what leaves, what arrives, what is answered, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.config import percent
from semanticnn_core.datasets.base import Split
from semanticnn_core.evaluation.fates import FATES, fates
from semanticnn_core.explain.attribution import Explained, attribute
from semanticnn_core.explain.kept import device_map
from semanticnn_core.panels.canvas import colored, pixels
from semanticnn_core.runner import document
from semanticnn_core.systems import Received, SemanticNN
from semanticnn_core.systems.journey import byte_bits
from semanticnn_core.tasks.base import Outputs, Targets
from semanticnn_core.tasks.detection import Detection
from semanticnn_core.viz.boxes import painted
from semanticnn_core.viz.figures import BIT_COLORS
from semanticnn_core.viz.style import DIVERGING

STEPS = 32
"""Points of Integrated Gradients."""
ROW = 64
"""Bits in a row of the picture of a payload, at least; long payloads have longer rows."""


@dataclass(frozen=True)
class Answer:
    """What was answered for one image: a picture of it where there are boxes, its words, and whether it is wrong."""

    picture: np.ndarray | None
    words: str
    wrong: bool


@torch.no_grad()
def examples(
    system: SemanticNN, split: Split, classes: Sequence[str], bers: Sequence[float]
) -> Iterator[tuple[str, bool]]:
    """Yield a strip for each image of a split: it, its feature, its payload, and what arrives at each error rate.

    With it whether the link spoils the answer: right uncompressed, wrong at the last of the error rates.
    """
    items = split.batch(range(len(split)))
    images, payload = items["image"], system.send(items["image"])
    feature = payload.local["feature"]
    clean = _answers(system, system.model.edge_part(feature), items, classes)
    arrivals = [BinarySymmetric(ber, number)(payload) for number, ber in enumerate(bers)]
    received = [system.receive(arrival) for arrival in arrivals]
    answers = [_answers(system, each.outputs, items, classes) for each in received]
    size = payload.data.shape[1]
    for row in range(len(images)):
        image, truth = _truth(system, items, row, classes)
        means = [each[row].mean(0) for each in (feature, *(each.feature for each in received))]
        low, high = torch.stack(means).quantile(torch.tensor([0.01, 0.99])).tolist()
        sent = payload.data[row]
        uncompressed = clean[row]
        cells = [
            ([(image, f"test image, {truth}")], f"{truth}; image, {images[row].numel():,} bytes", False),
            (
                [(colored(means[0], low, high), "mean of the feature's channels, on the device")],
                f"feature, {feature[row].numel():,} numbers; uncompressed: {uncompressed.words}",
                uncompressed.wrong,
            ),
            ([(_bits(sent, sent), f"the {size} bytes sent, dark: 1")], f"what is sent, {size} bytes", False),
        ]
        for ber, arrival, restored, said in zip(bers, arrivals, means[1:], answers, strict=True):
            flipped = int(byte_bits(sent ^ arrival.payload.data[row]).sum())
            pictures = [
                (_bits(sent, arrival.payload.data[row]), f"the bytes at {percent(ber)} bit errors, {flipped} flipped"),
                (colored(restored, low, high), f"the feature that the decoder makes of them at {percent(ber)}"),
            ]
            if said[row].picture is not None:
                pictures[1] = (said[row].picture, f"boxes found at {percent(ber)} bit errors: {said[row].words}")
            cells.append((pictures, f"{percent(ber)} bit errors: {said[row].words}", said[row].wrong))
        spoiled = answers[-1][row].wrong and not uncompressed.wrong
        yield document.strip(cells, large=uncompressed.picture is not None), spoiled


def explanations(system: SemanticNN, split: Split, classes: Sequence[str], ber: float) -> list[str]:
    """Return a strip for each image: maps of what speaks for the truth, before and after the link, and the device's."""
    items, task, codec = split.batch(range(len(split))), system.model.task, system.codec
    payload = system.send(items["image"])
    feature = payload.local["feature"]
    received: Received = system.receive(BinarySymmetric(ber, 0)(payload))
    guide, target = Explained(system.model.edge_part, task), task.explained(items)
    maps = [attribute(guide, each, target, steps=STEPS).scores for each in (feature, received.feature)]
    names = ["before the link", f"after {percent(ber)} bit errors"]
    device = device_map(codec, feature) if codec.importance.any() else None
    strips = []
    for row, image in enumerate(items["image"]):
        shown, truth = _truth(system, items, row, classes)
        cells = [([(shown, f"test image, {truth}")], truth, False)]
        top = max(float(maps[0][row].abs().quantile(0.99)), 1e-9)
        cells += [
            ([(_over(image, each[row], top), f"pixel map {name}, red: speaks for the answer")], name, False)
            for each, name in zip(maps, names, strict=True)
        ]
        if device is not None:
            low, high = device[row].min().item(), device[row].max().item()
            words = "what the device believes"
            cells.append(([(colored(device[row], low, high), f"{words}, bright: matters")], words, False))
        strips.append(document.strip(cells))
    return strips


def _answers(system: SemanticNN, outputs: Outputs, items: Targets, classes: Sequence[str]) -> list[Answer]:
    """Return what outputs say of each image, of a class or of boxes."""
    if isinstance(system.model.task, Detection):
        answers = system.model.task.answers(outputs)
        table = fates(answers, items)
        return [
            _boxes(table[table["image"] == row]["fate"], painted(image, answers, row, classes, 2))
            for row, image in enumerate(items["image"])
        ]
    chances, made = outputs.softmax(1).max(1)
    pairs = zip(made.tolist(), chances.tolist(), items["label"].tolist(), strict=True)
    return [Answer(None, f"{classes[one]} ({chance:.0%})", one != label) for one, chance, label in pairs]


def _boxes(fate: pd.Series, picture: np.ndarray) -> Answer:
    found = int((fate == FATES[0]).sum())
    return Answer(picture, f"{found} of {len(fate)} found", found < len(fate))


def _truth(system: SemanticNN, items: Targets, row: int, classes: Sequence[str]) -> tuple[np.ndarray, str]:
    """Return an image as it is shown, and what is true of it."""
    image = items["image"][row]
    if isinstance(system.model.task, Detection):
        count = len(items["box"][row])
        return painted(image, items, row, classes, 2), f"{count} object{'' if count == 1 else 's'}"
    return pixels(image), f"true: {classes[int(items['label'][row])]}"


def _bits(sent: Tensor, arrived: Tensor) -> np.ndarray:
    """Return a payload (n,) as it arrives as colours (rows, columns, 3): 0, 1, and flipped bits."""
    bits = torch.where(byte_bits(sent ^ arrived) > 0, 2, byte_bits(arrived)).flatten().numpy()
    columns = max(ROW, 8 * int((len(bits) / 64) ** 0.5 + 0.5))
    grid = np.pad(bits, (0, -len(bits) % columns)).reshape(-1, columns)
    return (np.array([to_rgb(color) for color in BIT_COLORS])[grid] * 255).round().astype(np.uint8)


def _over(image: Tensor, scores: Tensor, top: float) -> np.ndarray:
    """Return a pixel map (h, w) as colours over the grey image, strong where it says much; uint8 (h, w, 3)."""
    grey = torch.nn.functional.adaptive_avg_pool2d(image.float().mean(0)[None], scores.shape)[0].numpy()
    values = (scores / top).clamp(-1, 1).numpy()
    color = mpl.colormaps[DIVERGING]((values + 1) / 2)[..., :3] * 255
    share = (np.abs(values) ** 0.5 * 0.9)[..., None]
    return (share * color + (1 - share) * (90 + 0.6 * grey[..., None])).round().astype(np.uint8)
