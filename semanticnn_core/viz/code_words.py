"""Pictures of code words under bit errors: who is mistaken for whom, which order hurts least, why not Huffman."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.config import percent
from semanticnn_core.studies.huffman import PrefixCode
from semanticnn_core.studies.symbol_codes import flipped, wrong_places
from semanticnn_core.viz.style import COLORS, SEQUENTIAL, panes, plain

ORDER_COLORS = {
    "natural": COLORS["blue"],
    "gray": COLORS["orange"],
    "hamming": COLORS["green"],
    "random": COLORS["gray"],
    "optimal": COLORS["black"],
}

ORDER_NAMES = {"gray": "Gray", "hamming": "Hamming weight", "random": "random ± std"}


def draw_error_matrices(quantizers: Mapping[str, SoftQuantizer], ber: float) -> Figure:
    """Draw P(received j | sent i) in percent for each quantiser; centres in ascending order with their code words."""
    figure, axes = panes(1, len(quantizers), (4.7 * len(quantizers), 5.0))
    for axis, (name, quantizer) in zip(axes[0], quantizers.items(), strict=True):
        chance = 100 * quantizer.transition(ber)[0]  # (n, n), percent
        axis.imshow(chance.numpy(), cmap=SEQUENTIAL, norm=LogNorm(max(float(chance.min()), 1e-6), 100))
        count, words = len(chance), [f"{word:0{quantizer.bits}b}" for word in quantizer.code.tolist()]
        if count <= 8:
            for (row, column), value in np.ndenumerate(chance.numpy()):
                color = COLORS["black"] if value > 5 else "white"
                text = f"{value:.3g}" if value >= 99.5 else f"{value:.2g}" if value >= 0.1 else f"{value:.1g}"
                axis.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
        if count <= 16:
            axis.set_xticks(range(count), words, rotation=90, family="monospace")
            axis.set_yticks(range(count), words, family="monospace")
        axis.set(
            title=f"{ORDER_NAMES.get(name) or plain(name)} order",
            xlabel="centre received (its word)",
            ylabel="centre sent (its word)",
        )
        axis.grid(False)
    figure.suptitle(f"P(received | sent) in %, BER {percent(ber)}; smallest centre first")
    return figure


@torch.no_grad()
def draw_received_values(quantizer: SoftQuantizer, bers: Sequence[float]) -> Figure:
    """Draw what each received symbol is worth over the bit error rate, and what the posterior mean saves."""
    figure, ((left, right),) = panes(1, 2, (10, 3.9))
    rates = torch.as_tensor(bers)
    rounding = SoftQuantizer(len(quantizer.centers), "plain", quantizer.sigma)
    rounding.load_state_dict(quantizer.state_dict())
    left.plot(rates, quantizer.values(rates), color=COLORS["blue"], linewidth=1.6)
    left.axhline(float(quantizer.prior @ quantizer.levels), color=COLORS["red"], linestyle="--")
    left.set(
        xscale="log",
        xlabel="bit error rate",
        ylabel="value",
        title="What a received symbol is worth (dashed: the mean)",
    )
    saved = 100 * (1 - quantizer.expected_distortion(rates) / rounding.expected_distortion(rates))
    right.plot(rates, saved, color=COLORS["blue"])
    right.set(xscale="log", xlabel="bit error rate", ylabel="% of the channel's squared error", ylim=(0, None))
    right.set_title("What the posterior mean saves")
    return figure


def draw_order_curves(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw how much more each code order loses than the one best over the whole range; one panel a case."""
    figure, axes = panes(1, len(tables), (3.4 * len(tables) + 1.6, 3.8), sharey=True)
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        best = table[table.order == "optimal"].set_index("ber").distortion
        for order, color in ORDER_COLORS.items():
            part = table[table.order == order].groupby("ber").distortion
            excess, spread = 100 * (part.mean() / best - 1), 100 * (part.std() / best).fillna(0)
            style = {"linestyle": "--"} if order == "optimal" else {"linewidth": 3}  # what lies beneath shows
            axis.plot(excess.index, excess, color=color, label=ORDER_NAMES.get(order, order), **style)
            axis.fill_between(excess.index, excess - spread, excess + spread, color=color, alpha=0.2, linewidth=0)
        axis.set(xscale="log", xlabel="bit error rate", title=plain(name))
    axes[0, 0].set_ylabel("distortion above the optimum (%)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_flip_damage(cases: Mapping[str, tuple[PrefixCode, int]], symbols: Sequence[int]) -> Figure:
    """Draw which symbols of an image come out wrong when one bit is flipped; row by row as they are sent.

    cases: for each panel the code and the place of the flipped bit.
    """
    figure, axes = panes(1, len(cases), (3.3 * len(cases), 4.0))
    columns = round(len(symbols) ** 0.5)
    for axis, (name, (code, place)) in zip(axes[0], cases.items(), strict=True):
        bits = code.encode(symbols)
        received = code.decode(flipped(bits, place))
        wrong = wrong_places(symbols, received)
        cells = np.full(-(-len(symbols) // columns) * columns, np.nan)
        cells[: len(symbols)] = wrong
        axis.imshow(cells.reshape(-1, columns), cmap=ListedColormap([COLORS["light"], COLORS["red"]]), vmin=0, vmax=1)
        numbers = f"{len(bits)} bits, {len(received)} symbols out,\n{wrong.sum()} wrong (red)"
        axis.set_title(f"{plain(name)}\n{numbers}", fontsize=11)
        axis.set_axis_off()
    return figure
