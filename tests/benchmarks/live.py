"""How many images the edge answers, how soon, and what strange datagrams do to it.

    .venv/bin/python tests/benchmarks/live.py --seconds 300 --strange 1000000

The edge is `semanticnn serve` in a process of its own; link and devices run in this one, all on this machine. Needs a
machine with nothing else to do; asserts that no datagram was lost track of.
"""

import asyncio
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from semanticnn_core.channels import BitErrors
from semanticnn_core.channels.frames import Framing
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.live.device import send_payloads
from semanticnn_core.live.impair import Impair
from semanticnn_core.live.session import framing_of
from semanticnn_core.systems import SemanticNN, open_checkpoint


@dataclass(frozen=True)
class Live:
    """Load an edge."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose network and codec."""
    devices: int = 8
    """Devices that send side by side."""
    rate: float = 25.5
    """Images a second of each."""
    seconds: float = 30.0
    """How long."""
    ber: float = 0.01
    """Bit error rate of the link."""
    strange: int = 20_000
    """Random, mutated and cut datagrams."""

    def __call__(self) -> None:
        published, data = open_checkpoint(self.checkpoint)
        system = SemanticNN(published.model.folded(), published.codec)
        payloads, framing = system.send(data.test["image"][:500]).data.numpy(), framing_of(system)
        with served(self.checkpoint) as edge:
            self.load(edge, payloads, framing)
            self.fuzz(edge, payloads[:40], framing)

    def load(self, edge: "Served", payloads: np.ndarray, framing: Framing) -> None:
        """Send from all devices at once; say how fast and how soon answers came, and how the memory grew."""
        count, answered = int(self.rate * self.seconds), []
        mine = payloads[np.arange(count) % len(payloads)]
        link, loop = Impair(BitErrors(self.ber), edge.address), asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        port = asyncio.run_coroutine_threadsafe(link.start(), loop).result()

        def device(number: int) -> None:
            time.sleep(number / self.devices / self.rate)  # devices do not send in step
            sent = send_payloads(mine, framing, ("127.0.0.1", port), self.rate, 5.0)
            answered.append(sum(answer is not None for _, answer in sent))

        before, start = edge.megabytes(), time.monotonic()
        threads = [threading.Thread(target=device, args=(each,)) for each in range(self.devices)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        took, found = time.monotonic() - start, edge.metrics()
        print(f"{sum(answered)} of {self.devices * count} answered, {sum(answered) / took:.0f} images/s")
        print(
            f"half within {1e3 * found['seconds', '0.5']:.0f} ms, 95 % within {1e3 * found['seconds', '0.95']:.0f} ms"
        )
        print(f"memory of the edge: {before:.0f} MB before, {edge.megabytes():.0f} MB after")

    def fuzz(self, edge: "Served", payloads: np.ndarray, framing: Framing) -> None:
        """Send what no device sends, with valid traffic beside it."""
        generator, answers = np.random.default_rng(0), []
        good = framing.frames(payloads[0].tobytes(), 77)
        slow = self.strange / 2500 / len(payloads)  # seconds between valid images, so that they last as long

        def device() -> None:
            answers.extend(send_payloads(payloads, framing, edge.address, 1 / max(slow, 0.05), 5.0))

        valid = threading.Thread(target=device)
        valid.start()
        start = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(self.strange):
                frame = bytearray(good[number % len(good)])
                kind = number % 3
                if kind == 0:
                    frame = bytearray(generator.bytes(int(generator.integers(0, 1500))))
                elif kind == 1:
                    frame = frame[: int(generator.integers(0, len(frame) + 1))]
                else:
                    frame[int(generator.integers(len(frame)))] ^= int(generator.integers(1, 256))
                stranger.sendto(bytes(frame), edge.address)
                if number % 50 == 0:
                    time.sleep(0.015)  # slower than the edge reads, so that the system drops none
        valid.join()
        time.sleep(1)
        found = {name: value for (name, _), value in edge.metrics().items()}
        parts = ("header", "foreign", "length", "repeated", "received")
        assert found["datagrams_total"] == sum(found[f"{name}_total"] for name in parts), found
        print(f"{self.strange} strange datagrams in {time.monotonic() - start:.0f} s; memory {edge.megabytes():.0f} MB")
        print(f"valid images beside them: {sum(each is not None for _, each in answers)} of {len(payloads)} answered")


@dataclass(frozen=True)
class Served:
    """A running edge."""

    process: subprocess.Popen
    address: tuple[str, int]
    page: str

    def metrics(self) -> dict[tuple[str, str], float]:
        """Return the edge's numbers by name and quantile."""
        text = urllib.request.urlopen(f"{self.page}metrics").read().decode()
        found = re.findall(r'^semanticnn_(\w+)(?:{quantile="([\d.]+)"})? (\S+)$', text, re.MULTILINE)
        return {(name, quantile): float(value) for name, quantile, value in found}

    def megabytes(self) -> float:
        """Return the memory that the edge holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


@contextmanager
def served(checkpoint: str) -> Iterator[Served]:
    """Run `semanticnn serve` and say at its end what it counted."""
    words = [sys.executable, "-m", "semanticnn_core", "serve", "--checkpoint", checkpoint, "--port", "0", "--http", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline()
    try:
        yield Served(process, ("127.0.0.1", int(re.search(r":(\d+),", said)[1])), re.search(r"http\S+", said)[0])
    finally:
        process.terminate()
        print("edge:", process.communicate()[0].strip())


if __name__ == "__main__":
    tyro.cli(Live)()
