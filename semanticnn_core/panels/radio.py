"""Live panel of notebook 08: a signal's strength, lost packets, and what the edge still understands."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
from torch import Tensor

from semanticnn_core.channels import BitErrors
from semanticnn_core.channels.lorawan import lorawan_time_on_air
from semanticnn_core.channels.packets import Interleaved, Packets
from semanticnn_core.channels.radio import SPREADING_FACTORS, lora_ber
from semanticnn_core.config import percent
from semanticnn_core.panels.canvas import canvases, colored, pixels
from semanticnn_core.panels.page import in_pairs, in_rows, slider_look
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.viz.style import COLORS

PACKET = 48
"""Bytes of a packet."""


class RadioPanel(widgets.VBox):
    """Choose image, signal, spreading factor and loss; see the feature that arrives and what the edge answers."""

    def __init__(self, system: SemanticNN, images: Tensor, classes: Sequence[str], snr: float = -9.0) -> None:
        super().__init__()
        self.system, self.pictures, self.classes = system, images, classes
        look = slider_look()
        self.image = widgets.IntSlider(0, 0, len(images) - 1, description="image", **look)
        self.snr = widgets.FloatSlider(snr, min=-25, max=-5, step=0.25, description="signal to noise, dB", **look)
        factors = [f"SF{each}" for each in SPREADING_FACTORS]
        self.factor = widgets.Dropdown(options=factors, value=factors[0], description="spreading", **look)
        self.loss = widgets.FloatSlider(0, min=0, max=0.9, step=0.05, description="packets lost", **look)
        self.order = widgets.Dropdown(
            options=["row by row", "interleaved"], value="row by row", description="order of bytes", **look
        )
        names = {"sent": "feature as sent", "received": "feature as received"}
        self.canvases = canvases(image="image", **names)
        self.status = widgets.HTML()
        controls = (self.image, self.snr, self.factor, self.loss, self.order)
        self.children = (in_pairs(controls), in_rows(self.canvases.values()), self.status)
        for control in controls:
            control.observe(lambda _: self.update(), "value")
        self.update()

    def update(self) -> None:
        """Show what the controls say."""
        factor, number = int(self.factor.value.removeprefix("SF")), self.image.value
        ber = lora_ber(self.snr.value, factor)
        link = Packets(BitErrors(ber), PACKET, self.loss.value)
        link = Interleaved(link) if self.order.value == "interleaved" else link
        sent = offload(self.system, self.pictures[number][None], link.channel(number))
        feature, received = sent.payload.local["feature"][0], sent.received.feature[0]
        clean = int(self.system.model.edge_part(feature[None]).argmax())
        answer = int(sent.received.outputs.argmax())
        words = f"image {number}, {self.snr.value:g} dB, {self.factor.value}, {self.loss.value:.0%} of the packets lost"
        top = float(feature.mean(0).max())
        shown = {
            "image": pixels(self.pictures[number]),
            "sent": colored(feature.mean(0), 0.0, top),
            "received": colored(received.mean(0), 0.0, top),
        }
        for name, picture in shown.items():
            self.canvases[name].show(picture, words=words)
        size, came = int(sent.payload.length[0]), int(sent.arrival.present.sum())
        seconds = lorawan_time_on_air(size, 12 - factor)
        color = "inherit" if answer == clean else COLORS["red"]
        names = (html.escape(str(self.classes[each])) for each in (clean, answer))
        self.status.value = (
            f"Bit error rate <b>{percent(float(f'{ber:.2g}'))}</b>; {came} of {size} bytes came; {seconds:.1f} s on "
            "air over LoRaWAN. Uncompressed answer <b>{}</b>, received <b style='color:{}'>{}</b>.".format(
                next(names), color, next(names)
            )
        )
