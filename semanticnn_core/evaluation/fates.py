"""What became of each object on the way: found, taken for another, badly placed, missed."""

import pandas as pd
import torch
from torch import Tensor

from semanticnn_core.tasks.base import Targets

FATES = ("found", "of another class", "badly placed", "missed")
"""A box of its class overlaps it by half or more; one of another class does; one of its class overlaps it by a tenth or
more; none of these."""
HALF, TENTH = 0.5, 0.1


def fates(found: Targets, targets: Targets) -> pd.DataFrame:
    """Return a row an object: image, label, side (√ area, pixels) and fate, one of `FATES`.

    found, targets: lists of `box` (n, 4) and `label` (n,). Each found box counts once, the surest first. Crowds are no
    objects.
    """
    from torchvision.ops import box_iou

    rows = []
    for number, (box, label) in enumerate(zip(targets["box"], targets["label"], strict=True)):
        overlap = box_iou(box.reshape(-1, 4).float(), found["box"][number].reshape(-1, 4).float())
        same = label[:, None] == found["label"][number][None]
        fate = torch.full((len(box),), FATES.index("missed"))
        free = torch.ones(overlap.shape[1], dtype=torch.bool)
        for name, wanted, least in (
            ("found", same, HALF),
            ("of another class", ~same, HALF),
            ("badly placed", same, TENTH),
        ):
            _matched(overlap * wanted, least, fate, free, FATES.index(name))
        objects = ~targets["crowd"][number] if "crowd" in targets else torch.ones(len(box), dtype=torch.bool)
        side = (box[:, 2:] - box[:, :2]).prod(1).sqrt() if len(box) else torch.empty(0)
        rows += [
            {"image": number, "label": int(kind), "side": float(size), "fate": FATES[int(what)]}
            for kind, size, what, counted in zip(label, side, fate, objects, strict=True)
            if counted
        ]
    return pd.DataFrame(rows, columns=["image", "label", "side", "fate"])


def _matched(overlap: Tensor, least: float, fate: Tensor, free: Tensor, value: int) -> None:
    """Give objects that still count as missed the free box that overlaps them most, box by box in their order."""
    for column in range(overlap.shape[1]):
        if not free[column]:
            continue
        still = overlap[:, column] * (fate == FATES.index("missed"))
        if len(still) and still.max() >= least:
            fate[still.argmax()], free[column] = value, False


def false_alarms(found: Targets, targets: Targets) -> float:
    """Return the mean number of boxes an image that overlap no object by a tenth."""
    from torchvision.ops import box_iou

    count = 0
    for box, truth in zip(found["box"], targets["box"], strict=True):
        overlap = box_iou(box.reshape(-1, 4).float(), truth.reshape(-1, 4).float())
        count += int((overlap.amax(1) < TENTH).sum()) if len(truth) else len(box)
    return count / max(len(found["box"]), 1)
