"""Which code word goes to which centre: fixed orders, and the exact optimum."""

import itertools

import torch
from torch import Tensor

EXHAUSTIVE = 8
"""Up to this many centres every order is tried; beyond it, local search."""


def order_by_name(name: str, centers: int, seed: int = 0) -> Tensor:
    """Return the code word of each centre in ascending order, int64 (n,).

    name: `natural` (0, 1, 2, …), `gray` (neighbours differ in one bit), `hamming` (by number of ones, then
    value) or `random` (a permutation drawn with `seed`).
    """
    words = torch.arange(centers)
    if name == "natural":
        return words
    if name == "gray":
        return words ^ (words >> 1)
    if name == "hamming":
        return torch.tensor(sorted(range(centers), key=lambda word: (word.bit_count(), word)))
    if name == "random":
        return torch.randperm(centers, generator=torch.Generator().manual_seed(seed))
    raise ValueError(
        f"unknown code order {name!r}; known: natural, gray, hamming, random (and optimal, which is searched)"
    )


def hamming_distances(code: Tensor) -> Tensor:
    """Return how many bits differ between the code words of every two centres, int64 (…, n, n)."""
    different = code[..., :, None] ^ code[..., None, :]
    return sum((different >> bit) & 1 for bit in range((code.shape[-1] - 1).bit_length()))


def order_distortion(codes: Tensor, levels: Tensor, prior: Tensor, bers: Tensor, posterior: bool = True) -> Tensor:
    """Return the mean squared error of each order over the bit error rates, exactly; float64 (orders,).

    codes: (orders, n); levels: ascending centres (n,); prior: use of each centre (n,); bers: (r,).
    """
    levels, prior = levels.double(), prior.double().clamp_min(1e-9)
    bits = len(levels).bit_length() - 1
    flips = hamming_distances(codes)  # (orders, n, n)
    total = torch.zeros(len(codes), dtype=torch.float64)
    for ber in bers.double().tolist():
        chance = torch.tensor([ber**k * (1 - ber) ** (bits - k) for k in range(bits + 1)], dtype=torch.float64)
        joint = prior[:, None] * chance[flips]  # (orders, sent, received)
        received = joint.sum(1)  # (orders, n)
        value = (levels @ joint) / received if posterior else levels.expand_as(received)
        cross, second = (levels @ joint * value).sum(1), (received * value**2).sum(1)
        total += (prior * levels**2).sum() - 2 * cross + second
    return total / len(bers)


def optimal_order(
    levels: Tensor, prior: Tensor, ber: tuple[float, float], posterior: bool = True, points: int = 7
) -> Tensor:
    """Return the order with the least expected distortion over log-uniform error rates, int64 (n,).

    Exact up to 8 centres: flipping a bit in every code word changes nothing, so the smallest centre may keep
    word 0, and the other (n − 1)! orders are all tried. Beyond 8: the best fixed order, improved by swaps.
    """
    levels, prior = levels.detach().cpu(), prior.detach().cpu()
    n = len(levels)
    exhaustive = n <= EXHAUSTIVE
    bers = torch.logspace(*torch.tensor(ber).log10().tolist(), points if exhaustive else 3)
    if exhaustive:
        codes = torch.tensor([(0, *rest) for rest in itertools.permutations(range(1, n))])
        return codes[order_distortion(codes, levels, prior, bers, posterior).argmin()]
    starts = torch.stack([order_by_name(name, n) for name in ("natural", "gray", "hamming")])

    def distortion(codes: Tensor) -> Tensor:
        return order_distortion(codes, levels, prior, bers, posterior)

    code = starts[distortion(starts).argmin()]
    pairs = torch.combinations(torch.arange(n))
    while True:
        now = distortion(code[None])[0]
        after = distortion(torch.stack([_swapped(code, pair[None]) for pair in pairs]))
        better = pairs[after.argsort()][: int((after < now * (1 - 1e-9)).sum())]
        if not len(better):
            return code
        together = _swapped(code, _disjoint(better))
        code = together if distortion(together[None])[0] < after.min() else _swapped(code, better[:1])


def _swapped(code: Tensor, pairs: Tensor) -> Tensor:
    """Return the order with the words of each pair of centres exchanged."""
    code = code.clone()
    code[pairs] = code[pairs.flip(1)]
    return code


def _disjoint(pairs: Tensor) -> Tensor:
    """Keep each pair that shares no centre with a kept pair before it."""
    seen: set[int] = set()
    kept = []
    for first, second in pairs.tolist():
        if not seen & {first, second}:
            seen |= {first, second}
            kept.append((first, second))
    return torch.tensor(kept)
