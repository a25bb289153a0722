"""Live panel of notebook 07: move the bit error rate and see which objects are still found, in own pictures too."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import torch
from torch import Tensor

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import Slice, percent
from semanticnn_core.datasets import DataError
from semanticnn_core.evaluation.fates import FATES, false_alarms, fates
from semanticnn_core.panels.canvas import canvases
from semanticnn_core.panels.channel import ber_slider, ratio_stops
from semanticnn_core.panels.page import in_pairs, in_rows, sized, slider_look
from semanticnn_core.panels.upload import FilePicker, read_upload
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.viz.boxes import painted


class BoxesPanel(widgets.VBox):
    """Choose image, error rate, channel seed and slice ratio; see the boxes that the edge finds, with and without.

    A picture of one's own becomes the last image.
    """

    def __init__(self, system: SemanticNN, images: Tensor, classes: Sequence[str], ber: float = 0.01) -> None:
        super().__init__()
        size = system.model.image_size
        gray = torch.full((1, 3, size, size), 128, dtype=torch.uint8)  # until there is a picture
        self.system, self.pictures, self.classes = system, images if len(images) else gray, classes
        self.ber = ber_slider(ber)
        self.seed = widgets.IntSlider(0, 0, 20, description="channel seed", **slider_look())
        self.image = widgets.IntSlider(0, 0, len(self.pictures) - 1, description="image", **slider_look())
        stops = ratio_stops(system.model, system.codec, system.slice.ratio)
        self.slice_ratio = widgets.SelectionSlider(
            options=stops, value=system.slice.ratio, description="slice ratio", **slider_look()
        )
        self.canvases = canvases(320, clean="uncompressed", received="received")
        self.status = widgets.HTML()
        self.message = widgets.HTML()
        self.picker = FilePicker(self.receive, self.complain, layout=sized(415, 200, margin="2px 2px 2px 118px"))
        controls = (self.image, self.ber, self.slice_ratio, self.seed)
        self.children = (
            in_pairs([*controls, self.picker]),
            self.message,
            in_rows(self.canvases.values()),
            self.status,
        )
        for control in controls:
            control.observe(lambda _: self.update(), "value")
        self.update()

    def receive(self, name: str, content: bytes) -> None:
        """Show a picture of one's own, or say why it cannot be shown."""
        try:
            upload = read_upload(name, content, self.system.model.image_size)
        except DataError as error:
            return self.complain(str(error))
        self.pictures = torch.cat([self.pictures, upload.image[None]])
        self.image.max = len(self.pictures) - 1
        self.image.value = self.image.max
        self.complain(f"{name}: {', '.join(('shown', *upload.notes))}")

    def complain(self, words: str) -> None:
        """Say something about a picture."""
        self.message.value = html.escape(words)

    def update(self) -> None:
        """Show what the controls say."""
        number, task = self.image.value, self.system.model.task
        system = SemanticNN(self.system.model, self.system.codec, Slice(self.slice_ratio.value, "importance"))
        image = self.pictures[number]
        sent = offload(system, image[None], BitErrors(self.ber.value).channel(self.seed.value))
        clean = task.answers(system.model.edge_part(sent.payload.local["feature"]))
        received = task.answers(sent.received.outputs)
        words = f"image {number}, bit error rate {percent(self.ber.value)}, slice ratio {self.slice_ratio.value:g}"
        for name, found in (("clean", clean), ("received", received)):
            self.canvases[name].show(painted(image, found, 0, self.classes), words=words)
        table = fates(received, clean)
        counts = ", ".join(f"{(table['fate'] == fate).sum()} {fate}" for fate in FATES)
        self.status.value = (
            f"{int(sent.payload.length[0]):,} bytes. Of the <b>{len(table)}</b> objects that the uncompressed network "
            f"sees: {counts}; {false_alarms(received, clean):.0f} false alarms."
        )
