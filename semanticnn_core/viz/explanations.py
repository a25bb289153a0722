"""Figures of what the edge network looks at, what slicing keeps of it, and how maps do against the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import center_corner, corners, sliced_length
from semanticnn_core.config import Window
from semanticnn_core.evaluation.explanations import RANDOM, masking_curve
from semanticnn_core.files import located
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz.figures import panes
from semanticnn_core.viz.style import COLORS, CYCLE, DIVERGING, SEQUENTIAL

WINDOWS = get_args(Window)
WINDOW_COLORS = dict(zip(WINDOWS, (COLORS["gray"], COLORS["red"], COLORS["blue"]), strict=True))
SQUARE = (0, 1, 1, 0)
"""Extent of every picture: images and maps of all sizes lie on each other."""
COLUMNS = {
    "explanations": ("feature", "method", "metric", "mean", "standard_error"),
    "xai": ("gamma", "train_seed", "slice_ratio", "window", "bytes", "ber", "seed", "accuracy"),
}
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


def load_explanations(dataset: str, kind: str = "explanations", root: str | Path = "data") -> pd.DataFrame | None:
    """Return a published table of trainings with and without L_XAI, None where there is none.

    kind: `explanations` (what maps are worth) or `xai` (accuracies). A missing column is a ValueError.
    """
    path = located(root) / "results" / f"{dataset}-{kind}.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    missing = [name for name in COLUMNS[kind] if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; it has {', '.join(table.columns)}")
    return table


def masking_table(
    network: nn.Module, feature: Tensor, label: Tensor, maps: Mapping[str, Tensor], steps: int = 16
) -> pd.DataFrame:
    """Return both curves of several maps: method, kind ("deletion", "insertion"), share (0–1), image, probability."""
    frames = []
    for method, scores in maps.items():
        for kind in ("deletion", "insertion"):
            curve = masking_curve(network, feature, label, scores, kind == "insertion", steps)
            table = pd.DataFrame(curve.cpu().numpy(), columns=np.linspace(0, 1, steps + 1))
            table = table.rename_axis("image").reset_index().melt("image", var_name="share", value_name="probability")
            frames.append(table.assign(method=method, kind=kind))
    return pd.concat(frames, ignore_index=True).astype({"share": float})


@torch.no_grad()
def code_index(codec: SemanticCodec, feature: Tensor) -> Tensor:
    """Return the symbols that features (B, C, H, W) would be sent as, int64 (B, h, w, K)."""
    return codec.quantizer.assign(codec.encoder(feature)).permute(0, 2, 3, 1)


def window_boxes(codec: SemanticCodec, feature: Tensor, slice_ratio: float, window: Window) -> Tensor:
    """Return where each feature's window lies, as shares of the picture: x0, y0, x1, y1 in [0, 1], (B, 4)."""
    index = code_index(codec, feature)
    size = index.shape[1:3]
    rows, columns = (sliced_length(length, slice_ratio) for length in size)
    place = codec.best_place(index, slice_ratio, window)
    corner = center_corner(*size, rows, columns).expand(len(feature), 2)
    if place is not None:
        corner = corners(*size, rows, columns)[place.cpu()]
    top, left = corner.double().T
    return torch.stack([left, top, left + columns, top + rows], 1) / torch.tensor([*size[::-1], *size[::-1]])


def draw_maps(
    images: Tensor, maps: Mapping[str, Tensor], masks: Tensor | None = None, over_images: bool = True
) -> Figure:
    """Draw pixel maps (B, h, w), a row an image and a column a map; red speaks for the class, blue against it.

    over_images: the image, grey, shines through; otherwise the bare feature pixels. masks: outlined in black.
    """
    figure, axes = panes(len(images), len(maps) + 1, (1.3 * len(maps) + 2.2, 1.42 * len(images) + 0.6))
    _prepare(axes, ["image", *(METHOD_NAMES.get(name, name) for name in maps)], masks)
    for number, (row, image) in enumerate(zip(axes, _pixels(images), strict=True)):
        row[0].imshow(image, extent=SQUARE)
        for axis, scores in zip(row[1:], maps.values(), strict=True):
            shown = _draw_map(axis, scores[number], image if over_images else None)
    bar = figure.colorbar(shown, ax=axes[:, -1].tolist(), ticks=[-1, 0, 1], fraction=0.6, shrink=0.8)
    bar.ax.set_yticklabels(["against", "0", "for the\nclass"])
    return figure


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
    feature = model.device(images)
    clean = model.edge(feature).argmax(1)
    believed = codec.importance_map(code_index(codec, feature)).float()
    figure, axes = panes(len(images), len(WINDOWS) + 2, (9.5, 1.85 * len(images) + 0.5))
    names = ("image", "the device's map\n(bright: matters)", *(f"window:\n{window}" for window in WINDOWS))
    _prepare(axes, names, masks)
    for row, image, map_, answer in zip(axes, _pixels(images), believed, clean.tolist(), strict=True):
        row[0].imshow(image, extent=SQUARE)
        row[0].set_xlabel(f"uncompressed: {classes[answer]}", fontsize=9)
        row[1].imshow(image.mean(2), cmap="gray", extent=SQUARE)
        row[1].imshow(map_.numpy(), cmap=SEQUENTIAL, alpha=0.65, extent=SQUARE)
    for number, window in enumerate(WINDOWS, 2):
        boxes = window_boxes(codec, feature, slice_ratio, window).tolist()
        payload = codec.compress(feature, slice_ratio, window)
        received = codec.decompress(payload, 0.0, feature.shape[1:], slice_ratio, window)
        answers = model.edge(received).argmax(1)
        for place, (box, image) in enumerate(zip(boxes, _pixels(images), strict=True)):
            axis = axes[place, number]
            axis.imshow(_faded(image, box), extent=SQUARE)
            for each, width in ((axis, 2.5), (axes[place, 1], 8 / number)):  # windows at one place all show
                sides = box[2] - box[0], box[3] - box[1]
                each.add_patch(Rectangle(box[:2], *sides, fill=False, color=WINDOW_COLORS[window], lw=width))
            kept = "" if masks is None else f"{100 * share_inside(masks[place], box):.0f} % of it kept, "
            axis.set_xlabel(f"{kept}answer {classes[int(answers[place])]}", fontsize=9)
            axis.xaxis.label.set_color(COLORS["black" if answers[place] == clean[place] else "red"])
    return figure


