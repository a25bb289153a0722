"""Images of a camera, one whenever the device is ready for it. Needs OpenCV: `pip install -e ".[camera]"`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from semanticnn_core.datasets.image_files import fitted

if TYPE_CHECKING:
    import cv2


@contextmanager
def opened(source: str) -> "Iterator[cv2.VideoCapture]":
    """Open a camera by its number (`0` is the first), or a recorded film by its file or address.

    Raises ValueError when OpenCV is not installed or cannot open the source.
    """
    try:
        import cv2
    except ImportError as error:
        raise ValueError('a camera needs OpenCV: pip install -e ".[camera]"') from error
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    try:
        if not capture.isOpened():
            raise ValueError(f"camera {source} cannot be opened: give its number (0 is the first) or a film's file")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        yield capture
    finally:
        capture.release()


def pictures(capture: "cv2.VideoCapture", size: int, live: bool) -> Iterator[Tensor]:
    """Yield images uint8 (3, size, size), cut and resized as image files are, until the camera gives none.

    live: throw away the frame that has waited since the last image, so that each is of the present.
    """
    while True:
        if live:
            capture.grab()
        there, frame = capture.read()
        if not there:
            return
        yield fitted(Image.fromarray(frame[..., ::-1].copy()), size)  # OpenCV's order of colours is blue, green, red
