"""Payloads that travel in packets: some are lost as a whole, and bytes may be spread over all of them."""

from dataclasses import dataclass, replace

import torch

from semanticnn_core.channels.base import Arrival, Channel, Link, Payload
from semanticnn_core.channels.bits import derived_seed
from semanticnn_core.draws import Draws


@dataclass(frozen=True)
class Packets:
    """A link that carries payloads in packets of `size` bytes, of which a share `loss` never arrives.

    What arrives crosses `link`. Lost bytes are marked in `Arrival.present`: they are unknown, not zero.
    Raises ValueError for a size below 1 or a loss outside [0, 1].
    """

    link: Link
    size: int = 48
    loss: float = 0.1

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.loss <= 1:
            raise ValueError(
                f"packets need a size of at least 1 byte and a loss in [0, 1], got {self.size}, {self.loss}"
            )

    @property
    def settings(self) -> dict[str, object]:
        return {**self.link.settings, "link": "packets", "packet_bytes": self.size, "loss": self.loss}

    def channel(self, seed: int) -> Channel:
        """Return the channel of a seed; each loss and packet size has draws of its own."""
        channel = self.link.channel(seed)
        draws = Draws(derived_seed(seed, "packets", self.size, self.loss))

        def send(payload: Payload) -> Arrival:
            arrival, (count, size) = channel(payload), payload.data.shape
            came = (draws.uniform(count, -(-size // self.size)) >= self.loss).repeat_interleave(self.size, 1)[:, :size]
            came = came.to(payload.data.device)
            return replace(arrival, present=came if arrival.present is None else arrival.present & came)

        return send


@dataclass(frozen=True)
class Interleaved:
    """A link on whose way the bytes of a payload stand in another order, always the same: neighbours part.

    A burst, or a lost packet, then damages bytes all over the code. It costs nothing: both ends know the order.
    Payloads must be of one length for all images.
    """

    link: Link
    order: int = 0
    """Seed of the order."""

    @property
    def settings(self) -> dict[str, object]:
        return {**self.link.settings, "interleaved": True}

    def channel(self, seed: int) -> Channel:
        """Return the channel of a seed."""
        channel = self.link.channel(seed)

        def send(payload: Payload) -> Arrival:
            count, size = payload.data.shape
            if (payload.length != size).any():
                raise ValueError("payloads of different lengths cannot be interleaved; send codes of a fixed length")
            order = torch.randperm(size, generator=torch.Generator().manual_seed(self.order)).to(payload.data.device)
            back = order.argsort()
            arrival = channel(replace(payload, data=payload.data[:, order]))
            present = arrival.present if arrival.present is None else arrival.present[:, back]
            return replace(arrival, payload=replace(payload, data=arrival.payload.data[:, back]), present=present)

        return send
