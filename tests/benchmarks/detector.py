"""The full YOLOv3 on real photographs: weight file, boxes, mAP, a training step, the codec, and what one image takes.

    .venv/bin/python tests/benchmarks/detector.py --dataset PATH/TO/COCO

PATH is COCO's layout. Without `--weights FILE` a file of untrained weights is written first, which tells whether all
runs and what it takes, not how good it is. Asserts nothing but the file's size.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import tyro

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import CodecConfig, Stage
from semanticnn_core.datasets import load_dataset
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.tasks import SplitModel
from semanticnn_core.tasks.darknet import read_weights, write_weights
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising

FULL = 248_007_048
"""Bytes of the original's file for 80 classes."""


@dataclass(frozen=True)
class Detector:
    """Run everything once at full size."""

    dataset: str
    """COCO's layout."""
    model: str = "yolov3"
    """yolov3 or yolov3_tiny."""
    weights: Path | None = None
    """Darknet's file."""
    image_size: int = 416
    """Side of the image, pixels."""
    images: int = 16
    """Test images for mAP."""

    @torch.no_grad()
    def __call__(self) -> None:
        torch.manual_seed(0)
        data = load_dataset(self.dataset, "data", self.image_size)
        model = SplitModel.of(self.model, len(data.classes), self.image_size)
        with TemporaryDirectory() as folder:
            file = self.weights or Path(folder) / "untrained.weights"
            if not self.weights:
                write_weights(model, file)
                print(f"written: {file.stat().st_size:,} bytes")
                assert self.model != "yolov3" or len(data.classes) != 80 or file.stat().st_size == FULL
            print("read:", read_weights(model, file))
        model = model.frozen()
        test = data.test.take(self.images)
        print(f"mAP50 on {len(test)} images: {timed('detect and score', lambda: model.score(test)):.3f}")
        few = data.take(4)
        with torch.enable_grad():
            outputs = model.train().requires_grad_()(few.train.batch(range(2))["image"])
            timed("loss and gradient of two images", model.task.loss(outputs, few.train.batch(range(2))).backward)
        model.zero_grad()
        shape = {"feature_channels": model.feature_shape[0], "feature_range": model.frozen().feature_range}
        codec = new_codec(model, few, CodecConfig(**shape, code_channels=24, centers=4, decoder_widths=(64,) * 4))
        with torch.enable_grad():
            timed("stage 1, a step", lambda: pretrain_denoising(codec, model.device_part, few, Stage(epochs=1)))
            timed("stage 2, a step", lambda: finetune_semantic(codec, model, few, Stage(epochs=1, learning_rate=1e-4)))
        system = SemanticNN(model.folded(), codec.eval())
        image = test.batch([0])["image"]

        def whole() -> int:
            sent = offload(system, image, BitErrors(0.01).channel(0))
            found = model.task.detections(sent.received.outputs)
            print(f"{len(found['box'][0])} boxes")
            return int(sent.payload.length[0])

        whole()
        print(f"{timed('one image, from pixels to boxes over the link', whole):,} bytes sent")


def timed(what: str, act: Callable):
    """Print what an act takes and return its result."""
    start = time.perf_counter()
    result = act()
    print(f"{what}: {time.perf_counter() - start:.2f} s")
    return result


if __name__ == "__main__":
    tyro.cli(Detector)()
