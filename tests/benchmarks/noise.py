"""What noise a task network bears: on single pixels, and on squares as large as the patches of a code.

    .venv/bin/python tests/benchmarks/noise.py runs/checkpoints/mobilenet_v2-cifar100

Prints accuracies on the validation split. `train-base` with --training.noise and --training.grain teaches a network to
bear it.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from published import publish
from torch.nn import functional as F

from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.systems import open_checkpoint


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
    names: tuple[str, ...] = ()
    """What the table calls the networks; as the checkpoints when left out."""
    out: Path | None = None
    """Folder of the table to write, noise.csv, for instance data/results."""

    def __call__(self) -> None:
        names, rows = self.names or self.checkpoints, []
        for checkpoint, name in zip(self.checkpoints, names, strict=True):
            checkpoint, data = open_checkpoint(checkpoint)
            model, size, split = checkpoint.model, checkpoint.model.image_size, data.validation.take(self.images)
            images = split.first(len(split))["image"].float()
            for grain in self.grains:
                if grain < 1 or size % grain:
                    raise ValueError(f"grains must divide the image's side of {size} pixels, got {grain}")
            for grain in (0, *self.grains):
                noise = torch.zeros(1)
                if grain:
                    generator = torch.Generator().manual_seed(0)
                    squares = torch.randn(len(images), 3, size // grain, size // grain, generator=generator)
                    noise = self.noise * F.interpolate(squares, scale_factor=grain)
                noisy = split.with_columns(image=(images + noise).clamp(0, 255).round().byte())
                row = {"network": name, "noise": self.noise if grain else 0.0, "grain": grain}
                rows.append(row | {"accuracy": model.score(noisy), "images": len(split)})
        table = pd.DataFrame(rows)
        print(table.pivot(index="network", columns="grain", values="accuracy").map("{:.1%}".format).to_string())
        if self.out:
            publish(self.out / "noise.csv", table)


if __name__ == "__main__":
    tyro.cli(Noise)()
