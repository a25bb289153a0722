"""The edge: datagrams in, answers out; batches, counters, and a page that says how it goes."""

import asyncio
import json
import logging
import socket
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from semanticnn_core.channels.base import Arrival, Payload
from semanticnn_core.channels.frames import HEADER, Framing, joined, recovered
from semanticnn_core.systems import SemanticNN

Address = tuple[str, int]
START_BER = 0.01
"""Bit error rate that is believed of a sender before its headers are counted."""
MEMORY = 0.05
"""Weight of a new header in the estimate of a sender's bit error rate."""
SENDERS = 1024
"""Senders that are remembered; the one silent for longest goes first."""
ANSWERED = 128
"""Sequence numbers of a sender that are not answered again, half of those there are."""
BUFFER = 1 << 22
"""Bytes of datagrams that the operating system may keep while nobody reads them; it may allow fewer."""
WAITING = 4096
"""Images that may wait for their turn; further ones are dropped and counted."""


@dataclass
class Sender:
    """What the edge knows of a sender."""

    ber: float = START_BER
    open: OrderedDict[int, tuple[float, dict[int, bytes]]] = field(default_factory=OrderedDict)
    """Images of which parts are missing: when the first came, and the parts."""
    done: deque[int] = field(default_factory=lambda: deque(maxlen=ANSWERED))


@dataclass(frozen=True)
class Waiting:
    """An image on its way to an answer."""

    address: Address
    sequence: int
    began: float
    payload: Payload
    present: torch.Tensor
    ber: float


