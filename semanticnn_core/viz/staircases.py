"""Pictures of the quantiser: staircases, centres that learn, and how evenly they are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.codec.code_order import order_by_name
from semanticnn_core.config import percent
from semanticnn_core.studies.centers import CenterRun, lloyd_max, relative_distortion, with_centers
from semanticnn_core.viz.style import COLORS, CYCLE, SEQUENTIAL, panes, plain


@dataclass(frozen=True)
class Mapping1D:
    """What a quantiser makes of the latents' range at one sharpness and bit error rate; all on `x` (points,)."""

    x: Tensor
    hard: Tensor
    soft: Tensor
    slope: Tensor
    """Derivative of `soft`."""
    received: Tensor
    """Mean of what arrives."""
    spread: Tensor
    """Standard deviation of what arrives."""


def shown_range(latents: Tensor) -> tuple[float, float]:
    """Return where the latents are, but for the outermost 0.2 %, with a margin."""
    low, high = np.quantile(latents.numpy(), (0.001, 0.999))
    return float(low - 0.05 * (high - low)), float(high + 0.05 * (high - low))


@torch.no_grad()
def mapping(quantizer: SoftQuantizer, span: tuple[float, float], ber: float = 0.0, points: int = 600) -> Mapping1D:
    """Return what becomes of `points` latents spread over a span."""
    x = torch.linspace(*span, points)
    levels, index, weight = quantizer.levels, quantizer.assign(x), quantizer.soft_assign(x)  # weight (points, n)
    soft = weight @ levels
    spacing = (levels[-1] - levels[0]) / (len(levels) - 1)
    slope = 2 * quantizer.sigma / spacing**2 * (weight @ levels**2 - soft**2)
    chance, values = quantizer.transition(ber)[0][index], quantizer.values(ber)[0]
    mean = chance @ values
    spread = (chance @ values**2 - mean**2).clamp_min(0).sqrt()
    return Mapping1D(x, levels[index], soft, slope, mean, spread)


def coded_quantizer(latents: Tensor, centers: Tensor, sigma: float, order: str = "natural") -> SoftQuantizer:
    """Return a quantiser with these centres (n,), their use by the latents as prior, and a fixed code order."""
    quantizer = with_centers(latents, centers, sigma)
    quantizer.code.copy_(order_by_name(order, len(centers)))
    return quantizer


