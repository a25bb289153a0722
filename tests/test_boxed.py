"""COCO, VOC2007 and NWPU VHR-10 in their on-disk layouts, and what is wrong with a box or a file."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from semanticnn_core.datasets import DataError, load_dataset, survey
from semanticnn_core.datasets.boxed import fitted


def picture(path: Path, size: tuple[int, int] = (40, 20), mode: str = "RGB", color=200) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color if mode == "L" else (color,) * len(mode)).save(path)


def coco(root: Path, name: str, count: int, boxes: list[dict], folder: str = "") -> None:
    """Write COCO's layout: annotations and `count` images of 40×20 pixels."""
    images = [{"id": 100 + row, "file_name": f"{row:012}.jpg", "width": 40, "height": 20} for row in range(count)]
    for each in images:
        picture(root / folder / name / each["file_name"])
    categories = [{"id": 90, "name": "cup"}, {"id": 3, "name": "car"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    file = root / "annotations" / f"instances_{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def annotation(image: int, category: int, box: list[float], **more) -> dict:
    return {"id": 7, "image_id": 100 + image, "category_id": category, "bbox": box, **more}


@pytest.mark.parametrize("folder", ["", "images"])
def test_coco(tmp_path, folder):
    boxes = [annotation(0, 90, [10, 5, 20, 10]), annotation(1, 3, [0, 0, 40, 20], iscrowd=1)]
    coco(tmp_path, "train2017", 40, [], folder)
    coco(tmp_path, "val2017", 3, boxes, folder)
    data = load_dataset(tmp_path, image_size=64)
    assert data.classes == ("car", "cup")  # in the order of their sparse ids
    assert [len(each) for each in (data.train, data.validation, data.test)] == [38, 2, 3]
    test = data.test.batch([0, 1, 2])
    assert test["image"].shape == (3, 3, 64, 64) and test["image"].dtype == torch.uint8
    assert test["box"][0].tolist() == [[16.0, 24.0, 48.0, 40.0]]  # 64×32, with 16 rows of grey above
    assert test["label"][0].tolist() == [1] and test["crowd"][1].tolist() == [True] and len(test["box"][2]) == 0
    assert (test["image"][0, :, :16] == 128).all() and (test["image"][0, :, 17:47] == 200).all()
    assert "every image can be read" in survey(data).describe()


def test_one_file_alone_is_divided(tmp_path):
    coco(tmp_path, "val2017", 20, [annotation(row, 3, [1, 1, 9, 9]) for row in range(20)])
    data = load_dataset(tmp_path, image_size=64)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [14, 3, 3]
    again = load_dataset(tmp_path, image_size=64)
    assert data.test["image"].source.paths == again.test["image"].source.paths


def test_boxes_outside_and_without_area(tmp_path):
    odd = [[-5, -5, 10, 10], [30, 10, 30, 30], [10, 10, 0, 5], [50, 5, 5, 5]]
    coco(tmp_path, "train2017", 30, [])
    coco(tmp_path, "val2017", 1, [annotation(0, 3, box) for box in odd])
    with pytest.warns(UserWarning, match="2 boxes without area"):
        data = load_dataset(tmp_path, image_size=40)
    assert data.test["box"][0].tolist() == [[0, 10, 5, 15], [30, 20, 40, 30]]


@pytest.mark.parametrize(
    "break_it, words",
    [
        (lambda root: (root / "val2017" / f"{0:012}.jpg").unlink(), "named by the annotations, but not there"),
        (lambda root: coco(root, "val2017", 2, [annotation(9, 3, [0, 0, 1, 1])]), "image_id 109"),
        (lambda root: coco(root, "val2017", 2, [annotation(0, 4, [0, 0, 1, 1])]), "category_id 4"),
        (lambda root: coco(root, "val2017", 2, [annotation(0, 3, [0, 0, 1])]), "not in COCO's format"),
        (lambda root: (root / "annotations" / "instances_val2017.json").write_text("{"), "not in COCO's format"),
        (lambda root: (root / "val2017").rename(root / "other"), "neither is there"),
        (lambda root: coco(root, "val2014", 1, []), "keep one of them"),
        (lambda root: (root / "annotations" / "instances_minival.json").write_text("{}"), "must begin with"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, break_it, words):
    coco(tmp_path, "train2017", 30, [])
    coco(tmp_path, "val2017", 2, [])
    break_it(tmp_path)
    with pytest.raises(DataError, match=words):
        load_dataset(tmp_path, image_size=64)


def test_damaged_grey_and_turned_files(tmp_path):
    coco(tmp_path, "train2017", 30, [])
    coco(tmp_path, "val2017", 4, [])
    places = [tmp_path / "val2017" / f"{row:012}.jpg" for row in range(4)]
    picture(places[0], mode="L")
    places[1].write_bytes(places[1].read_bytes()[:200])
    picture(places[2], (20, 20))
    turned = Image.new("RGB", (20, 40), (9, 9, 9))
    tag = turned.getexif()
    tag[0x0112] = 6
    turned.save(places[3], exif=tag)
    data = load_dataset(tmp_path, image_size=64)
    assert (data.test.batch([0])["image"][0, :, 20:44] == 200).all()
    assert data.test.batch([3])["image"].shape == (1, 3, 64, 64)
    found = survey(data).damaged
    assert sorted(found) == [f"val2017/{1:012}.jpg", f"val2017/{2:012}.jpg"]
    assert "20×20 pixels, its boxes are for 40×20" in found[f"val2017/{2:012}.jpg"]


XML = """<annotation><size><width>40</width><height>20</height><depth>3</depth></size>
<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>20</ymax></bndbox></object></annotation>"""


def voc(root: Path, lists: dict[str, list[str]], name: str = "dog") -> None:
    for split, names in lists.items():
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names) + "\n")
        for row, each in enumerate(names):
            picture(root / "JPEGImages" / f"{each}.jpg")
            (root / "Annotations").mkdir(exist_ok=True)
            (root / "Annotations" / f"{each}.xml").write_text(XML.format(name=name, difficult=row % 2))


@pytest.mark.parametrize("inside", ["", "VOC2007", "VOCdevkit/VOC2007"])
def test_voc(tmp_path, inside):
    lists = {"train": ["000001", "000002"], "val": ["000003", "000004"], "test": ["000005"], "dog_train": ["000001"]}
    voc(tmp_path / inside, lists)
    data = load_dataset(tmp_path, image_size=40)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [2, 2, 1]
    assert data.train["box"][0].tolist() == [[0, 10, 10, 30]]  # ten pixels wide: counted from 1, ends included
    assert data.classes[data.train["label"][0]] == "dog"
    assert [each.tolist() for each in data.train["crowd"]] == [[False], [True]]


def test_voc_without_its_test_archive(tmp_path):
    voc(tmp_path, {"train": [f"{row:06}" for row in range(10)], "val": ["000099"]})
    data = load_dataset(tmp_path, image_size=40)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [9, 1, 1]


def test_voc_names_what_is_wrong(tmp_path):
    voc(tmp_path, {"train": [f"{row:06}" for row in range(10)], "val": ["000099"]}, "unicorn")
    with pytest.raises(DataError, match="'unicorn' is none of VOC's classes"):
        load_dataset(tmp_path, image_size=40)
    (tmp_path / "Annotations" / "000000.xml").write_text("<annotation>")
    with pytest.raises(DataError, match="000000.xml is not in VOC's format"):
        load_dataset(tmp_path, image_size=40)
    (tmp_path / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(DataError, match="train.txt is not there"):
        load_dataset(tmp_path, image_size=40)


def vhr(root: Path, count: int, text: str) -> None:
    for row in range(1, count + 1):
        picture(root / "positive image set" / f"{row:03}.jpg")
        (root / "ground truth").mkdir(exist_ok=True)
        (root / "ground truth" / f"{row:03}.txt").write_text(text)
    picture(root / "negative image set" / "001.jpg")


def test_vhr10_with_its_inner_spaces(tmp_path):
    vhr(tmp_path, 20, "( 4, 2),( 14,12), 10 \r\n(20,0),(40,20),1\n\n  \n")
    data = load_dataset(tmp_path, image_size=40)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [14, 3, 3]
    assert data.test["box"][0].tolist() == [[4, 12, 14, 22], [20, 10, 40, 30]]
    assert [data.classes[each] for each in data.test["label"][0]] == ["vehicle", "airplane"]
    assert "negative image set" in survey(data).describe()


@pytest.mark.parametrize("line", ["(1,2),(3,4)", "(1,2),(3,4),11", "1 2 3 4 5"])
def test_vhr10_names_the_line(tmp_path, line):
    vhr(tmp_path, 5, f"(1,2),(3,4),1\n{line}\n")
    with pytest.raises(DataError, match=r"001\.txt, line 2: expected"):
        load_dataset(tmp_path, image_size=40)


def test_vhr10_in_cocos_format(tmp_path):
    for row in range(10):
        picture(tmp_path / "positive image set" / f"{row:03}.jpg")
    images = [{"id": row, "file_name": f"{row:03}.jpg", "width": 40, "height": 20} for row in range(10)]
    categories = [{"id": row + 1, "name": str(row)} for row in range(10)]
    boxes = [{"id": 0, "image_id": 3, "category_id": 10, "bbox": [0.0, 0.0, 20.0, 20.0]}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    data = load_dataset(tmp_path, image_size=40)
    labels = [label for split in (data.train, data.validation, data.test) for label in split["label"]]
    assert sorted(each.tolist() for each in labels if len(each)) == [[9]]


@pytest.mark.parametrize("size, side", [((640, 426), 416), ((1, 900), 64), ((33, 33), 32), ((500, 375), 128)])
def test_what_is_fitted_lies_within_the_square(size, side):
    width, height, left, top = fitted(size, side)
    assert max(width, height) == side and min(width, height) >= 1
    for gap, length in ((left, width), (top, height)):
        assert 0 <= gap <= side - length - gap <= gap + 1  # in the middle