class Edge(asyncio.DatagramProtocol):
    """Answers images that arrive in frames.

    batch: images decoded together at most. patience: seconds after which an image is decoded without its missing parts.
    Every datagram ends in one of the counters received, header (nobody's, or unreadable), foreign (another model),
    length (more or fewer bytes than the part has), repeated; every image in answered or dropped.
    """

    def __init__(
        self, system: SemanticNN, framing: Framing, classes: Sequence[str], batch: int = 16, patience: float = 0.25
    ) -> None:
        self.system, self.framing, self.classes = system, framing, classes
        self.batch, self.patience = batch, patience
        self.senders: OrderedDict[Address, Sender] = OrderedDict()
        self.counters: Counter[str] = Counter()
        self.seconds: deque[float] = deque(maxlen=2000)
        self.latest: deque[dict] = deque(maxlen=30)
        self.queue: asyncio.Queue[Waiting] = asyncio.Queue(WAITING)
        self.transport: asyncio.DatagramTransport | None = None
        framing.nearest(bytes(HEADER))  # makes the table of its headers before anything arrives
        self._lengths = {framing.length(part) for part in range(framing.parts)}
        self._worker = ThreadPoolExecutor(1, "edge")
        self._tasks: list[asyncio.Task] = []

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen for datagrams and begin to answer; returns the port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._tasks = [loop.create_task(self._answer()), loop.create_task(self._sweep())]
        return transport.get_extra_info("sockname")[1]

    async def stop(self) -> None:
        """Answer what has arrived whole, and stop."""
        self._close_late(now=float("inf"))
        await self.queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._worker.shutdown()
        if self.transport:
            self.transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Address) -> None:
        self.counters["datagrams"] += 1
        if len(data) - HEADER not in self._lengths:  # before the header, which takes longer to read
            self.counters["length"] += 1
            return
        found = self.framing.nearest(data) or recovered(data, self.framing.key)
        if found is None:
            self.counters["header"] += 1
            return
        header, wrong = found
        if header.model != self.framing.model:
            self.counters["foreign"] += 1
            return
        if header.part >= self.framing.parts or len(data) - HEADER != self.framing.length(header.part):
            self.counters["length"] += 1
            return
        sender = self._sender(address)
        sender.ber += MEMORY * (wrong / (8 * HEADER) - sender.ber)
        began, parts = sender.open.get(header.sequence, (time.monotonic(), {}))
        if header.sequence in sender.done or header.part in parts:
            self.counters["repeated"] += 1
            return
        self.counters["received"] += 1
        parts[header.part] = data[HEADER:]
        sender.open[header.sequence] = began, parts
        if len(parts) == self.framing.parts:
            self._close(address, sender, header.sequence)

    def error_received(self, error: Exception) -> None:
        self.counters["unreachable"] += 1  # a sender went away before its answer came

    def metrics(self) -> str:
        """Return the counters in Prometheus' text format."""
        names = (
            "datagrams",
            "received",
            "header",
            "foreign",
            "length",
            "repeated",
            "answered",
            "dropped",
            "incomplete",
        )
        lines = []
        for name in names:
            lines += [f"# TYPE semanticnn_{name}_total counter", f"semanticnn_{name}_total {self.counters[name]}"]
        times = np.array(self.seconds) if self.seconds else np.zeros(1)
        lines += ["# TYPE semanticnn_seconds summary"]
        lines += [f'semanticnn_seconds{{quantile="{each}"}} {np.quantile(times, each):.6f}' for each in (0.5, 0.95)]
        lines += ["# TYPE semanticnn_waiting gauge", f"semanticnn_waiting {self.queue.qsize()}"]
        lines += ["# TYPE semanticnn_senders gauge", f"semanticnn_senders {len(self.senders)}", ""]
        return "\n".join(lines)

    def _sender(self, address: Address) -> Sender:
        sender = self.senders.pop(address, None) or Sender()
        self.senders[address] = sender
        while len(self.senders) > SENDERS:
            _, gone = self.senders.popitem(last=False)
            self.counters["dropped"] += len(gone.open)
        return sender

    def _close(self, address: Address, sender: Sender, sequence: int) -> None:
        """Let an image wait for its answer."""
        began, parts = sender.open.pop(sequence)
        sender.done.append(sequence)
        payload, present = joined(parts, self.framing)
        try:
            self.queue.put_nowait(Waiting(address, sequence, began, payload, present, min(sender.ber, 0.5)))
        except asyncio.QueueFull:
            self.counters["dropped"] += 1

    def _close_late(self, now: float) -> None:
        """Close images whose missing parts are overdue."""
        for address, sender in list(self.senders.items()):
            for sequence, (began, _) in list(sender.open.items()):
                if now - began > self.patience:
                    self.counters["incomplete"] += 1
                    self._close(address, sender, sequence)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.patience / 4)
            self._close_late(time.monotonic())

    async def _answer(self) -> None:
        """Decode what waits, as much as there is up to `batch` together."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [await self.queue.get()]
            while len(waiting) < self.batch and not self.queue.empty():
                waiting.append(self.queue.get_nowait())
            try:
                shares = await loop.run_in_executor(self._worker, self._decoded, waiting)
                for each, share in zip(waiting, shares, strict=True):
                    self._reply(each, share)
            except Exception:  # whatever one batch does, the next is answered
                logging.exception("a batch could not be decoded")
                self.counters["dropped"] += len(waiting)
            for _ in waiting:
                self.queue.task_done()

    @torch.no_grad()
    def _decoded(self, waiting: list[Waiting]) -> np.ndarray:
        """Return the probabilities of all classes, (B, classes)."""
        payload = Payload(torch.cat([each.payload.data for each in waiting]))
        present = torch.cat([each.present for each in waiting])
        arrival = Arrival(payload, present, torch.tensor([each.ber for each in waiting]))
        return self.system.receive(arrival).outputs.softmax(1).cpu().numpy()

    def _reply(self, image: Waiting, share: np.ndarray) -> None:
        best, took = int(share.argmax()), time.monotonic() - image.began
        answer = {
            "sequence": image.sequence,
            "answer": str(self.classes[best]),
            "probability": round(float(share[best]), 3),
            "ber": round(image.ber, 5),
            "missing": int((~image.present).sum()),
        }
        self.counters["answered"] += 1
        self.seconds.append(took)
        self.latest.append({"from": f"{image.address[0]}:{image.address[1]}", **answer, "ms": round(1e3 * took, 1)})
        self.transport.sendto(json.dumps(answer).encode(), image.address)


async def serve_page(edge: Edge, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Answer HTTP: `/metrics` for Prometheus, `/health`, and `/` with the latest answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), 3)
            path = line.split()[1].decode("ascii", "replace") if len(line.split()) > 1 else ""
            status, kind, body = _page(edge, path)
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len(body.encode())}"
            writer.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # a browser that went away
        finally:
            writer.close()

    return await asyncio.start_server(handle, host, port, limit=4096)


def _page(edge: Edge, path: str) -> tuple[str, str, str]:
    if path == "/metrics":
        return "200 OK", "text/plain", edge.metrics()
    if path == "/health":
        return "200 OK", "text/plain", "ok\n"
    if path != "/":
        return "404 Not Found", "text/plain", "there is /, /metrics and /health\n"
    names = ("from", "sequence", "answer", "probability", "ber", "missing", "ms")
    rows = "".join(
        "<tr>" + "".join(f"<td>{_escaped(each[name])}</td>" for name in names) + "</tr>"
        for each in reversed(edge.latest)
    )
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    style = "body{font-family:sans-serif;margin:2em;color-scheme:light dark}td,th{padding:.2em .8em;text-align:left}"
    counts = ", ".join(f"{value} {name}" for name, value in sorted(edge.counters.items()))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=1><title>edge</title>"
        f"<style>{style}</style><h1>Answers</h1><p>{counts or 'nothing has arrived yet'}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
    )
    return "200 OK", "text/html", page


def _escaped(value: object) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;")
