"""Live panels: move the bit error rate and see what becomes of a feature, a payload and an answer."""

import html
from collections.abc import Sequence
from dataclasses import replace

import ipywidgets as widgets
import plotly.graph_objects as go
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import WHOLE, Slice, percent
from semanticnn_core.panels.canvas import bits_canvas, canvases, colored, colored_bits, pixels
from semanticnn_core.panels.page import LivePlot, in_pairs, in_rows, slider_look, spelt
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.journey import Journey, follow
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz.figures import busiest_channels, top_classes
from semanticnn_core.viz.style import COLORS, DIVERGING

_DECADE = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)
BER_STOPS = (0.0, *(round(step * ten, 9) for ten in (1e-4, 1e-3, 0.01) for step in _DECADE), 0.1, 0.125, 0.16, 0.2)
"""Stops of the logarithmic slider, round numbers from 0.01 % to 20 %; the first is no error at all."""


def ber_slider(ber: float) -> widgets.SelectionSlider:
    """Return a logarithmic slider of bit error rates, which has a stop for 0 and one for `ber`."""
    options = [(percent(stop), stop) for stop in sorted({*BER_STOPS, ber})]
    return widgets.SelectionSlider(options=options, value=ber, description="bit error rate", **slider_look())


def ratio_stops(model: SplitModel, codec: SemanticCodec, slice_ratio: float) -> list[tuple[str, float]]:
    """Return names and values of slice ratios: one for each share of the code that can be sent, always `slice_ratio`.

    Of ratios that send the same, the first counts: those that are talked about stand before their neighbours.
    """
    shares: dict[float, float] = {}
    for ratio in (slice_ratio, 1.0, 0.8, 0.5, 0.3, 0.2, 0.1, 0.4, 0.6, 0.7, 0.9):
        shares.setdefault(codec.windows(model.feature_shape, Slice(ratio)).share_sent, ratio)
    return [(f"{ratio:g}", ratio) for ratio in sorted(shares.values())]


class _LinkPanel(widgets.VBox):
    """Sliders for error rate, channel seed and image around one `Journey`; subclasses show it."""

    def __init__(self, system: SemanticNN, images: Tensor, ber: float) -> None:
        self.system, self.pictures = system, images
        self.ber = ber_slider(ber)
        self.seed = widgets.IntSlider(0, 0, 20, description="channel seed", **slider_look())
        self.image = widgets.IntSlider(0, 0, len(images) - 1, description="image", **slider_look())
        self.status = widgets.HTML()
        super().__init__()

    def watch(self, *controls: widgets.Widget) -> None:
        """Show the current state, and each new one when a control moves."""
        for control in controls:
            control.observe(lambda _: self.update(), "value")
        self.update()

    @property
    def words(self) -> str:
        """Where the sliders stand."""
        return f"image {self.image.value}, bit error rate {percent(self.ber.value)}, channel seed {self.seed.value}"

    def update(self) -> None:
        raise NotImplementedError


def answers_in_words(journey: Journey, classes: Sequence[str]) -> str:
    """Say how probable the answers before and after the link are."""
    chances = (float(each.max()) for each in (journey.clean, journey.answer))
    said = [f"{classes[each]}, {chance:.0%}" for each, chance in zip(journey.classes, chances, strict=True)]
    return f"most probable class uncompressed {said[0]}, received {said[1]}"


class FeaturePanel(_LinkPanel):
    """Notebook 02: one channel of the feature as sent and as received, and where the difference lies."""

    def __init__(self, system: SemanticNN, images: Tensor, ber: float = 0.05) -> None:
        super().__init__(system, images, ber)
        features = system.model.device_part(images)
        channels, busiest = features.shape[1], busiest_channels(features[0], 1)[0]
        # one scale a channel for all images; a bright border must not darken all the rest
        self.tops = features.transpose(0, 1).flatten(1).quantile(0.99, 1)
        worst = _channel_errors(follow(system, images[0], BER_STOPS[-1]))
        self.channel = widgets.IntSlider(busiest, 0, channels - 1, description="channel", **slider_look())
        self.canvases = canvases(
            image="image", sent="channel sent", received="channel received", difference="received − sent"
        )
        figure = go.Figure(go.Bar(x=list(range(channels)), y=[0.0] * channels, marker_color=COLORS["blue"]))
        figure.update_layout(
            height=220, margin={"l": 60, "r": 10, "t": 10, "b": 45}, template="plotly_white",
            xaxis_title="channel of the feature", yaxis_title="MSE of the channel",
            yaxis_autorangeoptions_include=max(worst),  # so that the bars, not the axis, follow the error rate
        )  # fmt: skip
        controls = (self.ber, self.image, self.seed, self.channel)
        self.errors = LivePlot(figure)
        self.watch(*controls)
        self.children = (in_pairs(controls), in_rows(self.canvases.values()), self.status, self.errors.live())

    def update(self) -> None:
        journey = follow(self.system, self.pictures[self.image.value], self.ber.value, self.seed.value)
        sent, received = (feature[self.channel.value] for feature in (journey.sent, journey.received))
        top = float(self.tops[self.channel.value]) or 1.0
        shown = {
            "image": pixels(journey.image),
            "sent": colored(sent, 0, top),
            "received": colored(received, 0, top),
            "difference": colored(received - sent, -top / 2, top / 2, DIVERGING),
        }
        for name, picture in shown.items():
            self.canvases[name].show(picture, words=f"{self.words}, channel {self.channel.value}")
        errors = _channel_errors(journey)
        marked = [COLORS["red"] if each == self.channel.value else COLORS["blue"] for each in range(len(errors))]
        figure = self.errors.figure
        with figure.batch_update():
            figure.data[0].y = errors
            figure.data[0].marker.color = marked
        self.errors.tell(
            f"{self.words}: MSE of each of {len(errors)} channels, at most {max(errors):.4f}, "
            f"of channel {self.channel.value} {errors[self.channel.value]:.4f}"
        )
        self.status.value = (
            f"{journey.flips} of {8 * len(journey.payload):,} bits flipped. MSE of the whole feature "
            f"<b>{journey.mse:.4f}</b>, of this channel <b>{errors[self.channel.value]:.4f}</b>.<br>Colours: channel "
            f"from 0 (dark) to {top:.2g} (yellow); difference from −{top / 2:.2g} (blue) to +{top / 2:.2g} (red)"
        )


