"""A detector through the same commands as every network: weights in, codec, firmware, measured, examined."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_boxed import annotation, coco

from semanticnn_core import cli
from semanticnn_core.systems import load_checkpoint
from semanticnn_core.tasks import SplitModel
from semanticnn_core.tasks.darknet import write_weights

pytestmark = pytest.mark.slow


def run(command: str) -> None:
    cli.main(shlex.split(command))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a tiny COCO and nothing else."""
    boxes = [annotation(row, 3 if row % 2 else 90, [2 + row % 5, 2, 16, 12]) for row in range(12)]
    coco(tmp_path / "data" / "tiny", "train2017", 12, boxes)
    coco(tmp_path / "data" / "tiny", "val2017", 6, boxes[:6])
    arrays = {"images": np.zeros((8, 8, 8, 3), np.uint8), "labels": np.arange(8) % 2}
    squares = {f"{split}_{name}": values for split in ("train", "test") for name, values in arrays.items()}
    np.savez(tmp_path / "data" / "squares.npz", **squares)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_original_network_from_its_file_to_a_measured_codec(workplace, capsys):
    torch.manual_seed(7)
    write_weights(SplitModel.of("yolov3_tiny", 2, 64, width=0.0625), "a.weights")
    run(
        "train-base --dataset tiny --model yolov3_tiny --width 0.0625 --image-size 64 --weights a.weights "
        "--training.epochs 0 --out net"
    )
    assert "a.weights: 13 of 13 layers" in capsys.readouterr().err
    config = json.loads((workplace / "net" / "config.json").read_text())
    assert config["metric"] == "mAP50" and config["base"]["width"] == 0.0625
    assert set(config["results"]) == {"validation_mAP50", "clean_mAP50"}
    run(
        "train --checkpoint net --codec.code-channels 4 --codec.centers 4 --codec.decoder-widths 8 --slices 0.5 "
        "--stage2.epochs 1 --stage2.gamma 0.1 --out coded"
    )
    assert "no firmware can be made of this codec" in capsys.readouterr().err
    table = pd.read_csv("coded/results.csv")
    assert {"mAP50", "agreement", "bytes"} <= set(table) and "| bit error rate | mAP50 |" in (
        workplace / "coded" / "README.md"
    ).read_text(encoding="utf-8")
    capsys.readouterr()
    run("evaluate --checkpoint coded --ber 0 0.05 --seeds 2 --json")
    said = json.loads(capsys.readouterr().out)
    assert {"clean_mAP50", "payload_bytes"} <= set(said) and len(said["results"]) == 4
    run("doctor coded")
    assert load_checkpoint("coded").codec.importance.any()


def test_the_small_network_trains_and_its_firmware_can_be_made(workplace, capsys):
    run(
        "train-base --dataset tiny --model yolov3_small --width 0.0625 --image-size 64 --training.epochs 2 "
        "--training.batch-size 6 --training.flip --out net"
    )
    run(
        "train --checkpoint net --codec.code-channels 4 --codec.centers 4 --codec.decoder-widths 8 --slices 0.5 "
        "--stage1.epochs 1 --stage2.epochs 1 --out net"
    )
    assert "on a device: 64 bytes an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, words",
    [
        ("train-base --dataset tiny --model mobilenet_v2", "mobilenet_v2 is trained on one class an image"),
        ("train-base --dataset squares --image-size 64 --model yolov3_small", "yolov3_small is trained on boxes with"),
        ("train-base --dataset tiny --model yolov3 --image-size 100", "multiple of 32"),
        ("train-base --dataset tiny --model yolov3_tiny --image-size 64 --weights nowhere", "nowhere"),
        ("train-base --dataset scene_detection --model yolov3_small", "image_size must be 128"),
        ("train --checkpoint mobilenet_v2-scene_digits --dataset tiny", "2 classes, the network"),
    ],
)
def test_what_does_not_fit_is_one_short_line(workplace, capsys, command, words):
    with pytest.raises(SystemExit) as stopped:
        run(command)
    error = capsys.readouterr().err
    assert stopped.value.code and words in error and "Traceback" not in error and len(error.splitlines()[-1]) < 400
    assert not (workplace / "runs").exists()


def test_a_detector_is_no_start_for_data_without_boxes(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            colour = (30 * number, 80, 200 if name == "a" else 20)
            Image.new("RGB", (128, 128), colour).save(tmp_path / "photos" / name / f"{number}.png")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train-base", "--start", "yolov3_small-scene_detection", "--dataset", str(tmp_path / "photos")])
    assert stopped.value.code == 2 and "photos has none; give other data" in capsys.readouterr().err
