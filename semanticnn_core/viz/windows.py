"""Figures of the windows that slicing sends: where they lie, what they keep, and what they are worth."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels import Arrival
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import Slice, Window
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz.maps import SQUARE, draw_map, prepare, shown_pixels
from semanticnn_core.viz.style import COLORS, SEQUENTIAL, panes, plain

WINDOWS = get_args(Window)
WINDOW_COLORS = dict(zip(WINDOWS, (COLORS["gray"], COLORS["red"], COLORS["blue"]), strict=True))


@torch.no_grad()
def code_index(codec: SemanticCodec, feature: Tensor) -> Tensor:
    """Return the symbols that features (B, C, H, W) would be sent as, int64 (B, K, h, w)."""
    return codec.quantizer.assign(codec.encoder(feature))


def window_boxes(codec: SemanticCodec, feature: Tensor, slice: Slice) -> Tensor:
    """Return where each feature's window lies, as shares of the picture: x0, y0, x1, y1 in [0, 1], (B, 4)."""
    windows = codec.windows(feature.shape[1:], slice)
    corner = windows.corner(codec.best_window(code_index(codec, feature), slice)).expand(len(feature), 2)
    return windows.frames(corner)[:, [1, 0, 3, 2]]


@torch.no_grad()
def draw_slicing(
    model: SplitModel,
    codec: SemanticCodec,
    images: Tensor,
    slice_ratio: float,
    classes: Sequence[str],
    masks: Tensor | None = None,
) -> Figure:
    """Draw the device's map of what matters, and what each window keeps of images (B, 3, H, W); the rest fades.

    Under each window: the share of the mask that it keeps, and what the edge answers without any bit error, red where
    that is not what the uncompressed network answers.
    """
    feature = model.device_part(images)
    clean = model.edge_part(feature).argmax(1)
    believed = codec.importance_map(code_index(codec, feature)).float()
    figure, axes = panes(len(images), len(WINDOWS) + 2, (9.5, 1.85 * len(images) + 0.5))
    names = ("image", "the device's map\n(bright: matters)", *(f"window:\n{window}" for window in WINDOWS))
    prepare(axes, names, masks)
    for row, image, map_, answer in zip(axes, shown_pixels(images), believed, clean.tolist(), strict=True):
        row[0].imshow(image, extent=SQUARE)
        row[0].set_xlabel(f"uncompressed: {plain(classes[answer])}", fontsize=9)
        row[1].imshow(image.mean(2), cmap="gray", extent=SQUARE)
        row[1].imshow(map_.numpy(), cmap=SEQUENTIAL, alpha=0.65, extent=SQUARE)
    for number, window in enumerate(WINDOWS, 2):
        part = Slice(slice_ratio, window)
        boxes = window_boxes(codec, feature, part).tolist()
        received = codec.decompress(Arrival(codec.compress(feature, part), ber=0.0), feature.shape[1:], part)
        answers = model.edge_part(received).argmax(1)
        for place, (box, image) in enumerate(zip(boxes, shown_pixels(images), strict=True)):
            axis = axes[place, number]
            axis.imshow(_faded(image, box), extent=SQUARE)
            for each, width in ((axis, 2.5), (axes[place, 1], 8 / number)):  # windows at one place all show
                sides = box[2] - box[0], box[3] - box[1]
                each.add_patch(Rectangle(box[:2], *sides, fill=False, color=WINDOW_COLORS[window], lw=width))
            kept = "" if masks is None else f"{100 * share_inside(masks[place], box):.0f} % of it kept, "
            axis.set_xlabel(f"{kept}answer {plain(classes[int(answers[place])])}", fontsize=9)
            axis.xaxis.label.set_color(COLORS["black" if answers[place] == clean[place] else "red"])
    return figure


def draw_device_map(
    codec: SemanticCodec, images: Tensor, feature: Tensor, scores: Tensor, masks: Tensor | None = None
) -> Figure:
    """Draw pixel maps (B, h, w) beside what the device's table makes of the symbols, and how well the two correlate."""
    device = codec.importance_map(code_index(codec, feature)).float()
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


def share_inside(mask: Tensor, box: Sequence[float]) -> float:
    """Return the share of a mask (H, W) that lies in a box of shares of the picture (x0, y0, x1, y1)."""
    height, width = mask.shape
    x0, y0, x1, y1 = (round(part * size) for part, size in zip(box, (width, height) * 2, strict=True))
    return float(mask[y0:y1, x0:x1].sum() / mask.sum().clamp_min(1))


def _faded(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Return an image (H, W, 3) of which what lies outside the box has become pale and grey."""
    rows, columns = ((np.arange(size) + 0.5) / size for size in image.shape[:2])
    sent = ((rows >= box[1]) & (rows < box[3]))[:, None] & ((columns >= box[0]) & (columns < box[2]))
    pale = 255 - 8 * ((255 - image.mean(2, keepdims=True)) // 32)
    return np.where(sent[..., None], image, pale).astype(np.uint8)
