"""Compared systems serve a detector on larger images too: one position for 8×8 pixels, trained, measured, listed."""

from dataclasses import replace

import pytest
import torch

from semanticnn_core.channels import BitErrors
from semanticnn_core.datasets import ImageDataset
from semanticnn_core.datasets.scene_detection import DETECTION, build_scene_detection
from semanticnn_core.evaluation import benchmark, ranking
from semanticnn_core.studies.detections import OneBox, found_at, surest_box_maps
from semanticnn_core.systems.agilenn import AgileNN
from semanticnn_core.systems.compared import SYSTEMS, data_bytes
from semanticnn_core.systems.learned import Budget, code_side
from semanticnn_core.systems.limitnet import LimitNet
from semanticnn_core.tasks import SplitModel
from semanticnn_core.viz.ranking import draw_places, draw_rivals

SIZE = 1536
NAMES = [
    "SemanticNN, ours", "SemanticNN, weighed by the task", "SemanticNN, released scheme",
    "bottleneck + error correction", "product VQ", "DeepSC*, edge alone", "JPEG + error correction",
    "raw image, 8 bits",
]  # fmt: skip
FEW = Budget(bytes=SIZE, images=16, epochs=(1, 1))


@pytest.fixture(scope="module")
def data() -> ImageDataset:
    return build_scene_detection(0, replace(DETECTION, scene=replace(DETECTION.scene, counts=(32, 4, 4))))


@pytest.fixture(scope="module")
def detector() -> SplitModel:
    torch.manual_seed(0)
    return SplitModel.of("yolov3_small", 10, 128, width=0.125).frozen()


@pytest.mark.parametrize(
    "image, feature, side", [(64, 32, 8), (128, 64, 16), (224, 56, 28), (640, 320, 80), (16, 8, 8), (32, 4, 4)]
)
def test_a_position_stands_for_eight_pixels(image, feature, side):
    class Model:
        image_size, feature_shape = image, (1, feature, feature)

    assert code_side(Model) == side


def test_the_papers_share_of_bytes(detector):
    assert code_side(detector) ** 2 * 48 // 8 == SIZE == 38_400 * 128**2 // 640**2
    assert data_bytes(detector, SIZE, 208 / 384) == 832


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_systems_serve_a_detector(name, detector, data):
    system = SYSTEMS[name].make(detector, data, FEW)
    table = benchmark.measured(system, data.test, [BitErrors(0.0), BitErrors(0.05)], 1)
    assert table["mAP50"].between(0, 1).all() and table["mAP50_low"].isna().all()
    assert (table["bytes"] == (3 * 128**2 if "raw" in name else SIZE)).all()
    assert (table["edge_macs"] > 1e5).all()


def test_what_is_for_classifiers_or_other_sizes_says_so(detector):
    with pytest.raises(ValueError, match="it is for classifiers"):
        AgileNN(detector, SIZE)
    with pytest.raises(ValueError, match="orders 64 positions, this network's code has 256"):
        LimitNet(detector, SIZE)


@pytest.mark.slow
def test_the_table_says_what_its_score_is(detector, data, tmp_path):
    made = {name: SYSTEMS[name] for name in ("NECST", "raw image, 8 bits")}
    rows = list(benchmark.benchmark(made, detector, data, FEW, tmp_path / "a.csv", (0,), None))
    table = benchmark.read_benchmark(tmp_path / "a.csv")
    assert len(rows) == 2 and set(table["metric"]) == {"mAP50"} and table["score"].between(0, 1).all()
    assert set(ranking.ranking_table(table).index) == set(made)
    assert draw_rivals(table, list(made)).axes[0].get_ylabel() == "mAP50, %"
    assert draw_places(table).axes[0].get_xlabel() == "mAP50, %"


def test_what_is_found_behind_a_link_and_what_speaks_for_one_box(detector, data):
    system = SYSTEMS["raw image, 8 bits"].make(detector, data, FEW)
    feature = detector.device_part(data.test["image"])
    outputs, task = detector.edge_part(feature), detector.task
    clean, found = task.answers(outputs), found_at(system, data.test, 0.0, 0)
    assert [each.shape for each in found["box"]] == [each.shape for each in clean["box"]]
    assert all(torch.allclose(a, b, atol=0.1) for a, b in zip(found["box"], clean["box"], strict=True))
    score = OneBox(detector, 7, 3)(feature)
    raw = task.places(outputs).raw
    assert torch.equal(score[:, 0], raw[:, 7, 4] + raw[:, 7, 5 + 3])
    boxes = {"place": [torch.tensor([each]) for each in (7, 0, 1, 2)], "label": [torch.tensor([3])] * 4}
    maps = surest_box_maps(detector, feature, boxes, steps=2)
    assert maps.shape == (4, *feature.shape[2:]) and maps.abs().sum() > 0
