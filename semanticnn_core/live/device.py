"""The device: images as frames to an edge, and the answers that come back."""

import json
import socket
import time
from collections.abc import Iterable, Iterator, Sized
from itertools import count

import numpy as np
from torch import Tensor

from semanticnn_core.channels.frames import Framing
from semanticnn_core.live.edge import Address
from semanticnn_core.systems import SemanticNN


def send_images(
    system: SemanticNN,
    framing: Framing,
    images: Tensor | Iterable[Tensor],
    edge: Address,
    rate: float = 20.0,
    patience: float = 2.0,
) -> Iterator[tuple[int, dict | None]]:
    """Encode images uint8 (N, 3, H, W) and send them, as `send_payloads` does; one by one if they are not there yet."""
    if isinstance(images, Tensor):
        payloads = system.send(images).data.cpu().numpy()
    else:
        payloads = (system.send(image[None]).data[0].cpu().numpy() for image in images)
    return send_payloads(payloads, framing, edge, rate, patience)


def send_payloads(
    payloads: Iterable[np.ndarray], framing: Framing, edge: Address, rate: float = 20.0, patience: float = 2.0
) -> Iterator[tuple[int, dict | None]]:
    """Send payloads uint8 (N, size), `rate` a second; yields the number of each and its answer, as they come.

    Payloads may be made one by one: each is asked for when it is time to send it. What is not answered within
    `patience` seconds of the last image is yielded with None. An answer is a dict with answer, probability, ber (as the
    edge believes) and missing (bytes that did not come). Raises ValueError for a rate that is not positive.
    """
    if not rate > 0:
        raise ValueError(f"rate must be positive, got {rate}")
    waiting: dict[int, int] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.connect(edge)
        start, rows = time.monotonic(), iter(payloads)
        for number in range(len(payloads)) if isinstance(payloads, Sized) else count():
            yield from _answers(here, waiting, start + number / rate)
            if (row := next(rows, None)) is None:
                break
            if (number % 256) in waiting:
                yield waiting.pop(number % 256), None  # its number is needed again
            waiting[number % 256] = number
            for frame in framing.frames(row.tobytes(), number):
                _send(here, frame)
        yield from _answers(here, waiting, time.monotonic() + patience, until_answered=True)
    for number in sorted(waiting.values()):
        yield number, None


def _send(here: socket.socket, frame: bytes) -> None:
    try:
        here.send(frame)
    except ConnectionError:
        pass  # nobody listens yet, or any more: the device goes on


def _answers(
    here: socket.socket, waiting: dict[int, int], until: float, until_answered: bool = False
) -> Iterator[tuple[int, dict]]:
    """Yield answers until a time; with `until_answered` no longer than there is something to wait for."""
    while (left := until - time.monotonic()) > 0 and (waiting or not until_answered):
        here.settimeout(left)
        try:
            data = here.recv(2048)
        except (TimeoutError, ConnectionError):
            time.sleep(min(0.01, max(until - time.monotonic(), 0)))
            continue
        try:
            answer = json.loads(data)
            number = waiting.pop(answer["sequence"])
        except (ValueError, KeyError, TypeError):
            continue  # not ours, or answered already
        yield number, answer
