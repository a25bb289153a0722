"""The quantiser: nearest centres, learning centres, and received values held against Bayes by brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.training.losses import occupancy_loss

BERS = (1e-4, 0.01, 0.05, 0.2)


def quantizer(centers: int = 8, dequantizer: str = "posterior", seed: int = 0) -> SoftQuantizer:
    """Return a quantiser in float64 with random unsorted centres, random use and random code words."""
    generator = torch.Generator().manual_seed(seed)
    made = SoftQuantizer(centers, dequantizer).double().eval()
    with torch.no_grad():
        made.centers.copy_(torch.randn(centers, generator=generator))
        prior = torch.rand(centers, generator=generator) + 0.05
        made.prior.copy_(prior / prior.sum())
        made.code.copy_(torch.randperm(centers, generator=generator))
    return made


def chance(sent: int, received: int, bits: int, ber: float) -> float:
    """Return P(received word | sent word), bit by bit."""
    wrong = bin(sent ^ received).count("1")
    return ber**wrong * (1 - ber) ** (bits - wrong)


def bayes(made: SoftQuantizer, ber: float) -> list[float]:
    """Return the posterior mean of each received index, with loops."""
    levels, prior, code = sorted(made.centers.tolist()), made.prior.tolist(), made.code.tolist()
    values = []
    for received in code:
        joint = [p * chance(sent, received, made.bits, ber) for p, sent in zip(prior, code, strict=True)]
        values.append(sum(j * level for j, level in zip(joint, levels, strict=True)) / sum(joint))
    return values


def bits_of(made: SoftQuantizer, index: torch.Tensor) -> torch.Tensor:
    """Return the bits of the code words of indices, bool (…, bits), the lowest first."""
    return (made.encode(index)[..., None] >> torch.arange(made.bits)) % 2 == 1


def arrived(made: SoftQuantizer, ber: float | torch.Tensor, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Return the chances that the bits of (B, …) symbols arrived wrong, as a receiver sees them behind a channel."""
    bits = x[0].numel() * made.bits
    flips = BinarySymmetric(ber, seed).wrong_bits(len(x), bits, torch.device("cpu"))
    rate = torch.as_tensor(ber, dtype=made.centers.dtype).reshape(-1, 1)
    return torch.where(flips, 1 - rate, rate).view(*x.shape, made.bits)


centers_and_values = st.tuples(
    st.sampled_from([2, 4, 8, 16, 64]).flatmap(
        lambda n: st.lists(st.floats(-5, 5, width=32), min_size=n, max_size=n, unique=True)
    ),
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=30),
)


@settings(max_examples=100, deadline=None)
@given(centers_and_values)
@pytest.mark.slow
def test_assign_takes_the_nearest_center(drawn):
    centers, values = (torch.tensor(each, dtype=torch.float64) for each in drawn)
    made = SoftQuantizer(len(centers)).double()
    made.centers.data.copy_(centers)  # in any order
    distance = (values[:, None] - centers.sort().values).abs()
    chosen = distance.gather(1, made.assign(values)[:, None])[:, 0]
    assert torch.allclose(chosen, distance.min(1).values, rtol=0, atol=1e-12)


def test_the_order_in_which_centers_are_stored_does_not_matter():
    made, other = quantizer(), quantizer()
    with torch.no_grad():
        other.centers.copy_(made.centers.flip(0))
    x = torch.randn(3, 50, dtype=torch.float64)
    wrong = arrived(made, 0.05, x)
    for one, two in zip(made(x, wrong), other(x, wrong), strict=True):
        assert torch.equal(one, two)


