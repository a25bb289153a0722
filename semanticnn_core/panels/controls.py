"""The playground's controls, and where everything stands on the page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ipywidgets as widgets

from semanticnn_core.panels.channel import ber_slider, ratio_stops
from semanticnn_core.panels.opened import Played
from semanticnn_core.panels.page import ControlNames, Download, in_pairs, in_rows, slider_look
from semanticnn_core.panels.upload import FilePicker

TEST_IMAGES = "test images"
OWN_IMAGE = "your own image"
"""The source where there are no test images, until there is an image."""


class Controls:
    """Every control of the playground, and two places for words."""

    def __init__(
        self, checkpoints: Sequence[str], checkpoint: str, ber: float, seed: int, picker: FilePicker, save: Download
    ) -> None:
        look = slider_look()
        self.ber = ber_slider(ber)
        self.slice_ratio = widgets.SelectionSlider(options=[("1", 1.0)], description="slice ratio", **look)
        self.seed = widgets.IntSlider(seed, 0, max(20, seed), description="channel seed", **look)
        self.window = widgets.Dropdown(options=["center"], description="window", **look)
        self.image = widgets.IntSlider(0, 0, 1, description="image", **look)
        self.source = widgets.Dropdown(options=[TEST_IMAGES], description="picture from", **look)
        self.checkpoint = widgets.Dropdown(options=checkpoints, value=checkpoint, description="checkpoint", **look)
        self.picker, self.save = picker, save
        last, now = len(self.ber.options) - 1, self.ber.index
        self.play = widgets.Play(min=0, max=last, value=now, interval=400, show_repeat=True)
        self.play_link = widgets.jslink((self.play, "value"), (self.ber, "index"))  # in the page: needs no round trip
        self.message = widgets.HTML(layout=widgets.Layout(min_height="28px", max_width="900px"))  # moves nothing below
        self.status = widgets.HTML(layout=widgets.Layout(width="305px", max_width="100%"))
        self.resting = False

    def watch(self, moved: Callable[[], None], source: Callable[[], None], checkpoint: Callable[[], None]) -> None:
        """Have these called when a slider moves, another source or another checkpoint is chosen."""
        for control in (self.ber, self.slice_ratio, self.seed, self.window, self.image):
            control.observe(lambda _: self.resting or moved(), "value")
        self.source.observe(lambda _: self.resting or source(), "value")
        self.checkpoint.observe(lambda _: self.resting or checkpoint(), "value")

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within it, controls can be set without anything being called."""
        before, self.resting = self.resting, True
        try:
            yield
        finally:
            self.resting = before

    def offer(self, played: Played, uploads: Sequence[str], chosen: str) -> None:
        """Offer the test images, where there are any, and own images by name; another choice falls to the first."""
        sources = [*([TEST_IMAGES] if len(played.images) else []), *uploads] or [OWN_IMAGE]
        with self.at_rest():
            self.source.options = sources
            self.source.value = chosen if chosen in sources else sources[0]
        self.image.disabled = self.source.value != TEST_IMAGES

    def fit(self, played: Played, slice_ratio: float) -> None:
        """Offer what an opened checkpoint has: its images, its payload sizes, its windows."""
        with self.at_rest():
            self.image.max = max(0, len(played.images) - 1)
            self.slice_ratio.options = ratio_stops(played.model, played.codec, slice_ratio)
            self.slice_ratio.value = slice_ratio
            window = self.window.value
            windows = ["center", "importance", "energy"] if played.codec.importance.any() else ["center", "energy"]
            self.window.options = windows
            self.window.value = window if window in windows else "center"

    def laid_out(
        self, pictures: Sequence[widgets.Widget], bits: widgets.Widget, plots: widgets.Widget
    ) -> tuple[widgets.Widget, ...]:
        """Return the rows of the page, which wrap where it is narrow."""
        left = (self.ber, self.slice_ratio, self.seed, self.window, self.image, self.source, self.checkpoint)
        animate = widgets.Label("animate the error rate:")
        return (
            in_pairs([*left, self.picker]),
            in_rows([animate, self.play, self.save, ControlNames()], align="center"),
            self.message,
            in_rows(pictures),
            in_rows([bits, self.status], align="center"),
            plots,
        )
