"""The package's error-correcting code beside others: messages lost of 384 bytes, at equal rates.

5G's LDPC code and its polar code, three words of 1,024 bits with a checksum and a list of eight, are sionna-no-rt's.
Two Reed–Solomon words of 192 bytes are computed: a word is lost when more bytes are wrong than half of its parity.

Needs the extra `benchmark`: pip install -e ".[benchmark]".
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from published import publish, this_command
from scipy.stats import binom
from torch import Tensor

from semanticnn_core.codec.parity import parity_code
from semanticnn_core.draws import Draws
from semanticnn_core.systems.protected import corrected

SIZE = 384
DATA = {0.01: (304, 320, 336), 0.025: (256, 272, 288), 0.05: (208, 224, 240)}
"""Data bytes that are tried at a bit error rate."""


@dataclass(frozen=True)
class Codes:
    """Send messages through the codes; under ten minutes on one core, nearly all of it sionna's."""

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
                lost = {name: float(code(data, flips, ber).double().mean()) for name, code in CODES.items()}
                for name, share in {**lost, "Reed–Solomon": _reed_solomon(size, ber)}.items():
                    print(f"{name:18} {100 * ber:g} % errors, {size} B of data: {share:.1%} lost", flush=True)
                    rows.append({"code": name, "ber": ber, "data_bytes": size, "bytes": SIZE, "lost": share})
        table = pd.DataFrame(rows).assign(messages=self.messages, command=this_command())
        publish(self.out, table)


def _ours(data: Tensor, flips: Tensor, ber: float) -> Tensor:
    code = parity_code(data.shape[1], SIZE - data.shape[1])
    sent = torch.cat([data, code.encode(data)], 1)
    errors = (flips.unflatten(1, (-1, 8)) << torch.arange(8)).sum(-1).byte()
    return (corrected(code, sent ^ errors, ber) != data).any(1)


def _ldpc(data: Tensor, flips: Tensor, ber: float) -> Tensor:
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    encoder = LDPC5GEncoder(8 * data.shape[1], 8 * SIZE)
    decoder = LDPC5GDecoder(encoder, num_iter=20, hard_out=True)
    return _decided_wrong(encoder, decoder, _bits(data), flips, ber)


def _polar(data: Tensor, flips: Tensor, ber: float, words: int = 3) -> Tensor:
    from sionna.phy.fec.polar import Polar5GDecoder, Polar5GEncoder

    size = -(-8 * data.shape[1] // words)  # the last word's share is filled up with zeros
    bits = torch.nn.functional.pad(_bits(data), (0, words * size - 8 * data.shape[1])).unflatten(1, (words, size))
    encoder = Polar5GEncoder(size, 8 * SIZE // words)
    decoder = Polar5GDecoder(encoder, dec_type="SCL", list_size=8)
    wrong = _decided_wrong(encoder, decoder, bits.flatten(0, 1), flips.unflatten(1, (words, -1)).flatten(0, 1), ber)
    return wrong.unflatten(0, (-1, words)).any(1)


def _decided_wrong(encoder: object, decoder: object, bits: Tensor, flips: Tensor, ber: float) -> Tensor:
    odds = torch.logit(torch.tensor(1 - ber))
    decided = [
        decoder(torch.where(encoder(some).bool() ^ wrong, odds, -odds))
        for some, wrong in zip(bits.split(50), flips.split(50), strict=True)
    ]
    return (torch.cat(decided) != bits).any(1)


def _reed_solomon(size: int, ber: float, words: int = 2) -> float:
    length = SIZE // words
    corrects = (SIZE - size) // words // 2
    return float(1 - binom.cdf(corrects, length, 1 - (1 - ber) ** 8) ** words)


def _bits(data: Tensor) -> Tensor:
    return (data[:, :, None] >> torch.arange(8) & 1).flatten(1).float()


CODES = {"repeat-accumulate": _ours, "5G LDPC": _ldpc, "5G polar": _polar}


if __name__ == "__main__":
    tyro.cli(Codes)()
