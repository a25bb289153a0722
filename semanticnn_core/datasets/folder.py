"""Any directory of images with one folder a class, decoded only when a batch asks for them."""

import os
import stat
import unicodedata
import warnings
from pathlib import Path

import torch
from PIL import Image

from semanticnn_core.datasets.base import DataError, ImageDataset, Split, listed
from semanticnn_core.datasets.image_files import DecodedImages, ImageFiles
from semanticnn_core.datasets.images import complete
from semanticnn_core.datasets.survey import counted

LAYOUT = "CLASS/*.jpg, or train/CLASS/*.jpg with, where there, val (or validation) and test beside train"
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
SYSTEM_NAMES = {"__MACOSX", "__pycache__", "@eaDir", "Thumbs.db", "desktop.ini"}  # left behind by other programs
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow knows them, but needs other programs to decode

Place = tuple[str, str]
"""A split and a class."""


def load_folder(path: str | Path, image_size: int = 64, seed: int = 0) -> ImageDataset:
    """Load a data set from a directory of either layout; splits it lacks are drawn class by class.

    PATH/CLASS/*.jpg is divided 70/15/15; beside PATH/train a missing validation split takes 10 % of train and a
    missing test split 20 %. Files may lie deeper; hidden names are passed over. A file or folder that links reach
    again counts once. One warning counts the files that are not used.
    Returns splits of images (N, 3, image_size, image_size): shorter side resized, centre cropped.
    Raises DataError for a layout, a class or (when it is decoded) a file that cannot be used, naming it, and for a
    file that belongs to two classes or two splits through links.
    """
    path = Path(path)
    roots, shares = _layout(path)
    numbers = {name: number for number, name in enumerate(_folders(roots["train"]))}
    places = []
    for split, root in roots.items():
        for name, folders in _folders(root).items():
            if name not in numbers:
                raise DataError(f"{root} has the class {name!r}, which train lacks; train has {listed(numbers)}")
            places += [((split, name), folder) for folder in folders]
    left_out = _outside(path, roots)
    files = _walk(path, places, left_out)
    for place, folder in places:
        if not files[place]:
            inside = {name: why for name, why in left_out.items() if folder in (path / name).parents}
            found = f": {counted(inside)}" if inside else ""
            raise DataError(f"{folder} holds no images that Pillow reads, such as .jpg or .png{found}")
    if left_out:
        warnings.warn(f"{path}: not used: {counted(left_out)}", stacklevel=2)
    splits = {}
    for split in roots:
        chosen = {name: sorted(each, key=os.path.split) for (owner, name), each in files.items() if owner == split}
        source = ImageFiles(path, [file for each in chosen.values() for file in each], left_out)
        labels = torch.tensor([numbers[name] for name, each in chosen.items() for _ in each])
        splits[split] = Split({"image": DecodedImages(source, image_size), "label": labels})
    return complete(path.resolve().name, tuple(numbers), splits, shares, seed)


def _layout(path: Path) -> tuple[dict[str, Path], dict[str, float]]:
    """Return the folder of each split that is given, and the shares of train that others would take."""
    inside = _folders(path)
    given: dict[str, list[str]] = {}
    for name in sorted(inside, key=lambda name: name.lower() != "train"):  # train first
        if name.lower() in SPLITS:
            given.setdefault(SPLITS[name.lower()], []).append(name)
    names = [name for each in given.values() for name in each]
    if "train" not in given:
        if len(names) == len(inside):
            raise DataError(f"{path} has {', '.join(names)}, but no train; expected {LAYOUT}")
        return {"train": path}, {"validation": 0.15, "test": 0.15}
    for each in given.values():
        if len(each) > 1:
            raise DataError(f"{path} has both {' and '.join(each)}; keep one of them")
    return {split: path / name for split, (name,) in given.items()}, {"validation": 0.1, "test": 0.2}


