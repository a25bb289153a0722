"""A visitor's own image: picked in the browser, carried to the kernel, and read or refused with a reason."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from semanticnn_core.datasets import DataError
from semanticnn_core.datasets.image_files import decode_image

LARGEST_FILE = 20_000_000
"""Bytes; a larger file does not leave the browser."""
LARGEST_IMAGE = 50_000_000
"""Pixels; a small file can claim any number of them."""
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
"""What is read. Pillow knows more, among them formats that call other programs."""


@dataclass(frozen=True)
class Upload:
    """A visitor's image, brought to the network's size."""

    name: str
    image: Tensor
    """uint8 (3, size, size)."""
    notes: tuple[str, ...]
    """What had to be done to it, for people."""


def read_upload(name: str, content: bytes, size: int) -> Upload:
    """Read a file's bytes as an image of size × size; raises DataError with a message for its owner.

    Refused: empty or damaged files, other formats than `FORMATS`, more than `LARGEST_FILE` bytes or `LARGEST_IMAGE`
    pixels. Grey, CMYK, transparent and 16-bit images become RGB; of an animation the first frame counts.
    """
    if not content:
        raise DataError(f"{name} is empty; choose an image file")
    check_size(name, len(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's doubts about metadata are of no use to a visitor
        width, height, notes = _about(name, content)
        if width * height > LARGEST_IMAGE:
            raise DataError(
                f"{name} has {width} × {height} pixels; the limit is {LARGEST_IMAGE // 10**6} million: make it smaller"
            )
        try:
            image = decode_image(io.BytesIO(content), size)
        except DataError as error:
            raise DataError(f"{name} is damaged: {error.__cause__}; save it anew, as PNG or JPEG") from error
    return Upload(name, image, notes)


def check_size(name: str, size: int) -> None:
    """Refuse a file of more than `LARGEST_FILE` bytes with a DataError."""
    if size > LARGEST_FILE:
        raise DataError(f"{name} has {size / 1e6:.0f} MB; the limit is {LARGEST_FILE // 10**6} MB: make it smaller")


def _about(name: str, content: bytes) -> tuple[int, int, tuple[str, ...]]:
    """Return width, height and what will be done to an image, from its header alone."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            (width, height), mode = image.size, image.mode
            moving = image.format in ("GIF", "PNG", "WEBP") and getattr(image, "is_animated", False)
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no image that can be read here; choose one of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} has too many pixels; the limit is {LARGEST_IMAGE // 10**6} million") from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise DataError(f"{name} is damaged: {error}; save it anew, as PNG or JPEG") from error
    done = {
        "cropped to its centre square": width != height,
        "its first frame is shown": moving,
        "CMYK turned into RGB without a colour profile": mode == "CMYK",
    }
    return width, height, tuple(note for note, needed in done.items() if needed)


class FilePicker(anywidget.AnyWidget):
    """A button that brings one file to the kernel, in pieces: a large message would cost the page its connection.

    received: called with the file's name and its bytes; failed: with a message when there are none.
    """

    _esm = """
    const PIECE = 1 << 20;
    function render({ model, el }) {
      const input = document.createElement("input");
      input.type = "file";
      input.accept = "image/*";
      input.hidden = true;
      input.ariaLabel = model.get("label");
      const button = document.createElement("button");
      button.className = "jupyter-widgets jupyter-button widget-button";
      button.textContent = model.get("label");
      button.style.width = "auto";
      button.onclick = () => input.click();
      el.append(button, input);
      input.onchange = async () => {
        const file = input.files[0];
        input.value = "";
        if (!file) return;
        const { name, size } = file, upload = `${Date.now()} ${Math.random()}`;
        const pieces = size > model.get("limit") ? 0 : Math.max(1, Math.ceil(size / PIECE));
        if (!pieces) model.send({ upload, name, size, piece: 0, pieces });
        try {
          for (let piece = 0; piece < pieces; piece++) {
            const bytes = await file.slice(piece * PIECE, (piece + 1) * PIECE).arrayBuffer();
            model.send({ upload, name, size, piece, pieces }, undefined, [bytes]);
          }
        } catch (error) {
          model.send({ upload, name, size, problem: String(error) });
        }
      };
    }
    export default { render };
    """
    label = traitlets.Unicode("your own image …").tag(sync=True)
    limit = traitlets.Int(LARGEST_FILE).tag(sync=True)

    def __init__(self, received: Callable[[str, bytes], None], failed: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self._received, self._failed = received, failed
        self._pieces: dict[str, list[bytes]] = {}
        self.on_msg(self._collect)

    def _collect(self, _: object, message: dict[str, Any], buffers: list[memoryview]) -> None:
        upload, name, size = message["upload"], message["name"], message["size"]
        if "problem" in message:
            self._pieces.pop(upload, None)
            return self._failed(f"{name} could not be read: {message['problem']}")
        try:
            check_size(name, size)
        except DataError as error:
            return self._failed(str(error))
        pieces = self._pieces.setdefault(upload, [])  # those of other files may come between
        pieces += [bytes(each) for each in buffers]
        if message["piece"] == message["pieces"] - 1:
            del self._pieces[upload]
            self._received(name, b"".join(pieces))
