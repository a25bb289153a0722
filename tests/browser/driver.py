"""What the browser tests and the latency benchmark do in a page: watch it, move its sliders, read what is painted.

The browser is the system's Chromium, driven by Playwright.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers import PATIENCE, Server

if TYPE_CHECKING:  # the tests are collected, and skipped, where Playwright is missing
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what is asked of other machines is seen and fails
)
NOT_OURS = (
    r"warning: Plugin \S+ .* to activate\.",  # JupyterLab on its own start, on a busy machine
    r"warning: (Unsatisfied|No satisfying) version .* of shared",  # Voilà on extensions made for a newer JupyterLab
)
QUIET = 400
"""Milliseconds without any change after which a panel counts as settled."""
VIEWPORT = {"width": 1280, "height": 1300}
PANEL = ".jp-OutputArea-output:has(.widget-slider)"
IN_PAGE = """
const hash = (text) => {
  let sum = 5381;
  for (let i = 0; i < text.length; i++) sum = ((sum << 5) + sum + text.charCodeAt(i)) | 0;
  return sum;
};
const drawn = (image) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth || 1, image.naturalHeight || 1];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
};
const svg = (part) => ["d", "transform", "href", "xlink:href", "style"].map((name) => part.getAttribute(name)).join()
  + (part.tagName === "text" ? part.textContent : "");
const all = (selector) => [...document.querySelectorAll(".jupyter-widgets " + selector)];
window.panel = {
  pictures() {  // what is painted, by name: hashes of pixels and of paths
    const found = {};
    all("canvas").forEach((each, i) => found[`canvas ${i}`] = hash(
      each.toDataURL() + each.nextElementSibling?.style.cssText));  // and the frame on it
    all("img").forEach((each, i) => found[`image ${i}`] = hash(drawn(each).toDataURL()));
    all(".js-plotly-plot").forEach((each, i) => found[`plot ${i}`] = hash(
      [...each.querySelectorAll(".main-svg :is(path, image, text, g)")].map(svg).join("|")));
    return found;
  },
  complete: () => all(".js-plotly-plot").every((each) => each.querySelector(".trace, .heatmaplayer image")),
  states: () => all("canvas[data-state]").map((each) => each.dataset.state),
  numbers: () => all(".widget-html-content").map((each) => each.textContent).join("\\n"),
  all: () => JSON.stringify([panel.pictures(), panel.states(), panel.numbers()]),
  together: () => new Set(panel.states().filter(Boolean)).size < 2,  // no canvas is late, however long it takes
  async settled(quiet) {  // resolves when nothing has changed for so many milliseconds
    for (let last = panel.all(), since = performance.now(); performance.now() - since < quiet;) {
      await new Promise((resolve) => setTimeout(resolve, 80));
      const now = panel.all();
      const moving = now !== last || panel.kernel()?.status === "busy" || !panel.together();
      if (moving) [last, since] = [now, performance.now()];
    }
  },
  notebook: () => window.jupyterapp?.shell.currentWidget,
  kernel: () => panel.notebook()?.context?.sessionContext.session?.kernel,
  errors() {  // what cells gave as errors or on standard error
    const outputs = panel.notebook()?.content?.widgets.flatMap((cell) => cell.model.outputs?.toJSON() ?? []);
    return outputs?.filter((each) => each.output_type === "error" || each.name === "stderr")
      .map((each) => each.evalue ?? [each.text].flat().join(""))
      ?? [...document.querySelectorAll("[data-mime-type='application/vnd.jupyter.stderr']")].map((e) => e.innerText);
  },
};
"""


def find_browser() -> str | None:
    """Return the path of the system's Chromium, None without one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium, which must exist."""
    return playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))


