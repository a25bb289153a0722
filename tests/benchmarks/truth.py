"""Attribution maps of a shipped checkpoint against the truth, every method, on clean and received features.

    .venv/bin/python tests/benchmarks/truth.py

Prints and writes data/results/DATASET-truth.csv: means with standard errors over the images.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from published import publish

from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.evaluation.truth import measure_explanations, summarize_explanations
from semanticnn_core.systems import SemanticNN, open_checkpoint

QUICK = ("pointing", "inside", "ratio", "gap", "deletion", "insertion")
SLOW = ("infidelity", "sensitivity")
CHANNELS = ("deletion", "insertion")


@dataclass(frozen=True)
class Truth:
    """Measure maps; about ten minutes on one core."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    images: int = 200
    """Test images; a quarter of them for infidelity and sensitivity, which cost most."""
    ber: float = 0.01
    """Bit error rate of the received feature."""
    steps: int = 100
    """Points of Integrated Gradients and GradientSHAP; a quarter for infidelity and sensitivity."""

    def __call__(self) -> None:
        checkpoint, data = open_checkpoint(self.checkpoint)
        model, test = checkpoint.model, data.test
        systems = [SemanticNN(model, checkpoint.codec, name="received")]
        some, few, fewer = test.take(self.images), test.take(self.images // 4), max(2, self.steps // 4)
        tables = [
            measure_explanations(model, some, systems, self.ber, metrics=QUICK, steps=self.steps),
            measure_explanations(model, some, systems, self.ber, levels=("channel",), metrics=CHANNELS, steps=fewer),
            measure_explanations(model, few, systems, self.ber, metrics=SLOW, steps=fewer),
        ]
        table = summarize_explanations(pd.concat(tables)).drop(columns="guide")
        publish(Path("data/results") / f"{Path(data.name).stem}-truth.csv", table)
        print(table.to_string())


if __name__ == "__main__":
    tyro.cli(Truth)()
