"""Boxes with a class each: YOLOv3's loss, boxes out of its outputs, and mean average precision.

Outputs are a tuple of tensors (B, A·(5 + classes), h, w), one a scale; each place has A boxes of x, y, width, height,
objectness and class logits. The truth is columns of lists, an entry an image: `box` float32 (n, 4) as x0, y0, x1, y1 in
pixels of the network's image, `label` int64 (n,), and where known `crowd` bool (n,): regions that are neither a hit nor
a miss (COCO's crowds, VOC's difficult objects).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.tasks.base import Targets

Anchors = tuple[tuple[tuple[float, float], ...], ...]
"""Width and height of the boxes at each place, pixels: a group for each output."""
LEAST_SCORE = 0.005
"""Score below which a box is not looked at when precision is measured, as in the original."""
SURE = 0.3
"""Score from which a box counts as an answer."""
NMS = 0.45
"""Overlap of two boxes of a class from which the less sure one goes."""
MOST = 100
"""Boxes an image that are kept, as COCO counts them."""
CANDIDATES = 1000
"""Boxes an image that may enter the suppression: a damaged feature can light up every place."""
IGNORED = 0.7
"""Overlap with an object from which the objectness of a box that is not responsible for it costs nothing."""
LARGEST = 8.0
"""Largest log of a box's size over its anchor's: exp overflows on damaged features."""


@dataclass(frozen=True)
class Places:
    """All N boxes of outputs: raw values (B, N, 5 + classes); column, row, stride and anchor (N,) or (N, 2)."""

    raw: Tensor
    cell: Tensor
    stride: Tensor
    anchor: Tensor

    def boxes(self) -> Tensor:
        """Return x0, y0, x1, y1 in pixels, (B, N, 4)."""
        center = (self.raw[..., :2].sigmoid() + self.cell) * self.stride[:, None]
        half = self.raw[..., 2:4].clamp(-LARGEST, LARGEST).exp() * self.anchor / 2
        return torch.cat([center - half, center + half], -1)


@dataclass(frozen=True)
class Detection:
    """Detection with YOLOv3's outputs.

    classes: how many. image_size: side of the square images, pixels. anchors: for each output, pixels.
    points: recalls at which precision is read: 101 as COCO does, or 11 as VOC2007 does.
    """

    classes: int
    image_size: int
    anchors: Anchors
    points: Literal[101, 11] = 101

    metric = "mAP50"
    truth = "boxes with a class each"
    moves = True

    def fits(self, targets: Targets) -> bool:
        """Return whether there are lists of boxes and classes."""
        return all(isinstance(targets.get(name), list) for name in ("box", "label"))

    def places(self, outputs: Sequence[Tensor]) -> Places:
        """Return the boxes of all outputs in one row."""
        raw, cells, strides, anchors = [], [], [], []
        for output, group in zip(outputs, self.anchors, strict=True):
            count, (height, width) = len(group), output.shape[-2:]
            values = output.unflatten(1, (count, -1)).permute(0, 3, 4, 1, 2)  # (B, h, w, A, 5 + classes)
            raw.append(values.flatten(1, 3))
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            cells.append(torch.stack([columns, rows], -1).flatten(0, 1).repeat_interleave(count, 0))
            strides.append(torch.full((height * width * count,), self.image_size / height))
            anchors.append(torch.tensor(group).repeat(height * width, 1))
        device = raw[0].device
        rest = (torch.cat(each).to(device, torch.float32) for each in (cells, strides, anchors))
        return Places(torch.cat(raw, 1).float(), *rest)

    def loss(self, outputs: Sequence[Tensor], targets: Targets, smoothing: float = 0.0) -> Tensor:
        """Return the original's loss, the sum over an image's places, its mean over the images.

        One box of nine is responsible for an object: at the object's place, of the anchor most like it. It learns
        place (cross-entropy), size (squared error of the log), both weighted with 2 − area, objectness and class
        (cross-entropy). Other boxes learn that nothing is there, but for those that overlap an object by more than 0.7
        or lie in a crowd. smoothing: share of the class truth spread over all classes.
        """
        places = self.places(outputs)
        image, place, box, label = self.assigned(places, targets)
        raw, batch = places.raw, len(places.raw)
        wanted = torch.zeros(raw.shape[:2], device=raw.device)
        wanted[image, place] = 1.0
        counted = (wanted > 0) | ~self._ignored(places, targets)
        objectness = F.binary_cross_entropy_with_logits(raw[..., 4], wanted, reduction="none")
        loss = (objectness * counted).sum()
        if len(image):
            kind = torch.zeros(batch, raw.shape[1], self.classes, device=raw.device)
            kind[image, place, label] = 1.0  # objects of several classes may share a box
            pairs = torch.unique(torch.stack([image, place], 1), dim=0)
            truth = kind[pairs[:, 0], pairs[:, 1]] * (1 - smoothing) + smoothing / self.classes
            loss = loss + F.binary_cross_entropy_with_logits(raw[pairs[:, 0], pairs[:, 1], 5:], truth, reduction="sum")
            last = _last_of_each(image * raw.shape[1] + place)  # of two objects with one box the later counts
            image, place, box = image[last], place[last], box[last]
            got, size = raw[image, place, :4], box[:, 2:] - box[:, :2]
            center = (box[:, :2] + box[:, 2:]) / 2 / places.stride[place, None] - places.cell[place]
            weight = 2 - size.prod(1, keepdim=True) / self.image_size**2
            position = F.binary_cross_entropy_with_logits(got[:, :2], center.clamp(0, 1), reduction="none")
            extent = (got[:, 2:] - (size / places.anchor[place]).log()).square() / 2
            loss = loss + (weight * (position + extent)).sum()
        return loss / batch

    def assigned(self, places: Places, targets: Targets) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the objects that are learned: their image, responsible place, box (n, 4) and class.

        An object without area, or whose centre lies outside the image, is not learned, nor is a crowd.
        """
        device = places.raw.device
        image = [torch.full((len(each),), number) for number, each in enumerate(targets["box"])]
        image, box, label = (torch.cat(list(each)).to(device) for each in (image, targets["box"], targets["label"]))
        box = box.reshape(-1, 4).float()
        size, center = box[:, 2:] - box[:, :2], (box[:, :2] + box[:, 2:]) / 2
        good = (size > 0).all(1) & (center >= 0).all(1) & (center < self.image_size).all(1)
        if "crowd" in targets:
            good &= ~torch.cat(list(targets["crowd"])).to(device)
        image, box, label, size, center = (each[good] for each in (image, box, label, size, center))
        anchors = torch.tensor([each for group in self.anchors for each in group], device=device)
        shared = torch.minimum(size[:, None], anchors).prod(-1)
        best = (shared / (size.prod(1)[:, None] + anchors.prod(1) - shared)).argmax(1)
        first, offsets = 0, []
        strides = torch.unique_consecutive(places.stride)
        for stride, group in zip(strides.tolist(), self.anchors, strict=True):
            side = round(self.image_size / stride)
            offsets += [(first + number, len(group), side, stride) for number in range(len(group))]
            first += side * side * len(group)
        start, count, side, stride = torch.tensor(offsets, device=device)[best].unbind(1)
        column, row = (center / stride[:, None]).floor().long().unbind(1)
        return image, (start + (row * side + column) * count).long(), box, label

    @torch.no_grad()
    def _ignored(self, places: Places, targets: Targets) -> Tensor:
        """Return which boxes overlap an object or lie in a crowd, bool (B, N)."""
        boxes, out = places.boxes(), torch.zeros(places.raw.shape[:2], dtype=torch.bool, device=places.raw.device)
        for number, truth in enumerate(targets["box"]):
            if not len(truth):
                continue
            truth = truth.to(boxes).reshape(-1, 4)
            shared, mine, theirs = _overlap(boxes[number], truth)
            union = mine[:, None] + theirs - shared
            if "crowd" in targets:
                union = torch.where(targets["crowd"][number].to(boxes.device), mine[:, None], union)
            out[number] = (shared / union.clamp_min(1e-9)).amax(1) > IGNORED
        return out

    def distill(self, outputs: Sequence[Tensor], teacher: Sequence[Tensor], temperature: float = 2.0) -> Tensor:
        """Return the loss with the teacher's outputs as the truth, less what the teacher itself would have.

        Boxes and classes count as far as the teacher sees an object. temperature: logits of objectness and class are
        divided by it first.
        """
        student, target = (self.places(each).raw for each in (outputs, teacher))
        seen = target[..., 4:5].sigmoid()
        objects = _divergence(student[..., 4:5] / temperature, target[..., 4:5] / temperature)
        kinds = _divergence(student[..., 5:] / temperature, target[..., 5:] / temperature)
        place = _divergence(student[..., :2], target[..., :2])
        extent = (student[..., 2:4] - target[..., 2:4]).square() / 2
        boxes = (place.sum(-1, keepdim=True) + extent.sum(-1, keepdim=True)) * seen
        soft = (objects + kinds.sum(-1, keepdim=True) * seen) * temperature**2
        return (soft + boxes).sum() / len(student)

    @torch.no_grad()
    def detections(self, outputs: Sequence[Tensor], least: float = LEAST_SCORE) -> dict[str, list[Tensor]]:
        """Return the boxes that outputs show, the surest first: `box`, `label`, `score`, a list entry an image; and
        `place`, the number of each among `places`.

        At most 100 an image, inside the image, suppressed class by class; numbers that are not finite are no boxes.
        """
        from torchvision.ops import batched_nms

        found: dict[str, list[Tensor]] = {"box": [], "label": [], "score": [], "place": []}
        places = self.places(outputs)
        scores = (places.raw[..., 4:5].sigmoid() * places.raw[..., 5:].sigmoid()).nan_to_num(0.0)
        boxes = places.boxes().clamp(0, self.image_size)
        usable = boxes.isfinite().all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)
        scores = torch.where(usable[..., None], scores, 0.0).flatten(1)
        for box, score in zip(boxes, scores, strict=True):
            score, index = score.topk(min(CANDIDATES, len(score)))
            index, score = index[score > least], score[score > least]
            place, label = index // self.classes, index % self.classes
            kept = batched_nms(box[place], score, label, NMS)[:MOST]
            for name, values in zip(found, (box[place], label, score, place), strict=True):
                found[name].append(values[kept])
        return found

    def answers(self, outputs: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """Return the boxes with a score of at least 0.3."""
        return self.detections(outputs, SURE)

    def per_image(self, outputs: Sequence[Tensor], targets: Targets) -> None:
        """Return nothing: mean average precision is no mean over images."""
        return None

    def score(self, outputs: Sequence[Tensor], targets: Targets) -> float:
        """Return mAP at an overlap of 0.5 over a whole split, in [0, 1]; NaN where there is no object at all."""
        return self.precision(outputs, targets)["map_50"]

    def precision(self, outputs: Sequence[Tensor], targets: Targets) -> dict[str, float]:
        """Return torchmetrics' numbers at an overlap of 0.5: map_50, map_small, map_medium, map_large, mar_100, …

        NaN stands for what no object tells.
        """
        import logging

        from torchmetrics.detection import MeanAveragePrecision

        logging.getLogger("faster_coco_eval").setLevel(logging.ERROR)
        recalls = None if self.points == 101 else torch.linspace(0, 1, self.points).tolist()
        measure = MeanAveragePrecision(iou_thresholds=[0.5], rec_thresholds=recalls, backend="faster_coco_eval")
        measure.warn_on_many_detections = False
        measure.update(_as_metric(self.detections(outputs)), _as_metric(targets))
        numbers = measure.compute()
        return {
            name: float("nan") if float(value) < 0 else float(value)
            for name, value in numbers.items()
            if value.numel() == 1
        }

    def chance(self, targets: Targets) -> None:
        """Return nothing: no constant answer is worth naming."""
        return None

    def evidence(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return how much of any object is seen, (B, 1): Σ log(1 + exp(objectness)) over all boxes."""
        return F.softplus(self.places(outputs).raw[..., 4]).sum(1, keepdim=True)

    def explained(self, targets: Targets) -> Tensor:
        """Return 0 for each image, the only column of `evidence`."""
        return torch.zeros(len(targets["box"]), dtype=torch.int64)


def _last_of_each(number: Tensor) -> Tensor:
    """Return where each value of `number` (n,) stands last."""
    order = {value: row for row, value in enumerate(number.tolist())}
    return torch.tensor(sorted(order.values()), device=number.device)


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the area that boxes (n, 4) and (m, 4) share, (n, m), and the areas of each."""
    low, high = torch.maximum(one[:, None, :2], other[:, :2]), torch.minimum(one[:, None, 2:], other[:, 2:])
    areas = ((each[:, 2:] - each[:, :2]).prod(1) for each in (one, other))
    return (high - low).clamp_min(0).prod(-1), *areas


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher ‖ student) of yes-or-no answers given as logits, element by element."""
    wanted = teacher.sigmoid()
    return F.binary_cross_entropy_with_logits(student, wanted, reduction="none") - F.binary_cross_entropy_with_logits(
        teacher, wanted, reduction="none"
    )


def _as_metric(boxes: Targets) -> list[dict[str, Tensor]]:
    """Return boxes as torchmetrics asks for them."""
    out = []
    for number, (box, label) in enumerate(zip(boxes["box"], boxes["label"], strict=True)):
        each = {"boxes": box.reshape(-1, 4).float().cpu(), "labels": label.cpu()}
        each |= {"scores": boxes["score"][number].cpu()} if "score" in boxes else {}
        each |= {"iscrowd": boxes["crowd"][number].long().cpu()} if "crowd" in boxes else {}
        out.append(each)
    return out
