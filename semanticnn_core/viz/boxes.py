"""Pictures of detections: boxes and their names painted into an image, and what became of objects on a link."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from semanticnn_core.config import percent
from semanticnn_core.evaluation.fates import FATES
from semanticnn_core.tasks.base import Targets
from semanticnn_core.viz.style import COLORS, panes, plain

COLORS_KEPT = 24
"""Colours of a picture in a figure."""
FATE_COLORS = dict(zip(FATES, (COLORS["blue"], COLORS["sky"], COLORS["orange"], COLORS["red"]), strict=True))


def painted(image: Tensor, found: Targets, number: int, classes: Sequence[str], scale: int = 3) -> np.ndarray:
    """Return an image uint8 (3, H, W), `scale` times as large, with one image's boxes; uint8 (scale·H, scale·W, 3).

    found: lists of `box` and `label`, with `score` where known; number: which entry is painted.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    picture = picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    scores = found["score"][number].tolist() if "score" in found else [None] * len(found["box"][number])
    for box, label, score in zip(found["box"][number].tolist(), found["label"][number].tolist(), scores, strict=True):
        x0, y0, x1, y1 = (scale * each for each in box)
        pen.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=COLORS["orange"], width=2)
        words = str(classes[label]) + ("" if score is None else f" {100 * score:.0f}")
        left, top, right, bottom = pen.textbbox((x0 + 2, y0 + 1), words)
        pen.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=COLORS["black"])
        pen.text((x0 + 2, y0 + 1), words, fill="white")
    return np.asarray(picture)


def draw_boxes(images: Tensor, rows: Mapping[str, Targets], classes: Sequence[str]) -> Figure:
    """Draw images uint8 (B, 3, H, W) in columns, a row for each set of boxes: the truth, or what was found."""
    figure, axes = panes(len(rows), len(images), (2.2 * len(images), 2.3 * len(rows)))
    for axis_row, (name, found) in zip(axes, rows.items(), strict=True):
        for number, (axis, image) in enumerate(zip(axis_row, images, strict=True)):
            axis.imshow(_plainer(painted(image, found, number, classes, 2)))
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        axis_row[0].set_ylabel(plain(name), fontsize=10)
    return figure


def _plainer(picture: np.ndarray) -> np.ndarray:
    """Return a picture in few colours: the noise of photographs would make a notebook's file large."""
    return np.asarray(Image.fromarray(picture).quantize(COLORS_KEPT, dither=Image.Dither.NONE).convert("RGB"))


def draw_fates(tables: Mapping[float, pd.DataFrame], edges: Sequence[float]) -> Figure:
    """Draw what became of objects: over bit error rates, and at the worst of them over the objects' size.

    tables: by bit error rate, as `fates` returns them. edges: bounds of the sizes, pixels.
    """
    figure, (axes,) = panes(1, 2, (9.5, 3.6))
    whole = {percent(ber): table for ber, table in tables.items()}
    worst = tables[max(tables)]
    sizes = pd.cut(worst["side"], edges)
    parts = {f"{each.left:.0f}–{each.right:.0f} px": part for each, part in worst.groupby(sizes, observed=True)}
    titles = "all objects", f"by size, at {percent(max(tables))}"
    for axis, title, shown in zip(axes, titles, (whole, parts), strict=True):
        below = np.zeros(len(shown))
        for fate, color in FATE_COLORS.items():
            height = np.array([100 * (table["fate"] == fate).mean() for table in shown.values()])
            axis.bar(range(len(shown)), height, bottom=below, color=color, label=fate, width=0.7)
            below += height
        axis.set_xticks(range(len(shown)), list(shown))
        axis.set(title=title, ylim=(0, 100))
    axes[0].set(ylabel="objects, %", xlabel="bit error rate")
    axes[1].set(xlabel="√ area of the box")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