@dataclass
class Watched:
    """A page, what its console says, and whom it asks for anything."""

    page: Page
    name: str = ""
    """The notebook on it."""
    complaints: list[str] = field(default_factory=list)
    """The console's warnings and errors, each once, and uncaught exceptions."""
    urls: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What cells gave as errors or on standard error."""
    seconds: float = 0.0
    """From the server's start to a usable page, for Voilà."""

    def __post_init__(self) -> None:
        self.page.add_init_script(IN_PAGE)
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.context.on("request", lambda request: self.urls.append(request.url))
        self.page.on("websocket", lambda socket: self.urls.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        complaint = f"{message.type}: {message.text[:500]} ({message.location.get('url')})"
        known = any(re.match(each, complaint) for each in NOT_OURS) or complaint in self.complaints
        if message.type in ("error", "warning") and not known:
            self.complaints.append(complaint)

    @property
    def strangers(self) -> set[str]:
        """The hosts other than this machine that were asked for anything."""
        hosts = {urlsplit(url).hostname for url in self.urls}
        return {host for host in hosts if host} - {"127.0.0.1", "localhost", "::1"}

    def run_in_lab(self, server: Server) -> None:
        """Open the notebook in JupyterLab, run all its cells and wait for their end."""
        workspace = f"lab/workspaces/{self.name}"  # its own: a shared one would open earlier notebooks again
        self.page.goto(f"{server.url}{workspace}/tree/{self.name}.ipynb?token={server.token}")
        self.page.wait_for_function("() => panel.kernel()?.status === 'idle'")
        self.page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        self.errors = self.page.evaluate("() => panel.errors()")

    def close_kernels(self) -> None:
        """End the kernels, whose memory the next notebook needs."""
        self.page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")

    def open_voila(self, server: Server) -> None:
        """Open the page of a Voilà that serves one notebook and wait until there is something to slide and to see."""
        self.page.goto(f"{server.url}?token={server.token}")
        self.page.locator(".widget-slider .noUi-handle").first.wait_for()
        self.wait_until(self.complete, "the pictures are there")
        self.seconds = time.monotonic() - server.started
        self.errors = self.page.evaluate("() => panel.errors()")

    @property
    def sliders(self) -> list[Slider]:
        """The sliders on the page, from top to bottom."""
        self.page.wait_for_selector(".widget-slider .noUi-handle", state="attached")
        return [Slider(self.page, each) for each in self.page.locator(".widget-slider").all()]

    def slider(self, label: str) -> Slider:
        """Return the first slider of this name."""
        return next(each for each in self.sliders if each.label == label)

    def pictures(self) -> dict[str, int]:
        """Return what is painted, a hash for each picture's name."""
        return self.page.evaluate("() => panel.pictures()")

    def numbers(self) -> str:
        """Return the text beside the pictures."""
        return self.page.evaluate("() => panel.numbers()")

    def complete(self) -> bool:
        """Say whether there are pictures and every plot has something drawn in it."""
        return bool(self.pictures()) and self.page.evaluate("() => panel.complete()")

    def states(self) -> list[str]:
        """Return what canvases say of the state they show, where they do."""
        return self.page.evaluate("() => panel.states().filter(Boolean)")

    def settle(self) -> None:
        """Wait until pictures and numbers stand still, all of the same values, and the kernel is idle."""
        self.page.evaluate("quiet => panel.settled(quiet)", QUIET)

    def wait_until(self, fits: Callable[[], bool], wish: str, seconds: float = 60.0) -> None:
        """Wait for something; an AssertionError says what was wished for and did not come."""
        end = time.monotonic() + seconds
        while not fits():
            assert time.monotonic() < end, f"{self.name}: {wish}, within {seconds:g} s"
            self.page.wait_for_timeout(50)

    def picture_of(self, path: Path, margin: int = 10) -> None:
        """Save a picture of the panel and so many pixels around it."""
        panel = self.page.locator(PANEL).last
        panel.scroll_into_view_if_needed()
        box = panel.bounding_box()
        corner = {side: max(0, box[side] - margin) for side in ("x", "y")}
        self.page.screenshot(path=path, clip=corner | {side: box[side] + 2 * margin for side in ("width", "height")})


@dataclass
class Slider:
    """One slider with its name, its readout and its handle."""

    page: Page
    root: Locator

    @property
    def label(self) -> str:
        return self.root.locator(".widget-label").text_content()

    @property
    def value(self) -> str:
        """What the readout says."""
        return self.root.locator(".widget-readout").text_content()

    @property
    def handle(self) -> Locator:
        return self.root.locator(".noUi-handle")

    @property
    def place(self) -> float:
        """Where the handle is, from 0 to 1."""
        low, now, high = (float(self.handle.get_attribute(f"aria-value{each}")) for each in ("min", "now", "max"))
        return (now - low) / (high - low)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key on the handle."""
        self.handle.focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def drag(self, place: float, steps: int = 12) -> None:
        """Drag the handle in so many steps to a place from 0 to 1."""
        self.handle.scroll_into_view_if_needed()
        handle, base = self.handle.bounding_box(), self.root.locator(".noUi-base").bounding_box()
        y = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(base["x"] + place * base["width"], y, steps=steps)
        self.page.mouse.up()
