"""What a detector finds in a whole split behind a link, and what speaks for one of its boxes."""

import torch
from torch import Tensor, nn

from semanticnn_core.channels import BitErrors
from semanticnn_core.datasets import Split
from semanticnn_core.explain.attribution import attribute
from semanticnn_core.systems.base import OffloadSystem, offload
from semanticnn_core.tasks.base import Targets
from semanticnn_core.tasks.detection import SURE
from semanticnn_core.tasks.split import SplitModel


def found_at(system: OffloadSystem, split: Split, ber: float, seed: int, least: float = SURE) -> Targets:
    """Return the boxes and labels that arrive of a split's images at a bit error rate: lists, an entry an image.

    least: score in [0, 1] from which on a box counts.
    """
    sent = (offload(system, batch["image"], BitErrors(ber).channel(seed)) for _, batch in split.batches(50))
    parts = [system.model.task.detections(each.received.outputs, least) for each in sent]
    return {name: [entry for part in parts for entry in part[name]] for name in ("box", "label")}


class OneBox(nn.Module):
    """The score of one box of a detector's edge: how sure it is of an object there, and of its class, in logits.

    place: which of the network's places names the box; label: its class.
    """

    def __init__(self, model: SplitModel, place: int, label: int) -> None:
        super().__init__()
        self.model, self.place, self.label = model, place, label

    def forward(self, feature: Tensor) -> Tensor:
        """Return the score (B, 1) for features (B, C, H, W)."""
        values = self.model.task.places(self.model.edge_part(feature)).raw[:, self.place]
        return values[:, 4:5] + values[:, 5 + self.label : 6 + self.label]


def surest_box_maps(model: SplitModel, feature: Tensor, found: Targets, steps: int = 16) -> Tensor:
    """Return what each pixel of a feature (B, C, H, W) says for the surest of its boxes, (B, H, W).

    found: what the task answers for these features, the surest box first in each entry.
    """
    rows = zip(found["place"], found["label"], feature, strict=True)
    guides = ((OneBox(model, int(place[0]), int(label[0])), each[None]) for place, label, each in rows)
    return torch.cat([attribute(guide, each, 0, steps=steps).scores for guide, each in guides])
