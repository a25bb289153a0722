"""Live panel of notebook 04: what the edge looks at, and which part of the image a window sends."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
from torch import Tensor

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import Slice
from semanticnn_core.explain.attribution import METHODS, attribute
from semanticnn_core.explain.kept import WINDOWS, device_map, share_inside, window_boxes
from semanticnn_core.explain.metrics import inside_share, mask_on_grid
from semanticnn_core.panels.canvas import canvases, colored, pixels
from semanticnn_core.panels.channel import ratio_stops
from semanticnn_core.panels.page import in_pairs, in_rows, slider_look
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.journey import follow
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz.style import COLORS, DIVERGING

STEPS = 16
"""Points of Integrated Gradients and GradientSHAP: coarse, since the picture must follow the slider."""


class ExplanationPanel(widgets.VBox):
    """Choose image, method, window and slice ratio; see the map, the device's table and what the edge answers."""

    def __init__(
        self,
        model: SplitModel,
        codec: SemanticCodec,
        images: Tensor,
        classes: Sequence[str],
        masks: Tensor | None = None,
        method: str = METHODS[0],
        slice_ratio: float = 0.5,
    ) -> None:
        super().__init__()
        self.model, self.codec, self.pictures, self.classes, self.masks = model, codec, images, classes, masks
        self.guide = model.folded().edge_part
        self.maps: dict[tuple[int, str], Tensor] = {}
        look = slider_look()
        self.image = widgets.IntSlider(0, 0, len(images) - 1, description="image", **look)
        self.method = widgets.Dropdown(options=METHODS, value=method, description="method", **look)
        self.window = widgets.Dropdown(options=WINDOWS, value="importance", description="window", **look)
        stops = ratio_stops(model, codec, slice_ratio)
        self.slice_ratio = widgets.SelectionSlider(options=stops, value=slice_ratio, description="slice ratio", **look)
        names = {"map": "attribution, red: for the class", "table": "the device's map, bright: matters"}
        self.canvases = canvases(image="image and window", **names)
        self.status = widgets.HTML()
        controls = (self.image, self.method, self.slice_ratio, self.window)
        self.children = (in_pairs(controls), in_rows(self.canvases.values()), self.status)
        for control in controls:
            control.observe(lambda _: self.update(), "value")
        self.update()

    def update(self) -> None:
        """Show what the controls say."""
        number, part = self.image.value, Slice(self.slice_ratio.value, self.window.value)
        image = self.pictures[number]
        journey = follow(SemanticNN(self.model, self.codec, part), image, 0.0)
        feature, (clean, answer) = journey.sent[None], journey.classes
        x0, y0, x1, y1 = box = window_boxes(self.codec, feature, part)[0].tolist()
        scores, frame = self._map(number, feature, clean), (y0, x0, y1, x1)
        top = float(scores.abs().flatten().quantile(0.99)) or 1.0
        believed = device_map(self.codec, feature)[0]
        shown = {
            "image": pixels(image),
            "map": colored(scores, -top, top, DIVERGING),
            "table": colored(believed, float(believed.min()), float(believed.max())),
        }
        words = f"image {number}, {self.method.value}, slice ratio {part.ratio:g}, {part.window} window"
        for name, picture in shown.items():
            self.canvases[name].show(picture, frame=frame, words=words)
        before, after = (html.escape(str(self.classes[each])) for each in journey.classes)
        color = "inherit" if answer == clean else COLORS["red"]
        share = 100 * self.codec.windows(self.model.feature_shape, part).share_sent
        self.status.value = (
            f"{len(journey.payload)} bytes ({share:.0f} % of the code). "
            f"Uncompressed answer: <b>{before}</b>; from this window alone, "
            f"without bit errors: <b style='color:{color}'>{after}</b>{self._truth(number, scores, box)}"
        )

    def _truth(self, number: int, scores: Tensor, box: Sequence[float]) -> str:
        """Say what window and map have of the object, where it is known."""
        if self.masks is None:
            return ""
        mask = mask_on_grid(self.masks[number][None], *scores.shape)
        kept, inside = share_inside(self.masks[number], box), float(inside_share(scores[None], mask))
        return (
            f"<br>The window keeps <b>{100 * kept:.0f} %</b> of the object. On it, {100 * float(mask.mean()):.0f} % of "
            f"the area, lie <b>{100 * inside:.0f} %</b> of the positive attribution."
        )

    def _map(self, number: int, feature: Tensor, answer: int) -> Tensor:
        """Return the map of the uncompressed answer, kept for the next time."""
        key = number, self.method.value
        if key not in self.maps:
            self.maps[key] = attribute(self.guide, feature, answer, self.method.value, steps=STEPS).scores[0]
        return self.maps[key]
