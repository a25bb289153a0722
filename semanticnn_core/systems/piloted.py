"""A receiver that nobody hands the bit error rate: it counts how many bits of known bytes arrive wrong.

Decoding, encoding again and comparing would cost no byte, and tells next to nothing: of the bits that the published
codec sends, 37 % differ from those of the decoded feature without any error, 39 % at a rate of 10 %. Its decoder is
trained for the answer, not to be undone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.codec.payload import unpack
from semanticnn_core.systems.base import Received
from semanticnn_core.systems.protected import Around

RATES = torch.logspace(-4, math.log10(0.3), 400)
"""Bit error rates that may be, all equally likely before anything arrives."""


@dataclass(frozen=True)
class Piloted(Around):
    """A system whose bytes leave with `pilots` known ones behind; the receiver counts how many of their bits are wrong.

    It believes in the mean rate given that count, over rates from 0.01 to 30 % that are likely alike on a log scale.
    Sending raises ValueError where payloads differ in length.
    """

    name: str
    pilots: int = 7

    @property
    def known(self) -> Tensor:
        """The bytes that both ends know, uint8 (pilots,)."""
        return torch.arange(1, self.pilots + 1, dtype=torch.uint8) * 0x5B

    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W), and the pilots."""
        payload = self.inner.send(images)
        if (payload.length != payload.data.shape[1]).any():
            raise ValueError(f"pilots stand behind payloads of one length, those of {self.inner.name} differ")
        pilots = self.known.to(payload.data.device).expand(len(payload), -1)
        return Payload(torch.cat([payload.data, pilots], 1), local=payload.local)

    def receive(self, arrival: Arrival) -> Received:
        """Estimate the rate of each image, and let the system inside answer."""
        data, present = arrival.payload.data, arrival.present
        own, pilots = data[:, : -self.pilots], data[:, -self.pilots :]
        came = torch.ones_like(pilots, dtype=torch.bool) if present is None else present[:, -self.pilots :]
        wrong = unpack((pilots ^ self.known.to(data.device)) * came, 1, 8 * self.pilots).sum(1)
        ber = expected_rate(wrong, 8 * came.sum(1))
        inner = Payload(own.contiguous(), local=arrival.payload.local)
        return self.inner.receive(Arrival(inner, None if present is None else present[:, : -self.pilots], ber))


def expected_rate(wrong: Tensor, known: Tensor) -> Tensor:
    """Return the mean bit error rate, (B,), given how many of so many known bits are wrong, (B,) each."""
    rates = RATES.to(wrong.device).double()
    logs = wrong[:, None] * rates.log() + (known - wrong)[:, None] * torch.log1p(-rates)
    return (logs.softmax(1) @ rates).float()
