"""Figures of features, payloads, trainings and curves: pure functions from data to a matplotlib figure."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from semanticnn_core.config import percent
from semanticnn_core.systems.journey import Journey, byte_bits
from semanticnn_core.viz.style import COLORS, CYCLE, DIVERGING, SEQUENTIAL, panes, plain

BIT_COLORS = (COLORS["light"], COLORS["gray"], COLORS["red"])
"""A bit that arrived as 0, one that arrived as 1, and one that flipped."""


def draw_sizes(sizes: Mapping[str, float]) -> Figure:
    """Draw the bytes of image, feature and payload in both conventions; `sizes` as `byte_counts` returns them."""
    figure, axes = panes(size=(9, 2.6))
    axis = axes[0, 0]
    bars = (("8 bits a value", "", 0.2, "blue"), ("32-bit floats", "float_", -0.2, "sky"))
    for label, kind, offset, color in bars:
        places, names = [2 + offset, 1 + offset], [f"image_{kind}bytes", f"feature_{kind}bytes"]
        axis.barh(places, [sizes[name] for name in names], 0.38, color=COLORS[color], label=label)
        for place, name in zip(places, names, strict=True):
            times = sizes[name] / sizes["payload_bytes"]
            axis.text(sizes[name] * 1.08, place, f"{sizes[name]:,.0f} B  ({times:.0f}×)", va="center", fontsize=10)
    axis.barh(0, sizes["payload_bytes"], 0.5, color=COLORS["red"])
    axis.text(sizes["payload_bytes"] * 1.08, 0, f"{sizes['payload_bytes']:,.0f} B", va="center", weight="bold")
    axis.set(xscale="log", yticks=[2, 1, 0], yticklabels=["image", "feature", "payload"], xlabel="bytes per image")
    axis.set_xlim(sizes["payload_bytes"] / 4, sizes["feature_float_bytes"] * 30)
    axis.grid(axis="y", visible=False)
    axis.legend(loc="lower right")
    return figure


def draw_history(histories: Mapping[str, Sequence[Mapping[str, float]]], terms: Mapping[str, str]) -> Figure:
    """Draw terms of one or more trainings epoch by epoch, a panel a term; `terms` maps a column to its label."""
    figure, axes = panes(1, len(terms), (9, 3.2) if len(terms) > 1 else (7, 3.2))
    for axis, (term, label) in zip(axes[0], terms.items(), strict=True):
        for name, rows in histories.items():
            rows = [row for row in rows if term in row]
            axis.plot([row["epoch"] for row in rows], [row[term] for row in rows], marker="o", label=plain(name))
        axis.set(xlabel="epoch", title=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylim(bottom=0)
    if len(histories) > 1:
        axes[0, 0].legend()
    return figure


def busiest_channels(feature: Tensor, count: int = 4) -> list[int]:
    """Return the channels of a feature (C, h, w) that vary most over the image, the busiest first."""
    return feature.std((1, 2)).argsort(descending=True)[:count].tolist()


def draw_features(journeys: Sequence[Journey], title: str, channels: Sequence[int] | None = None) -> Figure:
    """Draw some channels of one image's feature: sent, received at each bit error rate, and the differences."""
    sent, count = journeys[0].sent, len(journeys)
    channels = busiest_channels(sent, 3) if channels is None else channels
    top = float(sent[channels].quantile(0.97)) or 1.0  # a bright border must not darken all the rest
    # a narrow empty column parts what was received from the differences
    widths = {"width_ratios": [1] * (1 + count) + [0.25] + [1] * count}
    figure, axes = panes(len(channels), 2 * count + 2, (10.5, 0.98 * len(channels) + 1.1), gridspec_kw=widths)
    maps = [("sent", sent)] + [(percent(each.ber), each.received) for each in journeys]
    for channel, row in zip(channels, axes, strict=True):
        for axis, (name, feature) in zip(row, maps, strict=False):
            shown = axis.imshow(feature[channel].numpy(), cmap=SEQUENTIAL, vmin=0, vmax=top)
            axis.set_title(name if channel == channels[0] else "", loc="center", fontsize=10)
        for axis, each in zip(row[count + 2 :], journeys, strict=True):
            difference = each.received[channel] - sent[channel]
            colored = axis.imshow(difference.numpy(), cmap=DIVERGING, vmin=-top / 2, vmax=top / 2)
            name = f"{percent(each.ber)}\nMSE {each.mse:.2g}"
            axis.set_title(name if channel == channels[0] else "", loc="center", fontsize=10)
        _bare(row)
        row[count + 1].set_axis_off()
        row[0].set_ylabel(f"channel {channel}", fontsize=9)
    bar = {"fraction": 0.4, "format": "%.1f"}
    figure.colorbar(shown, ax=axes[:, count].tolist(), ticks=[0, top], extend="max", **bar)
    figure.colorbar(colored, ax=axes[:, -1].tolist(), ticks=[-top / 2, 0, top / 2], extend="both", **bar)
    title = f"{plain(title)}: feature sent, received at a bit error rate, and received − sent"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def draw_curves(
    table: pd.DataFrame,
    y: str,
    by: str,
    label: str,
    reference: Mapping[str, float] | None = None,
    axis: Axes | None = None,
    bars: str = "std",
) -> Figure:
    """Draw the mean of column `y` against `ber`, one line a value of `by`, bars one standard deviation long.

    bars: `std`, or `sem` for the standard error of the mean.
    reference: names and heights of dashed lines, e.g. the uncompressed accuracy.
    A rate of 0 stands left of the logarithmic axis; `feature_mse` stands on a logarithmic axis, shares in per cent.
    """
    alone = axis is None
    axis = panes(size=(9.5, 3.8))[1][0, 0] if alone else axis
    rates = sorted(table["ber"].unique())
    zero = min((rate for rate in rates if rate), default=1e-4) / 3
    scale = 1 if y == "feature_mse" else 100
    markers = "osD^vPX"
    groups = list(table.groupby(by, sort=False))
    for number, (name, group) in enumerate(groups):
        stats = group.groupby("ber")[y].agg(["mean", bars]).fillna(0) * scale
        places = [rate or zero for rate in stats.index]
        marker = markers[number % len(markers)]
        axis.errorbar(places, stats["mean"], stats[bars], marker=marker, ms=5, capsize=3, label=plain(name))
    own = len(reference or {}) == len(groups) > 1  # one dashed line for each curve, in its colour
    for number, (name, height) in enumerate((reference or {}).items()):
        color = CYCLE[number] if own else COLORS["gray"]
        axis.axhline(height * scale, ls="--", lw=1.2, color=color, label=plain(name))
    axis.set(xscale="log", yscale="log" if y == "feature_mse" else "linear", xlabel="bit error rate", ylabel=label)
    axis.set_xticks([rate or zero for rate in rates], [percent(rate) for rate in rates])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(**{"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if alone else {})
    return axis.figure


def draw_beliefs(exact: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Draw as heat maps what a wrong belief adds to the error, in % of the variance: of symbols, and of features."""
    figure, axes = panes(1, 2, (9.5, 3.9))
    titles = ("symbols: exact", "features: measured (mean over seeds)")
    for axis, table, title in zip(axes[0], (exact, measured), titles, strict=True):
        grid = table.groupby(["ber", "believed"])["error"].mean().unstack()
        excess = 100 * grid.sub(np.diag(grid), axis=0)
        largest = float(max(np.abs(excess.values).max(), 1e-6))
        axis.imshow(excess, cmap=DIVERGING, vmin=-largest, vmax=largest)
        for (row, column), value in np.ndenumerate(excess.values):
            color = "white" if abs(value) > 0.6 * largest else COLORS["black"]
            axis.text(column, row, _signed(value), ha="center", va="center", color=color, fontsize=10)
        names = [percent(rate) for rate in grid.index]
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
        axis.set(title=title, xlabel="bit error rate believed in", ylabel="true bit error rate")
        axis.grid(visible=False)
    figure.suptitle("What a wrong belief adds to the error, % of the signal's variance", x=0.01, ha="left", fontsize=12)
    return figure


def draw_occupancy(shares: Mapping[str, Tensor]) -> Figure:
    """Draw how often each centre is sent, one group of bars a codec; the dashed line is uniform use."""
    figure, axes = panes(size=(9, 3.2))
    axis, count = axes[0, 0], len(next(iter(shares.values())))
    width = 0.8 / len(shares)
    for number, (name, share) in enumerate(shares.items()):
        entropy = -float((share * share.clamp_min(1e-12).log2()).sum())
        places = np.arange(count) + (number - (len(shares) - 1) / 2) * width
        label = f"{plain(name)}: {entropy:.2f} of {math.log2(count):.0f} bits"
        axis.bar(places, 100 * share.numpy(), width * 0.95, label=label)
    axis.axhline(100 / count, ls="--", lw=1.2, color=COLORS["gray"])
    axis.set(xlabel="centre, from the smallest to the largest", ylabel="share of symbols, %")
    axis.set_xticks(range(count))
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.3)
    axis.legend(ncols=min(len(shares), 3), loc="upper center")
    return figure


def bit_grid(journey: Journey, bytes_per_row: int = 16) -> np.ndarray:
    """Return a payload as a grid of bits, uint8 (rows, 8·bytes_per_row): 0, 1, 2 where flipped, 3 beyond the end."""
    sent, arrived = byte_bits(journey.payload), byte_bits(journey.arrived)
    bits = np.where((sent != arrived).numpy(), 2, arrived.numpy()).reshape(-1).astype(np.uint8)
    width = 8 * bytes_per_row
    return np.pad(bits, (0, -len(bits) % width), constant_values=3).reshape(-1, width)


def draw_payload(journey: Journey, classes: Sequence[str], bytes_per_row: int = 16) -> Figure:
    """Draw the bits that arrived, flipped ones in red, the first bytes in hex, and what the edge answers."""
    grid = bit_grid(journey, bytes_per_row)
    figure = plt.figure(figsize=(10, 5.4), layout="constrained")
    plt.close(figure)
    spec = figure.add_gridspec(2, 2, width_ratios=[2.6, 1], height_ratios=[2.4, 1])
    bits, text = figure.add_subplot(spec[0, 0]), figure.add_subplot(spec[1, 0])
    bits.imshow(grid, cmap=ListedColormap([*BIT_COLORS, "white"]), vmin=0, vmax=3, aspect="auto")
    for edge in range(8, grid.shape[1], 8):
        bits.axvline(edge - 0.5, color="white", lw=1.5)
    places = np.arange(3.5, grid.shape[1], 8)
    bits.set_xticks(places, [str(number) for number in range(len(places))])
    rows = np.arange(0, len(grid), max(1, len(grid) // 6))
    bits.set_yticks(rows, [str(row * bytes_per_row) for row in rows])
    total = 8 * len(journey.payload)
    bits.set(xlabel="byte in the row", ylabel="first byte of the row")
    bits.set_title(
        f"{len(journey.payload)} bytes, {total:,} bits: {journey.flips} flipped ({percent(journey.ber)} asked)"
    )
    bits.grid(visible=False)
    _hex(text, journey, 2 * bytes_per_row)
    picture, chances = figure.add_subplot(spec[1, 1]), figure.add_subplot(spec[0, 1])
    picture.imshow(journey.image.permute(1, 2, 0).numpy())
    _bare([picture])
    draw_probabilities(journey, classes, chances)
    return figure


def draw_probabilities(journey: Journey, classes: Sequence[str], axis: Axes) -> None:
    """Draw the most probable classes, from the clean and from the received feature, into an axis."""
    chosen = top_classes(journey)
    bars = ((0.2, "gray", "uncompressed", journey.clean), (-0.2, "red", "received", journey.answer))
    for offset, color, name, chances in bars:
        places = np.arange(len(chosen))[::-1] + offset
        axis.barh(places, 100 * chances[chosen].numpy(), 0.38, color=COLORS[color], label=name)
    axis.set_yticks(range(len(chosen))[::-1], [plain(classes[each]) for each in chosen])
    axis.set(xlim=(0, 100), xlabel="probability, %", ylabel="class")
    axis.grid(axis="y", visible=False)
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, columnspacing=1, handlelength=1)


def top_classes(journey: Journey, count: int = 10) -> list[int]:
    """Return at most `count` classes, those most probable before or after the link, in ascending order."""
    best = (journey.clean + journey.answer).argsort(descending=True)[:count]
    return sorted(best.tolist())


def draw_gallery(journeys: Sequence[Journey], labels: Sequence[int], classes: Sequence[str]) -> Figure:
    """Draw images with the true class, the uncompressed answer and the received one, red where it is wrong."""
    columns = min(len(journeys), 8)
    figure, axes = panes(-(-len(journeys) // columns), columns, (10, 1.85 * -(-len(journeys) // columns)))
    for axis in axes.flat[len(journeys) :]:
        axis.set_axis_off()
    gap = " " if max(map(len, classes)) < 6 else "\n"  # two long names do not fit side by side
    for axis, journey, label in zip(axes.flat, journeys, labels, strict=False):
        clean, answer = journey.classes
        axis.imshow(journey.image.permute(1, 2, 0).numpy())
        axis.set_title(f"{plain(classes[clean])}{gap}→ {plain(classes[answer])}", loc="center", fontsize=11)
        axis.title.set_color(COLORS["red"] if answer != int(label) else COLORS["black"])
        axis.set_xlabel(f"true: {plain(classes[int(label)])}", fontsize=9)
        _bare([axis])
    return figure


def draw_grid(rows: Mapping[str, Sequence[Journey]], classes: Sequence[str]) -> Figure:
    """Draw the mean map of the feature sent, and received at a column's bit error rate, with the edge's answers.

    A row has one scale for all its maps, which leaves out the outermost 1 % on either side.
    """
    columns = 2 + max(len(journeys) for journeys in rows.values())
    figure, axes = panes(len(rows), columns, (10, 10 / columns * len(rows) + 0.3 * len(rows) + 0.3))
    for number, (row, (name, journeys)) in enumerate(zip(axes, rows.items(), strict=True)):
        first, mean = journeys[0], journeys[0].sent.mean(0)
        row[0].imshow(first.image.permute(1, 2, 0).numpy())
        row[0].set_ylabel(f"{plain(name)}\n{len(first.payload)} bytes", fontsize=10)
        maps = [("sent", mean, first.clean)]
        maps += [(percent(each.ber), each.received.mean(0), each.answer) for each in journeys]
        low, high = np.quantile(np.stack([shown.numpy() for _, shown, _ in maps]), (0.01, 0.99))
        span = {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
        for axis, (title, shown, chances) in zip(row[1:], maps, strict=False):
            axis.imshow(shown.numpy(), **span)
            answer = int(chances.argmax())
            axis.set_xlabel(f"{plain(classes[answer])} ({float(chances[answer]):.0%})", fontsize=10)
            right = answer == int(first.clean.argmax())
            axis.xaxis.label.set_color(COLORS["black"] if right else COLORS["red"])
            axis.set_title(title if number == 0 else "", loc="center", fontsize=10)
        _bare(row)
    axes[0, 0].set_title("image", loc="center", fontsize=10)
    return figure


def _hex(axis: Axes, journey: Journey, count: int) -> None:
    """Write the first bytes, sent above arrived, those that changed in red."""
    axis.set_axis_off()
    axis.set(xlim=(-2.4, 16), ylim=(0, 5))
    for row in range(0, min(count, 32), 16):
        for line, (name, data) in enumerate((("sent", journey.payload), ("arrived", journey.arrived))):
            height = 4.2 - line - row / 16 * 2.5
            axis.text(-0.4, height, name, ha="right", va="center", fontsize=9, color=COLORS["gray"])
            for place, byte in enumerate(data[row : row + 16].tolist()):
                changed = byte != int(journey.payload[row + place])
                style = {"color": COLORS["red"], "weight": "bold"} if changed else {}
                style |= {"ha": "center", "va": "center", "family": "monospace", "fontsize": 10}
                axis.text(place + 0.5, height, f"{byte:02x}", **style)


def _bare(axes: Sequence[Axes]) -> None:
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)


def _signed(value: float) -> str:
    return "0" if abs(value) < 0.005 else f"{value:+.2f}" if abs(value) < 10 else f"{value:+.0f}"
