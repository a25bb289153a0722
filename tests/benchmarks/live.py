"""How many images an edge answers, how soon, and what a million strange datagrams do to it.

    .venv/bin/python tests/benchmarks/live.py --seconds 300 --strange 1000000

Edge, link and devices run in this process, over this machine's own sockets. Needs a machine with nothing else to do;
asserts that nothing was lost track of.
"""

import resource
import socket
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.live.device import send_images, send_payloads
from semanticnn_core.live.session import Session
from semanticnn_core.systems import SemanticNN, open_checkpoint


@dataclass(frozen=True)
class Live:
    """Load an edge."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose network and codec."""
    devices: int = 8
    """Devices that send side by side."""
    rate: float = 28.0
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
        images = data.test["image"][:500]
        with Session(system, data.classes, BitErrors(self.ber)) as session:
            self.load(session, system, images)
            self.fuzz(session, system, images[:20])

    def load(self, session: Session, system: SemanticNN, images: torch.Tensor) -> None:
        """Send from all devices at once; say how fast and how soon answers came, and how the memory grew."""
        count = int(self.rate * self.seconds)
        payloads = system.send(images).data.numpy()[np.arange(count) % len(images)]  # beforehand: the edge is measured
        answered: list[int] = []

        def device() -> None:
            sent = send_payloads(payloads, session.framing, session.address, self.rate, 5.0)
            answered.append(sum(answer is not None for _, answer in sent))

        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        threads = [threading.Thread(target=device) for _ in range(self.devices)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        took = time.monotonic() - start
        p50, p95 = np.quantile(np.array(session.edge.seconds), (0.5, 0.95)) * 1e3
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        total = self.devices * count
        print(f"{sum(answered)} of {total} answered in {took:.1f} s: {sum(answered) / took:.0f} images/s")
        print(f"at the edge: half within {p50:.0f} ms, 95 % within {p95:.0f} ms; memory grew by {grown:.0f} MB")
        print(dict(session.edge.counters), dict(session.impair.counters))

    def fuzz(self, session: Session, system: SemanticNN, images: torch.Tensor) -> None:
        """Send what no device sends, with valid traffic beside it."""
        generator, edge = np.random.default_rng(0), session.edge
        address = ("127.0.0.1", edge.transport.get_extra_info("sockname")[1])
        good = session.framing.frames(system.send(images[:1]).data[0].numpy().tobytes(), 77)
        answers: dict = {}

        def device() -> None:
            sent = send_images(system, session.framing, images, session.address, 5.0, 5.0)
            answers.update({number: answer for number, answer in sent})

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
                stranger.sendto(bytes(frame), address)
                if number % 50 == 0:
                    time.sleep(0.02)  # slower than the edge reads, so that the system drops none
        valid.join()
        time.sleep(1)
        counted = edge.counters
        parts = ("header", "foreign", "length", "repeated", "received")
        assert counted["datagrams"] == sum(counted[name] for name in parts)
        print(f"{self.strange} strange datagrams in {time.monotonic() - start:.0f} s: {dict(counted)}")
        print(
            f"valid images beside them: {sum(each is not None for each in answers.values())} of {len(answers)} answered"
        )


if __name__ == "__main__":
    tyro.cli(Live)()
