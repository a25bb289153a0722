"""The package's error-correcting code beside 5G's LDPC code (sionna-no-rt): messages lost of 384 bytes, at equal rates.

Needs the extra `benchmark`: pip install -e ".[benchmark]".
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from published import publish, this_command
from torch import Tensor

from semanticnn_core.codec.parity import parity_code
from semanticnn_core.draws import Draws
from semanticnn_core.systems.protected import corrected

SIZE = 384
DATA = {0.01: (304, 320, 336), 0.025: (256, 272, 288), 0.05: (208, 224, 240)}
"""Data bytes that are tried at a bit error rate."""


@dataclass(frozen=True)
class Codes:
    """Send messages through both codes; about ten minutes on one core, nearly all of it sionna's."""

    messages: int = 200
    """Messages at each rate and size."""
    out: Path = Path("data/results/codes.csv")
    """The table."""

    def __call__(self) -> None:
        rows = []
        for ber, sizes in DATA.items():
            for size in sizes:
                draws = Draws(size)
                data = (256 * draws.uniform(self.messages, size)).byte()
                flips = draws.uniform(self.messages, 8 * SIZE) < ber
                for name, lost in (("repeat-accumulate", _ours(data, flips, ber)), ("5G LDPC", _5g(data, flips, ber))):
                    share, shown = float(lost.double().mean()), f"{int(lost.sum())} of {self.messages}"
                    print(f"{name:18} {100 * ber:g} % errors, {size} B of data: {shown} lost", flush=True)
                    rows.append({"code": name, "ber": ber, "data_bytes": size, "bytes": SIZE, "lost": share})
        table = pd.DataFrame(rows).assign(messages=self.messages, command=this_command())
        publish(self.out, table)


def _ours(data: Tensor, flips: Tensor, ber: float) -> Tensor:
    code = parity_code(data.shape[1], SIZE - data.shape[1])
    sent = torch.cat([data, code.encode(data)], 1)
    errors = (flips.unflatten(1, (-1, 8)) << torch.arange(8)).sum(-1).byte()
    return (corrected(code, sent ^ errors, ber) != data).any(1)


def _5g(data: Tensor, flips: Tensor, ber: float) -> Tensor:
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    bits = (data[:, :, None] >> torch.arange(8) & 1).flatten(1).float()
    encoder = LDPC5GEncoder(bits.shape[1], 8 * SIZE)
    decoder = LDPC5GDecoder(encoder, num_iter=20, hard_out=True)
    odds = torch.logit(torch.tensor(1 - ber))
    decided = [
        decoder(torch.where(encoder(some).bool() ^ wrong, odds, -odds))
        for some, wrong in zip(bits.split(50), flips.split(50), strict=True)
    ]
    return (torch.cat(decided) != bits).any(1)


if __name__ == "__main__":
    tyro.cli(Codes)()
