"""Compared systems under your fingers: which are shown, at which bit error rate, in at most how many bytes."""

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from semanticnn_core.config import percent
from semanticnn_core.evaluation.ranking import OURS, ranking
from semanticnn_core.panels.page import LivePlot, in_pairs, slider_look, spelt
from semanticnn_core.viz.style import COLORS

STOPS = 25
"""Stops of the slider of bit error rates."""


class RivalsPanel:
    """Accuracy of systems over bit error rates, and their order at one rate; end a cell with `panel.widget`.

    table: of the benchmark. Between measured rates lines are straight over the logarithm.
    """

    def __init__(self, table: pd.DataFrame, ber: float = 0.01) -> None:
        self.places, self.metric = ranking(table), str(table["metric"].iloc[0])
        self.rates = np.array(sorted(each for each in self.places.columns if isinstance(each, float)))
        stops = np.unique([*np.geomspace(self.rates[0], self.rates[-1], STOPS), *self.rates])
        options = [(percent(float(f"{stop:.2g}")), float(stop)) for stop in stops]
        nearest = min((stop for _, stop in options), key=lambda stop: abs(stop - ber))
        self.ber = widgets.SelectionSlider(
            options=options, value=nearest, description="bit error rate", **slider_look()
        )
        sizes = sorted({int(size) for size in self.places["bytes"].round()})
        self.most = widgets.SelectionSlider(
            options=[(f"{size:,} B", size) for size in sizes], value=next((s for s in sizes if s >= 384), sizes[-1]),
            description="at most", **slider_look(),
        )  # fmt: skip
        names = [str(name) for name in self.places.index]
        self.shown = widgets.SelectMultiple(
            options=names, value=tuple(names), rows=8, description="systems",
            layout=widgets.Layout(width="auto", max_width="415px", flex="1 1 340px"),
            style={"description_width": "110px"},
        )  # fmt: skip
        self.plot = LivePlot(self._empty(), narrow={"height": 900, "xaxis_domain": (0, 1), "xaxis2_domain": (0.45, 1),
                                                    "yaxis_domain": (0.62, 1), "yaxis2_domain": (0, 0.5)})  # fmt: skip
        self.update()
        for control in (self.ber, self.most, self.shown):
            control.observe(self.update, names="value")
        self.widget = widgets.VBox([in_pairs([self.ber, self.most, self.shown]), self.plot.live()])

    @property
    def figure(self) -> go.Figure:
        """Lines and bars."""
        return self.plot.figure

    def order(self) -> pd.Series:
        """Return the score, in per cent, of the systems shown at the slider's rate, the best last."""
        chosen = self.places.loc[list(self.shown.value)]
        chosen = chosen[chosen["bytes"].round() <= self.most.value]
        heights = [np.interp(np.log(self.ber.value), np.log(self.rates), row) for row in self._curves(chosen)]
        return pd.Series(heights, index=chosen.index, dtype=float).sort_values()

    def update(self, _change: object = None) -> None:
        """Redraw in one message."""
        order = self.order()
        *lines, here, bars = self.figure.data
        curves = dict(zip(self.places.index, self._curves(self.places), strict=True))
        with self.figure.batch_update():
            for line, name in zip(lines, self.places.index, strict=True):
                line.x, line.y = (self.rates, curves[name]) if name in order.index else ([], [])
            here.x, here.y = [self.ber.value] * 2, [0, 100]
            bars.x, bars.y = order.to_numpy(), [spelt(name) for name in order.index]
            bars.marker.color = [COLORS["red" if name == OURS else "blue"] for name in order.index]
        rank = f"first is {order.index[-1]}, {order.iloc[-1]:.1f} %" if len(order) else "no system is chosen"
        self.plot.tell(f"{len(order)} systems at bit error rate {percent(float(f'{self.ber.value:.2g}'))}: {rank}")

    def _curves(self, places: pd.DataFrame) -> np.ndarray:
        return 100 * places[list(self.rates)].to_numpy(dtype=float)

    def _empty(self) -> go.Figure:
        figure = make_subplots(1, 2, horizontal_spacing=0.3, column_widths=(0.5, 0.5))
        for name in self.places.index:
            look = {"color": COLORS["red"], "width": 3} if name == OURS else {"width": 1.2}
            trace = go.Scatter(name=spelt(name), mode="lines", line=look, x=[], y=[], showlegend=False)
            figure.add_trace(trace, 1, 1)
        look = {"color": COLORS["gray"], "width": 1, "dash": "dot"}
        figure.add_trace(go.Scatter(mode="lines", line=look, x=[], y=[], showlegend=False, hoverinfo="skip"), 1, 1)
        figure.add_trace(go.Bar(orientation="h", x=[], y=[], showlegend=False, texttemplate="%{x:.1f}"), 1, 2)
        ticks = {"tickvals": list(self.rates), "ticktext": [percent(rate) for rate in self.rates]}
        figure.update_xaxes(type="log", title_text="bit error rate", row=1, col=1, **ticks)
        figure.update_yaxes(title_text=f"{self.metric}, %", range=[0, 100], row=1, col=1)
        figure.update_xaxes(title_text=f"{self.metric} at this rate, %", range=[0, 105], row=1, col=2)
        figure.update_yaxes(tickfont={"size": 10}, row=1, col=2)
        figure.update_layout(template="simple_white", height=520, margin={"l": 50, "r": 10, "t": 20, "b": 50})
        return figure
