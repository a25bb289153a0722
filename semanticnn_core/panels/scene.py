"""What the playground shows, as pure functions: one image at one position of the controls, and a sheet of it all."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from semanticnn_core.channels import Payload
from semanticnn_core.codec.reed_muller import recover
from semanticnn_core.config import Slice, percent
from semanticnn_core.explain.attribution import attribute
from semanticnn_core.panels.canvas import BYTES_PER_ROW, Frame, colored, pixels
from semanticnn_core.panels.opened import Accuracy, Played
from semanticnn_core.systems.journey import Journey, follow
from semanticnn_core.viz.figures import BIT_COLORS, bit_grid, draw_probabilities
from semanticnn_core.viz.style import COLORS, DIVERGING, panes, plain

MAP_STEPS = 16
"""Points of Integrated Gradients for the live map.

In November 2026, at features received by mobilenet_v2-scene_digits, it correlated 0.99 with a map of 300 points.
"""
LABELS = {
    "image": "image",
    "sent": "feature, channel mean",
    "received": "received, same colours",
    "difference": "difference, channel rms",
    "map": "attribution, red: for it",
}
FRAMED = ("image", "map")
"""The pictures on which the window that was sent is outlined."""


@dataclass(frozen=True)
class Point:
    """Where the controls stand; its text is the state of every picture made there."""

    ber: float
    slice: Slice
    seed: int
    image: str
    checkpoint: str

    def __str__(self) -> str:
        return (
            f"ber={self.ber:g};ratio={self.slice.ratio:g};window={self.slice.window};seed={self.seed};"
            f"image={self.image};checkpoint={self.checkpoint}"
        )

    @property
    def words(self) -> str:
        """The same for people."""
        return (
            f"{self.image}, bit error rate {percent(self.ber)}, slice ratio {self.slice.ratio:g}, {self.slice.window} "
            f"window, channel seed {self.seed}, checkpoint {self.checkpoint}"
        )


@dataclass(frozen=True)
class Subject:
    """An image, with what no slider changes."""

    image: Tensor
    """uint8 (3, H, W)."""
    label: int | None
    """Its class, where known."""
    feature: Tensor
    """(1, C, h, w)."""
    clean: Tensor
    """Class probabilities of the uncompressed network, (classes,)."""


@torch.no_grad()
def subject_of(played: Played, image: Tensor, label: int | None) -> Subject:
    """Return an image uint8 (3, H, W) with its feature and the uncompressed network's answer."""
    feature = played.model.device_part(image[None])
    return Subject(image, label, feature, played.model.edge_part(feature).softmax(1)[0])


@torch.no_grad()
def journey_at(played: Played, subject: Subject, point: Point) -> Journey:
    """Send an image as real bytes, as the controls say."""
    system = played.system(point.slice)
    payload = Payload(played.codec.compress(subject.feature, point.slice).data, local={"feature": subject.feature})
    return follow(system, subject.image, point.ber, point.seed, payload, subject.clean)


def window_frame(played: Played, point: Point, payload: Tensor) -> Frame:
    """Return the window that payload bytes (n,), sent or arrived, speak of."""
    windows = played.windows(point.slice)
    number = recover(payload[None, : windows.head_bytes]) if windows.announced else None
    return tuple(windows.frames(windows.corner(number))[0].tolist())


def quick_maps(journey: Journey) -> dict[str, np.ndarray]:
    """Return all pictures but the map, as colours uint8 (rows, columns, 3)."""
    mean = journey.sent.mean(0)
    low, high = float(mean.min()), float(mean.max())
    error = (journey.received - journey.sent).square().mean(0).sqrt()
    return {
        "image": pixels(journey.image),
        "sent": colored(mean, low, high),
        "received": colored(journey.received.mean(0), low, high),
        "difference": colored(error, 0, 2 * float(journey.sent.std())),
    }


def attribution_map(played: Played, journey: Journey) -> np.ndarray:
    """Return which pixels of the received feature speak for the answer (red) and against it (blue), as colours."""
    target = int(journey.answer.argmax())
    scores = attribute(played.model.edge_part, journey.received[None], target, steps=MAP_STEPS).scores[0]
    top = float(scores.abs().flatten().quantile(0.99))
    return colored(scores, -top, top, DIVERGING)


def draw_scene(
    played: Played,
    point: Point,
    journey: Journey,
    maps: dict[str, np.ndarray],
    accuracy: Accuracy,
) -> Figure:
    """Draw everything the playground shows on one sheet."""
    figure, ((old,),) = panes(size=(11, 5.6), layout="constrained")
    old.remove()
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.2])
    top, left, bottom, right = window_frame(played, point, journey.payload)
    for axis, (name, label) in zip(above.subplots(1, len(LABELS)), LABELS.items(), strict=True):
        axis.imshow(maps[name], extent=(0, 1, 1, 0), interpolation="nearest")
        axis.set_title(label, fontsize=9, loc="center")
        axis.set_axis_off()
        if name in FRAMED:
            look = {"ec": COLORS["orange"], "lw": 2, "fill": False, "clip_on": False}
            axis.add_patch(Rectangle((left, top), right - left, bottom - top, **look))
    bits, chances, curves = below.subplots(1, 3, width_ratios=[1.1, 1, 1.4])
    grid = bit_grid(journey, BYTES_PER_ROW)
    bits.imshow(
        grid, cmap=ListedColormap([*BIT_COLORS, "white"]), vmin=0, vmax=3, aspect="auto", interpolation="nearest"
    )
    bits.set_axis_off()
    bits.set_title(f"{len(journey.payload)} bytes, {journey.flips} bits flipped", fontsize=10)
    draw_probabilities(journey, played.classes, chances)
    _draw_accuracy(curves, point.ber, accuracy)
    where = f"{percent(point.ber)} of bits flip · slice ratio {point.slice.ratio:g}, {point.slice.window} window"
    title = f"{played.name} · {where} · channel seed {point.seed} · {point.image}"
    above.suptitle(plain(title), x=0.01, ha="left")
    return figure


def _draw_accuracy(axis: Axes, ber: float, accuracy: Accuracy) -> None:
    curve, reading = accuracy.curve, accuracy.reading
    if curve is None:
        axis.set_axis_off()
        return
    known = curve[curve["ber"] > 0]
    color = COLORS["blue" if accuracy.here else "gray"]
    axis.errorbar(known["ber"], 100 * known["mean"], 100 * known["std"], marker="o", ms=4, capsize=3, color=color)
    axis.set(xscale="log", xlabel="bit error rate", ylabel="accuracy, %")
    axis.set_xticks(known["ber"], [percent(rate) for rate in known["ber"]], fontsize=8, rotation=30)
    axis.minorticks_off()
    if ber:
        axis.axvline(ber, color=COLORS["red"], lw=1)
    if ber and reading:
        axis.plot([ber], [100 * reading.mean], "o", ms=10, mfc="none", mec=COLORS["red"], mew=2)
    title = "test split, mean ± std" if accuracy.here else "whole code; not measured at this ratio"
    axis.set_title(title, fontsize=10)
