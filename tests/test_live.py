"""Frames, edge, device and the link between them: what arrives is answered once, what is nobody's is dropped."""

import asyncio
import io
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_commands import made, workplace  # noqa: F401

from semanticnn_core import cli
from semanticnn_core.channels import BitErrors, frames
from semanticnn_core.channels.frames import HEADER, Framing, Header, joined, protected, recovered
from semanticnn_core.channels.packets import Packets
from semanticnn_core.datasets.image_files import decode_image
from semanticnn_core.live.camera import opened, pictures
from semanticnn_core.live.device import send_images, send_payloads
from semanticnn_core.live.edge import Edge
from semanticnn_core.live.session import Session, framing_of
from semanticnn_core.systems import SemanticNN

numbers = st.builds(Header, st.integers(0, 255), st.integers(0, 255), st.integers(0, 31))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 255), st.integers(0, 1), st.sampled_from(["", "key"]), st.integers(0, 16), st.integers(0, 2**32))
def test_own_headers_are_read_by_comparison_up_to_half_the_distance(sequence, part, key, wrong, seed):
    framing, header = Framing(77, 384, 222, key), Header(77, sequence, part)
    bits = np.zeros(128, np.uint8)
    bits[np.random.default_rng(seed).choice(128, wrong, replace=False)] = 1
    received = bytes(a ^ b for a, b in zip(protected(header, key), np.packbits(bits).tobytes(), strict=True))
    assert framing.nearest(received + b"payload") == ((header, wrong) if wrong < 16 else None)
    foreign = protected(Header(78, sequence, part), key)
    assert framing.nearest(foreign) is None and framing.nearest(received[:15]) is None
    assert recovered(foreign, key) == (Header(78, sequence, part), 0)


@settings(deadline=None)
@given(numbers, st.text(max_size=5), st.integers(0, 2**31))
@pytest.mark.slow
def test_a_header_comes_back_with_its_wrong_bits_counted(header, key, seed):
    sent = np.frombuffer(protected(header, key), np.uint8)
    flips = np.zeros(128, np.uint8)
    flips[np.random.default_rng(seed).choice(128, 8, replace=False)] = 1
    received = (sent ^ np.packbits(flips)).tobytes()
    assert recovered(received, key) == (header, 8)
    assert len(sent) == HEADER == 16 and recovered(received[:15], key) is None


def test_words_of_the_code_differ_in_at_least_32_bits():
    generator = np.random.default_rng(0)
    messages = generator.integers(0, 2, (3000, 29)).astype(np.uint8)
    weights = np.array([frames._encode(each, 7).sum() for each in messages[messages.any(1)]])
    assert weights.min() >= 32 and weights.max() <= 128
    one = np.eye(29, dtype=np.uint8)
    assert min(int(frames._encode(each, 7).sum()) for each in one) == 32


def test_at_five_per_cent_hardly_a_header_is_wrong():
    generator = np.random.default_rng(1)
    messages = generator.integers(0, 2, (500, 29)).astype(np.uint8)
    words = np.stack([frames._encode(each, 7) for each in messages]).repeat(40, 0)
    received = words ^ (generator.random(words.shape) < 0.05)
    decoded, _ = frames._decode(1.0 - 2.0 * received, 7)
    assert (decoded != messages.repeat(40, 0)).any(1).sum() <= 2  # of 20,000


