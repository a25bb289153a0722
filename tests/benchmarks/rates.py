"""Which learning rate of stage 2 suits each compared system: short trainings, measured on the validation split.

What the table holds already is not done again. The rates that are best stand in the systems' files.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro
from published import publish, this_command

from semanticnn_core.channels import BitErrors
from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT
from semanticnn_core.datasets import ImageDataset
from semanticnn_core.evaluation import sweep
from semanticnn_core.evaluation.tables import table_path
from semanticnn_core.systems import OffloadSystem, compared, open_checkpoint
from semanticnn_core.systems.learned import Budget, train
from semanticnn_core.tasks import SplitModel

CODECS = ("NECST", "ProductVQ", "DeepCOD", "AgileNN", "UniformADJSCC", "BottleNet", "EdgeDeepSC", "LimitNet",
          "LearnedThumbnail")  # fmt: skip
"""Classes of systems; those not here take the rate of one that is trained alike (IABF that of NECST)."""


@dataclass(frozen=True)
class Rates:
    """Train every system at every rate; a quarter of an hour a training on a CPU."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose task network is served."""
    systems: tuple[str, ...] = ("ours", "bottleneck", "paper", *CODECS)
    """ours, bottleneck (ours in 208 bytes, trained without errors), paper, or the class of a system."""
    rates: tuple[float, ...] = (1e-4, 4e-4, 1.5e-3)
    """Learning rates of stage 2."""
    images: int = 8000
    """Training images; the first 1,000 of the validation split are measured."""
    epochs: tuple[int, int] = (2, 8)
    """Epochs of stage 1 and stage 2."""
    out: Path | None = None
    """The table; data/results/DATASET-rates.csv when left out."""

    def __call__(self) -> None:
        checkpoint, data = open_checkpoint(self.checkpoint)
        path = self.out or table_path(data.name, "rates")
        links = [BitErrors(ber) for ber in BER_GRID]
        for name in self.systems:
            for rate in self.rates:
                table = pd.read_csv(path) if path.exists() else pd.DataFrame({"system": [], "rate": []})
                if ((table["system"] == name) & (table["rate"] == rate)).any():
                    continue
                system = self._trained(name, rate, checkpoint.model, data)
                accuracy = sweep([system], data.validation.take(1000), links, 1)["accuracy"].mean()
                row = {"system": name, "rate": rate, "accuracy": accuracy, "command": this_command()}
                print(row, flush=True)
                publish(path, pd.concat([table, pd.DataFrame([row])], ignore_index=True))

    def _trained(self, name: str, rate: float, model: SplitModel, data: ImageDataset) -> OffloadSystem:
        budget = Budget(images=self.images, epochs=self.epochs)
        if name == "ours":
            return compared.semanticnn(model, data, budget, rate=rate)
        if name == "bottleneck":
            return compared.semanticnn(
                model, data, replace(budget, bytes=compared.data_bytes(model, 384, compared.FIXED)).clean, rate=rate
            )
        if name == "paper":
            return compared.paper(rate=rate)(model, data, budget)
        return train(type(name, (getattr(compared, name),), {"rate": rate}), model, data, budget, name)


if __name__ == "__main__":
    tyro.cli(Rates)()
