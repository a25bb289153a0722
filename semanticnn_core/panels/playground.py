"""Notebook 00: the whole way of one image at once, under sliders."""

import asyncio
import html
import io
import re
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch

from semanticnn_core.config import Slice, percent
from semanticnn_core.datasets import DataError
from semanticnn_core.panels import scene
from semanticnn_core.panels.boxes import BoxesPanel
from semanticnn_core.panels.canvas import bits_canvas, canvases, colored_bits
from semanticnn_core.panels.controls import OWN_IMAGE, TEST_IMAGES, Controls
from semanticnn_core.panels.opened import Accuracy, Played, accuracy_at, list_checkpoints, open_played
from semanticnn_core.panels.page import Download, in_pairs, sized
from semanticnn_core.panels.plots import PlaygroundPlots
from semanticnn_core.panels.scene import Point, Subject
from semanticnn_core.panels.upload import FilePicker, read_upload
from semanticnn_core.systems.checkpoints import DEFAULT_CHECKPOINT, CheckpointError
from semanticnn_core.systems.journey import Journey
from semanticnn_core.viz.style import COLORS

UPLOADS_KEPT = 4
HEAD_STARTS = (0.04, 0.09)
"""Seconds that the pictures have for their way to the page before the curves follow, and those before the map does."""


