"""Real links: bursts and lost packets, with and without an interleaver; and what knowing the bit error rate is worth.

    .venv/bin/python tests/benchmarks/links.py --out data/results

writes scene_digits-links.csv and scene_digits-estimates.csv: the published codecs, and files behind error correction.
Nothing is trained; a quarter of an hour on two cores.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import tyro
from published import publish

from semanticnn_core.channels import Believed, BitErrors, Bursts
from semanticnn_core.channels.packets import Interleaved, Packets
from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import SemanticNN, open_checkpoint
from semanticnn_core.systems.compared import SYSTEMS
from semanticnn_core.systems.learned import Budget
from semanticnn_core.systems.piloted import Piloted

BER = 0.05
LENGTHS = (8.0, 32.0, 128.0)
LOSSES = (0.0, 0.125, 0.3, 0.5)
PACKET, KEPT = 48, 0.01
"""Bytes of a packet, and the bit error rate of those that arrive."""
PILOTS = 7
"""Known bytes, 1.8 % of a payload of 384."""
BELIEFS = {"nothing: believes in 1 %": 0.01, "believes in 0.01 %": 1e-4, "believes in 10 %": 0.1}
"""What receivers believe in that are given no rate, or a wrong one."""
NAMES = {"semanticnn": "SemanticNN", "tolerant": "SemanticNN, tolerant"}


@dataclass(frozen=True)
class Links:
    """Measure systems over bursts and losses, and receivers that know the rate or do not."""

    parts: tuple[Literal["links", "estimates"], ...] = ("links", "estimates")
    """What to measure."""
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
        ours = [SemanticNN(model, codec, name=NAMES[name]) for name, codec in published.systems.items()]
        for kind in self.parts:
            if kind == "links":
                rival = SYSTEMS["JPEG + error correction"].make(published.model, data, Budget())
                table = self.over_links([*ours, rival], data)
            else:
                table = self.over_knowledge(ours, data)
            if self.out:
                publish(self.out / f"{data.name}-{kind}.csv", table)

    def over_links(self, systems: list, data) -> pd.DataFrame:
        """Return accuracy over bursts and over lost packets, with and without an interleaver."""
        rows = []
        for spread in (False, True):
            for length in LENGTHS:
                rows.append(self.measured(systems, data, Bursts(BER, length), spread).assign(length=length))
            for loss in LOSSES:
                link = Packets(BitErrors(KEPT), PACKET, loss)
                rows.append(self.measured(systems, data, link, spread).assign(loss=loss, length=math.nan))
        columns = ["system", "bytes", "interleaved", "ber", "length", "loss", "seed", "accuracy", "agreement"]
        table = pd.concat(rows, ignore_index=True).reindex(columns=columns)
        print(table.groupby(["system", "length", "loss", "interleaved"], dropna=False)["accuracy"].mean().to_string())
        return table

    def over_knowledge(self, ours: list, data) -> pd.DataFrame:
        """Return accuracy over bit error rates, by what the receiver knows of them."""
        rates, rows = [BitErrors(ber) for ber in (*BER_GRID, 2 * BER_GRID[-1])], []
        split = data.test.take(self.images)
        for system in ours:
            believed = {"the rate": rates} | {
                words: [Believed(each, ber) for each in rates] for words, ber in BELIEFS.items()
            }
            for words, links in believed.items():
                rows.append(sweep([system], split, links, self.seeds).assign(receiver=words))
            pilots = Piloted(system, system.name, PILOTS)
            rows.append(sweep([pilots], split, rates, self.seeds).assign(receiver=f"{PILOTS} pilots"))
        table = pd.concat(rows, ignore_index=True)[["system", "receiver", "bytes", "ber", "seed", "accuracy"]]
        print(table.groupby(["system", "receiver", "ber"])["accuracy"].mean().unstack().to_string())
        return table

    def measured(self, systems: list, data, link, spread: bool) -> pd.DataFrame:
        """Return the sweep of one link."""
        link = Interleaved(link) if spread else link
        # files of different lengths are padded with zeros by their error-correcting code, so all payloads are of one
        table = sweep(systems, data.test.take(self.images), [link], self.seeds)
        return table.assign(interleaved=spread)


if __name__ == "__main__":
    tyro.cli(Links)()