def test_soft_assignment_sharpens_into_the_nearest_center():
    made = quantizer()
    x = torch.linspace(-2, 2, 81, dtype=torch.float64)
    middles = (made.levels[1:] + made.levels[:-1]) / 2
    x = x[(x[:, None] - middles).abs().min(1).values > 0.02].detach()
    nearest = made.assign(x)[:, None]
    last = torch.zeros(len(x), 1)
    for sigma in (0.1, 1.0, 10.0, 1e5):
        made.sigma = sigma
        soft = made.soft_assign(x)
        assert torch.allclose(soft.sum(-1), torch.ones(len(x), dtype=torch.float64))
        assert torch.equal(soft.argmax(-1, keepdim=True), nearest)
        assert (soft.gather(1, nearest) >= last - 1e-12).all()
        last = soft.detach().gather(1, nearest)
    assert float(last.min()) > 1 - 1e-6


def test_soft_assignment_is_the_softmax_of_distances_in_spacings():
    made = quantizer(4)
    made.sigma = 1.7
    x, levels = 0.3, sorted(made.centers.tolist())
    spacing = (levels[-1] - levels[0]) / 3
    weights = [math.exp(-1.7 * ((x - level) / spacing) ** 2) for level in levels]
    expected = torch.tensor([weight / sum(weights) for weight in weights], dtype=torch.float64)
    assert torch.allclose(made.soft_assign(torch.tensor(x, dtype=torch.float64)), expected)


@pytest.mark.parametrize("centers", [2, 4, 8, 16, 32, 64])
def test_transition_follows_the_bits_that_differ(centers):
    made = quantizer(centers)
    transition = made.transition(torch.tensor([0.03, 0.2], dtype=torch.float64))
    assert torch.allclose(transition.sum(-1), torch.ones(2, centers, dtype=torch.float64))
    code = made.code.tolist()
    expected = [[[chance(i, j, made.bits, ber) for j in code] for i in code] for ber in (0.03, 0.2)]
    assert torch.allclose(transition, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("centers", [2, 8, 16])
@pytest.mark.parametrize("ber", BERS)
def test_posterior_mean_is_bayes(centers, ber):
    made = quantizer(centers)
    expected = torch.tensor([bayes(made, ber)], dtype=torch.float64)
    assert torch.allclose(made.values(ber), expected, atol=1e-9)


def test_posterior_mean_at_its_two_ends():
    made = quantizer()
    assert torch.allclose(made.values(0.0)[0], made.levels)
    assert torch.allclose(made.values(0.5)[0], (made.prior @ made.levels).expand(8))


def test_plain_values_are_the_centers_at_any_error_rate():
    made = quantizer(dequantizer="plain")
    assert torch.equal(made.values(torch.tensor([0.0, 0.5])), made.levels.expand(2, -1))


def test_each_sample_is_dequantised_at_its_own_error_rate():
    made = quantizer()
    index, rates = torch.randint(8, (3, 10)), torch.tensor([1e-6, 0.01, 0.3], dtype=torch.float64)
    odds = ((1 - rates) / rates).log()[:, None, None]
    values, _ = made.dequantize(torch.where(bits_of(made, index), -odds, odds))
    for row, rate in enumerate(rates):
        assert torch.allclose(values[row], made.values(rate)[0][index[row]])


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
def test_a_symbol_of_which_nothing_is_known_is_worth_the_mean(dequantizer):
    made = quantizer(8, dequantizer)
    values, spread = made.dequantize(torch.zeros(1, 5, 3, dtype=torch.float64))
    assert torch.allclose(values, made.prior @ made.levels)
    if dequantizer == "posterior":
        assert torch.allclose(spread, (made.prior @ (made.levels - values[0, 0]) ** 2).sqrt())


def test_a_bit_that_is_surer_than_its_neighbour_counts_for_more():
    """Bit by bit against Bayes by brute force, with another reliability, and another sign, for every bit."""
    made = quantizer()
    llr = torch.randn(1, 40, 3, dtype=torch.float64) * 3
    ones = torch.sigmoid(-llr)
    expected = []
    for chances in ones[0].tolist():
        joint = [
            p * math.prod(chances[b] if word >> b & 1 else 1 - chances[b] for b in range(3))
            for p, word in zip(made.prior.tolist(), made.code.tolist(), strict=True)
        ]
        expected.append(sum(j * level for j, level in zip(joint, made.levels.tolist(), strict=True)) / sum(joint))
    assert torch.allclose(made.dequantize(llr)[0][0], torch.tensor(expected, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 8, 16]), st.floats(0, 0.5))