class Playground(widgets.VBox):
    """One image on its way: pictures, payload, answers and accuracy follow the controls at once, the map soon after.

    A detector has a panel of its own, which takes the others' place: its answers are boxes.
    checkpoint: a name of `list_checkpoints`; without its data set it is shown with your own images alone.
    Raises CheckpointError when that checkpoint cannot be opened.
    """

    def __init__(
        self,
        checkpoint: str = DEFAULT_CHECKPOINT,
        ber: float = 0.05,
        slice_ratio: float = 1.0,
        seed: int = 0,
        root: str | Path = "data",
        runs: str | Path = "runs",
    ) -> None:
        super().__init__()
        self.root, self.codecs = root, list_checkpoints(root, runs)
        if checkpoint not in self.codecs:
            known = ", ".join(self.codecs) or "none"
            raise CheckpointError(f"no checkpoint {checkpoint!r} that holds a codec; there are: {known}")
        self.uploads: dict[str, bytes] = {}
        self._opened: dict[str, Played] = {}
        self._subjects: dict[tuple[str, str], Subject] = {}
        self._wanted: tuple[Point, Played, Journey] | None = None
        self._task: asyncio.Task | None = None
        self.played = self._open(checkpoint)
        picker = FilePicker(self.receive, self.complain, layout=sized(415, 200, margin="2px 2px 2px 118px"))
        save = Download(self.save, label="save the picture")
        self.controls = Controls(list(self.codecs), checkpoint, ber, seed, picker, save)
        self.canvases, self.plots = canvases(160, 4, **scene.LABELS), PlaygroundPlots()
        self.bits = bits_canvas(self.played.system().payload_bytes)
        self._fit(slice_ratio)
        self.controls.watch(self.update, self._choose_source, self._choose_checkpoint)
        self._classes: tuple[widgets.Widget, ...] = ()
        self._show()

    @property
    def point(self) -> Point:
        """Where the controls stand."""
        now = self.controls
        source = now.source.value
        image = (
            f"test {now.image.value}" if source == TEST_IMAGES else f"own {source if source in self.uploads else '?'}"
        )
        part = Slice(now.slice_ratio.value, now.window.value)
        return Point(now.ber.value, part, now.seed.value, image, now.checkpoint.value)

    def update(self) -> None:
        """Send the image as the controls say, and paint the pictures; curves and map follow by themselves."""
        point, played = self.point, self.played
        self.subject = self._subject(point)
        self.journey = journey = scene.journey_at(played, self.subject, point)
        frame, state = scene.window_frame(played, point, journey.payload), str(point)
        for name, shown in scene.quick_maps(journey).items():
            self.canvases[name].show(shown, state, frame if name in scene.FRAMED else None, point.words)
        self.bits.show(colored_bits(journey), state, words=f"{journey.flips} bits flipped; {point.words}")
        self._follow_up(point, played, journey)

    def receive(self, name: str, content: bytes) -> None:
        """Show a visitor's file, or say what is wrong with it."""
        try:
            upload = read_upload(name, content, self.played.model.image_size)
        except DataError as error:
            return self.complain(str(error))
        self.uploads.pop(name, None)
        self.uploads[name] = content
        for oldest in list(self.uploads)[:-UPLOADS_KEPT]:
            del self.uploads[oldest]
        self._subjects.clear()  # a file of the same name may hold another picture
        self.controls.offer(self.played, list(self.uploads), name)
        self.update()
        self.tell(f"{name}: {', '.join(('shown', *upload.notes))}")

    def save(self) -> tuple[str, bytes]:
        """Return what is shown as a PNG, and a name for it."""
        point, played, journey = self.point, self.played, self.journey
        accuracy = self._accuracy(point)
        maps = scene.quick_maps(journey) | {"map": scene.attribution_map(played, journey)}
        name, content = re.sub(r"[^\w.=]+", "-", str(point))[:120] + ".png", io.BytesIO()
        scene.draw_scene(played, point, journey, maps, accuracy).savefig(content, format="png", dpi=150)
        self.tell(f"{name} goes to your browser's downloads")
        return name, content.getvalue()

    def tell(self, text: str) -> None:
        """Show a message beside the buttons."""
        self.controls.message.value = html.escape(text)

    def complain(self, text: str) -> None:
        """Show what went wrong, in red."""
        self.controls.message.value = f"<span style='color:{COLORS['red']}'>{html.escape(text)}</span>"

    def _accuracy(self, point: Point) -> Accuracy:
        return accuracy_at(self.played, self.played.windows(point.slice).share_sent, point.slice.window, point.ber)

    async def settled(self) -> None:
        """Wait until the map belongs to where the controls stand."""
        if self._task:
            await self._task

    def _open(self, name: str) -> Played:
        if name not in self._opened:
            folder, system = self.codecs[name]
            self._opened[name] = open_played(name, folder, root=self.root, without_data=True, system=system)
        return self._opened[name]

    def _choose_checkpoint(self) -> None:
        name, before = self.controls.checkpoint.value, self.played.name
        self.tell(f"opening {name} …")
        try:
            self.played = self._open(name)
        except (CheckpointError, DataError, OSError) as error:
            with self.controls.at_rest():
                self.controls.checkpoint.value = before
            return self.complain(f"{name} cannot be opened: {error}")
        self._fit(self.controls.slice_ratio.value)
        self._show()

    def _show(self) -> None:
        """Put the panel in place that shows what the opened network answers."""
        if self.played.finds_boxes:
            boxes = BoxesPanel(self.played.system(), self.played.images, self.played.classes, self.controls.ber.value)
            self.children = (in_pairs([self.controls.checkpoint]), self.controls.message, boxes)
        else:
            self.update()  # first: the page is given its figures with their content, or may miss the first of it
            if not self._classes:
                pictures = tuple(self.canvases.values())
                self._classes = self.controls.laid_out(pictures, self.bits, self.plots.live())
            self.children = self._classes

    def _fit(self, slice_ratio: float) -> None:
        """Offer what the opened checkpoint has, and say what it lacks."""
        self.controls.fit(self.played, slice_ratio)
        self.controls.offer(self.played, list(self.uploads), self.controls.source.value)
        self.tell(f"no test images, choose {OWN_IMAGE}: {self.played.missing}" if self.played.missing else "")

    def _choose_source(self) -> None:
        self.controls.image.disabled = self.controls.source.value != TEST_IMAGES
        self.update()

    def _subject(self, point: Point) -> Subject:
        key = point.checkpoint, point.image
        if key not in self._subjects:
            name, size, label = self.controls.source.value, self.played.model.image_size, None
            if name == OWN_IMAGE and name not in self.uploads:
                image = torch.full((3, size, size), 128, dtype=torch.uint8)  # grey, until there is one
            elif name != TEST_IMAGES:
                image = read_upload(name, self.uploads[name], size).image
            else:
                number = self.controls.image.value
                image, label = self.played.images[number], int(self.played.labels[number])
            self._subjects = {key: scene.subject_of(self.played, image, label)}  # the latest alone
        return self._subjects[key]

    def _follow_up(self, point: Point, played: Played, journey: Journey) -> None:
        """Have curves and map drawn: at once where no event loop runs, else by a task that skips to the latest wish."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._draw_curves(point, played, journey)
            return self._paint_map(point, played, journey, scene.attribution_map(played, journey))
        self._wanted = point, played, journey
        if self._task is None:  # the page is given its figures with their content, or may miss the first of it
            self._draw_curves(point, played, journey)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._follow())

    async def _follow(self) -> None:
        while self._wanted:
            try:
                wish = None
                while wish is not self._wanted:  # a newer wish takes the place of one that has only its curves
                    await asyncio.sleep(HEAD_STARTS[0])
                    wish = self._wanted
                    self._draw_curves(*wish)
                    await asyncio.sleep(HEAD_STARTS[1])
                self._wanted = None
                self._paint_map(*wish, await asyncio.to_thread(scene.attribution_map, *wish[1:]))
            except Exception as error:  # nobody awaits this task in a notebook, so nobody else would hear
                self._wanted = None
                self.complain(f"curves or map could not be made: {error}")

    def _draw_curves(self, point: Point, played: Played, journey: Journey) -> None:
        accuracy = self._accuracy(point)
        self.plots.show(journey, played, accuracy, str(point))
        self.controls.status.value = self._described(point, accuracy)

    def _paint_map(self, point: Point, played: Played, journey: Journey, shown: np.ndarray) -> None:
        frame = scene.window_frame(played, point, journey.payload)
        self.canvases["map"].show(shown, str(point), frame, point.words)

    def _described(self, point: Point, accuracy: Accuracy) -> str:
        played, journey = self.played, self.journey
        size = len(journey.payload)
        before, after = journey.classes
        color = "inherit" if after == before else COLORS["red"]
        names = [html.escape(str(played.classes[each])) for each in (before, after)]
        truth = "" if self.subject.label is None else f", truth {html.escape(str(played.classes[self.subject.label]))}"
        lines = [
            f"{size} bytes ({100 * played.windows(point.slice).share_sent:.0f} % of the code)",
            f"{journey.flips} of {8 * size:,} bits flipped",
            f"uncompressed <b>{names[0]}</b>, received <b style='color:{color}'>{names[1]}</b> "
            f"({100 * float(journey.answer[after]):.0f} %){truth}",
            _accuracy_in_words(point, accuracy),
        ]
        sent, read = (scene.window_frame(played, point, each) for each in (journey.payload, journey.arrived))
        if sent != read:
            lines.append(f"<span style='color:{COLORS['red']}'>the edge misread where the window lies</span>")
        return "<div style='line-height:1.5'>" + "<br>".join(lines) + "</div>"


def _accuracy_in_words(point: Point, accuracy: Accuracy) -> str:
    reading = accuracy.reading
    if not accuracy.here:
        return f"accuracy was not measured at ratio {point.slice.ratio:g}, {point.slice.window} window"
    if reading is None:
        return f"accuracy was not measured at a bit error rate of {percent(point.ber)}"
    value = f"accuracy {100 * reading.mean:.1f} ± {100 * reading.std:.1f} % on the test split"
    if reading.between is None:
        return f"{value}, measured"
    return f"{value}, read between {' and '.join(percent(rate) for rate in reading.between)}"
