"""The playground's curves: class probabilities, and where this error rate lies on the measured accuracy."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from semanticnn_core.config import percent
from semanticnn_core.panels.channel import answers_in_words
from semanticnn_core.panels.opened import Accuracy, Played
from semanticnn_core.panels.page import LivePlot, spelt
from semanticnn_core.systems.journey import Journey
from semanticnn_core.viz.figures import top_classes
from semanticnn_core.viz.style import COLORS

TICKS = (0.0, 1e-4, 1e-3, 0.01, 0.05, 0.2)
ZERO = 3e-5
"""Where a rate of 0 stands on the logarithmic axis."""


def _shape(height: int, left: float, right: float, bottom: float, top: float) -> dict[str, Any]:
    """Return a layout whose first plot ends at `left`, `bottom` and whose second begins at `right`, `top`."""
    domains = {"xaxis": (0, left), "xaxis2": (right, 1), "yaxis": (bottom, 1), "yaxis2": (0, top)}
    return {"height": height} | {f"{axis}_domain": span for axis, span in domains.items()}


class PlaygroundPlots(LivePlot):
    """One figure, so that a move of a slider is one message: answers and accuracy, one below the other where narrow."""

    def __init__(self) -> None:
        figure = make_subplots(1, 2)
        for name, color in (("uncompressed", "gray"), ("received", "red")):
            figure.add_trace(go.Bar(name=name, marker_color=COLORS[color], x=[], y=[]), 1, 1)
        line = {"mode": "lines", "x": [], "y": []}
        measured = {"mode": "lines+markers", "line_color": COLORS["blue"], "error_y": {"array": [], "thickness": 1.5}}
        here = {"marker": {"size": 13, "symbol": "circle-open", "color": COLORS["red"], "line": {"width": 3}}}
        traces = (
            go.Scatter(name="uncompressed", line={"color": COLORS["gray"], "dash": "dash"}, showlegend=False, **line),
            go.Scatter(name="measured, mean ± std", x=[], y=[], **measured),
            go.Scatter(name="this rate", line={"color": COLORS["red"], "width": 1}, showlegend=False, **line),
            go.Scatter(name="this rate", mode="markers", x=[], y=[], **here),
        )
        for trace in traces:
            figure.add_trace(trace, 1, 2)
        figure.update_xaxes(title_text="class", type="category", row=1, col=1)
        figure.update_yaxes(title_text="probability, %", range=[0, 100], row=1, col=1)
        ticks = {"tickvals": [_place(rate) for rate in TICKS], "ticktext": [percent(rate) for rate in TICKS]}
        span = [_place(0) - 0.15, _place(0.2) + 0.15]  # fixed, so that the marker moves and not the axis
        figure.update_xaxes(title_text="bit error rate", range=span, row=1, col=2, **ticks)
        figure.update_yaxes(title_text="accuracy, %", row=1, col=2)
        legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
        margin = {"l": 55, "r": 10, "t": 30, "b": 45}
        figure.update_layout(template="plotly_white", margin=margin, legend=legend, **_shape(290, 0.38, 0.48, 0, 1))
        super().__init__(figure, narrow=_shape(560, 1, 0, 0.63, 0.4))

    def show(self, journey: Journey, played: Played, accuracy: Accuracy, state: str) -> None:
        """Redraw what changed, in one message; `state` travels with the figure, as `meta` of its first trace."""
        uncompressed, received, clean, measured, line, here = self.figure.data
        chosen, place = top_classes(journey), _place(journey.ber)
        names = [spelt(played.classes[each]) for each in chosen]
        curve, reading, top = accuracy.curve, accuracy.reading, played.clean_accuracy
        rates, means, stds = ([] if curve is None else curve[name].to_numpy() for name in ("ber", "mean", "std"))
        means, stds = 100 * np.array(means), 100 * np.array(stds)
        heights = [*(means - stds), *(means + stds), *([] if top is None else [100 * top])]
        with self.figure.batch_update():
            for trace, chances in ((uncompressed, journey.clean), (received, journey.answer)):
                trace.x, trace.y = names, (100 * chances[chosen]).tolist()
            uncompressed.meta = state
            clean.x, clean.y = ([], []) if top is None else ([_place(0), _place(TICKS[-1])], [100 * top] * 2)
            measured.x, measured.y, measured.error_y.array = [_place(rate) for rate in rates], means, stds
            measured.name = "measured, mean ± std" if accuracy.here else "the whole code, for comparison"
            measured.line.color = COLORS["blue" if accuracy.here else "light"]
            line.x, line.y = [place, place], [min(heights, default=0.0), max(heights, default=100.0)]
            here.x, here.y = ([place], [100 * reading.mean]) if reading else ([], [])
        known = "not known" if reading is None else f"{100 * reading.mean:.1f} %"
        self.tell(f"{answers_in_words(journey, played.classes)}; accuracy at {percent(journey.ber)}: {known}")


def _place(ber: float) -> float:
    return math.log10(ber or ZERO)
