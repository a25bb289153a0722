"""CIFAR-100, from one `cifar100.npz` or from the files that torchvision keeps."""

import tarfile
from http.client import HTTPException
from pathlib import Path

import torch

from semanticnn_core.datasets.base import DataError, ImageDataset, Split
from semanticnn_core.datasets.images import ResizedImages, complete
from semanticnn_core.datasets.npz import LAYOUT, read_npz

SPLIT_SEED = 0  # the same 5,000 validation images in every experiment, whatever its seed


def load_cifar100(root: str | Path, image_size: int = 64, download: bool = True) -> ImageDataset:
    """Load CIFAR-100 from `root`, downloading it (169 MB) when it is not there and `download` allows it.

    Returns 45,000 training, 5,000 validation (50 a class, of the training images) and 10,000 test images
    (N, 3, image_size, image_size), kept at 32×32 and resized when a batch asks for them.
    Raises DataError when the data is damaged, or absent and cannot be downloaded.
    """
    path = Path(root).expanduser() / "cifar100.npz"
    if path.exists():
        splits, classes = read_npz(path, image_size)
    else:
        splits, classes = _read_torchvision(path.parent, image_size, download)
    for split, each in splits.items():
        height, width = each["image"].source.shape[2:]
        if (height, width) != (32, 32):
            raise DataError(f"{path}: CIFAR-100's images are 32×32, the {split} images here are {height}×{width}")
    return complete("cifar100", classes, splits, {"validation": 0.1}, SPLIT_SEED)


def _read_torchvision(root: Path, image_size: int, download: bool) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Read `root`/cifar-100-python, which torchvision checks by checksum and, if it may, downloads when absent."""
    from torchvision.datasets import CIFAR100

    folder = root / CIFAR100.base_folder
    splits = {}
    for split in ("train", "test"):
        try:
            source = CIFAR100(root, train=split == "train", download=download)
        except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
            state = "does not match its checksums" if folder.is_dir() else "is not there"
            tried = f"the download failed ({error})" if download else "nothing is downloaded from here"
            raise DataError(
                f"CIFAR-100: {folder} {state}, and {tried}. Get {CIFAR100.url} on a machine with "
                f"a network and unpack it, so that {folder} holds train, test and meta; or put "
                f"{root / 'cifar100.npz'} there, with {LAYOUT}"
            ) from error
        pixels = torch.from_numpy(source.data).permute(0, 3, 1, 2)
        splits[split] = Split({"image": ResizedImages(pixels, image_size), "label": torch.tensor(source.targets)})
    return splits, tuple(source.classes)
