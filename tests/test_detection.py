"""Detection: the loss against hand-made cases, boxes out of damaged outputs, precision on the awkward images."""

import math

import pytest
import torch
from torch.nn import functional as F

from semanticnn_core.config import BaseTrainConfig
from semanticnn_core.datasets.augment import augment
from semanticnn_core.draws import Draws
from semanticnn_core.tasks.detection import MOST, Detection

TASK = Detection(2, 64, (((32.0, 32.0), (40.0, 40.0)), ((8.0, 8.0), (16.0, 8.0))))
"""Two outputs, 2×2 places of 32 pixels and 4×4 of 16, two boxes at each: 8 + 32 boxes."""
EMPTY = -20.0


def outputs(batch: int = 1, value: float = 0.0) -> list[torch.Tensor]:
    """Return outputs of zeros, objectness at `value`."""
    made = [torch.zeros(batch, 2 * 7, side, side) for side in (2, 4)]
    for each in made:
        each.view(batch, 2, 7, *each.shape[-2:])[:, :, 4] = value
    return made


def truth(*images: list[tuple[list[float], int]]) -> dict:
    return {
        "box": [torch.tensor([box for box, _ in image]).reshape(-1, 4) for image in images],
        "label": [torch.tensor([label for _, label in image], dtype=torch.int64) for image in images],
    }


def at(values: torch.Tensor, anchor: int, row: int, column: int) -> torch.Tensor:
    """Return the seven values of a box of the first image, to be written to."""
    return values.view(len(values), 2, 7, *values.shape[-2:])[0, anchor, :, row, column]


def test_boxes_are_decoded_as_the_paper_says():
    made = outputs(value=EMPTY)
    at(made[1], 1, 2, 3)[:] = torch.tensor([0.0, 0.0, math.log(2), math.log(0.5), 20.0, 20.0, -20.0])
    found = TASK.detections(made)
    assert torch.allclose(found["box"][0], torch.tensor([[56 - 16.0, 40 - 2.0, 64.0, 40 + 2.0]]))  # cut at the border
    assert found["label"][0].tolist() == [0] and found["score"][0].item() == pytest.approx(1.0)


def test_one_box_is_responsible_and_learns_what_the_original_tells_it():
    box = [20.0, 36.0, 36.0, 44.0]  # 16×8 about (28, 40): the second output's second anchor, row 2, column 1
    made = [each.requires_grad_() for each in outputs()]
    places = TASK.places(made)
    image, place, learned, label = TASK.assigned(places, truth([(box, 1)]))
    assert (image.tolist(), place.tolist(), label.tolist()) == ([0], [8 + (2 * 4 + 1) * 2 + 1], [1])
    loss = TASK.loss(made, truth([(box, 1)]))
    weight, target = 2 - 16 * 8 / 64**2, torch.tensor([28 / 16 - 1, 40 / 16 - 2])
    position = F.binary_cross_entropy_with_logits(torch.zeros(2), target, reduction="sum")
    ignored = int(TASK._ignored(places, truth([(box, 1)])).sum())
    told = 40 - ignored + (1 if TASK._ignored(places, truth([(box, 1)]))[0, place].item() else 0)
    assert loss.item() == pytest.approx(told * math.log(2) + 2 * math.log(2) + weight * position.item(), rel=1e-5)
    loss.backward()
    slope = at(made[1].grad, 1, 2, 1)
    assert torch.allclose(slope[:2], weight * (0.5 - target), atol=1e-6)  # output less target, as the original's
    assert torch.allclose(slope[4:], torch.tensor([0.5 - 1, 0.5 - 0, 0.5 - 1]))
    assert slope[2].item() == slope[3].item() == 0  # the anchor's own size


def test_size_is_learned_by_the_squared_error_of_its_logarithm():
    made = outputs(value=EMPTY)
    box = [12.0, 12.0, 52.0, 52.0]  # 40×40 about (32, 32): the first output's second anchor, row 1, column 1
    at(made[0], 1, 1, 1)[:] = torch.tensor([-20.0, -20.0, 0.3, 0.0, 20.0, 20.0, -20.0])
    loss = TASK.loss(made, truth([(box, 0)]))
    assert loss.item() == pytest.approx((2 - 40 * 40 / 64**2) * 0.3**2 / 2, abs=1e-4)


