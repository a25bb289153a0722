"""Data sets behind one function: the embedded SceneDigits, CIFAR-10 and CIFAR-100, and whatever the user brings."""

import operator
import os
from pathlib import Path

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.datasets.survey import DataSummary, fingerprint, survey
from semanticnn_core.files import located

__all__ = ["DataError", "DataSummary", "ImageDataset", "Split", "fingerprint", "load_dataset", "survey"]


def load_dataset(
    name: str | Path, root: str | Path = "data", image_size: int = 64, seed: int = 0, download: bool = True
) -> ImageDataset:
    """Load a data set as images (N, 3, image_size, image_size) with train, validation and test splits.

    name: "scene_digits" and "scene_detection" (embedded), "cifar10", "cifar100", or the user's own data: an `.npz` file
        under MedMNIST's key names, a directory with one folder a class, or Tiny-ImageNet, COCO, VOC2007 or NWPU VHR-10
        as their archives unpack. Own data is looked for as
        `root`/NAME.npz, then `root`/NAME, then NAME as a path; the first that exists is taken.
    seed: fixes SceneDigits itself, and the splits drawn where own data lacks them.
    download: whether a data set that is not there may be downloaded.
    Raises DataError when the data set is unknown, missing, damaged or not of the expected layout.
    """
    if not isinstance(name, (str, os.PathLike)) or not os.fspath(name):
        raise DataError(
            "name must be scene_digits, scene_detection, cifar10, cifar100, or the name or path of your own data; "
            f"got {name!r}"
        )
    name = os.fspath(name)
    image_size = _whole("image_size", image_size, "a whole number of pixels", 1)
    seed = _whole("seed", seed, "a whole number", 0)
    root = located(root)
    if name == "scene_digits":
        from semanticnn_core.datasets.scene_digits import SIZE, load_scene_digits

        if image_size != SIZE:
            raise DataError(f"scene_digits is made at {SIZE}×{SIZE}: image_size must be {SIZE}, got {image_size}")
        return load_scene_digits(root, seed)
    if name == "scene_detection":
        from semanticnn_core.datasets.scene_detection import SIZE, load_scene_detection

        if image_size != SIZE:
            raise DataError(f"scene_detection is made at {SIZE}×{SIZE}: image_size must be {SIZE}, got {image_size}")
        return load_scene_detection(root, seed)
    if name in ("cifar10", "cifar100"):
        from semanticnn_core.datasets.cifar import load_cifar

        return load_cifar(name, root, image_size, download)

    places = (root / f"{name}.npz", root / name, located(name))
    path = next((place for place in places if os.path.exists(place)), None)
    if path is None:
        raise DataError(
            f"no data set {name!r}: it is none of scene_digits, scene_detection, cifar10 and cifar100, and there is no "
            f"{' or '.join(str(place) for place in dict.fromkeys(places))}"
        )
    if path.is_dir():
        from semanticnn_core.datasets.coco import is_coco, load_coco
        from semanticnn_core.datasets.folder import load_folder
        from semanticnn_core.datasets.tiny_imagenet import is_tiny_imagenet, load_tiny_imagenet
        from semanticnn_core.datasets.vhr10 import is_vhr10, load_vhr10
        from semanticnn_core.datasets.voc import find_voc, load_voc

        if is_tiny_imagenet(path):
            return load_tiny_imagenet(path, image_size, seed)
        if is_coco(path):
            return load_coco(path, image_size, seed)
        if find_voc(path):
            return load_voc(path, image_size, seed)
        if is_vhr10(path):
            return load_vhr10(path, image_size, seed)
        return load_folder(path, image_size, seed)
    if path.suffix.lower() != ".npz":
        from semanticnn_core.datasets.folder import LAYOUT

        raise DataError(
            f"{path} is neither a folder nor an .npz file; expected a folder of images (if this is an archive, unpack "
            f"it) with {LAYOUT}; or an .npz file with train_images, train_labels, test_images and test_labels"
        )
    from semanticnn_core.datasets.npz import load_npz

    return load_npz(path, image_size, seed)


def _whole(name: str, value: object, what: str, least: int) -> int:
    """Return any kind of integer, numpy's too, as an int; DataError for anything else."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number < 2**63:
        raise DataError(f"{name} must be {what}, at least {least}; got {value!r}")
    return number