def test_the_posterior_is_never_worse_than_the_plain_center(seed, centers, ber):
    distortion = quantizer(centers, "posterior", seed).expected_distortion(ber)
    plain = quantizer(centers, "plain", seed).expected_distortion(ber)
    assert bool(distortion <= plain + 1e-9)


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
@pytest.mark.parametrize("ber", [*BERS, 0.49])
@pytest.mark.slow
def test_expected_distortion_is_what_the_channel_does(dequantizer, ber):
    made = quantizer(8, dequantizer)
    index = torch.multinomial(made.prior, 200_000, replacement=True, generator=torch.Generator().manual_seed(1))[None]
    wrong = arrived(made, ber, index)
    error = (made.levels[index] - made.worth(wrong)[0].gather(-1, index[..., None])[..., 0]).detach() ** 2
    gap = (error.mean() - made.expected_distortion(ber)[0].detach()).abs()
    assert float(gap) <= 3 * float(error.std()) / math.sqrt(error.numel())


def test_code_words_decode_to_what_was_encoded():
    made = quantizer(32)
    index = torch.arange(32)
    assert torch.equal(made.decode(made.encode(index)), index)
    assert torch.equal(made.decode(made.encode(index).byte()), index)


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
def test_forward_values_are_received_values(dequantizer):
    made = quantizer(8, dequantizer)
    rates = torch.tensor([0.0, 0.02, 0.2], dtype=torch.float64)
    x = torch.randn(3, 4, 25, dtype=torch.float64)
    received, _, index, occupancy = made(x, arrived(made, rates, x))
    assert torch.equal(index, made.assign(x)) and received.shape == x.shape
    assert torch.equal(occupancy, made.soft_occupancy(x))
    table = made.values(rates).detach()
    for row in range(3):
        assert (received[row].detach()[..., None] - table[row]).abs().min(-1).values.max() < 1e-12
    assert torch.allclose(received[0], made.levels[index[0]]), "without errors, the centre that was sent"
    assert not torch.allclose(received[2], table[2][index[2]]), "with errors, sometimes another"


