"""Edge and link in a thread of this process, for notebooks and tests."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from semanticnn_core.channels.base import Link
from semanticnn_core.channels.frames import Framing
from semanticnn_core.live.edge import Address, Edge, serve_page
from semanticnn_core.live.impair import Impair
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.semanticnn import model_number


def framing_of(system: SemanticNN, packet: int = 222, key: str = "") -> Framing:
    """Return the framing that both ends of a system agree on: it follows from codec and slice."""
    return Framing(model_number(system.codec, system.slice), system.payload_bytes, packet, key)


class Session:
    """Within it an edge answers behind a link, on this machine alone.

    address: where a device sends to: the link's. `link(…)` changes how it damages. edge: counters and latest answers.
    """

    def __init__(self, system: SemanticNN, classes: Sequence[str], link: Link, packet: int = 222, **edge: Any) -> None:
        self.framing = framing_of(system, packet)
        self.edge = Edge(system, self.framing, classes, **edge)
        self.start_link = link
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "Session":
        self.thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def link(self, link: Link) -> None:
        """Damage as this link does, from now on."""
        self.loop.call_soon_threadsafe(self.impair.use, link)

    def run(self, work: Coroutine) -> Any:
        """Return what a coroutine returns in the session's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _start(self) -> None:
        port = await self.edge.start()
        self.impair = Impair(self.start_link, ("127.0.0.1", port))
        self.address: Address = ("127.0.0.1", await self.impair.start())
        self.page = await serve_page(self.edge)

    async def _stop(self) -> None:
        self.page.close()
        await self.impair.stop()
        await self.edge.stop()
