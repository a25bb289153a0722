"""Speed, as ratios measured in one run: what the codec's training costs over the frozen backbone alone.

`make bench` prints the table; nothing is asserted, because machines differ. `--out data/results` writes speed.csv and
packing.csv.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import pandas as pd
import torch
import tyro
from published import publish
from torch import nn
from torch.nn import functional as F

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.payload import pack, unpack
from semanticnn_core.config import CodecConfig, CodecTrainConfig
from semanticnn_core.datasets.scene_digits import build_scene_digits
from semanticnn_core.draws import Draws
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import Progress, Step
from semanticnn_core.training.memory import keep_freed_memory
from semanticnn_core.training.stages import denoising_step, semantic_step

CODECS = {
    "mobilenet_v2": CodecConfig(code_channels=24, centers=4),
    "resnet50": CodecConfig(
        feature_channels=64,
        feature_range=(0.0, float("inf")),
        code_channels=48,
        centers=4,
        kernel=2,
        stride=2,
    ),
}
BATCH, ROUNDS, IMAGE_SIZE, CLASSES = 64, 7, 64, 10


def training_speed(name: str) -> dict[str, float]:
    """Return images/s of the limits, of stage 1 and of stage 2, interleaved so that all meet the same machine.

    limit: frozen backbone alone, one forward and one backward to its input; "limit, folded": the same network with its
    batch norms folded, as stage 2 runs it. The stages are the product's own steps (augmentation and device part
    included) with gradient clipping and the optimiser's step.
    """
    torch.manual_seed(0)
    model = SplitModel.of(name, CLASSES, IMAGE_SIZE).frozen()
    codec = SemanticCodec(CODECS[name]).train()
    batch = {
        "image": torch.randint(0, 256, (BATCH, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8),
        "label": torch.randint(0, CLASSES, (BATCH,)),
        "teacher": torch.randn(BATCH, CLASSES),
    }
    codec.calibrate(model.device_part(batch["image"]))
    config = CodecTrainConfig()
    optimizer = torch.optim.AdamW(codec.parameters(), config.learning_rate)
    progress = Progress(0, 0.0, Draws(torch.Generator().manual_seed(0)))
    point = model.device_part(batch["image"]).clone().requires_grad_()

    folded = model.folded()

    def limit(edge: nn.Module) -> None:
        point.grad = None
        F.cross_entropy(edge(point), batch["label"]).backward()

    def train(step: Step) -> None:
        optimizer.zero_grad()
        step(codec, batch, progress)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), config.gradient_clip)
        optimizer.step()

    stages = {
        "stage 1": denoising_step(model.device_part, config),
        "stage 2": semantic_step(folded, replace(config, distill=0.0)),  # equation 2 as it stands
        "stage 2 + L_XAI": semantic_step(folded, replace(config, distill=0.0, gamma=1.0)),
        "stage 2 + distillation": semantic_step(folded, config),  # as shipped; the teacher answered before
    }
    runs = {"limit": partial(limit, model.edge_part), "limit, folded": partial(limit, folded.edge_part)}
    runs |= {each: partial(train, step) for each, step in stages.items()}
    times: dict[str, list[float]] = {each: [] for each in runs}
    for _ in range(ROUNDS + 1):
        for each, function in runs.items():
            times[each].append(_seconds(function))
    return {each: BATCH / median(values[1:]) for each, values in times.items()}


def packing_speed() -> float:
    """Return MB of payload per second, packed and unpacked on one core: 2,352-byte payloads, batches of 256."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    symbols = torch.randint(0, 8, (256, 2352 * 8 // 3), dtype=torch.uint8)
    times = [_seconds(lambda: unpack(pack(symbols, 3), 3, symbols.shape[1])) for _ in range(30)]
    torch.set_num_threads(threads)
    return 256 * 2352 / median(times) / 1e6


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Speed:
    """Measure the speed of training and packing."""

    out: Path | None = None
    """Folder of tables to write, speed.csv and packing.csv, for instance data/results."""

    def __call__(self) -> None:
        keep_freed_memory()
        threads, rows = torch.get_num_threads(), []
        print(f"{threads} threads, batch {BATCH}, {IMAGE_SIZE} px, median of {ROUNDS}")
        for name in CODECS:
            speed = training_speed(name)
            limit, folded = speed.pop("limit"), speed.pop("limit, folded")
            print(f"{name}: {limit:.1f} images/s are the limit, {folded:.1f} the folded one")
            rows += [
                {"network": name, "what": what, "images_per_second": rate, "of_limit": rate / limit,
                 "of_folded_limit": rate / folded if "stage 2" in what else None, "threads": threads}
                for what, rate in speed.items()
            ]  # fmt: skip
        print(pd.DataFrame(rows).round(2).to_string(index=False))
        packing = packing_speed()
        print(f"pack + unpack, one core: {packing:.0f} MB/s of payload")
        if self.out:
            publish(self.out / "speed.csv", pd.DataFrame(rows))
            publish(self.out / "packing.csv", pd.DataFrame([{"mb_per_second": packing}]))
        print(f"SceneDigits built in {_seconds(build_scene_digits):.1f} s")


if __name__ == "__main__":
    tyro.cli(Speed)()
