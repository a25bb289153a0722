"""Tiny-ImageNet as its archive unpacks: 200 classes by their WordNet numbers, the validation folder for testing."""

import warnings
from collections import Counter
from pathlib import Path

import torch

from semanticnn_core.datasets.base import DataError, ImageDataset, Split, listed
from semanticnn_core.datasets.image_files import DecodedImages, ImageFiles
from semanticnn_core.datasets.images import complete
from semanticnn_core.files import visible

NUMBERS, NAMES, ANNOTATIONS = "wnids.txt", "words.txt", "val_annotations.txt"


def is_tiny_imagenet(path: Path) -> bool:
    """Return whether a folder is laid out as the archive: a list of WordNet numbers beside train and val."""
    return (path / NUMBERS).is_file() and (path / "train").is_dir() and (path / "val").is_dir()


def load_tiny_imagenet(path: str | Path, image_size: int = 64, seed: int = 0) -> ImageDataset:
    """Load `path` with train/WNID/images/*, val/images/* with val_annotations.txt, wnids.txt and words.txt.

    Its val images are the test split, for the archive's own test images have no labels; a tenth of train validates. val
    may also be sorted into class folders. A class is called by its first name in words.txt, and by its number too where
    two share that name; by its number alone without words.txt.
    Raises DataError, naming file and class, where images, labels or classes are missing.
    """
    path = Path(path)
    numbers = _read(path / NUMBERS).split()
    if len(set(numbers)) != len(numbers) or not numbers:
        raise DataError(f"{path / NUMBERS} must hold every class once, one a line; got {listed(numbers) or 'nothing'}")
    train = _complete(path / "train", {number: _images(path / "train" / number) for number in numbers})
    tested = _annotated(path / "val", numbers)
    tested = _complete(path / "val", tested or {number: _images(path / "val" / number) for number in numbers})
    left_out = {}
    if (path / "test").is_dir():
        left_out["test"] = "its images have no labels"
        warnings.warn(f"{path}: not used: test, whose images have no labels; val is the test split", stacklevel=2)
    splits = {
        split: _split(path, list(files.values()), left_out, image_size)
        for split, files in (("train", train), ("test", tested))
    }
    return complete(path.resolve().name, _names(path / NAMES, numbers), splits, {"validation": 0.1}, seed)


def _split(root: Path, files: list[list[Path]], left_out: dict[str, str], image_size: int) -> Split:
    source = ImageFiles(root, [str(file) for each in files for file in each], left_out)
    labels = torch.tensor([label for label, each in enumerate(files) for _ in each])
    return Split({"image": DecodedImages(source, image_size), "label": labels})


def _complete(folder: Path, files: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the images of each class; DataError where one has none."""
    empty = [number for number, each in files.items() if not each]
    if empty:
        raise DataError(f"{folder} has no images of {listed(empty, 3)}, which {NUMBERS} names; unpack the archive anew")
    return files


def _images(folder: Path) -> list[Path]:
    """Return the images of a class, in its folder or in `images` within."""
    return visible(folder / "images", "*.JPEG") or visible(folder, "*.JPEG")


def _annotated(folder: Path, numbers: list[str]) -> dict[str, list[Path]] | None:
    """Return the images of each class as val_annotations.txt says; None where val is sorted into class folders."""
    if not (folder / ANNOTATIONS).is_file() or not (folder / "images").is_dir():
        return None
    files: dict[str, list[Path]] = {number: [] for number in numbers}
    for row, line in enumerate(_read(folder / ANNOTATIONS).splitlines(), 1):
        name, _, rest = line.partition("\t")
        number = rest.split("\t")[0]
        if number not in files:
            raise DataError(f"{folder / ANNOTATIONS}, line {row}: {number!r} is none of the classes in {NUMBERS}")
        if not (folder / "images" / name).is_file():
            raise DataError(f"{folder / ANNOTATIONS}, line {row}: {folder / 'images' / name} is not there")
        files[number].append(folder / "images" / name)
    return {number: sorted(each) for number, each in files.items()}


def _names(path: Path, numbers: list[str]) -> tuple[str, ...]:
    """Return what the classes are called."""
    if not path.is_file():
        return tuple(numbers)
    known = dict(line.split("\t", 1) for line in _read(path).splitlines() if "\t" in line)
    first = [known.get(number, number).split(",")[0].strip() for number in numbers]
    count = Counter(first)
    return tuple(f"{name} ({number})" if count[name] > 1 else name for name, number in zip(first, numbers, strict=True))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