def test_boxes_that_overlap_an_object_are_not_told_that_nothing_is_there():
    made = outputs(value=EMPTY)
    box = [4.0, 4.0, 36.0, 36.0]  # 32×32 about (20, 20): the first output's first anchor, row 0, column 0
    at(made[0], 0, 0, 0)[:] = torch.tensor([20.0, 20.0, 0.0, 0.0, 20.0, 20.0, -20.0])
    near = at(made[0], 1, 0, 0)
    near[:] = torch.tensor([0.5, 0.5, math.log(32 / 40), math.log(32 / 40), 0.0, 0.0, 0.0])  # the same size, elsewhere
    places = TASK.places(made)
    assert TASK._ignored(places, truth([(box, 0)]))[0, 1]
    far = TASK.loss(made, truth([(box, 0)]))
    near[4] = 5.0
    assert torch.allclose(TASK.loss(made, truth([(box, 0)])), far)


def test_crowds_teach_nothing_but_silence():
    made = outputs(value=EMPTY)
    at(made[1], 0, 1, 1)[4] = 5.0  # 8×8 about (24, 24), inside the crowd
    crowd = truth([([0.0, 0.0, 64.0, 64.0], 0)]) | {"crowd": [torch.tensor([True])]}
    assert TASK.loss(made, crowd).item() < 1e-3 < TASK.loss(made, truth([])).item()


def test_of_two_objects_with_one_box_the_later_is_learned_and_both_classes():
    box, later = [20.0, 36.0, 36.0, 44.0], [21.0, 37.0, 37.0, 45.0]
    made = [each.requires_grad_() for each in outputs()]
    both = TASK.loss(made, truth([(box, 0), (later, 1)]))
    both.backward()
    slope = at(made[1].grad, 1, 2, 1)
    assert slope[5:].tolist() == [-0.5, -0.5] and slope[0].item() == pytest.approx(
        (2 - 128 / 4096) * (0.5 - (29 / 16 - 1))
    )


