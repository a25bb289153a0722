"""COCO as its archives unpack: annotations/instances_*.json beside the folders of images; val is the test split."""

import json
from pathlib import Path
from typing import Any

from semanticnn_core.datasets.base import DataError, ImageDataset, listed
from semanticnn_core.datasets.boxed import Boxed, boxed_dataset

PATTERN = "instances_*.json"
SPLITS = {"train": "train", "val": "test", "test": "test"}


def is_coco(path: Path) -> bool:
    """Return whether a folder is laid out as COCO."""
    return any((path / "annotations").glob(PATTERN))


def load_coco(path: str | Path, image_size: int = 416, seed: int = 0) -> ImageDataset:
    """Load `path` with annotations/instances_NAME.json, and images in NAME/ or images/NAME/.

    NAME begins with train, or with val (or test), which is the test split: COCO's own test images have no boxes. A
    twentieth of train validates; with one file alone it is divided 70/15/15. Classes are in the order of their ids,
    which need not be in a row. Crowds are kept as such, images without boxes too.
    Raises DataError, naming file and entry, for what does not fit together.
    """
    path = Path(path)
    files = sorted((path / "annotations").glob(PATTERN))
    found: dict[str, tuple[Path, tuple[str, ...], list[Boxed]]] = {}
    for file in files:
        name = file.stem.removeprefix("instances_")
        split = next((split for start, split in SPLITS.items() if name.startswith(start)), None)
        if split is None:
            raise DataError(f"{file}: its name must begin with instances_train or instances_val")
        if split in found:
            raise DataError(f"{path / 'annotations'} has both {found[split][0].name} and {file.name}; keep one of them")
        folder = next((each for each in (path / name, path / "images" / name) if each.is_dir()), None)
        if folder is None:
            raise DataError(f"{file} is for images in {path / name} or {path / 'images' / name}; neither is there")
        found[split] = (file, *read_annotations(file, folder))
    names = {classes for _, classes, _ in found.values()}
    if len(names) > 1:
        raise DataError(f"{listed(file.name for file, *_ in found.values())} do not name the same classes")
    splits = {split: items for split, (*_, items) in found.items()}
    shares = {"validation": 0.05}
    if "train" not in splits or "test" not in splits:
        splits, shares = {"train": next(iter(splits.values()))}, {"validation": 0.15, "test": 0.15}
    return boxed_dataset(path, path.resolve().name, next(iter(names)), splits, shares, image_size, seed)


def read_annotations(file: Path, folder: Path) -> tuple[tuple[str, ...], list[Boxed]]:
    """Return the classes and the images of a file in COCO's format, whose images lie in a folder."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        categories = sorted(content["categories"], key=lambda each: each["id"])
        number = {each["id"]: row for row, each in enumerate(categories)}
        boxes: dict[Any, list[dict]] = {each["id"]: [] for each in content["images"]}
        for each in content["annotations"]:
            if each["image_id"] not in boxes or each["category_id"] not in number:
                what = "image_id" if each["image_id"] not in boxes else "category_id"
                raise DataError(f"{file}: annotation {each.get('id')} has {what} {each[what]}, which nothing defines")
            boxes[each["image_id"]].append(each)
        items = [_boxed(folder, each, boxes[each["id"]], number) for each in content["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is not in COCO's format: {type(error).__name__}: {error}") from error
    return tuple(str(each["name"]) for each in categories), items


def _boxed(folder: Path, image: dict, annotations: list[dict], number: dict[int, int]) -> Boxed:
    corners = [(x, y, x + width, y + height) for x, y, width, height in (each["bbox"] for each in annotations)]
    return Boxed(
        folder / image["file_name"],
        (image["width"], image["height"]),
        corners,
        [number[each["category_id"]] for each in annotations],
        [bool(each.get("iscrowd", 0)) for each in annotations],
    )
