"""What the tests of data sets share: sizes, equality, and refusals by name."""

import pytest
import torch

from semanticnn_core.datasets import DataError, ImageDataset, load_dataset

SPLITS = ("train", "validation", "test")


def sizes(dataset: ImageDataset) -> list[int]:
    return [len(getattr(dataset, split)) for split in SPLITS]


def same(first: ImageDataset, second: ImageDataset) -> bool:
    pairs = [(getattr(first, split), getattr(second, split)) for split in SPLITS]
    return all(torch.equal(a["image"][:], b["image"][:]) and torch.equal(a["label"], b["label"]) for a, b in pairs)


def refused(*named: str, **arguments) -> None:
    """Check that the data set is refused with a message that holds every one of `named`."""
    with pytest.raises(DataError) as caught:
        load_dataset(**arguments)
    missing = [each for each in named if each not in str(caught.value)]
    assert not missing, f"{missing} not named in: {caught.value}"
