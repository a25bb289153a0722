"""`semanticnn serve`, `send` and `impair`: edge, device and a bad link between them, as three programs."""

import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from semanticnn_core.commands.encode import SentBySystem, in_integers
from semanticnn_core.commands.shared import check_classifier
from semanticnn_core.settings import Settings, setting

if TYPE_CHECKING:
    from torch import Tensor

    from semanticnn_core.systems.checkpoints import Checkpoint

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def address_of(words: str, what: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; a ValueError names the option."""
    host, _, port = words.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{what} must be HOST:PORT, such as 127.0.0.1:5683, got {words!r}")
    return host, int(port)


def resolved(words: str, what: str) -> tuple[str, int]:
    """Return address and port of HOST:PORT; a ValueError says which host has none."""
    host, port = address_of(words, what)
    try:
        return socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
    except OSError as error:
        raise ValueError(f"{what} {words} cannot be reached: no address is known of {host} ({error})") from error


@contextmanager
def listening(option: str, host: str, port: int) -> Iterator[None]:
    """Say which option names a port that cannot be had."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{option} {port} of {host} cannot be had: {reason}; give another, or 0 for any") from error


async def interrupted() -> None:
    """Wait until the process is asked to end."""
    import asyncio

    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, asked.set)
    await asked.wait()


def counted(counters: Mapping[str, int]) -> str:
    """Return counters in words."""
    return ", ".join(f"{value} {name}" for name, value in sorted(counters.items())) or "nothing arrived"


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted; a ValueError where there are none."""
    if not (files := sorted(each for each in folder.iterdir() if each.is_file())):
        raise ValueError(f"{folder} holds no files; give images, or a folder of images")
    return files


@dataclass(frozen=True, kw_only=True)
class Framed(SentBySystem):
    """What both ends agree on beside codec and slice."""

    packet: int = setting(222, 17, 1400)
    """Bytes of a datagram, its header of 16 bytes included."""
    key: str = ""
    """Words that only device and edge know; frames of others are dropped. Needed beyond this machine."""


@dataclass(frozen=True, kw_only=True)
class Serve(Framed):
    """Be the edge: answer images that arrive over UDP, until interrupted."""

    host: str = "127.0.0.1"
    """Address to listen on; another than this machine's own needs a key."""
    port: int = setting(5683, 0, 65535)
    """UDP port; 0 takes a free one."""
    http: int = setting(8383, 0, 65535)
    """Port of the page with the latest answers, /metrics and /health; 0 takes a free one."""
    batch: int = setting(16, 1, 4096)
    """Images that are decoded together at most."""
    patience: float = setting(0.25, 0.01, 60)
    """Seconds after which an image is decoded without the packets that are missing."""

    def check_together(self) -> None:
        if self.host not in LOOPBACK and not self.key:
            raise ValueError(f"host {self.host} can be reached by others: give a key that device and edge share")

    def __call__(self) -> None:
        import asyncio
        import os

        import torch

        from semanticnn_core.live.edge import Edge, serve_page
        from semanticnn_core.live.session import framing_of
        from semanticnn_core.systems import SemanticNN, load_checkpoint

        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        system = SemanticNN(checkpoint.model.folded(), checkpoint.system(self.system), self.slice)
        names = checkpoint.about.get("classes") or list(map(str, range(checkpoint.about["base"]["classes"])))
        check_classifier(system.model, self.checkpoint)
        edge = Edge(system, framing_of(system, self.packet, self.key), names, self.batch, self.patience)
        torch.set_num_threads(max((os.cpu_count() or 2) - 1, 1))  # the other core reads datagrams

        async def run() -> None:
            with listening("--port", self.host, self.port):
                port = await edge.start(self.host, self.port)
            with listening("--http", self.host, self.http):
                page = await serve_page(edge, self.host, self.http)
            web = page.sockets[0].getsockname()[1]
            print(f"listening on {self.host}:{port}, page on http://{self.host}:{web}/", flush=True)
            await interrupted()
            page.close()
            await edge.stop()
            print(counted(edge.counters))

        asyncio.run(run())