def test_objects_without_area_or_outside_are_not_learned():
    places = TASK.places(outputs())
    odd = [([10.0, 10.0, 10.0, 20.0], 0), ([70.0, 0.0, 90.0, 20.0], 0), ([20.0, 20.0, 10.0, 30.0], 1)]
    assert all(len(each) == 0 for each in TASK.assigned(places, truth(odd)))
    assert math.isfinite(TASK.loss(outputs(), truth(odd)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_damaged_outputs_give_few_finite_boxes(value):
    made = [each + torch.randn_like(each) * 50 for each in outputs(3, 10.0)]
    made[0][0, :, 0, 0] = value
    made[1][1] = value
    found = TASK.detections(made)
    for box, score in zip(found["box"], found["score"], strict=True):
        assert len(box) <= MOST and box.isfinite().all() and score.isfinite().all()
        assert (box >= 0).all() and (box <= 64).all() and (box[:, 2:] > box[:, :2]).all()
        assert (score.diff() <= 0).all()


@pytest.mark.slow
def test_precision_on_awkward_images():
    made = outputs(value=EMPTY)
    at(made[1], 1, 2, 1)[:] = torch.tensor([1.1, 0.0, 0.0, 0.0, 20.0, -20.0, 20.0])
    right = TASK.answers(made)
    assert right["label"][0].tolist() == [1] and TASK.score(made, right) == pytest.approx(1.0)
    none = outputs(value=EMPTY)
    assert TASK.score(none, right) == 0.0  # all missed
    surer = [each.clone() for each in made]
    at(made[1], 1, 2, 1)[4] = 3.0
    two = [torch.cat(each) for each in zip(made, surer, strict=True)]
    empty = {name: [value[0], value[0][:0]] for name, value in right.items() if name != "score"}
    assert TASK.score(two, empty) == pytest.approx(0.5, abs=0.01)  # a false alarm, surer than the hit
    crowd = empty | {"box": [right["box"][0]] * 2, "label": [right["label"][0]] * 2}
    crowd["crowd"] = [torch.tensor([False]), torch.tensor([True])]
    assert TASK.score(two, crowd) == pytest.approx(1.0)
    assert math.isnan(TASK.score(none, truth([])))


def test_precision_is_torchmetrics_own():
    from torchmetrics.detection import MeanAveragePrecision

    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(20, 14, side, side, generator=generator) for side in (2, 4)]
    boxes = torch.rand(20, 3, 2, generator=generator) * 40
    sizes = torch.rand(20, 3, 2, generator=generator) * 20 + 4
    targets = {"box": list(torch.cat([boxes, boxes + sizes], 2)), "label": [torch.tensor([0, 1, 1])] * 20}
    found = TASK.detections(made)
    names = {"boxes": "box", "labels": "label", "scores": "score"}
    metric = MeanAveragePrecision(backend="faster_coco_eval")
    rows = [{name: found[key][row] for name, key in names.items()} for row in range(20)]
    metric.update(rows, [{"boxes": targets["box"][row], "labels": targets["label"][row]} for row in range(20)])
    assert TASK.score(made, targets) == pytest.approx(metric.compute()["map_50"].item(), abs=1e-6)


def test_distillation_is_zero_for_the_teacher_alone_and_has_a_gradient_elsewhere():
    generator = torch.Generator().manual_seed(0)
    teacher = [torch.randn(2, 14, side, side, generator=generator) for side in (2, 4)]
    student = [(each + 0.1).requires_grad_() for each in teacher]
    assert TASK.distill(teacher, teacher).item() == pytest.approx(0.0, abs=1e-5)
    loss = TASK.distill(student, teacher)
    loss.backward()
    assert loss > 0 and all(each.grad.abs().sum() > 0 for each in student)


def test_evidence_and_what_is_explained():
    made, targets = outputs(2), truth([], [])
    assert torch.allclose(TASK.evidence(made), torch.full((2, 1), 40 * math.log(2)))
    assert TASK.explained(targets).tolist() == [0, 0]


def test_boxes_move_with_the_pixels():
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[..., 10:20, 12:18] = 200
    box = [torch.tensor([[12.0, 10.0, 18.0, 20.0]])]
    for seed in range(12):
        config = BaseTrainConfig(shift=6, flip=True, jitter=0.0)
        moved = augment({"image": image, "box": box, "mask": image[:, 0] > 0}, config, Draws(seed))
        y, x = torch.nonzero(moved["image"][0, 0] > 100).unbind(1)
        assert moved["box"][0].tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]] and "mask" not in moved
    assert box[0].tolist() == [[12, 10, 18, 20]]


def test_boxes_move_alike_however_they_are_kept():
    """As many in each image makes a tensor of them, as `collate` gives them; other numbers a list."""
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    corners = torch.rand(3, 5, 2, generator=generator) * 16
    stacked = torch.cat([corners, corners + 10], 2)
    config = BaseTrainConfig(shift=6, flip=True, jitter=0.0)
    one, several = (augment({"image": image, "box": box}, config, Draws(4))["box"] for box in (stacked, list(stacked)))
    assert one.shape == stacked.shape and torch.equal(one, torch.stack(several))
    ragged = [stacked[0], stacked[1, :2], stacked[2, :0]]
    moved = augment({"image": image, "box": ragged}, config, Draws(4))["box"]
    assert all(torch.equal(each, whole[: len(each)]) for each, whole in zip(moved, one, strict=True))
    single = augment({"image": image, "box": stacked[:, 0]}, config, Draws(4))["box"]
    assert torch.equal(single, one[:, 0])


def test_a_single_box_a_picture_moves_too_and_is_cut_at_the_border():
    image = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    moved = augment({"image": image, "box": torch.tensor([[0.0, 0.0, 32.0, 4.0]] * 4)}, BaseTrainConfig(), Draws(0))
    assert moved["box"].shape == (4, 4) and moved["box"].min() >= 0 and moved["box"].max() <= 32
