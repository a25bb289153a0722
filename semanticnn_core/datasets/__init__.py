"""Data sets behind one function: the embedded SceneDigits, CIFAR-100, and whatever the user brings."""

from pathlib import Path

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.files import located

__all__ = ["DataError", "ImageDataset", "Split", "load_dataset"]


def load_dataset(
    name: str, root: str | Path = "data", image_size: int = 64, seed: int = 0, download: bool = True
) -> ImageDataset:
    """Load a data set as images (N, 3, image_size, image_size) with train, validation and test splits.

    name: "scene_digits" (embedded), "cifar100", or the user's own data: an `.npz` file under MedMNIST's key names
        or a directory with one folder a class, named by its path or by its name under `root` (without `.npz`).
    seed: fixes SceneDigits itself, and the splits drawn where own data lacks them.
    download: whether a data set that is not there may be downloaded.
    Raises DataError when the data set is unknown, missing, damaged or not of the expected layout.
    """
    if type(image_size) is not int or image_size < 1:
        raise DataError(f"image_size must be a whole number of pixels, at least 1; got {image_size!r}")
    root = located(root)
    if name == "scene_digits":
        from semanticnn_core.datasets.scene_digits import SIZE, load_scene_digits

        if image_size != SIZE:
            raise DataError(f"scene_digits is made at {SIZE}×{SIZE}: image_size must be {SIZE}, got {image_size}")
        return load_scene_digits(root, seed)
    if name == "cifar100":
        from semanticnn_core.datasets.cifar100 import load_cifar100

        return load_cifar100(root, image_size, download)

    places = (root / f"{name}.npz", root / name, Path(name).expanduser())
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise DataError(
            f"no data set {name!r}: it is neither scene_digits nor cifar100, and there is no "
            f"{' or '.join(str(place) for place in dict.fromkeys(places))}"
        )
    if path.is_dir():
        from semanticnn_core.datasets.folder import load_folder

        return load_folder(path, image_size, seed)
    from semanticnn_core.datasets.npz import load_npz

    return load_npz(path, image_size, seed)
