"""What every data set gives: splits of uint8 images beside whatever is known of them, column by column."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

Column = Any
"""One entry an item: a tensor (N, …), lazy images, or a list where the entries differ in shape."""
Batch = dict[str, Any]
"""Columns of some items: tensors (B, …), or lists of B tensors."""
BATCH = 250
"""Items that are walked through together where nothing is trained."""


class DataError(ValueError):
    """A data set is missing, damaged or not of the expected layout; the message says what to do."""


def listed(names: Iterable[object], most: int = 8) -> str:
    """Return names for a message, separated by commas; beyond `most` only their number."""
    names = [str(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" … and {rest:,} more" if rest > 0 else "")


class Split(Dataset):
    """One split of a data set: columns of equal length.

    image: uint8 (N, 3, H, W), a tensor or anything that answers `len` and indexing with an index tensor.
    Others, where known: label int64 (N,); box float32 (N, 4) as x0, y0, x1, y1 in pixels; mask bool (N, H, W), True on
    the object; teacher, what another network answered. A list holds entries of different shapes.

    `split["label"]` is a column, `split[3]` an item, `split[:10]` a smaller split.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        lengths = {name: len(column) for name, column in self.columns.items()}
        if "image" not in lengths or len(set(lengths.values())) != 1:
            raise ValueError(f"a split needs an image column, and columns of one length; got {lengths}")

    def __len__(self) -> int:
        return len(self.columns["image"])

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, key: str | slice | int) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        if isinstance(key, slice):
            return self.pick(torch.tensor(range(len(self))[key], dtype=torch.int64))
        number = operator.index(key)
        if not -len(self) <= number < len(self):
            raise IndexError(f"the split has {len(self)} items, got index {number}")
        return self.__getitems__([number])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Batch]:
        """Return items, read together: what torch's DataLoader asks for."""
        batch = self.batch(indices)
        return [{name: column[row] for name, column in batch.items()} for row in range(len(indices))]

    def batch(self, indices: Sequence[int] | Tensor) -> Batch:
        """Return the columns of some items."""
        index = torch.as_tensor(indices)
        return {name: _picked(column, index) for name, column in self.columns.items()}

    def batches(self, size: int = BATCH, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Batch]]:
        """Yield the items in order, `size` at a time: their numbers (B,), and their columns on a device."""
        for index in torch.arange(len(self)).split(size):
            yield index, moved(self.batch(index), device)

    def pick(self, index: Tensor) -> "Split":
        """Return a split of the items of `index`; images that are made on access stay so."""
        return Split({name: _kept(column, index) for name, column in self.columns.items()})

    def take(self, count: int | None) -> "Split":
        """Return `count` items drawn with a fixed seed, always the same; None keeps all."""
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        return self.pick(torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count])

    def first(self, count: int | None) -> Batch:
        """Return one batch of `count` items drawn as `take` draws them; None gives all."""
        part = self.take(count)
        return part.batch(torch.arange(len(part)))

    def with_columns(self, **columns: Column) -> "Split":
        """Return the split with further columns, or others in their place."""
        return Split({**self.columns, **columns})


@dataclass(frozen=True)
class ImageDataset:
    """A named data set with disjoint train, validation and test splits; the test split chooses nothing."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split

    def take(self, count: int | None) -> "ImageDataset":
        """Return the data set with at most `count` items in each split, for quick trials; None keeps all."""
        splits = {name: getattr(self, name).take(count) for name in ("train", "validation", "test")}
        return replace(self, **splits)


def collate(items: Sequence[Batch]) -> Batch:
    """Return items as one batch: entries of one shape stacked, others in a list."""
    batch: Batch = {}
    for name in items[0]:
        entries = [item[name] for item in items]
        same = isinstance(entries[0], Tensor) and len({each.shape for each in entries}) == 1
        batch[name] = torch.stack(entries) if same else entries
    return batch


def moved(value: Any, device: torch.device | str) -> Any:
    """Return a batch, or anything made of tensors, with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: moved(each, device) for name, each in value.items()}
    return type(value)(moved(each, device) for each in value) if isinstance(value, list | tuple) else value


def _picked(column: Column, index: Tensor) -> Any:
    return [column[number] for number in index.tolist()] if isinstance(column, list) else column[index]


def _kept(column: Column, index: Tensor) -> Column:
    pick = getattr(column, "pick", None)  # images that are made on access
    return pick(index) if pick else _picked(column, index)