def _folders(path: Path) -> dict[str, list[Path]]:
    """Return the folders in `path` by their names, sorted; DataError when there is none.

    Names are composed (NFC): systems write the same é in two ways, which would count as two classes.
    """
    folders: dict[str, list[Path]] = {}
    for entry in _entries(path):
        if os.path.isdir(entry.path):
            folders.setdefault(unicodedata.normalize("NFC", entry.name), []).append(Path(entry.path))
    if not folders:
        raise DataError(f"{path} has no class folders; expected {LAYOUT}")
    return dict(sorted(folders.items()))


def _entries(path: str | Path) -> list[os.DirEntry]:
    """Return what a folder holds, sorted by name, without what is hidden."""
    try:
        with os.scandir(path) as entries:
            shown = [each for each in entries if not each.name.startswith(".") and each.name not in SYSTEM_NAMES]
    except OSError as error:
        raise DataError(f"{path} cannot be listed: {error.strerror}") from error
    return sorted(shown, key=lambda entry: entry.name)


def _endings() -> set[str]:
    """Return the endings of the files that Pillow decodes, in small letters."""
    known = Image.registered_extensions()
    return {ending for ending, kind in known.items() if kind in Image.OPEN and kind not in NOT_DECODED}


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _outside(path: Path, roots: dict[str, Path]) -> dict[str, str]:
    """Return what lies beside the folders of splits and classes and looks like data, with the reason it is not used."""
    endings, used, left_out = _endings(), set(roots.values()), {}
    for folder in dict.fromkeys([path, *roots.values()]):
        for entry in _entries(folder):
            if os.path.isdir(entry.path):
                if folder not in used and Path(entry.path) not in used:
                    left_out[os.path.relpath(entry.path, path)] = "beside train"
            elif _ending(entry.name) in endings:
                left_out[os.path.relpath(entry.path, path)] = "outside the class folders"
    return left_out


def _walk(root: Path, places: list[tuple[Place, Path]], left_out: dict[str, str]) -> dict[Place, list[str]]:
    """Return the image files of each split and class, each real file once; adds to `left_out` those not used."""
    endings = _endings()
    seen: dict[object, tuple[Place, str]] = {}
    files: dict[Place, list[str]] = {place: [] for place, _ in places}
    tops = [(place, str(folder), os.path.realpath(folder)) for place, folder in places]
    around = {os.path.realpath(root), *map(str, Path(os.path.realpath(root)).parents)}
    for place, folder, real in tops:
        if real in around:
            raise DataError(f"{folder} is a link to {real}, which holds the data set itself; remove it")
        _claim(seen, real, place, folder)
    above = around.union(*(map(str, Path(real).parents) for _, _, real in tops))
    for place, folder, real in tops:
        stack = [(folder, real)]
        while stack:
            folder, real = stack.pop()
            for entry in _entries(folder):
                real_path = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
                status = _status(entry.path)
                if status and stat.S_ISDIR(status.st_mode):
                    upwards = entry.is_symlink() and real_path in above
                    if not upwards and _claim(seen, real_path, place, entry.path):
                        stack.append((entry.path, real_path))
                elif _ending(entry.name) not in endings:
                    left_out[os.path.relpath(entry.path, root)] = _ending(entry.name) or "without an ending"
                elif status and not stat.S_ISREG(status.st_mode):
                    left_out[os.path.relpath(entry.path, root)] = "no file"
                else:
                    hard_linked = status and status.st_nlink > 1 and status.st_ino
                    key = (status.st_dev, status.st_ino) if hard_linked else real_path
                    if _claim(seen, key, place, entry.path):
                        files[place].append(entry.path)
    return files


def _claim(seen: dict[object, tuple[Place, str]], key: object, place: Place, path: str) -> bool:
    """Note a file or folder as belonging to a split and class; False when it does already."""
    if key not in seen:
        seen[key] = (place, path)
        return True
    (split, name), first = seen[key]
    if (split, name) == place:
        return False
    two = f"classes, {name!r} and {place[1]!r}" if name != place[1] else f"splits, {split} and {place[0]}"
    raise DataError(f"{first} and {path} are the same through a link, in two {two}; remove one of them")


def _status(path: str) -> os.stat_result | None:
    """Return what is known of a file; None where a link leads nowhere, which its decoding reports."""
    try:
        return os.stat(path)
    except OSError:
        return None
