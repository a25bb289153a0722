"""What became of objects: each fate on hand-made boxes, and what is painted."""

import io

import pandas as pd
import pytest
import torch
from PIL import Image

from semanticnn_core.evaluation.fates import FATES, false_alarms, fates
from semanticnn_core.viz.boxes import draw_boxes, draw_fates, painted


def boxes(*images: list[tuple[list[float], int]], **more) -> dict:
    return {
        "box": [torch.tensor([box for box, _ in image]).reshape(-1, 4) for image in images],
        "label": [torch.tensor([label for _, label in image], dtype=torch.int64) for image in images],
        **more,
    }


TRUTH = boxes([([0.0, 0, 10, 10], 1), ([20.0, 0, 30, 10], 2), ([40.0, 0, 50, 10], 3), ([0.0, 40, 10, 50], 4)], [])
FOUND = boxes(
    [([0.0, 0, 10, 9], 1), ([20.0, 0, 30, 10], 7), ([45.0, 0, 55, 10], 3), ([0.0, 0, 10, 10], 1),
     ([60.0, 60, 64, 64], 4)],
    [([0.0, 0, 5, 5], 0)],
)  # fmt: skip


def test_each_fate():
    table = fates(FOUND, TRUTH)
    assert table["fate"].tolist() == list(FATES) and table["side"].tolist() == [10.0] * 4
    assert table["label"].tolist() == [1, 2, 3, 4] and set(table["image"]) == {0}


def test_a_box_counts_for_one_object():
    twice = boxes([([0.0, 0, 10, 10], 1), ([0.0, 0, 10, 10], 1)])
    assert fates(boxes([([0.0, 0, 10, 10], 1)]), twice)["fate"].tolist() == ["found", "missed"]


def test_false_alarms_overlap_nothing():
    assert false_alarms(FOUND, TRUTH) == 1.0  # one in each image
    assert false_alarms(TRUTH, TRUTH) == 0.0


def test_crowds_are_no_objects_and_nothing_is_a_table():
    crowd = TRUTH | {"crowd": [torch.tensor([True, False, False, False]), torch.empty(0, dtype=torch.bool)]}
    assert fates(FOUND, crowd)["label"].tolist() == [2, 3, 4]
    assert fates(boxes([]), boxes([])).empty


def test_boxes_are_painted_where_they_are():
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    picture = painted(image, boxes([([8.0, 12, 24, 28], 0)], score=[torch.tensor([0.9])]), 0, ["seven"], scale=2)
    assert picture.shape == (64, 64, 3)
    y, x = (picture[..., 0] > 200).nonzero()
    assert (x.min(), y.min()) == (16, 24) and x.max() >= 47 and y.max() == 55


def test_figures(tmp_path):
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    figure = draw_boxes(images, {"truth": TRUTH, "found": FOUND}, [str(each) for each in range(8)])
    assert len(figure.axes) == 4
    table = fates(FOUND, TRUTH)
    figure = draw_fates({0.0: table, 0.1: table}, (0, 9, 11, 20))
    heights = {each.get_height() for each in figure.axes[0].patches}
    assert heights == {25.0}
    draw_fates({0.1: pd.concat([table, table])}, (0, 20)).savefig(tmp_path / "a.png")


@pytest.mark.slow
def test_the_panel_follows_its_sliders():
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.config import CodecConfig
    from semanticnn_core.panels.boxes import BoxesPanel
    from semanticnn_core.systems import SemanticNN
    from semanticnn_core.tasks import SplitModel

    model = SplitModel.of("yolov3_small", 3, 64, width=0.125).frozen()
    shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
    codec = SemanticCodec(CodecConfig(**shape, code_channels=4, decoder_widths=(8,))).eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    panel = BoxesPanel(SemanticNN(model, codec), images, ("a", "b", "c"))
    before = panel.canvases["received"].version
    panel.ber.value = 0.1
    panel.image.value = 2
    assert panel.canvases["received"].version == before + 2
    assert "image 2, bit error rate 10 %" in panel.canvases["received"].words and "objects" in panel.status.value
    content = io.BytesIO()
    Image.new("L", (90, 70), 99).save(content, "PNG")
    panel.receive("own.png", content.getvalue())
    assert panel.image.value == 3 and panel.pictures.shape == (4, 3, 64, 64)
    assert "own.png: shown" in panel.message.value
    panel.receive("<b>.png", b"no image")
    assert panel.image.value == 3 and "&lt;b&gt;" in panel.message.value