def _channel_errors(journey: Journey) -> list[float]:
    return ((journey.received - journey.sent) ** 2).mean((1, 2)).tolist()


class OffloadPanel(_LinkPanel):
    """Notebook 03: image, received feature, payload with its flipped bits, and the edge's answer.

    fixed: whether the system can send its own slice alone (notebook 05: the firmware).
    """

    def __init__(
        self, system: SemanticNN, images: Tensor, classes: Sequence[str], ber: float = 0.05, fixed: bool = False
    ) -> None:
        super().__init__(system, images, ber)
        self.classes, ratio = classes, system.slice.ratio
        stops = [(f"{ratio:g}", ratio)] if fixed else ratio_stops(system.model, system.codec, ratio)
        self.slice_ratio = widgets.SelectionSlider(
            options=stops, value=ratio, description="slice ratio", **slider_look()
        )
        labels = {"feature sent": "feature sent, mean of channels", "feature received": "… received, same colours"}
        self.canvases = canvases(image="image", **labels)
        self.bits = bits_canvas((system if fixed else replace(system, slice=WHOLE)).payload_bytes)
        figure = go.Figure()
        for name, color in (("uncompressed", "gray"), ("received", "red")):
            figure.add_bar(name=name, marker_color=COLORS[color], x=[], y=[])
        figure.update_layout(
            height=230, margin={"l": 60, "r": 10, "t": 10, "b": 45}, template="plotly_white",
            xaxis={"title": "class", "type": "category"}, yaxis={"title": "probability, %", "range": [0, 100]},
        )  # fmt: skip
        controls = (self.ber, self.image, self.seed, *([] if fixed else [self.slice_ratio]))
        self.chances = LivePlot(figure)
        self.watch(*controls)
        pictures = in_rows(self.canvases.values())
        self.children = (in_pairs(controls), pictures, self.bits, self.status, self.chances.live())

    def update(self) -> None:
        system = replace(self.system, slice=replace(self.system.slice, ratio=self.slice_ratio.value))
        image = self.pictures[self.image.value]
        journey = follow(system, image, self.ber.value, self.seed.value)
        mean = journey.sent.mean(0)
        low, high = float(mean.min()), float(mean.max())
        words = f"{self.words}, slice ratio {self.slice_ratio.value:g}"
        self.canvases["image"].show(pixels(image), words=words)
        self.canvases["feature sent"].show(colored(mean, low, high), words=words)
        self.canvases["feature received"].show(colored(journey.received.mean(0), low, high), words=words)
        self.bits.show(colored_bits(journey), words=f"{words}; {journey.flips} bits flipped")
        chosen, figure = top_classes(journey), self.chances.figure
        with figure.batch_update():
            for trace, chances in zip(figure.data, (journey.clean, journey.answer), strict=True):
                trace.x = [spelt(self.classes[each]) for each in chosen]
                trace.y = (100 * chances[chosen]).tolist()
        self.chances.tell(f"{words}: {answers_in_words(journey, self.classes)}")
        before, after = (html.escape(str(self.classes[each])) for each in journey.classes)
        color = "inherit" if after == before else COLORS["red"]
        share, size = 100 * system.settings["share_sent"], len(journey.payload)
        self.status.value = (
            f"{size} bytes ({share:.0f} % of the code), {journey.flips} of {8 * size:,} bits flipped. "
            f"Uncompressed answer: <b>{before}</b>; after the link: <b style='color:{color}'>{after}</b>"
        )
