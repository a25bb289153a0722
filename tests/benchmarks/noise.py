"""What noise a task network bears: on single pixels, and on squares as large as the patches of a code.

    .venv/bin/python tests/benchmarks/noise.py runs/checkpoints/mobilenet_v2-cifar100

Prints accuracies on the validation split. `train-base` with --training.noise and --training.grain teaches a network to
bear it.
"""

from dataclasses import dataclass

import pandas as pd
import torch
import tyro
from torch.nn import functional as F

from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.datasets import load_dataset
from semanticnn_core.systems import load_checkpoint


@dataclass(frozen=True)
class Noise:
    """Measure networks of one data set; about half a minute each on two cores."""

    checkpoints: tyro.conf.Positional[tuple[str, ...]] = (DEFAULT_CHECKPOINT,)
    """Checkpoint folders or names; a codec in them is not used."""
    grains: tuple[int, ...] = (1, 4, 8)
    """Sides of the squares that the noise is constant on, pixels; each divides the image's side."""
    noise: float = 16.0
    """Standard deviation of the noise, grey levels."""
    images: int = 5000
    """Validation images."""

    def __call__(self) -> None:
        rows = {}
        for name in self.checkpoints:
            checkpoint = load_checkpoint(name)
            model, size = checkpoint.model, checkpoint.model.image_size
            split = load_dataset(checkpoint.about["dataset"], image_size=size).validation.take(self.images)
            images = split.first(None)["image"].float()
            rows[name] = {"no noise": model.score(split)}
            for grain in self.grains:
                if grain < 1 or size % grain:
                    raise ValueError(f"grains must divide the image's side of {size} pixels, got {grain}")
                generator = torch.Generator().manual_seed(0)
                squares = torch.randn(len(images), 3, size // grain, size // grain, generator=generator)
                noise = self.noise * F.interpolate(squares, scale_factor=grain)
                noisy = split.with_columns(image=(images + noise).clamp(0, 255).round().byte())
                rows[name][f"squares of {grain}"] = model.score(noisy)
        print(pd.DataFrame(rows).T.map("{:.1%}".format).to_string())


if __name__ == "__main__":
    tyro.cli(Noise)()
