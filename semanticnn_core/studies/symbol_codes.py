"""What bit errors do to symbols under one code or another: exact for code orders, sampled for Huffman's words."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from semanticnn_core.codec.code_order import optimal_order, order_by_name, order_distortion
from semanticnn_core.studies.huffman import PrefixCode

FIXED_ORDERS = ("natural", "gray", "hamming")


def compare_orders(levels: Tensor, prior: Tensor, bers: Sequence[float], seeds: int = 20) -> pd.DataFrame:
    """Return the exact expected distortion of code orders, as rows of order, seed, ber, distortion.

    levels: ascending centres (n,); prior: their use (n,); bers: ascending, > 0. `optimal` is the one order that is
    best over the whole range; `random` has `seeds` rows a BER, the others one. The unit is the centres', squared.
    """
    codes = {(name, 0): order_by_name(name, len(levels)) for name in FIXED_ORDERS}
    codes |= {("random", seed): order_by_name("random", len(levels), seed) for seed in range(seeds)}
    codes["optimal", 0] = optimal_order(levels, prior, (bers[0], bers[-1]))
    rows = []
    for ber in bers:
        loss = order_distortion(torch.stack(list(codes.values())), levels, prior, torch.tensor([ber]))
        rows += [(*key, ber, value) for key, value in zip(codes, loss.tolist(), strict=True)]
    return pd.DataFrame(rows, columns=["order", "seed", "ber", "distortion"])


def rank_orders(tables: Mapping[str, pd.DataFrame], ber: float) -> pd.DataFrame:
    """Return, for tables of `compare_orders`, how many percent each order loses above `optimal` at one of their rates.

    One row an order, one column a case; where there are several seeds, mean ± std in words.
    """
    columns = {}
    for name, table in tables.items():
        part = table[table.ber == ber]
        best = part[part.order == "optimal"].distortion.iloc[0]
        excess = (100 * (part.distortion / best - 1)).groupby(part.order)
        spread = excess.std()
        columns[name] = {
            order: f"{mean:.1f}" + ("" if np.isnan(spread[order]) else f" ± {spread[order]:.1f}")
            for order, mean in excess.mean().items()
        }
    return pd.DataFrame(columns).reindex(["optimal", *FIXED_ORDERS, "random"])


def wrong_places(sent: Sequence[int], received: Sequence[int]) -> np.ndarray:
    """Return at which places the received symbols are not those sent, bool (len(sent),); missing ones are wrong."""
    padded = np.full(len(sent), -1)
    padded[: len(received)] = received[: len(sent)]
    return padded != np.asarray(sent)


def single_flip_damage(code: PrefixCode, symbols: Sequence[int], at: Sequence[int]) -> np.ndarray:
    """Return how many symbols come out wrong when the one bit `at` is flipped, int (len(at),)."""
    bits = code.encode(symbols)
    return np.array([wrong_places(symbols, code.decode(flipped(bits, place))).sum() for place in at])


def flipped(bits: str, place: int) -> str:
    """Return bits with the one at `place` turned over."""
    return bits[:place] + "10"[int(bits[place])] + bits[place + 1 :]
