"""NWPU VHR-10: ten classes of objects in 650 aerial photographs, a text file an image or one in COCO's format."""

import re
from pathlib import Path

from PIL import Image

from semanticnn_core.datasets.base import DataError, ImageDataset
from semanticnn_core.datasets.boxed import Boxed, boxed_dataset
from semanticnn_core.datasets.coco import read_annotations

CLASSES = (
    "airplane", "ship", "storage tank", "baseball diamond", "tennis court", "basketball court", "ground track field",
    "harbor", "bridge", "vehicle",
)  # fmt: skip
IMAGES, TRUTH, NEGATIVE = "positive image set", "ground truth", "negative image set"
BOX = re.compile(r"^\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*,\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*,\s*(\d+)\s*$")


def is_vhr10(path: Path) -> bool:
    """Return whether a folder is laid out as NWPU VHR-10."""
    return (path / IMAGES).is_dir() and ((path / TRUTH).is_dir() or (path / "annotations.json").is_file())


def load_vhr10(path: str | Path, image_size: int = 416, seed: int = 0) -> ImageDataset:
    """Load `path` with "positive image set" and "ground truth"/*.txt, or annotations.json in their place.

    There is no official division: it is 70/15/15 at random, seeded. The images of "negative image set", which show
    nothing, are not used. A line is (x1,y1),(x2,y2),class, with blanks wherever they please.
    Raises DataError, naming file and line, for what does not fit.
    """
    path = Path(path)
    if (path / TRUTH).is_dir():
        items = [_read(path, file) for file in sorted((path / TRUTH).glob("*.txt"))]
    else:
        names, items = read_annotations(path / "annotations.json", path / IMAGES)
        if len(names) != len(CLASSES):
            raise DataError(f"{path / 'annotations.json'} names {len(names)} classes, NWPU VHR-10 has {len(CLASSES)}")
    if not items:
        raise DataError(f"{path / TRUTH} holds no .txt file; unpack the archive anew")
    left_out = {NEGATIVE: "shows no object"} if (path / NEGATIVE).is_dir() else {}
    shares = {"validation": 0.15, "test": 0.15}
    return boxed_dataset(path, path.resolve().name, CLASSES, {"train": items}, shares, image_size, seed, left_out)


def _read(path: Path, file: Path) -> Boxed:
    image = path / IMAGES / f"{file.stem}.jpg"
    boxes, labels = [], []
    for row, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        found = BOX.match(line)
        if not found or not 1 <= int(found[5]) <= len(CLASSES):
            raise DataError(f"{file}, line {row}: expected (x1,y1),(x2,y2),class with class 1 to 10, got {line!r}")
        x0, y0, x1, y1, kind = map(int, found.groups())
        boxes.append((x0, y0, x1, y1))
        labels.append(kind - 1)
    try:
        with Image.open(image) as opened:
            size = opened.size
    except OSError as error:
        raise DataError(f"{image}, which {file} is about, cannot be read: {error}") from error
    return Boxed(image, size, boxes, labels)