@pytest.mark.slow
def test_noise_and_other_keys_are_nobodys_header():
    generator = np.random.default_rng(2)
    passed = sum(recovered(generator.bytes(16)) is not None for _ in range(3000))
    assert passed / 3000 < 1 / 256 + 0.005  # six check bits and a version
    strangers = sum(recovered(protected(Header(1, each, 0), "ours"), "theirs") is not None for each in range(256))
    assert strangers < 12


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(64, 1400), st.integers(0, 255))
@pytest.mark.slow
def test_a_payload_comes_back_from_its_frames(size, packet, sequence):
    framing = Framing(7, size, packet)
    payload = np.random.default_rng(size).bytes(size)
    parts = {}
    for frame in framing.frames(payload, sequence):
        header, wrong = recovered(frame)
        assert (header.model, header.sequence, wrong) == (7, sequence, 0) and len(frame) <= packet
        assert len(frame) - HEADER == framing.length(header.part)
        parts[header.part] = frame[HEADER:]
    whole, present = joined(parts, framing)
    assert whole.data.numpy().tobytes() == payload and present.all() and len(parts) == framing.parts
    if framing.parts > 1:
        del parts[0]
        _, present = joined(parts, framing)
        assert int((~present).sum()) == framing.share


def test_a_lost_packet_leaves_no_hole():
    framing = Framing(0, 384, 64)
    parts = {recovered(each)[0].part: each[HEADER:] for each in framing.frames(bytes(384), 0)}
    del parts[3]
    _, present = joined(parts, framing)
    gaps = np.diff(np.flatnonzero(~present[0].numpy()))
    assert gaps.min() >= 3 and gaps.max() <= 12 and len(gaps) == 47


@pytest.mark.parametrize(
    "arguments, words", [((0, 384, 16), "17 to 1400"), ((0, 384, 20), "96 parts"), ((0, 9, 1500), "17 to 1400")]
)
def test_framings_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Framing(*arguments)
    with pytest.raises(ValueError, match="must have 9 bytes, got 3"):
        Framing(0, 9).frames(b"abc", 0)
    with pytest.raises(ValueError, match=r"part must be in \[0, 31\], got 32"):
        protected(Header(0, 0, 32))


@pytest.fixture
def system(split, codec) -> SemanticNN:
    return SemanticNN(split, codec)


def test_a_session_answers_as_the_system_does(system, dataset):
    images = dataset.test["image"][:30]
    wanted = split_answers(system, images)
    with Session(system, dataset.classes, BitErrors(0.0), packet=24) as session:
        answers = dict(send_images(system, session.framing, images, session.address, rate=400))
        assert {number: answer["answer"] for number, answer in answers.items()} == wanted
        assert all(answer["missing"] == 0 and answer["ber"] < 0.01 for answer in answers.values())
        counted = session.edge.counters
        assert counted["answered"] == 30 and counted["received"] == counted["datagrams"] == 90
        assert len(session.edge.senders) == 1
        port = session.page.sockets[0].getsockname()[1]
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        assert "semanticnn_answered_total 30" in page and 'quantile="0.95"' in page
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read() == b"ok\n"
        assert b"<th scope=col>answer" in urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()


def split_answers(system: SemanticNN, images: torch.Tensor) -> dict[int, str]:
    from semanticnn_core.systems import offload

    outputs = offload(system, images, BitErrors(0.0).channel(0)).received.outputs
    return {number: str(each) for number, each in enumerate(outputs.argmax(1).tolist())}


@pytest.mark.slow
def test_what_is_lost_is_answered_without_and_the_rate_is_estimated(system, dataset):
    images = dataset.test["image"].repeat(3, 1, 1, 1)[:100]
    link = Packets(BitErrors(0.05), 1400, 0.2)
    with Session(system, dataset.classes, link, packet=24, patience=0.1) as session:
        answers = dict(send_images(system, session.framing, images, session.address, rate=300))
        last = [answer for answer in answers.values() if answer][-40:]
        assert np.mean([answer["ber"] for answer in last]) == pytest.approx(0.05, abs=0.02)
        assert {answer["missing"] for answer in last} >= {0, 8}
        counted = session.edge.counters
        assert counted["answered"] >= 95 and counted["incomplete"] > 10
        session.link(BitErrors(0.0))
        time.sleep(0.05)
        again = dict(send_images(system, session.framing, images[:20], session.address, rate=300))
        assert all(answer and answer["missing"] == 0 for answer in again.values())


