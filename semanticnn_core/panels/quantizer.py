"""The quantiser under your fingers: sharpness, number of centres, bit error rate and code order."""

from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.config import percent
from semanticnn_core.panels.page import LivePlot, in_pairs, in_rows, slider_look
from semanticnn_core.studies.centers import entropy_bits, lloyd_max, relative_distortion
from semanticnn_core.studies.symbol_codes import FIXED_ORDERS
from semanticnn_core.viz.staircases import coded_quantizer, mapping, shown_range
from semanticnn_core.viz.style import COLORS

CENTERS = (2, 4, 8, 16, 32, 64)
BER_STOPS = (0.0, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.2)
SAMPLE = 8192
"""Latents that the panel works on; more change nothing one can see."""
FAINT = -3
"""Power of ten, in percent, of the rarest confusion with a colour of its own."""


class QuantizerPanel:
    """Four pictures of a quantiser on real latents that follow the sliders; end a cell with `panel.widget`.

    latents: any shape; centers: 2, 4, … 64; sigma in [0.1, 100]; ber: 0 or up to 0.5, a stop of its own if new.
    """

    def __init__(self, latents: Tensor, centers: int = 8, sigma: float = 4.0, ber: float = 0.01) -> None:
        values = latents.flatten()
        pick = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))[:SAMPLE]
        self.latents, self.symbols_an_image = values[pick], latents[0].numel() if latents.dim() > 1 else len(values)
        self.span = shown_range(self.latents)
        self.best = {count: lloyd_max(self.latents, count) for count in CENTERS}
        stops = [(percent(stop), stop) for stop in sorted({*BER_STOPS, ber})]
        self.sigma = widgets.FloatLogSlider(
            sigma, min=-1, max=2, step=0.05, description="sharpness σ", readout_format=".2g", **slider_look()
        )
        self.centers = widgets.SelectionSlider(options=CENTERS, value=centers, description="centres", **slider_look())
        self.ber = widgets.SelectionSlider(options=stops, value=ber, description="bit error rate", **slider_look())
        self.order = widgets.ToggleButtons(options=FIXED_ORDERS, value="natural")
        self.order.style.button_width = "88px"
        self.controls = (self.sigma, self.centers, self.ber, self.order)
        self.numbers = widgets.HTML()
        self.plot = LivePlot(self._empty(), narrow=_one_below_the_other())
        self.update()
        for control in self.controls:
            control.observe(self.update, names="value")
        name = widgets.Label("code order", layout=widgets.Layout(width="110px", justify_content="flex-end"))
        order = in_rows([name, self.order])  # its own description would stand above the buttons
        self.widget = widgets.VBox([in_pairs([*self.controls[:3], order]), self.numbers, self.plot.live()])

    @property
    def figure(self) -> go.Figure:
        """The four pictures."""
        return self.plot.figure

    def update(self, _change: object = None) -> None:
        """Redraw all traces in one message."""
        levels = self.best[self.centers.value]
        quantizer = coded_quantizer(self.latents, levels, self.sigma.value, self.order.value)
        drawn = mapping(quantizer, self.span, self.ber.value, 400)
        soft_use = quantizer.soft_occupancy(self.latents)
        names = [f"{word:0{quantizer.bits}b}" for word in quantizer.code.tolist()]
        chance = 100 * quantizer.transition(self.ber.value)[0].detach()
        *lines, use, soft, heat = self.figure.data
        self.numbers.value = self._described(quantizer)
        self.plot.tell(
            f"staircases and their slope, use of each centre, and confusions of {self.centers.value} centres with "
            f"sharpness {self.sigma.value:.2g}, bit error rate {percent(self.ber.value)}, {self.order.value} code order"
        )
        with self.figure.batch_update():
            curves = (drawn.hard, drawn.soft, drawn.received, drawn.slope)
            for line, curve in zip(lines, curves, strict=True):
                line.x, line.y = drawn.x.numpy(), curve.numpy()
            heat.x, heat.y, heat.customdata = names, names, chance.numpy()
            heat.z = chance.clamp_min(10**FAINT).log10().numpy()
            use.x, use.y = names, 100 * quantizer.prior.numpy()
            soft.x, soft.y = names, 100 * soft_use.numpy()

    def _described(self, quantizer: SoftQuantizer) -> str:
        clean, lost = (float(relative_distortion(quantizer, self.latents, ber)) for ber in (0.0, self.ber.value))
        size = -(-self.symbols_an_image * quantizer.bits // 8)
        return (
            f"<b>{size} bytes</b> an image · entropy {entropy_bits(quantizer.prior):.2f} of {quantizer.bits} bits · "
            f"lost of the variance: {100 * clean:.2f} % to the centres, "
            f"<b>{100 * lost:.2f} %</b> with BER {percent(self.ber.value)}"
        )

    def _empty(self) -> go.Figure:
        titles = ("sent, soft, and what arrives", "slope of the soft staircase")
        titles += ("use of each centre, %", "P(received | sent), %")
        figure = make_subplots(2, 2, subplot_titles=titles, vertical_spacing=0.2, horizontal_spacing=0.18)
        lines = (("sent", "black", 1), ("soft", "blue", 1), ("mean received", "red", 1), ("slope", "blue", 2))
        for name, color, column in lines:
            line = go.Scatter(name=name, mode="lines", line_color=COLORS[color], showlegend=column == 1)
            figure.add_trace(line, 1, column)
        figure.add_trace(go.Bar(name="hard", marker_color=COLORS["black"]), 2, 1)
        figure.add_trace(go.Bar(name="soft count, as L_div sees it", marker_color=COLORS["blue"]), 2, 1)
        powers = list(range(FAINT, 3))
        bar = {"tickvals": powers, "ticktext": [f"{10.0**power:g}" for power in powers]}
        bar |= {"len": 0.44, "y": 0.19, "thickness": 14}
        heat = go.Heatmap(name="P", coloraxis="coloraxis")
        figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": FAINT, "cmax": 2, "colorbar": bar})
        heat.hovertemplate = "sent %{y}, received %{x}: %{customdata:.3g} %<extra></extra>"
        figure.add_trace(heat, 2, 2)
        figure.update_xaxes(title_text="latent", row=1)
        figure.update_yaxes(range=self.span, row=1, col=1)  # fixed, so that the curves move and not the axis
        words = {"type": "category", "nticks": 8, "tickfont": {"size": 10}}
        figure.update_xaxes(title_text="code word of the centre", row=2, **words)
        figure.update_xaxes(title_text="word received", row=2, col=2)
        figure.update_yaxes(title_text="word sent", row=2, col=2, **words)
        figure.update_yaxes(autorange="reversed", row=2, col=2)  # row 0 on top, as matrices are read
        legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"}
        margin = {"l": 50, "r": 10, "t": 70, "b": 50}
        figure.update_layout(template="simple_white", height=600, margin=margin, legend=legend)
        return figure


def _one_below_the_other() -> dict[str, Any]:
    """Return the layout of the four pictures for a narrow page."""
    shape: dict[str, Any] = {
        "height": 1150,
        "margin_t": 140,
        "coloraxis_colorbar_y": 0.08,
        "coloraxis_colorbar_len": 0.19,
    }
    for number, top in enumerate((1, 0.73, 0.44, 0.16)):
        axis = number + 1 if number else ""
        shape |= {f"xaxis{axis}_domain": (0, 1), f"yaxis{axis}_domain": (max(0, top - 0.17), top)}
        shape |= {f"annotations[{number}].x": 0.5, f"annotations[{number}].y": top}
    return shape
