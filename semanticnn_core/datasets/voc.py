"""PASCAL VOC2007 as its archives unpack: an XML file an image, 1-based boxes, difficult objects."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from semanticnn_core.datasets.base import DataError, ImageDataset, listed
from semanticnn_core.datasets.boxed import Boxed, boxed_dataset

CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor".split()
)
SPLITS = {"train": "train", "val": "validation", "test": "test"}


def find_voc(path: Path) -> Path | None:
    """Return the folder with Annotations and JPEGImages, `path` itself or within VOCdevkit; None without one."""
    for folder in (path, path / "VOC2007", path / "VOCdevkit" / "VOC2007"):
        if (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir():
            return folder
    return None


def load_voc(path: str | Path, image_size: int = 416, seed: int = 0) -> ImageDataset:
    """Load a folder with Annotations/*.xml, JPEGImages/ and ImageSets/Main/train.txt, val.txt, test.txt.

    Its splits are its own; without test.txt (whose archive is apart) val is the test split, and a tenth of train
    validates. Pixels are counted from 1 there, both ends included: a box from 1 to 10 is ten pixels wide here.
    Difficult objects are neither hits nor misses. Raises DataError, naming file and object, for what does not fit.
    """
    path = Path(path)
    folder = find_voc(path)
    if folder is None:
        raise DataError(f"{path} has no Annotations beside JPEGImages, nor VOCdevkit/VOC2007 with both")
    lists = {split: folder / "ImageSets" / "Main" / f"{name}.txt" for name, split in SPLITS.items()}
    if not lists["train"].is_file():
        raise DataError(f"{lists['train']} is not there; unpack VOCtrainval too")
    splits = {split: _items(folder, file) for split, file in lists.items() if file.is_file()}
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    shares = {"validation": 0.1, "test": 0.2}
    return boxed_dataset(path, path.resolve().name, CLASSES, splits, shares, image_size, seed)


def _items(folder: Path, file: Path) -> list[Boxed]:
    names = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [_read(folder, folder / "Annotations" / f"{name}.xml") for name in names]


def _read(folder: Path, file: Path) -> Boxed:
    """Read one image's file."""
    try:
        tree = ElementTree.parse(file).getroot()
        size = tuple(int(tree.findtext(f"size/{each}")) for each in ("width", "height"))
        boxes, labels, difficult = [], [], []
        for each in tree.iter("object"):
            name = (each.findtext("name") or "").strip()
            if name not in CLASSES:
                raise DataError(f"{file}: {name!r} is none of VOC's classes, {listed(CLASSES)}")
            x0, y0, x1, y1 = (float(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append((x0 - 1, y0 - 1, x1, y1))
            labels.append(CLASSES.index(name))
            difficult.append((each.findtext("difficult") or "0").strip() == "1")
    except (OSError, ElementTree.ParseError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is not in VOC's format: {type(error).__name__}: {error}") from error
    return Boxed(folder / "JPEGImages" / f"{file.stem}.jpg", size, boxes, labels, difficult)
