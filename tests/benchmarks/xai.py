"""What L_XAI is worth: codecs with and without it, from the same start and budget, over several training seeds.

Each training is one pair of files under runs/xai/BUDGET/, so an interrupted benchmark goes on where it stopped, and
several processes can share the work (`--train-seeds`, `--gammas`). Gathered: data/results/scene_digits-xai.csv
(accuracy) and scene_digits-explanations.csv (how well attributions at the received feature find the digit).
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro
from published import publish

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import BER_GRID, CodecConfig, CodecTrainConfig, Slice
from semanticnn_core.datasets import load_dataset
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.evaluation import sweep
from semanticnn_core.evaluation.truth import measure_explanations
from semanticnn_core.explain.importance import fit_importance
from semanticnn_core.systems import SemanticNN, load_checkpoint
from semanticnn_core.tasks import SplitModel
from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising

WINDOWS = ((1.0, "center"), (0.5, "center"), (0.5, "importance"))


@dataclass(frozen=True)
class Xai:
    """Train and measure codecs under several weights of L_XAI; about six minutes a training on one core."""

    checkpoint: str = "mobilenet_v2-scene_digits"
    """Whose task network the codecs are for."""
    gammas: tuple[float, ...] = (0.0, 0.1)
    """Weights of L_XAI; 0 leaves it out."""
    train_seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    images: int = 4000
    """Training images."""
    epochs: tuple[int, int] = (2, 6)
    """Epochs of stage 1 and stage 2."""
    test_images: int = 1000
    """Test images for the accuracy; a fifth of them is explained."""
    out: Path = Path("data/results/scene_digits-xai.csv")
    """The gathered table of accuracies; that of explanations lies beside it."""

    def __call__(self) -> None:
        model = load_checkpoint(self.checkpoint).model
        data = load_dataset("scene_digits", image_size=model.image_size)
        short = replace(data, train=data.train.take(self.images), validation=data.validation.take(500))
        for seed in self.train_seeds:
            start = None
            for gamma in self.gammas:
                name = f"gamma-{gamma:g}-{seed}"
                if (self.parts / f"{name}-explanations.csv").exists():
                    continue
                if start is None:
                    start = new_codec(model, short, _config(model), seed)
                    settings = CodecTrainConfig(epochs=self.epochs[0], batch_size=32, seed=seed)
                    pretrain_denoising(start, model.device_part, short, settings)
                codec = deepcopy(start)
                settings = CodecTrainConfig(
                    epochs=self.epochs[1], batch_size=32, distill=0.0, gamma=gamma, seed=seed,
                    slice_ratio=(0.25, 1.0), window="anywhere",
                )  # fmt: skip
                history = finetune_semantic(codec, model, short, settings)
                print(f"{name}: validation accuracy {max(row['score'] for row in history):.2%}", flush=True)
                fit_importance(codec, model, short.train, 500)
                self.measure(model, codec, data, name, {"gamma": gamma, "train_seed": seed})
        self.gather()

    @property
    def parts(self) -> Path:
        """Where the trainings of this budget lie."""
        widths = "-".join(map(str, CodecConfig().decoder_widths))
        budget = "{}x{}+{}-{}".format(self.images, *self.epochs, self.test_images)
        return Path("runs/xai") / f"{Path(self.checkpoint).name}-{budget}-{widths}"

    def measure(self, model: SplitModel, codec, data: ImageDataset, name: str, keys: dict) -> None:
        test = data.test.take(self.test_images)
        systems = [SemanticNN(model, codec, Slice(*each)) for each in WINDOWS]
        table = sweep(systems, test, [BitErrors(ber) for ber in BER_GRID])
        publish(self.parts / f"{name}-accuracy.csv", table.assign(**keys))
        explained = measure_explanations(
            model,
            data.test.take(self.test_images // 5),
            [SemanticNN(model, codec)],
            methods=("integrated_gradients", "deep_lift", "saliency"),
            metrics=("pointing", "inside", "ratio", "deletion", "insertion"),
        )
        publish(self.parts / f"{name}-explanations.csv", explained.assign(**keys))

    def gather(self) -> None:
        accuracy = pd.concat([pd.read_csv(part) for part in sorted(self.parts.glob("*-accuracy.csv"))])
        columns = ["gamma", "train_seed", "slice_ratio", "window", "bytes", "ber", "seed", "accuracy", "feature_mse"]
        publish(self.out, accuracy[columns])
        explained = pd.concat([pd.read_csv(part) for part in sorted(self.parts.glob("*-explanations.csv"))])
        received = explained["feature"] != "clean"
        explained.loc[received, "feature"] = "received, γ = " + explained.loc[received, "gamma"].map("{:g}".format)
        keys = ["feature", "guide", "level", "method", "metric"]
        means = explained.groupby([*keys, "train_seed"], as_index=False)["value"].mean()
        table = means.groupby(keys, as_index=False)["value"].agg(mean="mean", standard_error="sem", trainings="size")
        publish(self.out.with_name(self.out.name.replace("-xai", "-explanations")), table)
        print(accuracy.groupby(["slice_ratio", "window", "gamma", "ber"])["accuracy"].agg(["mean", "std", "size"]))
        print(table.to_string())


def _config(model: SplitModel) -> CodecConfig:
    shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
    return CodecConfig(**shape, code_channels=24, centers=4)


if __name__ == "__main__":
    tyro.cli(Xai)()
