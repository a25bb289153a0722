"""Bursts and lost packets, with and without an interleaver: published codec and files behind error correction.

    .venv/bin/python tests/benchmarks/links.py --out data/results

writes scene_digits-links.csv. Nothing is trained; minutes on two cores.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from published import publish, this_command

from semanticnn_core.channels import BitErrors, Bursts
from semanticnn_core.channels.packets import Interleaved, Packets
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.systems.compared import SYSTEMS
from semanticnn_core.systems.learned import Budget

BER = 0.05
LENGTHS = (8.0, 32.0, 128.0)
LOSSES = (0.0, 0.125, 0.3, 0.5)
PACKET, KEPT = 48, 0.01
"""Bytes of a packet, and the bit error rate of those that arrive."""


@dataclass(frozen=True)
class Links:
    """Measure systems over bursts and losses."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose network and codec."""
    images: int = 1000
    """Test images."""
    seeds: int = 3
    """Channel seeds."""
    out: Path | None = None
    """Folder of the table to write."""

    def __call__(self) -> None:
        published, data = open_checkpoint(self.checkpoint)
        model = published.model.folded()
        systems = [SemanticNN(model, published.codec)]
        systems.append(SYSTEMS["JPEG + error correction"].make(published.model, data, Budget()))
        rows = []
        for spread in (False, True):
            for length in LENGTHS:
                rows.append(self.measured(systems, data, Bursts(BER, length), spread).assign(length=length))
            for loss in LOSSES:
                link = Packets(BitErrors(KEPT), PACKET, loss)
                rows.append(self.measured(systems, data, link, spread).assign(loss=loss, length=math.nan))
        table = pd.concat(rows, ignore_index=True)
        columns = ["system", "bytes", "interleaved", "ber", "length", "loss", "seed", "accuracy", "agreement"]
        table = table.reindex(columns=columns).assign(command=this_command())
        print(table.groupby(["system", "length", "loss", "interleaved"], dropna=False)["accuracy"].mean().to_string())
        if self.out:
            publish(self.out / f"{data.name}-links.csv", table)

    def measured(self, systems: list, data, link, spread: bool) -> pd.DataFrame:
        """Return the sweep of one link."""
        link = Interleaved(link) if spread else link
        # files of different lengths are padded with zeros by their error-correcting code, so all payloads are of one
        table = sweep(systems, data.test.take(self.images), [link], self.seeds)
        return table.assign(interleaved=spread)


if __name__ == "__main__":
    tyro.cli(Links)()
