"""Any data set in one `.npz` file under the key names of MedMNIST."""

import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semanticnn_core.datasets.base import DataError, ImageDataset, Split, listed
from semanticnn_core.datasets.images import ResizedImages, complete

LAYOUT = (
    "train_images, train_labels, test_images, test_labels, and, where there, val_images, val_labels, class_names; "
    "images uint8 (N, H, W) or (N, H, W, 3), labels integers (N,) or (N, 1)"
)
KEYS = {"train": "train", "validation": "val", "test": "test"}
MOST_CLASSES = 100_000  # a larger label is a mistake, and would ask for as many class names


def load_npz(path: str | Path, image_size: int = 64, seed: int = 0) -> ImageDataset:
    """Load a data set from `path`; without val_images a tenth of train becomes the validation split.

    Returns splits of images (N, 3, image_size, image_size), resized when a batch asks for them.
    Raises DataError when the file is damaged or holds something else, naming the key, what it is and what it must be.
    """
    splits, classes = read_npz(path, image_size)
    return complete(Path(path).stem, classes, splits, {"validation": 0.1}, seed)


def read_npz(path: str | Path, image_size: int) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return the splits that the file holds, and the names of the classes; raises DataError as `load_npz` does."""
    arrays = _read_arrays(Path(path))
    splits = {}
    for split, key in KEYS.items():
        have = [f"{key}_{part}" in arrays for part in ("images", "labels")]
        if not any(have) and split == "validation":
            continue
        if not all(have):
            missing = f"{key}_{'labels' if have[0] else 'images'}"
            raise DataError(f"{path} has no {missing}: found {listed(arrays) or 'nothing'}; expected {LAYOUT}")
        images = _checked_images(f"{path}: {key}_images", arrays[f"{key}_images"])
        labels = _checked_labels(f"{path}: {key}_labels", arrays[f"{key}_labels"], len(images))
        splits[split] = Split({"image": ResizedImages(images, image_size), "label": labels})
    classes = _checked_classes(f"{path}: class_names", arrays.get("class_names"), splits)
    known = set(splits["train"]["label"].tolist())
    for split, each in splits.items():
        unknown = sorted(set(each["label"].tolist()) - known)
        if unknown:
            raise DataError(
                f"{path}: {KEYS[split]}_labels holds {listed(unknown)}, of which train_labels has no image; "
                f"train_labels holds {listed(sorted(known))}"
            )
    return splits, classes


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays that matter; of any other key only the name is kept, for messages."""
    if not path.is_file():
        raise DataError(f"{path} is not there, or is no file; expected an .npz file with {LAYOUT}")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz file: it is not a zip archive, or its end is missing; copy it anew")
    wanted = {f"{key}_{part}" for key in KEYS.values() for part in ("images", "labels")} | {"class_names"}
    arrays, reading = {}, "its directory"
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                reading = key
                arrays[key] = archive[key] if key in wanted else np.empty(0)
    except Exception as error:  # numpy, zipfile and zlib have a dozen ways to say that a file is damaged
        raise DataError(
            f"{path}: {reading} cannot be read ({error}); expected plain numpy arrays, saved without pickled objects"
        ) from error
    return arrays


def _checked_images(where: str, array: np.ndarray) -> Tensor:
    """Return images as uint8 (N, 3, H, W), a view of the array; grey ones repeat their one channel."""
    if getattr(array, "dtype", None) != np.uint8:
        raise DataError(f"{where} must be uint8 in [0, 255], got {getattr(array, 'dtype', type(array).__name__)}")
    pixels = array[..., None] if array.ndim == 3 else array
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3):
        raise DataError(f"{where} must have the shape (N, H, W), grey, or (N, H, W, 3), RGB; got {array.shape}")
    if 0 in pixels.shape:
        raise DataError(f"{where} holds no image: its shape is {array.shape}")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def _checked_labels(where: str, array: np.ndarray, count: int) -> Tensor:
    """Return labels as int64 (count,)."""
    if getattr(array, "dtype", np.dtype(object)).kind not in "iu":
        raise DataError(f"{where} must be integers, got {getattr(array, 'dtype', type(array).__name__)}")
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1) or array.ndim == 0:
        raise DataError(f"{where} must have the shape (N,) or (N, 1), one label an image; got {array.shape}")
    if len(array) != count:
        raise DataError(f"{where} has {len(array)} labels for {count} images")
    for extreme in (array.min(), array.max()):
        if not 0 <= extreme < MOST_CLASSES:
            raise DataError(f"{where} must lie in [0, {MOST_CLASSES}), got {extreme}")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))


def _checked_classes(where: str, names: np.ndarray | None, splits: dict[str, Split]) -> tuple[str, ...]:
    """Return the names of the classes: those given, or else the numbers up to the largest label."""
    largest = {split: int(each["label"].max()) for split, each in splits.items()}
    if names is None:
        return tuple(str(label) for label in range(max(largest.values()) + 1))
    if getattr(names, "dtype", np.dtype(object)).kind != "U":
        raise DataError(f"{where} must be strings, got {getattr(names, 'dtype', type(names).__name__)}")
    if names.ndim != 1:
        raise DataError(f"{where} must have the shape (classes,), got {names.shape}")
    for split, label in largest.items():
        if label >= len(names):
            raise DataError(f"{where} has {len(names)} names, but {KEYS[split]}_labels holds the label {label}")
    given = tuple(unicodedata.normalize("NFC", str(name)) for name in names)
    twice = [repr(name) for name, count in Counter(given).items() if count > 1]
    if twice:
        raise DataError(f"{where} holds {listed(twice)} more than once; each class needs a name of its own")
    return given
