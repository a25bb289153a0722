"""Ours against the released code's scheme, at the same bytes, budget and seeds, over several training seeds.

Each training is one file under runs/schemes/BUDGET/, so an interrupted benchmark goes on where it stopped, and several
processes can share the work (`--train-seeds`). The gathered table is data/results/DATASET-schemes.csv.
The channel seeds and the test images are the same for all. Distillation is off: neither paper nor released code has it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro
from published import publish, this_command

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import PAPER, CodecTrainConfig
from semanticnn_core.evaluation import sweep
from semanticnn_core.evaluation.tables import table_path
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising

SCHEMES = {
    "ours": {"code_order": "optimal", "dequantizer": "posterior"},
    "released": {"code_order": "random", "dequantizer": "plain"},
}
BERS = (1e-4, 2.5e-3, 1e-2, 2.5e-2, 5e-2, 0.1)


@dataclass(frozen=True)
class Schemes:
    """Train and measure codecs of both schemes; about eight minutes a training on one core."""

    checkpoint: str = "mobilenet_v2-scene_digits"
    """Whose task network the codecs are for."""
    points: tuple[str, ...] = ("ours-16", "released-16", "ours-12x4", "ours-8", "ours-6x4", "ours-3x4")
    """SCHEME-CODE_CHANNELS or SCHEME-CODE_CHANNELSxCENTERS (8 when left out); for MobileNetV2 at 64 px a code
    channel takes 8 bytes a bit."""
    train_seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    images: int = 8000
    """Training images."""
    epochs: tuple[int, int] = (2, 8)
    """Epochs of stage 1 and stage 2."""
    test_images: int = 1000
    """Test images."""
    flip: bool = False
    """Mirror half of the training images; right for photographs, wrong for digits."""
    out: Path | None = None
    """The gathered table; data/results/DATASET-schemes.csv when left out."""

    def __call__(self) -> None:
        checkpoint, data = open_checkpoint(self.checkpoint)
        model = checkpoint.model
        test = data.test.take(self.test_images)
        data = replace(data, train=data.train.take(self.images), validation=data.validation.take(500))
        widths = "-".join(map(str, PAPER.decoder_widths))
        budget = "{}x{}+{}-{}".format(self.images, *self.epochs, self.test_images) + "-flip" * self.flip
        parts = Path("runs/schemes") / f"{checkpoint.name}-{budget}-{widths}"
        for seed in self.train_seeds:
            for point in self.points:
                part = parts / f"{point}-{seed}.csv"
                if part.exists():
                    continue
                scheme, size = point.split("-")
                channels, _, centers = size.partition("x")
                config = replace(
                    PAPER,
                    feature_channels=model.feature_shape[0],
                    feature_range=model.feature_range,
                    code_channels=int(channels),
                    centers=int(centers or 8),
                    **SCHEMES[scheme],
                )
                codec = new_codec(model, data, config, seed)
                stages = [
                    CodecTrainConfig(epochs=each, batch_size=32, distill=0.0, seed=seed, flip=self.flip)
                    for each in self.epochs
                ]
                pretrain_denoising(codec, model.device_part, data, stages[0])
                history = finetune_semantic(codec, model, data, stages[1])
                print(f"{part.stem}: validation accuracy {history[-1]['validation_accuracy']:.2%}", flush=True)
                label = f"{scheme}, {centers} centers" if centers else scheme
                system = SemanticNN(model, codec, name=label)
                table = sweep([system], test, [BitErrors(ber) for ber in BERS]).rename(columns={"system": "scheme"})
                publish(part, table.assign(train_seed=seed))
        table = pd.concat([pd.read_csv(part) for part in sorted(parts.glob("*.csv"))])
        columns = ["scheme", "bytes", "train_seed", "ber", "seed", "accuracy", "agreement", "feature_mse", "command"]
        table["command"] = table.get("command", pd.Series(index=table.index, dtype=str)).fillna(this_command())
        publish(self.out or table_path(data.name, "schemes"), table[columns])
        print(table.groupby(["scheme", "bytes", "ber"])["accuracy"].agg(["mean", "std", "size"]))


if __name__ == "__main__":
    tyro.cli(Schemes)()
