"""What every data set gives: splits of uint8 images with labels and, where known, boxes and masks."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset


class DataError(ValueError):
    """A data set is missing, damaged or not of the expected layout; the message says what to do."""


@dataclass(frozen=True)
class ImageSplit(Dataset):
    """One split of an image data set.

    images: uint8 (N, 3, H, W), a tensor or anything that answers `len` and indexing with an index tensor.
    labels: int64 (N,), each in [0, classes).
    boxes: float32 (N, 4) as x0, y0, x1, y1 in pixels, or None.
    masks: bool (N, H, W), True on the object, or None.
    teacher: float32 (N, classes), logits that another network gave, or None.
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None
    teacher: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Return one batch: `image`, `label`, and `box`, `mask`, `teacher` where known."""
        index = torch.as_tensor(indices)
        values = {"image": self.images, "label": self.labels, "box": self.boxes, "mask": self.masks}
        values["teacher"] = self.teacher
        return {name: value[index] for name, value in values.items() if value is not None}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def first(self, count: int | None) -> dict[str, Tensor]:
        """Return one batch of `count` items drawn as `take` draws them; None gives all."""
        part = self.take(count)
        return part.__getitems__(list(range(len(part))))

    def take(self, count: int | None) -> "ImageSplit":
        """Return `count` items drawn with a fixed seed, always the same; None keeps all."""
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        pick = getattr(self.images, "pick", self.images.__getitem__)  # lazy images stay lazy
        known = {name: getattr(self, name) for name in ("labels", "boxes", "masks", "teacher")}
        parts = {name: value if value is None else value[order] for name, value in known.items()}
        return replace(self, images=pick(order), **parts)


@dataclass(frozen=True)
class ImageDataset:
    """A named data set with disjoint train, validation and test splits; the test split chooses nothing."""

    name: str
    classes: tuple[str, ...]
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit

    def take(self, count: int | None) -> "ImageDataset":
        """Return the data set with at most `count` items in each split, for quick trials; None keeps all."""
        splits = {name: getattr(self, name).take(count) for name in ("train", "validation", "test")}
        return replace(self, **splits)