def draw_journey(image: Tensor, latent: Tensor, quantizer: SoftQuantizer) -> Figure:
    """Draw an image uint8 (3, H, W), one channel (h, w) of its latent, and the code words that leave the device."""
    figure, (axes,) = panes(1, 3, (10, 3.4))
    index = quantizer.assign(latent.contiguous())
    axes[0].imshow(image.permute(1, 2, 0).numpy())
    scale = {"cmap": SEQUENTIAL, "vmin": float(latent.min()), "vmax": float(latent.max())}
    drawn = axes[1].imshow(latent.numpy(), **scale)
    figure.colorbar(drawn, ax=axes[1], shrink=0.8)
    axes[2].imshow(quantizer.levels.detach()[index].numpy(), **scale)
    _write_words(axes[2], quantizer.encode(index), quantizer.bits)
    titles = ("what the device sees", "one latent channel", "… as code words")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def draw_staircases(latents: Tensor, quantizer: SoftQuantizer, sigmas: Sequence[float]) -> Figure:
    """Draw the hard staircase and a soft one for every sigma over the latents' density, and below, their slopes."""
    figure, ((top,), (bottom,)) = panes(2, 1, (9, 6.2), sharex=True, height_ratios=(3, 2))
    span = shown_range(latents)
    crowd = top.twinx()
    crowd.hist(latents.flatten().numpy(), bins=120, range=span, color=COLORS["light"])
    crowd.set(yticks=[], zorder=0)
    crowd.grid(False)
    top.set(zorder=1, ylabel="value after quantising", title="Hard and soft staircases over real latents (grey)")
    top.patch.set_visible(False)
    drawn = mapping(quantizer, span)
    top.plot(drawn.x, drawn.hard, color=COLORS["black"], label="hard")
    bottom.plot(drawn.x, torch.zeros_like(drawn.x), color=COLORS["black"], label="hard: 0, and none at the edges")
    peaks = []
    for sigma, color in zip(sorted(sigmas), CYCLE, strict=False):
        drawn = mapping(with_centers(latents, quantizer.levels.detach(), sigma), span)
        top.plot(drawn.x, drawn.soft, color=color, linewidth=1.6, label=rf"soft, $\sigma$ = {sigma:g}")
        peaks.append(float(drawn.slope.max()))
        bottom.plot(
            drawn.x, drawn.slope, color=color, linewidth=1.6, label=rf"$\sigma$ = {sigma:g}, up to {peaks[-1]:.2g}"
        )
    bottom.set(xlabel="latent $x$", ylabel="slope", title="Their slopes: what a gradient gets through")
    bottom.set_ylim(-0.05 * peaks[-2:][0], 1.3 * peaks[-2:][0])  # the sharpest would flatten all others
    top.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    bottom.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_trajectories(runs: Mapping[str, CenterRun], latents: Tensor, marks: Mapping[str, Tensor]) -> Figure:
    """Draw the centres over the steps of each run, and beside them the latents' density with marks to meet."""
    widths = [1.6] * len(runs) + [1]
    figure, (axes,) = panes(1, len(widths), (3.6 * len(runs) + 3.0, 4.4), sharey=True, width_ratios=widths)
    for axis, (name, run) in zip(axes, runs.items(), strict=False):
        axis.plot(run.step, run.centers, color=COLORS["blue"], linewidth=1.5)
        axis.plot(run.step[:1].expand(run.centers.shape[1]), run.centers[0], "o", color=COLORS["red"], clip_on=False)
        axis.set(title=plain(name), xlabel="step")
    axes[0].set_ylabel("centre, in units of the latent")
    crowd = axes[-1]
    crowd.hist(
        latents.flatten().numpy(), bins=120, range=shown_range(latents), orientation="horizontal", color=COLORS["light"]
    )
    right = crowd.get_xlim()[1]
    for number, (name, centers) in enumerate(marks.items()):
        place = torch.full((len(centers),), right * (0.55 + 0.2 * number))
        color = (COLORS["orange"], COLORS["green"], COLORS["purple"])[number % 3]
        crowd.plot(place, centers, "D", color=color, markersize=5, label=plain(name))
    crowd.set(title="where the latents are", xticks=[])
    crowd.grid(False)
    crowd.legend(loc="upper left", bbox_to_anchor=(0, -0.02))
    return figure


def draw_mapping_grid(latents: Tensor, counts: Sequence[int], bers: Sequence[float], sigma: float) -> Figure:
    """Draw what is sent and what arrives for every number of centres (columns) and bit error rate (rows).

    The code words are in natural order.
    """
    figure, axes = panes(len(bers), len(counts), (3.3 * len(counts), 2.5 * len(bers)), sharex=True, sharey=True)
    span = shown_range(latents)
    for row, ber in zip(axes, bers, strict=True):
        for axis, count in zip(row, counts, strict=True):
            quantizer = coded_quantizer(latents, lloyd_max(latents, count), sigma)
            drawn = mapping(quantizer, span, ber)
            low, high = drawn.received - drawn.spread, drawn.received + drawn.spread
            axis.fill_between(drawn.x, low, high, color=COLORS["orange"], alpha=0.35, linewidth=0, label="± its spread")
            axis.plot(drawn.x, drawn.hard, color=COLORS["black"], linewidth=1.2, label="sent")
            axis.plot(drawn.x, drawn.soft, color=COLORS["blue"], linewidth=1.2, label=rf"soft, $\sigma$ = {sigma:g}")
            axis.plot(drawn.x, drawn.received, color=COLORS["red"], linewidth=1.6, label="mean of what arrives")
            lost = float(relative_distortion(quantizer, latents, ber))
            axis.set_title(f"{count} centres, BER {percent(ber)}: {100 * lost:.2g} % lost", fontsize=10)
        row[0].set_ylabel("value")
    for axis in axes[-1]:
        axis.set_xlabel("latent")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _write_words(axis: Axes, words: Tensor, bits: int) -> None:
    """Write code words over the pixels of an image, small enough to fit."""
    size = min(9.0, 100 / max(words.shape) / max(bits, 3) * 2.2)
    for (row, column), word in np.ndenumerate(words.numpy()):
        axis.text(
            column,
            row,
            f"{word:0{bits}b}",
            ha="center",
            va="center",
            fontsize=size,
            color="white",
            path_effects=[withStroke(linewidth=1.5, foreground=COLORS["black"])],
        )