@pytest.mark.slow
def test_every_datagram_is_counted_and_valid_traffic_is_still_answered(system, dataset):
    generator = np.random.default_rng(3)
    images = dataset.test["image"][:20]
    with Session(system, dataset.classes, BitErrors(0.0), packet=24) as session:
        port = session.edge.transport.get_extra_info("sockname")[1]
        good = session.framing.frames(system.send(images[:1]).data[0].numpy().tobytes(), 9)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(2000):
                frame = bytearray(good[number % len(good)])
                if number % 3 == 0:
                    frame = bytearray(generator.bytes(int(generator.integers(0, 60))))
                elif number % 3 == 1:
                    frame = frame[: int(generator.integers(0, len(frame) + 1))] + generator.bytes(number % 2)
                else:
                    frame[int(generator.integers(len(frame)))] ^= int(generator.integers(1, 256))
                stranger.sendto(bytes(frame), ("127.0.0.1", port))
                if number % 20 == 0:
                    time.sleep(0.02)
        answers = dict(send_images(system, session.framing, images, session.address, rate=200))
        assert all(answers.values()) and len(answers) == 20
        counted = session.edge.counters
        parts = ("header", "foreign", "length", "repeated", "received")
        assert counted["datagrams"] == sum(counted[name] for name in parts) > 1000
        assert counted["answered"] <= counted["received"]