@pytest.mark.parametrize("dequantizer", ["posterior", "plain"])
def test_backward_is_the_gradient_of_the_soft_assignment(dequantizer):
    made = quantizer(8, dequantizer)
    x = torch.randn(3, 40, dtype=torch.float64, requires_grad=True)
    rates = torch.tensor([1e-3, 0.02, 0.2], dtype=torch.float64)
    weight, wrong = torch.randn(3, 40, dtype=torch.float64), arrived(made, rates, x)
    received, *_ = made(x, wrong)
    got = torch.autograd.grad((received * weight).sum(), (x, made.centers))

    code = made.code.tolist()
    spacing = (
        float((made.levels[-1] - made.levels[0]).detach()) / 7
    )  # a constant: the centres feel the assignment, not its scale
    flipped = ((wrong > 0.5) << torch.arange(3)).sum(-1)  # (3, 40): the pattern of each element

    def expectation(x: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
        levels, rows = centers.sort().values, []
        for row, flips, ber in zip(x, flipped.tolist(), rates.tolist(), strict=True):
            soft = torch.softmax(-made.sigma * ((row[:, None] - levels) / spacing) ** 2, -1)
            transition = torch.tensor([[chance(i, j, 3, ber) for j in code] for i in code], dtype=torch.float64)
            joint = made.prior[:, None] * transition
            values = (levels @ joint) / joint.sum(0) if dequantizer == "posterior" else levels
            arrives = torch.tensor([[code.index(word ^ flip) for word in code] for flip in flips])  # (40, 8)
            rows.append((soft * values[arrives]).sum(1))
        return (torch.stack(rows) * weight).sum()

    expected = torch.autograd.grad(expectation(x, made.centers), (x, made.centers))
    for mine, closed in zip(got, expected, strict=True):
        assert torch.allclose(mine, closed, atol=1e-10)
    with torch.no_grad():  # and the closed form itself against finite differences
        for variable, gradient in zip((x, made.centers), got, strict=True):
            step = torch.zeros_like(variable)
            step.view(-1)[3] = 1e-6
            pair = [
                (x + sign * step, made.centers) if variable is x else (x, made.centers + sign * step)
                for sign in (1, -1)
            ]
            slope = (expectation(*pair[0]) - expectation(*pair[1])) / 2e-6
            assert torch.allclose(slope, gradient.view(-1)[3], rtol=1e-4, atol=1e-7)


def test_every_center_learns_through_the_channel():
    made = quantizer().train()
    x = torch.randn(4, 200, dtype=torch.float64, requires_grad=True)
    received, *_ = made(x, arrived(made, 0.01, x))
    ((received - x.detach()) ** 2).mean().backward()
    assert (made.centers.grad != 0).all() and (x.grad != 0).float().mean() > 0.99


def test_descending_the_gradient_moves_centers_to_where_they_are_needed():
    made, x = SoftQuantizer(4).train(), torch.randn(2, 500)
    with torch.no_grad():
        made.centers.copy_(torch.linspace(-0.3, 0.3, 4))  # far too narrow for a standard normal
    optimizer = torch.optim.Adam([made.centers], 0.05)
    errors = []
    for seed in range(60):
        received, *_ = made(x, arrived(made, 0.01, x, seed))
        error = ((received - x) ** 2).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])


@pytest.mark.slow
def test_use_is_counted_in_training_alone():
    made = SoftQuantizer(4)
    x, wrong = torch.full((2, 10), 9.0), torch.zeros(2, 10, 2)  # everything falls on the last centre
    made.eval()(x, wrong)
    assert made.prior.tolist() == [0.25] * 4
    made.train()(x, wrong)
    share = made.prior.tolist()
    assert share[3] > 0.25 and math.isclose(sum(share), 1, rel_tol=1e-6)
    for _ in range(500):
        made(x, wrong)
    assert float(made.prior[3]) > 0.99


@pytest.mark.parametrize("centers", [2, 8, 64])
def test_fitted_centers_are_used_equally(centers):
    made, x = SoftQuantizer(centers), torch.randn(64_000, generator=torch.Generator().manual_seed(0)) ** 3
    made.fit_centers(x)
    ranks = torch.bucketize(made.levels.detach(), x.sort().values) / len(x)
    assert torch.allclose(ranks, (torch.arange(centers) + 0.5) / centers, atol=1e-4)


def test_soft_occupancy_tends_to_the_count_of_the_hard_rule():
    made, x = SoftQuantizer(8, sigma=1e6), torch.randn(4000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(made.assign(x), minlength=8) / len(x)
    assert torch.allclose(made.soft_occupancy(x), counts, atol=1e-3)
    made.sigma = 4.0
    assert float(made.soft_occupancy(x).sum().detach()) == pytest.approx(1)


def test_two_centers_on_one_spot_are_driven_apart():
    """The mean soft assignment would call such a pair evenly used, and leave it together."""
    made, x = SoftQuantizer(4), torch.randn(4000, generator=torch.Generator().manual_seed(0))
    made.centers.data = torch.tensor([-1.0, 0.25, 0.251, 1.0])
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        occupancy_loss(made.soft_occupancy(x)).backward()
        optimizer.step()
    counts = torch.bincount(made.assign(x), minlength=4) / len(x)
    assert counts.min() > 0.2
