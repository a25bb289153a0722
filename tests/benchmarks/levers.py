"""What each lever of the codec buys: trainings that differ from ours in one thing, over several training seeds.

A short budget, so that many trainings fit; data, order of images and channel seeds are the same for all. A training
that the table holds already is not repeated, so an interrupted benchmark goes on where it stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import tyro
from published import publish, this_command
from torch import Tensor, nn

from semanticnn_core.channels import Arrival, BitErrors, Payload
from semanticnn_core.config import BER_GRID, SENSITIVITY, STAGE2_RATE, CodecConfig, Stage
from semanticnn_core.evaluation import sweep
from semanticnn_core.evaluation.tables import known_and_wrong, levers_table, limit_line, table_path
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising
from semanticnn_core.training.sensitivity import sensitivity


@dataclass(frozen=True)
class Misestimated:
    """Independent bit errors, whose rate the receiver estimates wrongly."""

    ber: float
    estimated_ber: float

    @property
    def settings(self) -> dict[str, object]:
        return {"ber": self.ber, "estimated_ber": self.estimated_ber}

    def channel(self, seed: int) -> Callable[[Payload], Arrival]:
        link = BitErrors(self.ber).channel(seed)  # the same flips as for a receiver that knows
        return lambda payload: replace(link(payload), ber=self.estimated_ber)


LINKS = [
    *(Misestimated(ber, ber) for ber in (*BER_GRID, 0.1)),
    *(Misestimated(ber, 1e-3) for ber in (0.025, 0.05, 0.1)),
]


class Unweighed(nn.Module):
    """What stands in for attention where there is none."""

    def forward(self, x: Tensor, log_ber: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class Lever:
    """How a variant differs from ours: settings of the codec, of both stages of its training, of stage 2 alone, and of
    the receiver."""

    codec: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    stage2: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True
    """Whether stage 1 comes first; otherwise stage 2 has its epochs too."""
    sensitivity: float = 0.0
    """Share of stage 1's error that is weighed by the task."""
    attention: bool = True
    """Whether the decoder's blocks are weighed by attention, which is also told the bit error rate."""
    hard: bool = False
    """Whether the receiver takes corrected bits at face value, as behind any error-correcting code."""


CLEAN = {"ber": (1e-9, 1e-9)}
LEVERS = {
    "ours": Lever(),
    "weighed by the task": Lever(sensitivity=SENSITIVITY),
    "weighed by the task, eight centers": Lever({"code_channels": 16, "centers": 8}, sensitivity=SENSITIVITY),
    "parity": Lever({"code_channels": 14, "parity": 5 / 12}),
    "two centers": Lever({"code_channels": 48, "centers": 2}),
    "eight centers": Lever({"code_channels": 16, "centers": 8}),
    "the paper's decoder": Lever({"decoder": "transposed", "decoder_widths": (64, 96, 64)}),
    "no attention": Lever(attention=False),
    "last weights": Lever(training={"average": 0.0}),
    "larger steps": Lever(stage2={"learning_rate": 5e-4}),
    "large steps": Lever(stage2={"learning_rate": 2e-3}),
    "stage 2 alone": Lever(pretrained=False),
    "no distillation": Lever(stage2={"distill": 0.0}),
    "no occupancy loss": Lever(stage2={"alpha": 0.0}),
    "hard correction": Lever({"code_channels": 13, "parity": 11 / 24}, CLEAN, hard=True),
    **{f"trained at {100 * ber:g} %": Lever(training={"ber": (ber, ber)}) for ber in (1e-4, 1e-2, 5e-2, 1e-1)},
    **{f"{16 * channels} B": Lever({"code_channels": channels}) for channels in (12, 6, 3, 48)},
    **{f"error-free, {16 * channels} B": Lever({"code_channels": channels}, CLEAN) for channels in (24, 16, 12)},
}


@dataclass(frozen=True)
class Levers:
    """Train and measure variants; seven minutes a training, two of them side by side on two cores."""

    checkpoint: str = "mobilenet_v2-scene_digits"
    """Whose task network the codecs are for."""
    variants: tuple[str, ...] = tuple(LEVERS)
    """Which of the levers."""
    train_seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    images: int = 5000
    """Training images."""
    epochs: tuple[int, int] = (1, 3)
    """Epochs of stage 1 and stage 2."""
    test_images: int = 1000
    """Test images."""
    flip: bool = False
    """Mirror half of the training images; right for photographs, wrong for digits."""
    out: Path | None = None
    """The table; data/results/DATASET-levers.csv when left out."""

    def __call__(self) -> None:
        checkpoint, data = open_checkpoint(self.checkpoint)
        data = replace(data, train=data.train.take(self.images), test=data.test.take(self.test_images))
        path = self.out or table_path(data.name, "levers")
        for seed in self.train_seeds:
            for name in self.variants:
                table = pd.read_csv(path) if path.exists() else pd.DataFrame({"variant": [], "train_seed": []})
                if ((table["variant"] == name) & (table["train_seed"] == seed)).any():
                    continue
                rows = self._measured(name, checkpoint.model, data, seed)
                table = pd.read_csv(path) if path.exists() else table  # another process may have written since
                publish(path, pd.concat([table, rows], ignore_index=True))
                shown = rows.groupby(["ber", "estimated_ber"])["accuracy"].mean().round(4).to_dict()
                print(f"{name}, seed {seed}:", shown, flush=True)
        table = pd.read_csv(path)
        print(levers_table(table).to_string())
        print("\nthe rate known, less estimated wrongly:", known_and_wrong(table).to_string(), sep="\n")
        if any(name.startswith("error-free") for name in table["variant"]):
            print("\nlimit line:", limit_line(table).to_string(), sep="\n")

    def _measured(self, name, model, data, seed) -> pd.DataFrame:
        lever = LEVERS[name]
        shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
        config = CodecConfig(**shape, code_channels=24, centers=4)
        config = replace(config, **lever.codec)
        metric = sensitivity(model.folded(), data.train, config.stride, lever.sensitivity, seed)
        codec = new_codec(model, data, config, seed, metric)
        if not lever.attention:
            for block in codec.decoder.blocks:
                block.attention = Unweighed()
        common = {"seed": seed, "flip": self.flip} | lever.training
        first, epochs = self.epochs
        if lever.pretrained:
            pretrain_denoising(codec, model.device_part, data, Stage(epochs=first, **common), metric=metric)
        else:
            epochs += first
        second = {"learning_rate": STAGE2_RATE} | common | lever.stage2
        finetune_semantic(codec, model, data, Stage(epochs=epochs, **second))
        if lever.hard:
            codec.quantizer.dequantizer = "plain"
        table = sweep([SemanticNN(model.folded(), codec)], data.test, LINKS)
        columns = ["bytes", "ber", "estimated_ber", "seed", "accuracy", "agreement", "feature_mse"]
        return table[columns].assign(variant=name, train_seed=seed, command=this_command())


if __name__ == "__main__":
    tyro.cli(Levers)()