def test_nothing_is_answered_twice(system, dataset):
    with Session(system, dataset.classes, BitErrors(0.0), packet=24) as session:
        frames_ = session.framing.frames(system.send(dataset.test["image"][:1]).data[0].numpy().tobytes(), 5)
        port = session.edge.transport.get_extra_info("sockname")[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.settimeout(2)
            for _ in range(3):
                for frame in frames_:
                    here.sendto(frame, ("127.0.0.1", port))
            assert json.loads(here.recv(999))["sequence"] == 5
            here.settimeout(0.5)
            with pytest.raises(TimeoutError):
                here.recv(999)
        assert session.edge.counters["repeated"] == 2 * len(frames_)


@pytest.mark.slow
def test_a_device_goes_on_while_the_edge_is_away_and_comes_back(system, dataset):
    framing = framing_of(system, 24)
    images = dataset.test["image"][:40]

    async def edge_for(port: int, seconds: float) -> int:
        edge = Edge(system, framing, dataset.classes)
        await edge.start(port=port)
        await asyncio.sleep(seconds)
        await edge.stop()
        return edge.counters["answered"]

    async def run() -> tuple[dict, int]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        sending = asyncio.create_task(
            asyncio.to_thread(lambda: dict(send_images(system, framing, images, ("127.0.0.1", port), 20, 0.5)))
        )
        first = await edge_for(port, 0.8)
        await asyncio.sleep(0.3)
        second = await edge_for(port, 1.6)
        return await sending, first + second

    answers, answered = asyncio.run(run())
    got = [number for number, answer in answers.items() if answer]
    assert len(answers) == 40 and len(got) == len(set(got)) <= answered and min(got) < 10 and max(got) > 25


@pytest.mark.parametrize(
    "command, words",
    [
        ("serve --host 0.0.0.0", "give a key"),
        ("send --to 10.0.0.1:5683", "give the key"),
        ("send --to nowhere", "HOST:PORT"),
        ("send --float --compiled", "leave out either float or compiled"),
        ("send 0.png --camera 0", "files or from a camera"),
        ("impair --to 127.0.0.1:0", "HOST:PORT"),
        ("impair --burst 0.5", "at least 1 bit"),
        ("serve --packet 16", "packet must be"),
        ("impair --to nowhere.invalid:5683", "--to nowhere.invalid:5683 cannot be reached"),
        ("send --to nowhere.invalid:5683 --key k", "--to nowhere.invalid:5683 cannot be reached"),
        ("serve --checkpoint yolov3_small-scene_detection", "is no classifier"),
        ("decode nowhere.bin --checkpoint yolov3_small-scene_detection", "is no classifier"),
        ("sweep 'run 01' --grid ber=0.01,0.9", "ber must be in [0, 0.5]"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(command, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(shlex.split(command))
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and words in error and len(error.splitlines()) == 1


def test_folders_and_ports_are_named_that_cannot_be_had(system, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["send", str(tmp_path)])
    assert f"{tmp_path} holds no files" in capsys.readouterr().err
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            cli.main(["impair", "--port", str(port)])
    assert f"--port {port} of 127.0.0.1 cannot be had" in capsys.readouterr().err


class Film:
    """A camera that counts its frames, as OpenCV gives them."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames = frames

    def grab(self) -> bool:
        return bool(self.frames) and self.frames.pop(0) is not None

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)


def test_a_camera_is_seen_as_files_are_and_frames_that_waited_are_thrown_away():
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(6)]
    files = []
    for each in frames:
        files.append(io.BytesIO())
        Image.fromarray(each).save(files[-1], "PNG")
    wanted = [decode_image(each, 32) for each in files]
    film = [np.ascontiguousarray(each[..., ::-1]) for each in frames]
    assert all(map(torch.equal, pictures(Film(film.copy()), 32, live=False), wanted))
    assert len(list(pictures(Film(film.copy()), 32, live=False))) == 6
    alive = list(pictures(Film(film.copy()), 32, live=True))
    assert len(alive) == 3 and all(map(torch.equal, alive, wanted[1::2]))


def test_payloads_are_asked_for_when_it_is_time_to_send_them(system):
    framing, asked, begin = framing_of(system), [], time.monotonic()

    def lazily() -> Iterator[np.ndarray]:
        for _ in range(3):
            asked.append(time.monotonic())
            yield np.zeros(framing.size, np.uint8)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        answers = dict(send_payloads(lazily(), framing, here.getsockname(), rate=5, patience=0.1))
    assert answers == {0: None, 1: None, 2: None}
    assert all(when - begin >= number / 5 for number, when in enumerate(asked))


@pytest.mark.slow
def test_a_film_is_opened_by_opencv_and_what_is_none_is_refused(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="the extra `camera` is not installed")
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(4):
        writer.write(np.full((48, 64, 3), (200, 100, 20), np.uint8))
    writer.release()
    with opened(str(tmp_path / "film.avi")) as capture:
        seen = torch.stack(list(pictures(capture, 32, live=False)))
    assert seen.shape == (4, 3, 32, 32)
    assert (seen.float().mean((0, 2, 3)) - torch.tensor([20.0, 100, 200])).abs().max() < 6
    with pytest.raises(ValueError, match="give its number"), opened(str(tmp_path / "none.avi")):
        pass


@pytest.mark.slow
def test_three_programs_talk_and_stop_cleanly(workplace, capsys):  # noqa: F811
    def started(command: str) -> tuple[subprocess.Popen, str]:
        words = [sys.executable, "-m", "semanticnn_core", *shlex.split(command)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline()

    edge, said = started("serve --checkpoint whole --port 0 --http 0")
    port = int(said.split(",")[0].rsplit(":", 1)[1])
    link, said = started(f"impair --to 127.0.0.1:{port} --port 0 --ber 0.02")
    port = int(said.split(",")[0].rsplit(":", 1)[1])
    send = f"send --checkpoint whole --to 127.0.0.1:{port}"
    device, said = started(f"{send} --float 0.png 1.png")
    rest, _ = device.communicate(timeout=120)
    assert device.returncode == 0 and "2 of 2 answered" in said + rest
    cli.main(shlex.split(f"{send} --dataset stripes.npz --compiled 0.png"))  # what else it does needs no own process
    said = capsys.readouterr()
    assert "1 of 1 answered" in said.out and "floating point" not in said.err, said.err
    for process, word in ((link, "datagrams"), (edge, "3 answered")):
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0 and word in rest
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(f"{send} --float --patience 0.2 0.png"))
    assert end.value.code == 2 and "nobody answered" in capsys.readouterr().err
