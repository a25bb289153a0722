"""A link between device and edge that damages datagrams: the payload's bits, or whole packets."""

import asyncio
import socket
from collections import Counter

import torch

from semanticnn_core.channels.base import Channel, Link, Payload
from semanticnn_core.live.edge import BUFFER, Address

CLIENTS = 256
"""Senders that are forwarded for; the one silent for longest goes first."""


class Impair(asyncio.DatagramProtocol):
    """Forwards datagrams to an edge, damaged as a link does it, and answers back, unharmed.

    The link may be changed while it runs. What a link marks as absent is not forwarded if all of it is.
    """

    def __init__(self, link: Link, edge: Address, seed: int = 0) -> None:
        self.edge, self.seed = edge, seed
        self.counters: Counter[str] = Counter()
        self.transport: asyncio.DatagramTransport | None = None
        self._opening = asyncio.Lock()
        self._back: dict[Address, asyncio.DatagramTransport] = {}
        self.use(link)

    def use(self, link: Link) -> None:
        """Damage as this link does, from now on."""
        self.link = link
        self._channel: Channel = link.channel(self.seed)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        return transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        """Close all."""
        for transport in (self.transport, *self._back.values()):
            if transport:
                transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Address) -> None:
        asyncio.get_running_loop().create_task(self._forward(data, address))

    async def _forward(self, data: bytes, address: Address) -> None:
        self.counters["datagrams"] += 1
        async with self._opening:  # or two datagrams that come together would leave from two ports
            if address not in self._back:
                loop = asyncio.get_running_loop()
                self._back[address], _ = await loop.create_datagram_endpoint(
                    lambda: _Back(self, address), remote_addr=self.edge
                )
                while len(self._back) > CLIENTS:
                    self._back.pop(next(iter(self._back))).close()
        damaged = self.damaged(data)
        if damaged is None:
            self.counters["lost"] += 1
        else:
            self._back[address].sendto(damaged)

    def damaged(self, data: bytes) -> bytes | None:
        """Return a datagram as it arrives; None where it does not."""
        if not data:
            return data
        arrival = self._channel(Payload(torch.frombuffer(bytearray(data), dtype=torch.uint8)[None]))
        if arrival.present is not None and not arrival.present.any():
            return None
        return arrival.payload.data[0].numpy().tobytes()


class _Back(asyncio.DatagramProtocol):
    """Carries an edge's answers to a sender."""

    def __init__(self, impair: Impair, address: Address) -> None:
        self.impair, self.address = impair, address

    def datagram_received(self, data: bytes, _: Address) -> None:
        self.impair.transport.sendto(data, self.address)

    def error_received(self, error: Exception) -> None:
        self.impair.counters["unreachable"] += 1
