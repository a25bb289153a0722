"""One look for every figure of the notebooks."""

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib import font_manager

COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#222222",
    "gray": "#8A8A8A",
    "light": "#D9D9D9",
}
"""Okabe and Ito's colours, which remain apart for colour-blind readers, and three greys for what stays behind."""

CYCLE = tuple(COLORS[name] for name in ("blue", "orange", "green", "red", "purple", "sky", "black"))
"""The order in which lines without a colour of their own take theirs."""

SEQUENTIAL = "cividis"
"""Colour map for what goes from little to much; as good in print and for colour-blind readers."""

DIVERGING = "RdBu_r"
"""Colour map for what has a neutral middle."""

FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Emoji",
)
"""Fonts for the signs that matplotlib's own lacks, where they are installed."""


def use_style() -> None:
    """Set matplotlib's defaults for this session: readable text, two spines, a faint grid, no frames."""
    installed = set(font_manager.get_font_names())
    plt.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": COLORS["gray"],
            "axes.grid": True,
            "axes.labelsize": 11,
            "axes.prop_cycle": cycler(color=CYCLE),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "figure.constrained_layout.use": True,
            "figure.dpi": 80,
            "figure.figsize": (9.0, 4.0),
            "figure.titlesize": 13,
            "font.family": ["sans-serif", *(name for name in FALLBACKS if name in installed)],
            "font.size": 11,
            "grid.color": COLORS["light"],
            "grid.linewidth": 0.6,
            "image.cmap": SEQUENTIAL,
            "image.interpolation": "nearest",
            "legend.fontsize": 10,
            "legend.frameon": False,
            "lines.linewidth": 2.0,
            "savefig.dpi": 80,
            "xtick.color": COLORS["black"],
            "xtick.labelsize": 10,
            "ytick.color": COLORS["black"],
            "ytick.labelsize": 10,
        }
    )


def panes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (9.0, 4.0), **options) -> tuple:
    """Return a figure of this size (inches) and its axes, always as an array (rows, columns).

    The figure is closed to pyplot: a cell that ends in it shows it once.
    """
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    plt.close(figure)
    return figure, axes


def plain(text: object) -> str:
    """Return a name as matplotlib is to spell it: dollars make no formula, a leading underscore does not hide it."""
    text = str(text).replace("$", r"\$")
    return "\u200b" + text if text.startswith("_") else text  # legends leave out what starts with an underscore
