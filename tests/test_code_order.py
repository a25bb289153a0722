"""Code orders: each a permutation, and the optimum held against brute force."""

import itertools

import pytest
import torch

from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.codec.code_order import hamming_distances, optimal_order, order_by_name, order_distortion

NAMES = ("natural", "gray", "hamming", "random")
BER = (1e-4, 5e-2)


def material(centers: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return uneven ascending levels and an uneven prior."""
    generator = torch.Generator().manual_seed(seed)
    prior = torch.rand(centers, generator=generator) + 0.05
    return torch.randn(centers, generator=generator).sort().values, prior / prior.sum()


def log_uniform(points: int) -> torch.Tensor:
    """Return `points` error rates, evenly spread in logarithm from one end of BER to the other."""
    return torch.tensor([BER[0] * (BER[1] / BER[0]) ** (k / (points - 1)) for k in range(points)])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("centers", [2, 4, 8, 16, 32, 64])
def test_an_order_is_a_permutation(name, centers):
    assert sorted(order_by_name(name, centers, 3).tolist()) == list(range(centers))


def test_the_named_orders():
    assert order_by_name("natural", 8).tolist() == list(range(8))
    assert order_by_name("gray", 8).tolist() == [0, 1, 3, 2, 6, 7, 5, 4]
    assert order_by_name("hamming", 8).tolist() == [0, 1, 2, 4, 3, 5, 6, 7]
    assert order_by_name("random", 8, 1).tolist() == order_by_name("random", 8, 1).tolist()
    assert order_by_name("random", 8, 1).tolist() != order_by_name("random", 8, 2).tolist()
    with pytest.raises(ValueError, match="'grey'.*gray"):
        order_by_name("grey", 8)


@pytest.mark.parametrize("centers", [2, 4, 8, 16, 32, 64])
def test_gray_neighbours_differ_in_one_bit(centers):
    distances = hamming_distances(order_by_name("gray", centers))
    assert (distances.diagonal(1) == 1).all()


def test_hamming_distances_count_bits():
    code = order_by_name("random", 64, 0)
    expected = [[bin(a ^ b).count("1") for b in code.tolist()] for a in code.tolist()]
    assert hamming_distances(code).tolist() == expected


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
@pytest.mark.parametrize("centers", [2, 8, 16])
def test_order_distortion_is_the_quantizers_expected_distortion(dequantizer, centers):
    levels, prior = material(centers)
    made = SoftQuantizer(centers, dequantizer).double()
    made.centers.data.copy_(levels)
    made.prior.copy_(prior)
    bers = log_uniform(5).double()
    for name in NAMES:
        made.code.copy_(order_by_name(name, centers))
        got = order_distortion(made.code[None], levels, prior, bers, dequantizer == "posterior")
        assert torch.allclose(got[0], made.expected_distortion(bers).mean(), rtol=1e-6)


@pytest.mark.parametrize("posterior", [True, False])
def test_the_optimum_of_four_centers_is_that_of_all_24_orders(posterior):
    for seed in range(5):
        levels, prior = material(4, seed)
        every = torch.tensor(list(itertools.permutations(range(4))))
        least = order_distortion(every, levels, prior, log_uniform(7), posterior).min()
        best = optimal_order(levels, prior, BER, posterior)
        got = order_distortion(best[None], levels, prior, log_uniform(7), posterior)[0]
        assert torch.isclose(got, least, rtol=1e-9)


@pytest.mark.parametrize("posterior", [True, False])
def test_the_optimum_of_eight_centers_beats_every_fixed_and_200_random_orders(posterior):
    for seed in range(2):
        levels, prior = material(8, seed)
        best = optimal_order(levels, prior, BER, posterior)
        assert sorted(best.tolist()) == list(range(8))
        rivals = [order_by_name(name, 8) for name in NAMES] + [order_by_name("random", 8, k) for k in range(200)]
        distortion = order_distortion(torch.stack([best, *rivals]), levels, prior, log_uniform(7), posterior)
        assert (distortion[0] <= distortion * (1 + 1e-9)).all()
        assert distortion[0] < 0.95 * distortion[5:].mean(), "and it is worth its search"


@pytest.mark.slow
def test_the_optimum_of_eight_centers_is_that_of_all_40320_orders():
    levels, prior = material(8, 7)
    every = torch.tensor(list(itertools.permutations(range(8))))
    least = min(float(order_distortion(part, levels, prior, log_uniform(7)).min()) for part in every.split(5040))
    got = float(order_distortion(optimal_order(levels, prior, BER)[None], levels, prior, log_uniform(7))[0])
    assert got == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("centers", [16, 32])
@pytest.mark.slow
def test_local_search_ends_no_worse_than_where_it_starts_and_where_no_swap_helps(centers):
    levels, prior = material(centers)
    best = optimal_order(levels, prior, BER)
    assert sorted(best.tolist()) == list(range(centers))
    swaps = []
    for first, second in itertools.combinations(range(centers), 2):
        swaps.append(best.clone())
        swaps[-1][[first, second]] = best[[second, first]]
    starts = [order_by_name(name, centers) for name in NAMES]
    distortion = order_distortion(torch.stack([best, *starts, *swaps]), levels, prior, log_uniform(3))
    assert (distortion[0] <= distortion * (1 + 1e-8)).all()
