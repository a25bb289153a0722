"""CIFAR-10 and CIFAR-100, from one `.npz` or from the files that torchvision keeps."""

import tarfile
from http.client import HTTPException
from pathlib import Path

import torch

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.datasets.images import ResizedImages, complete
from semanticnn_core.datasets.npz import LAYOUT, read_npz

FORMAL = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
SPLIT_SEED = 0  # the same 5,000 validation images in every experiment, whatever its seed


def load_cifar(name: str, root: str | Path, image_size: int = 64, download: bool = True) -> ImageDataset:
    """Load "cifar10" or "cifar100" from `root`, downloading it (170 MB) when it is not there and `download` allows it.

    Returns 45,000 training, 5,000 validation (a tenth of each class' training images) and 10,000 test images
    (N, 3, image_size, image_size), kept at 32×32 and resized when a batch asks for them.
    Raises DataError when the data is damaged, or absent and cannot be downloaded.
    """
    path = Path(root).expanduser() / f"{name}.npz"
    if path.exists():
        splits, classes = read_npz(path, image_size)
    else:
        splits, classes = _read_torchvision(name, path.parent, image_size, download)
    for split, each in splits.items():
        height, width = each["image"].source.shape[2:]
        if (height, width) != (32, 32):
            raise DataError(f"{path}: {FORMAL[name]}'s images are 32×32, the {split} images here are {height}×{width}")
    return complete(name, classes, splits, {"validation": 0.1}, SPLIT_SEED)


def _read_torchvision(
    name: str, root: Path, image_size: int, download: bool
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Read torchvision's folder in `root`, which it checks by checksum and, if it may, downloads when absent."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    folder = root / kind.base_folder
    splits = {}
    for split in ("train", "test"):
        try:
            source = kind(root, train=split == "train", download=download)
        except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
            state = "does not match its checksums" if folder.is_dir() else "is not there"
            tried = f"the download failed ({error})" if download else "nothing is downloaded from here"
            raise DataError(
                f"{FORMAL[name]}: {folder} {state}, and {tried}. Get {kind.url} on a machine with "
                f"a network and unpack it, so that {folder} holds {_files(kind)}; or put "
                f"{root / f'{name}.npz'} there, with {LAYOUT}"
            ) from error
        pixels = torch.from_numpy(source.data).permute(0, 3, 1, 2)
        splits[split] = Split({"image": ResizedImages(pixels, image_size), "label": torch.tensor(source.targets)})
    return splits, tuple(source.classes)


def _files(kind: type) -> str:
    """Return the names of the files that torchvision expects."""
    names = [*(name for name, _ in (*kind.train_list, *kind.test_list)), kind.meta["filename"]]
    return f"{', '.join(names[:-1])} and {names[-1]}"
