"""Pictures that live panels paint: raw bytes on a canvas, which says in the page what state it shows."""

import anywidget
import matplotlib as mpl
import numpy as np
import traitlets
from matplotlib.colors import to_rgba
from torch import Tensor

from semanticnn_core.panels.page import sized
from semanticnn_core.systems.journey import Journey
from semanticnn_core.viz.figures import BIT_COLORS, bit_grid
from semanticnn_core.viz.style import SEQUENTIAL

BYTES_PER_ROW = 16
BITS_WIDTH = 8 * BYTES_PER_ROW * 4
"""Screen pixels of a row of bits: four a bit."""
Frame = tuple[float, float, float, float]
"""Top, left, bottom and right of a window, each a share of the picture's height or width."""


class PixelCanvas(anywidget.AnyWidget):
    """A canvas that paints raw RGBA bytes, rows × columns, as sharp pixels as wide as its layout says.

    Once painted, its element carries `data-state` and `data-version` of the very bytes it shows, and says its label and
    `words` to screen readers.
    """

    _esm = """
    function render({ model, el }) {
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.style.cssText = "width:100%; display:block; image-rendering:pixelated";
      const caption = document.createElement("div");
      caption.style.cssText = "font-size:12px; margin-bottom:2px; color:var(--jp-ui-font-color1)";
      caption.textContent = model.get("label");
      const outline = document.createElement("div");
      outline.style.cssText = "position:absolute; box-sizing:border-box; pointer-events:none; " +
        "border:2px solid #E69F00; box-shadow:inset 0 0 0 1px #222222";
      const place = document.createElement("div");
      place.style.cssText = "position:relative";
      place.append(canvas, outline);
      el.append(caption, place);
      const paint = () => {
        const raw = model.get("pixels");
        canvas.width = model.get("columns");
        canvas.height = model.get("rows");
        const bytes = new Uint8ClampedArray(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
        canvas.getContext("2d").putImageData(new ImageData(bytes, canvas.width, canvas.height), 0, 0);
        const frame = model.get("frame");
        outline.hidden = frame.length !== 4;
        ["top", "left", "bottom", "right"].forEach((side, number) => {
          const share = number < 2 ? frame[number] : 1 - frame[number];
          outline.style[side] = 100 * share + "%";
        });
        canvas.dataset.state = model.get("state");
        canvas.dataset.version = model.get("version");
        canvas.setAttribute("aria-label", [model.get("label"), model.get("words")].filter(Boolean).join(": "));
      };
      model.on("change:version", paint);
      paint();
      return () => model.off("change:version", paint);
    }
    export default { render };
    """
    pixels = traitlets.Bytes(b"\0\0\0\0").tag(sync=True)
    rows = traitlets.Int(1).tag(sync=True)
    columns = traitlets.Int(1).tag(sync=True)
    frame = traitlets.List(traitlets.Float()).tag(sync=True)
    state = traitlets.Unicode("").tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)
    version = traitlets.Int(0).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)

    def show(self, image: np.ndarray, state: str = "", frame: Frame | None = None, words: str = "") -> None:
        """Paint an image uint8 (rows, columns, 3), or 4 where parts of it are transparent.

        state: what the picture is of, for programs; frame: a window to outline; words: the state for people.
        """
        opaque = np.full((*image.shape[:2], 4 - image.shape[2]), 255, np.uint8)
        with self.hold_sync():  # one message: the size must not change before the bytes
            self.rows, self.columns = image.shape[:2]
            self.pixels = np.concatenate([image, opaque], 2).tobytes()
            self.frame, self.state, self.words = list(frame or ()), state, words
            self.version += 1


def colored(values: Tensor, low: float, high: float, name: str = SEQUENTIAL) -> np.ndarray:
    """Return a map (h, w) as colours uint8 (h, w, 3), from `low` to `high` of a colour map."""
    scaled = (values.numpy() - low) / max(high - low, 1e-9)
    return (mpl.colormaps[name](scaled)[..., :3] * 255).round().astype(np.uint8)


def pixels(image: Tensor) -> np.ndarray:
    """Return an image uint8 (3, H, W) as (H, W, 3)."""
    return image.permute(1, 2, 0).numpy()


def canvases(width: int = 192, gap: int = 12, **labels: str) -> dict[str, PixelCanvas]:
    """Return canvases by name, `gap` pixels apart; the labels stand above them."""
    margin = f"2px {gap}px 6px 2px"
    return {
        name: PixelCanvas(label=label, layout=sized(width, 7 * width // 8, margin=margin))
        for name, label in labels.items()
    }


def bits_canvas(most_bytes: int) -> PixelCanvas:
    """Return a canvas for a payload's bits; a payload shorter than `most_bytes` moves nothing below it."""
    rows = -(-most_bytes // BYTES_PER_ROW)
    place = sized(BITS_WIDTH, 7 * BITS_WIDTH // 8, min_height=f"{4 * rows + 20}px", margin="2px 12px 2px 2px")
    return PixelCanvas(label="payload as it arrives: 1 dark, 0 light, flipped bits red", layout=place)


def colored_bits(journey: Journey, bytes_per_row: int = BYTES_PER_ROW) -> np.ndarray:
    """Return a payload's bits as colours uint8 (rows, columns, 4), flipped ones in red, clear after the last."""
    palette = np.array([*map(to_rgba, BIT_COLORS), (0, 0, 0, 0)])
    return (palette[bit_grid(journey, bytes_per_row)] * 255).round().astype(np.uint8)