@dataclass(frozen=True, kw_only=True)
class Send(Framed):
    """Be the device: send images to an edge and print its answers."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE …")] = ()
    """Image files or folders of them; test images of the data set when left out."""
    to: str = "127.0.0.1:5683"
    """Where the edge (or the link before it) listens, HOST:PORT."""
    camera: str = ""
    """Send what a camera sees: its number, 0 for the first, or the file of a film. Needs OpenCV."""
    count: int = setting(20, 1, 1_000_000)
    """Images to send of the test images or the camera."""
    rate: float = setting(10.0, 1e-3, 10_000)
    """Images a second."""
    patience: float = setting(2.0, 0, 600)
    """Seconds to wait for answers after the last image."""
    dataset: str | None = None
    """Data set of the test images, which calibrates the integer encoder too; the codec's own when left out."""
    float: bool = False
    """Encode in floating point, not in the integers of the firmware."""
    compiled: bool = False
    """Encode with the exported C itself, compiled for this machine; the same bytes, image by image."""

    def check_together(self) -> None:
        host, _ = address_of(self.to, "to")
        if host not in LOOPBACK and not self.key:
            raise ValueError(f"to {self.to} is another machine: give the key that device and edge share")
        if self.float and self.compiled:
            raise ValueError("the C computes in integers; leave out either float or compiled")
        if self.camera and self.images:
            raise ValueError("images come from files or from a camera; leave out one of them")

    def __call__(self) -> None:
        import torch

        from semanticnn_core.datasets.image_files import decode_image
        from semanticnn_core.live.camera import opened, pictures
        from semanticnn_core.systems import load_checkpoint, open_checkpoint

        if self.camera:
            with opened(self.camera) as capture:
                checkpoint = load_checkpoint(self.checkpoint, self.data_root)
                seen = pictures(capture, checkpoint.model.image_size, live=self.camera.isdigit())
                self._send(checkpoint, islice(seen, self.count), "frame {}".format)
        elif self.images:
            checkpoint = load_checkpoint(self.checkpoint, self.data_root)
            files = [each for path in self.images for each in (_files(path) if path.is_dir() else [path])]
            images = torch.stack([decode_image(each, checkpoint.model.image_size) for each in files])
            self._send(checkpoint, images, files.__getitem__)
        else:
            checkpoint, data = open_checkpoint(self.checkpoint, self.dataset or "", self.data_root)
            few = data.test.first(self.count)
            truth = [str(data.classes[each]) for each in few["label"].tolist()]
            self._send(checkpoint, few["image"], "test image {}".format, truth)

    def _send(
        self,
        checkpoint: "Checkpoint",
        images: "Tensor | Iterable[Tensor]",
        name: Callable[[int], object],
        truth: Sequence[str] = (),
    ) -> None:
        """Send images uint8 (3, H, W) and print the answers; name: of each by its number; truth: where it is known."""
        from semanticnn_core.live.device import send_images
        from semanticnn_core.live.session import framing_of
        from semanticnn_core.systems import SemanticNN

        edge = resolved(self.to, "--to")
        system = SemanticNN(checkpoint.model, checkpoint.system(self.system), self.slice)
        framing = framing_of(system, self.packet, self.key)
        if not self.float:
            system = in_integers(system, checkpoint, self.system, self.dataset, self.data_root, self.compiled)
        right = answered = total = 0
        sent = send_images(system, framing, images, edge, self.rate, self.patience)
        for number, answer in sent:
            total += 1
            if answer is None:
                print(f"{name(number)}: no answer")
                continue
            answered += 1
            right += bool(truth) and truth[number] == answer["answer"]
            known = f", truth {truth[number]}" if truth else ""
            print(f"{name(number)}: {answer['answer']} ({answer['probability']:.0%}){known}", flush=True)
        if not total:
            raise ValueError(f"{self.camera} gave no image")
        share = f", {right} right" if truth else ""
        print(f"{answered} of {total} answered{share}; {framing.size} bytes in {framing.parts} packets each")
        if not answered:
            raise ValueError(
                f"nobody answered at {self.to}; is the edge running (semanticnn serve), with the same key?"
            )


@dataclass(frozen=True)
class ImpairLink(Settings):
    """Be a bad link: forward datagrams to an edge with flipped bits and lost packets, until interrupted."""

    to: str = "127.0.0.1:5683"
    """Where the edge listens, HOST:PORT."""
    port: int = setting(5684, 0, 65535)
    """UDP port to listen on, this machine only; 0 takes a free one."""
    ber: float = setting(0.01, 0, 0.5)
    """Bit error rate."""
    burst: float = setting(0.0, 0, 1e6)
    """Mean length of bursts, bits, in which three of ten bits are wrong; 0 flips bits on their own."""
    loss: float = setting(0.0, 0, 1)
    """Share of packets that are lost."""
    seed: int = setting(0, 0, 2**31 - 1)
    """Seed of the damage."""

    def check_together(self) -> None:
        address_of(self.to, "to")
        if 0 < self.burst < 1:
            raise ValueError(f"burst must be 0 or at least 1 bit, got {self.burst:g}")

    def __call__(self) -> None:
        import asyncio

        from semanticnn_core.channels import BitErrors, Bursts
        from semanticnn_core.channels.frames import LARGEST
        from semanticnn_core.channels.packets import Packets
        from semanticnn_core.live.impair import Impair

        link = Bursts(self.ber, self.burst) if self.burst else BitErrors(self.ber)
        impair = Impair(Packets(link, LARGEST, self.loss), resolved(self.to, "--to"), self.seed)

        async def run() -> None:
            with listening("--port", "127.0.0.1", self.port):
                port = await impair.start(port=self.port)
            print(f"listening on 127.0.0.1:{port}, forwarding to {self.to}", flush=True)
            await interrupted()
            await impair.stop()
            print(counted(impair.counters))

        asyncio.run(run())
