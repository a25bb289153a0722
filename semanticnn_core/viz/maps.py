"""Figures of what the edge network looks at, and how maps do against the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.evaluation.truth import RANDOM
from semanticnn_core.viz.style import COLORS, CYCLE, DIVERGING, panes, plain

SQUARE = (0, 1, 1, 0)
"""Extent of every picture: images and maps of all sizes lie on each other."""
METHOD_NAMES = {
    "integrated_gradients": "integrated\ngradients",
    "gradient_shap": "GradientSHAP",
    "input_x_gradient": "input ×\ngradient",
    "saliency": "saliency",
    "occlusion": "occlusion",
    "deep_lift": "DeepLIFT",
    RANDOM: "random map",
}
METRIC_NAMES = {
    "pointing": ("pointing game, %\n(more is better)", 100),
    "inside": ("positive share\ninside the mask, %", 100),
    "ratio": ("positive share over\nshare of the area", 1),
    "deletion": ("area under deletion\n(less is better)", 1),
    "insertion": ("area under insertion\n(more is better)", 1),
    "infidelity": ("unexplained falls\n(less is better)", 1),
    "sensitivity": ("largest change under\n5 % noise (less)", 1),
    "gap": ("completeness gap, %\n(less is better)", 100),
}
"""What the axis of a metric says, and what the metric is multiplied by."""


def draw_maps(images: Tensor, maps: Mapping[str, Tensor], masks: Tensor | None = None) -> Figure:
    """Draw pixel maps (B, h, w), a row an image and a column a map; red speaks for the class, blue against it.

    The image, grey, shines through. masks: outlined in black.
    """
    figure, axes = panes(len(images), len(maps) + 1, (1.3 * len(maps) + 2.2, 1.42 * len(images) + 0.6))
    prepare(axes, ["image", *map(_method_name, maps)], masks)
    for number, (row, image) in enumerate(zip(axes, shown_pixels(images), strict=True)):
        row[0].imshow(image, extent=SQUARE)
        for axis, scores in zip(row[1:], maps.values(), strict=True):
            shown = draw_map(axis, scores[number], image)
    bar = figure.colorbar(shown, ax=axes[:, -1].tolist(), ticks=[-1, 0, 1], fraction=0.6, shrink=0.8)
    bar.ax.set_yticklabels(["against", "0", "for the\nclass"])
    return figure


def draw_truth(summary: pd.DataFrame, by: str = "feature", metrics: Sequence[str] | None = None) -> Figure:
    """Draw mean ± standard error over the images of each method and metric; a colour a value of column `by`.

    Where there is a random map, a dashed line carries its mean through the panel.
    """
    metrics = [name for name in metrics or METRIC_NAMES if name in set(summary["metric"])]
    methods, groups = list(dict.fromkeys(summary["method"])), list(dict.fromkeys(summary[by]))
    columns = min(len(metrics), 4)
    rows = -(-len(metrics) // columns)
    figure, axes = panes(rows, columns, (10, rows * (0.36 * len(methods) + 1.4) + 0.3 * (len(groups) > 1)), sharey=True)
    for axis in axes.flat[len(metrics) :]:
        axis.set_axis_off()
    for axis, metric in zip(axes.flat, metrics, strict=False):
        label, scale = METRIC_NAMES[metric]
        for number, group in enumerate(groups):
            part = summary[(summary["metric"] == metric) & (summary[by] == group)].set_index("method")
            shift = min(0.22, 0.6 / len(groups)) * (number - (len(groups) - 1) / 2)
            places = [methods.index(name) + shift for name in part.index]
            bars = scale * part["standard_error"].fillna(0)
            axis.errorbar(
                scale * part["mean"], places, xerr=bars, fmt="osD^vP"[number % 6], ms=5, capsize=3, lw=1.5,
                color=CYCLE[number % len(CYCLE)], label=plain(group),
            )  # fmt: skip
            if RANDOM in part.index:
                axis.axvline(scale * part["mean"][RANDOM], ls="--", lw=1.2, color=COLORS["gray"], zorder=1)
        counts = summary.loc[summary["metric"] == metric, "images"] if "images" in summary else pd.Series(dtype=int)
        count = "" if counts.empty else f"\nn = {'–'.join(map(str, sorted({counts.min(), counts.max()})))}"
        axis.set_title(label + count, fontsize=10)
        axis.set_yticks(range(len(methods)), [_method_name(each).replace("\n", " ") for each in methods])
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.set_xlim(0, 1.1 * axis.get_xlim()[1])
    if len(groups) > 1:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(groups))
    return figure


def draw_masking(table: pd.DataFrame) -> Figure:
    """Draw `masking_table`: the class's mean probability against the share of pixels gone or back, ± standard error."""
    figure, axes = panes(1, 2, (9, 3.2), sharey=True)
    words = {"deletion": "deletion: the best pixels go first", "insertion": "insertion: the best come back first"}
    for axis, (kind, title) in zip(axes[0], words.items(), strict=True):
        for number, (method, part) in enumerate(table[table["kind"] == kind].groupby("method", sort=False)):
            stats = 100 * part.groupby("share")["probability"].agg(["mean", "sem"]).fillna(0)
            color = COLORS["gray"] if method == "random" else CYCLE[number % len(CYCLE)]
            name = _method_name(method).replace("\n", " ")
            style = {"color": color, "ls": "--" if method == "random" else "-", "elinewidth": 0.8}
            axis.errorbar(100 * stats.index, stats["mean"], stats["sem"], label=name, **style)
        name = {"deletion": "pixels gone (set to zero), %", "insertion": "pixels back, %"}[kind]
        axis.set(title=title, xlabel=name, xlim=(0, 100), ylim=(0, 102))
    axes[0, 0].set_ylabel("probability of the true class, %")
    axes[0, 1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _method_name(method: str) -> str:
    return METHOD_NAMES.get(method) or plain(method)


def draw_map(axis: Axes, scores: Tensor, image: np.ndarray):
    """Draw one map (h, w) over its image, its 99th percentile as full colour, opaque where it is strong."""
    top = float(scores.abs().flatten().quantile(0.99)) or 1.0
    values = (scores / top).clamp(-1, 1).numpy()
    coarse = F.adaptive_avg_pool2d(torch.from_numpy(image).float().mean(2)[None], scores.shape)[0]
    axis.imshow(coarse.numpy(), cmap="gray", vmin=-120, vmax=300, extent=SQUARE)
    alpha = np.abs(values) ** 0.5 * 0.9
    return axis.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, alpha=alpha, extent=SQUARE)


def shown_pixels(images: Tensor) -> np.ndarray:
    """Return images (B, 3, H, W) as (B, H, W, 3), in steps of 8: nobody sees it, and notebooks stay small."""
    return images.permute(0, 2, 3, 1).numpy() // 8 * 8 + 4


def prepare(axes: np.ndarray, names: Sequence[str], masks: Tensor | None) -> None:
    """Give axes (rows, columns) bare frames, the names above the first row, and each row its mask's outline."""
    for number, row in enumerate(axes):
        for axis, name in zip(row, names, strict=True):
            axis.set(xticks=[], yticks=[], title="")
            axis.set_title(name if number == 0 else "", loc="center", fontsize=10)
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
            if masks is not None:
                ramp = [(np.arange(size) + 0.5) / size for size in reversed(masks.shape[1:])]
                for color, width in (("white", 2.0), ("black", 0.8)):
                    axis.contour(*ramp, masks[number].float().numpy(), [0.5], colors=[color], linewidths=width)
