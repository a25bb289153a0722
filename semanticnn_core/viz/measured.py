"""Figures of one checkpoint's measurements: its score over bit errors and over bytes, and its table of importance."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import BER_GRID
from semanticnn_core.viz.figures import draw_curves
from semanticnn_core.viz.style import COLORS, CYCLE, DIVERGING, panes, plain
from semanticnn_core.viz.windows import WINDOW_COLORS

NARROW = (5.6, 3.6)
"""Inches: still readable when a telephone shows it 350 pixels wide."""


def draw_score(table: pd.DataFrame, metric: str, clean: float | None = None) -> Figure:
    """Draw the score of whole codes over the bit error rate, a line a system; dashed: the uncompressed network.

    table: rows as `sweep` gives them; a band is the 95 % interval over images and seeds, where they have it.
    """
    figure, axes = panes(size=NARROW)
    axis, whole = axes[0, 0], table[table["slice_ratio"] == 1]
    names = whole.assign(codec=[f"{row.system}, {row.bytes:.0f} B" for row in whole.itertuples()])
    draw_curves(names, metric, "codec", f"{metric}, %", {} if clean is None else {"uncompressed": clean}, axis)
    if f"{metric}_low" in whole:
        for color, (_, rows) in zip(cycle(CYCLE), names[names["ber"] > 0].groupby("codec", sort=False), strict=False):
            ends = 100 * rows.groupby("ber")[[f"{metric}_low", f"{metric}_high"]].first()
            axis.fill_between(ends.index, ends.iloc[:, 0], ends.iloc[:, 1], color=color, alpha=0.12, lw=0)
    axis.tick_params(axis="x", labelrotation=30)
    return figure


def draw_bytes(table: pd.DataFrame, metric: str) -> Figure:
    """Draw the score over the bytes sent, mean over the grid of bit error rates: a line a system and window.

    Where rows have a 95 % interval, an upright line is its mean over the grid.
    """
    figure, axes = panes(size=NARROW)
    grid, axis = table[table["ber"].isin(BER_GRID)], axes[0, 0]
    several = grid["system"].nunique() > 1
    for number, (system, rows) in enumerate(grid.groupby("system", sort=False)):
        whole = rows[rows["slice_ratio"] == 1]
        for window, part in rows.groupby("window", sort=False):
            points = pd.concat([part, whole]).groupby("bytes")
            means = 100 * points[metric].mean()
            if f"{metric}_low" in part:
                low, high = (100 * points[f"{metric}_{end}"].mean() for end in ("low", "high"))
                axis.vlines(means.index, low, high, color=WINDOW_COLORS[window], alpha=0.4, lw=1.2)
            name = f"{plain(system)}, {window} window" if several else f"{window} window"
            line = ("-", "--", ":")[number % 3] if len(means) > 2 else "none"  # two points show no course
            look = {"marker": "osD^"[number % 4], "ms": 6, "color": WINDOW_COLORS[window]}
            axis.plot(means.index, means, ls=line, label=name, **look)
    axis.set(xlabel="bytes sent per image", ylabel=f"{metric}, %")
    axis.legend(loc="lower right")
    return figure


def draw_importance(codec: SemanticCodec) -> Figure:
    """Draw the device's table: what each symbol (column) of each channel (row) says of the importance of its place."""
    table = codec.importance.cpu().numpy()
    figure, axes = panes(size=(NARROW[0], 1.2 + 0.14 * len(table)))
    axis, top = axes[0, 0], max(abs(int(table.min())), int(table.max()), 1)
    shown = axis.imshow(table, cmap=DIVERGING, vmin=-top, vmax=top, aspect="auto")
    axis.set(xlabel="symbol (0: the smallest centre)", ylabel="channel of the code")
    axis.set_xticks(range(table.shape[1]))
    axis.grid(visible=False)
    bar = figure.colorbar(shown, ax=axis, ticks=[-top, 0, top])
    bar.ax.set_yticklabels(["unimportant", "0", "important"], color=COLORS["black"])
    return figure
