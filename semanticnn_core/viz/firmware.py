"""Figures of the device side in integers: where rounding shows, what memory and instructions go into."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure

from semanticnn_core.stm32.program import Profile
from semanticnn_core.stm32.project import SOURCES
from semanticnn_core.studies.rounding import Rounding
from semanticnn_core.viz.style import COLORS, CYCLE, panes, plain

STAGES = {
    "stem_row": "first layer, ReLU, pooling",
    "add_feature_row": "encoder's convolution",
    "send_pixel": "GDN, PReLU, centres, packing",
    "load_row": "pixels less zero point",
}
"""What the C functions do that take most of the time."""
BOARD = {"fast memory (DTCM)": 128 * 1024, "all RAM": 1024 * 1024}
"""Bytes of RAM of an STM32H750."""


def draw_margins(found: Rounding) -> Figure:
    """Draw how far from a threshold the latents lie: all, and those whose symbols differ."""
    figure, axes = panes(1, 2, (9.5, 3.0))
    bins = np.linspace(0, float(found.distance.flatten().quantile(0.99)), 40)
    axes[0, 0].hist(found.distance.flatten().numpy(), bins, color=COLORS["light"], label="all symbols")
    axes[0, 0].hist(found.distance[found.differ].numpy(), bins, color=COLORS["red"], label="those that differ")
    axes[0, 0].set(xlabel="distance from the nearest threshold", ylabel="symbols")
    axes[0, 0].legend()
    shares = [
        float(found.differ[(found.distance >= low) & (found.distance < high)].double().mean())
        for low, high in zip(bins, bins[1:], strict=False)
    ]
    axes[0, 1].bar(bins[:-1], 100 * np.nan_to_num(shares), np.diff(bins), align="edge", color=COLORS["red"])
    axes[0, 1].set(xlabel="distance from the nearest threshold", ylabel="differ, %")
    return figure


def draw_memory(parts: Mapping[str, int], whole: Mapping[str, int]) -> Figure:
    """Draw RAM: left, ways to run the device side against what a board has; right, what streaming keeps.

    parts: bytes of each thing that streaming keeps; whole: bytes of each other way, by name.
    """
    figure, axes = panes(1, 2, (10, 2.9), width_ratios=(1.15, 1))
    bars = {**whole, "row by row": sum(parts.values())}
    axis = axes[0, 0]
    colors = [*[COLORS["gray"]] * len(whole), COLORS["red"]]
    axis.barh(list(map(plain, bars)), list(bars.values()), color=colors)
    for place, count in enumerate(bars.values()):
        axis.text(count * 1.1, place, f"{count / 1024:.1f} KB", va="center", fontsize=10)
    for name, count in BOARD.items():
        axis.axvline(count, ls="--", lw=1, color=COLORS["black"])
        axis.text(count, -0.75, name, rotation=0, ha="center", va="bottom", fontsize=8)
    axis.set(xscale="log", xlabel="bytes of RAM for one image", xlim=(min(bars.values()) / 3, 6e6))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    left = 0
    for number, (name, count) in enumerate(parts.items()):
        axes[0, 1].barh(0, count, left=left, color=CYCLE[number % len(CYCLE)], label=f"{plain(name)}, {count:,} B")
        left += count
    axes[0, 1].set(yticks=[], xlabel="bytes", title="what the rows leave behind", ylim=(-0.5, 2.2))
    axes[0, 1].legend(loc="upper left", fontsize=9)
    axes[0, 1].grid(axis="y", visible=False)
    return figure


def draw_profile(profiles: Mapping[str, Profile], macs: int) -> Figure:
    """Draw where one image's instructions go, a colour a toolchain; macs: multiplications of the convolutions."""
    figure, axes = panes(size=(9, 3.2))
    axis = axes[0, 0]
    for number, (name, profile) in enumerate(profiles.items()):
        counts = dict.fromkeys((*STAGES.values(), "the rest"), 0)
        for function, count in profile.by_function.items():
            counts[STAGES.get(function.split(".")[0], "the rest")] += count
        places = np.arange(len(counts)) + 0.38 * (number - (len(profiles) - 1) / 2)
        label = f"{plain(name)}: {profile.instructions / 1e6:.2f} M, {profile.instructions / macs:.2f} a multiplication"
        axis.barh(places, [each / 1e6 for each in counts.values()], 0.36, label=label)
        for place, count in zip(places, counts.values(), strict=True):
            axis.text(count / 1e6, place, f" {100 * count / profile.instructions:.1f} %", va="center", fontsize=9)
    axis.set_yticks(range(len(counts)), list(counts))
    axis.set(xlabel="millions of instructions for one image")
    axis.margins(x=0.12)
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.legend(loc="lower right")
    return figure


def c_function(name: str, file: str = "src/snn.c", sources: Path = SOURCES) -> Markdown:
    """Return a function of the firmware, with the comment before it, as a notebook shows code."""
    text = (sources / file).read_text()
    found = re.search(rf"(/\*(?:(?!\*/).)*\*/\n)?[^\n/]*\b{name}\([^;{{]*\)\n\{{.*?\n\}}\n", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{file} has no function {name}")
    return Markdown(f"```c\n{found.group(0)}```")
