"""Figures of the windows that slicing sends: where they lie, what they keep, and what they are worth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.explain.kept import WINDOWS, Kept, share_inside
from semanticnn_core.viz.maps import SQUARE, draw_map, prepare, shown_pixels
from semanticnn_core.viz.style import COLORS, SEQUENTIAL, panes, plain

WINDOW_COLORS = dict(zip(WINDOWS, (COLORS["gray"], COLORS["red"], COLORS["blue"]), strict=True))


def draw_slicing(kept: Kept, classes: Sequence[str], masks: Tensor | None = None) -> Figure:
    """Draw the device's map of what matters, and what each window keeps of images; the rest fades.

    Under each window: the share of the mask (B, H, W) that it keeps, and what the edge answers without any bit error,
    red where that is not what the uncompressed network answers.
    """
    count = len(kept.images)
    figure, axes = panes(count, len(WINDOWS) + 2, (9.5, 1.85 * count + 0.5))
    names = ("image", "the device's map\n(bright: matters)", *(f"window:\n{window}" for window in WINDOWS))
    prepare(axes, names, masks)
    rows = zip(axes, shown_pixels(kept.images), kept.importance, kept.clean.tolist(), strict=True)
    for row, image, map_, answer in rows:
        row[0].imshow(image, extent=SQUARE)
        row[0].set_xlabel(f"uncompressed: {plain(classes[answer])}", fontsize=9)
        row[1].imshow(image.mean(2), cmap="gray", extent=SQUARE)
        row[1].imshow(map_.numpy(), cmap=SEQUENTIAL, alpha=0.65, extent=SQUARE)
    for number, window in enumerate(WINDOWS, 2):
        answers = kept.answers[window].tolist()
        for place, (box, image) in enumerate(zip(kept.boxes[window].tolist(), shown_pixels(kept.images), strict=True)):
            axis = axes[place, number]
            axis.imshow(_faded(image, box), extent=SQUARE)
            for each, width in ((axis, 2.5), (axes[place, 1], 8 / number)):  # windows at one place all show
                sides = box[2] - box[0], box[3] - box[1]
                each.add_patch(Rectangle(box[:2], *sides, fill=False, color=WINDOW_COLORS[window], lw=width))
            share = "" if masks is None else f"{100 * share_inside(masks[place], box):.0f} % of it kept, "
            axis.set_xlabel(f"{share}answer {plain(classes[answers[place]])}", fontsize=9)
            axis.xaxis.label.set_color(COLORS["black" if answers[place] == kept.clean[place] else "red"])
    return figure


def draw_device_map(images: Tensor, scores: Tensor, device: Tensor, masks: Tensor | None = None) -> Figure:
    """Draw pixel maps (B, H, W) beside the device's (B, h, w), and how well the two correlate."""
    wanted = F.adaptive_avg_pool2d(scores.clamp_min(0)[:, None], device.shape[1:])[:, 0]
    figure, axes = panes(4, len(images), (1.3 * len(images) + 1, 5.6))
    prepare(axes.T, ("", "", "", ""), masks)
    for column, image, each, want, have in zip(axes.T, shown_pixels(images), scores, wanted, device, strict=True):
        column[0].imshow(image, extent=SQUARE)
        draw_map(column[1], each, image)
        for axis, map_ in zip(column[2:], (want, have), strict=True):
            axis.imshow(map_.numpy(), cmap=SEQUENTIAL, extent=SQUARE)
        correlation = torch.corrcoef(torch.stack([want.flatten(), have.flatten()]))[0, 1]
        column[3].set_xlabel(f"correlation {float(correlation):.2f}", fontsize=9)
    names = (
        "image",
        "attribution\nat the edge",
        "its positive part,\na code pixel each",
        "the table's sum\non the device",
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(name, fontsize=10)
    return figure


def draw_windows(table: pd.DataFrame, clean: float | None = None) -> Figure:
    """Draw accuracy against the share of the code really sent, a line a window, and the gain over the centre.

    table: columns window, slice_ratio, share_sent and accuracy; the gain is drawn where the table of
    `compare_windows` has it, ± its standard error. clean: uncompressed accuracy.
    """
    columns = 2 if "gain" in table else 1
    figure, (axes,) = panes(1, columns, (10, 3.8))
    for number, (window, part) in enumerate(table.groupby("window", sort=False)):
        name = window if window == "center" else f"{window} (+ 2 bytes)"
        style = {"marker": "o", "ms": 5, "color": WINDOW_COLORS[window]}
        means = 100 * part.groupby("share_sent")["accuracy"].mean()
        axes[0].plot(100 * means.index, means, label=name, **style)
        if columns > 1 and window != "center":
            places = 100 * part["share_sent"] + 0.8 * number - 1.2  # bars stand beside each other
            axes[1].errorbar(places, 100 * part["gain"], 100 * part["standard_error"], capsize=3, **style)
    if clean is not None:
        axes[0].axhline(100 * clean, ls="--", lw=1.2, color=COLORS["black"], label="uncompressed")
    ratios = table.groupby("share_sent")["slice_ratio"].first()
    places = 100 * np.array(ratios.index)
    for axis in axes:
        axis.set_xticks(places, [f"{place:.0f}\n({ratio:g})" for place, ratio in zip(places, ratios, strict=True)])
        axis.set(xlabel="share of the code sent, % (slice ratio asked)")
    axes[0].set(ylabel="accuracy, %")
    axes[0].legend(loc="lower right")
    if columns > 1:
        axes[1].axhline(0, lw=1.2, color=WINDOW_COLORS["center"])
        axes[1].set(ylabel="points", title="gain over the centre, image by image (± s.e.)")
    return figure


def _faded(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Return an image (H, W, 3) of which what lies outside the box has become pale and grey."""
    rows, columns = ((np.arange(size) + 0.5) / size for size in image.shape[:2])
    sent = ((rows >= box[1]) & (rows < box[3]))[:, None] & ((columns >= box[0]) & (columns < box[2]))
    pale = 255 - 8 * ((255 - image.mean(2, keepdims=True)) // 32)
    return np.where(sent[..., None], image, pale).astype(np.uint8)
