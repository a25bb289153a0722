"""How long after a slider moved its pictures are painted, measured inside the page of a real JupyterLab.

    .venv/bin/python tests/benchmarks/latency.py
    .venv/bin/python tests/benchmarks/latency.py --notebook 03 --slider "slice ratio" --moves 100

needs Chromium and the `test` extra, and a machine with nothing else to do: the table begins with its load. A move is
one key; its time runs from the browser's time stamp of the key event to the frame after the last changed pixel or path
of a kind (canvases, attribution map, plotly's curves). A drag's time runs from its last mouse movement. Prints 50th
and 95th percentiles in milliseconds beside the bars.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import tyro
from playwright.sync_api import sync_playwright
from published import publish

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))  # tests are no package
from driver import Watched, find_browser, launch  # noqa: E402
from servers import LAB, notebook_names, serve, write_notebooks  # noqa: E402

BARS = {
    ("key", "image panels"): 150,
    ("key", "curves"): 200,
    ("key", "attribution map"): 400,
    ("drag", "image panels"): 300,
    ("drag", "curves"): 300,
    ("drag", "attribution map"): 600,
}
"""Milliseconds that the 95th percentile may take on two cores."""
QUIET = 700
"""Milliseconds without a paint after which a move is over; more than the slowest picture may lag behind the others."""
PROBE = """
(() => {
  const begun = { key: 0, drag: 0 };
  let painted = {}, newest = 0;
  const note = (kind) => requestAnimationFrame(() => setTimeout(() => {  // after the frame that shows it
    painted[kind] = newest = performance.now();
  }));
  addEventListener("keydown", (event) => begun.key = event.timeStamp, true);
  addEventListener("pointermove", (event) => { if (event.buttons) begun.drag = event.timeStamp; }, true);
  const put = CanvasRenderingContext2D.prototype.putImageData, before = new WeakMap();
  CanvasRenderingContext2D.prototype.putImageData = function (image, ...place) {
    put.call(this, image, ...place);
    const bytes = new BigUint64Array(image.data.buffer, 0, image.data.length >> 3), old = before.get(this.canvas);
    if (!old || old.length !== bytes.length || bytes.some((each, index) => each !== old[index]))
      note(/speaks|attribution/.test(this.canvas.ariaLabel) ? "attribution map" : "image panels");
    before.set(this.canvas, bytes.slice());
  };
  new MutationObserver((changes) => {  // all attributes: a filter would miss those in a namespace
    if (changes.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(".js-plotly-plot")))
      note("curves");
  }).observe(document, { subtree: true, attributes: true, childList: true, characterData: true });
  window.latency = {
    start() { painted = {}; newest = 0; },
    async times(since, quiet) {  // milliseconds from the last key or mouse movement to each kind's last paint
      const patience = performance.now() + 60000;
      const waits = () => !newest || performance.now() - newest < quiet || panel.kernel()?.status === "busy";
      while (waits() && performance.now() < patience) await new Promise((resolve) => setTimeout(resolve, 50));
      return Object.fromEntries(Object.entries(painted).map(([kind, time]) => [kind, time - begun[since]]));
    },
  };
})();
"""


@dataclass(frozen=True)
class Latency:
    """Measure slider to painted pixels in JupyterLab."""

    notebook: str = "00"
    """Number of the notebook."""
    slider: str = "bit error rate"
    """Name of the slider."""
    moves: int = 60
    """Keys pressed, eight to the left and eight to the right in turns."""
    drags: int = 10
    """Fast drags, to and fro."""
    out: Path | None = None
    """Folder of the table to write, latency.csv, for instance data/results."""

    def __call__(self) -> None:
        (name,) = notebook_names(self.notebook) or [None]
        if name is None or find_browser() is None:
            sys.exit("no Chromium found" if name else f"there is no notebook {self.notebook!r}; name it by two digits")
        with TemporaryDirectory() as folder, sync_playwright() as playwright:
            place = Path(folder)
            with serve(LAB, write_notebooks(place / "notebooks"), place / "lab") as server:
                browser = launch(playwright)
                watched = Watched(browser.new_page(viewport={"width": 1280, "height": 1300}), name)
                watched.page.add_init_script(PROBE)
                watched.run_in_lab(server)
                times = self.measure(watched)
                browser.close()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        load = f"load {os.getloadavg()[0]:.1f} on {cores} usable cores"
        print(f"{name}, {self.slider!r}, milliseconds until painted; {load}")
        table = summary(times).assign(load=round(os.getloadavg()[0], 1), cores=cores)
        print(table.to_string(index=False))
        if self.out:
            publish(self.out / "latency.csv", table)

    def measure(self, watched: Watched) -> list[dict]:
        """Return a row a move and kind of picture: what, picture, milliseconds."""
        slider, rows = watched.slider(self.slider), []
        watched.settle()
        for number in range(self.moves + self.drags):
            watched.page.evaluate("() => latency.start()")
            what = "key" if number < self.moves else "drag"
            if what == "key":
                slider.press(("ArrowLeft", "ArrowRight")[number // 8 % 2])
            else:
                slider.drag((0.25, 0.8)[number % 2], steps=20)
            times = watched.page.evaluate("([what, quiet]) => latency.times(what, quiet)", [what, QUIET])
            rows += [{"what": what, "picture": kind, "time": time} for kind, time in times.items()]
        return rows


def summary(rows: list[dict]) -> pd.DataFrame:
    """Return count and percentiles of each kind of picture after keys and after drags, beside the bars."""
    table = [
        {
            "after": what,
            "picture": kind,
            "moves": len(part),
            "p50": round(np.percentile(part["time"], 50)),
            "p95": round(np.percentile(part["time"], 95)),
            "bar": BARS[what, kind],
        }
        for (what, kind), part in pd.DataFrame(rows).groupby(["what", "picture"], sort=False)
    ]
    return pd.DataFrame(table)


if __name__ == "__main__":
    tyro.cli(Latency)()