def draw_device_map(
    codec: SemanticCodec, images: Tensor, feature: Tensor, scores: Tensor, masks: Tensor | None = None
) -> Figure:
    """Draw pixel maps (B, h, w) beside what the device's table makes of the symbols, and how well the two correlate."""
    device = codec.importance_map(code_index(codec, feature)).float()
    wanted = F.adaptive_avg_pool2d(scores.clamp_min(0)[:, None], device.shape[1:])[:, 0]
    figure, axes = panes(4, len(images), (1.3 * len(images) + 1, 5.6))
    _prepare(axes.T, ("", "", "", ""), masks)
    for column, image, each, want, have in zip(axes.T, _pixels(images), scores, wanted, device, strict=True):
        column[0].imshow(image, extent=SQUARE)
        _draw_map(column[1], each, image)
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
                color=CYCLE[number % len(CYCLE)], label=str(group),
            )  # fmt: skip
            if RANDOM in part.index:
                axis.axvline(scale * part["mean"][RANDOM], ls="--", lw=1.2, color=COLORS["gray"], zorder=1)
        counts = summary.loc[summary["metric"] == metric, "images"] if "images" in summary else pd.Series(dtype=int)
        count = "" if counts.empty else f"\nn = {'–'.join(map(str, sorted({counts.min(), counts.max()})))}"
        axis.set_title(label + count, fontsize=10)
        axis.set_yticks(range(len(methods)), [METHOD_NAMES.get(each, each).replace("\n", " ") for each in methods])
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
            name = METHOD_NAMES.get(method, method).replace("\n", " ")
            style = {"color": color, "ls": "--" if method == "random" else "-", "elinewidth": 0.8}
            axis.errorbar(100 * stats.index, stats["mean"], stats["sem"], label=name, **style)
        name = {"deletion": "pixels gone (set to zero), %", "insertion": "pixels back, %"}[kind]
        axis.set(title=title, xlabel=name, xlim=(0, 100), ylim=(0, 102))
    axes[0, 0].set_ylabel("probability of the true class, %")
    axes[0, 1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
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


def _draw_map(axis: Axes, scores: Tensor, image: np.ndarray | None):
    """Draw one map (h, w), its 99th percentile as full colour, opaque where it is strong if there is an image."""
    top = float(scores.abs().flatten().quantile(0.99)) or 1.0
    values = (scores / top).clamp(-1, 1).numpy()
    options = {"cmap": DIVERGING, "vmin": -1, "vmax": 1, "extent": SQUARE}
    if image is None:
        return axis.imshow(values, **options)
    coarse = F.adaptive_avg_pool2d(torch.from_numpy(image).float().mean(2)[None], scores.shape)[0]
    axis.imshow(coarse.numpy(), cmap="gray", vmin=-120, vmax=300, extent=SQUARE)
    return axis.imshow(values, alpha=np.abs(values) ** 0.5 * 0.9, **options)


def _faded(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Return an image (H, W, 3) of which what lies outside the box has become pale and grey."""
    rows, columns = ((np.arange(size) + 0.5) / size for size in image.shape[:2])
    sent = ((rows >= box[1]) & (rows < box[3]))[:, None] & ((columns >= box[0]) & (columns < box[2]))
    pale = 255 - 8 * ((255 - image.mean(2, keepdims=True)) // 32)
    return np.where(sent[..., None], image, pale).astype(np.uint8)


def _pixels(images: Tensor) -> np.ndarray:
    """Return images (B, 3, H, W) as (B, H, W, 3), in steps of 8: nobody sees it, and notebooks stay small."""
    return images.permute(0, 2, 3, 1).numpy() // 8 * 8 + 4


def _prepare(axes: np.ndarray, names: Sequence[str], masks: Tensor | None) -> None:  # titles, bare axes, outlines
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
