"""What notebook 01 shows: centres that learn, codes under bit errors, and the panel that redraws them."""

import math

import numpy as np
import pytest
import torch

from semanticnn_core.panels.quantizer import QuantizerPanel
from semanticnn_core.studies import centers as learning
from semanticnn_core.studies import symbol_codes
from semanticnn_core.studies.huffman import PrefixCode, fixed_length, huffman
from semanticnn_core.training.losses import occupancy_loss
from semanticnn_core.viz import code_words as show_codes
from semanticnn_core.viz import staircases as show


@pytest.fixture(scope="module")
def latents():
    """Skewed values (B, h, w, K) as an encoder gives them."""
    values = torch.randn(16, 8, 8, 16, generator=torch.Generator().manual_seed(0))
    return torch.where(values < 0, 0.3 * values, values)


def test_a_soft_staircase_has_the_slope_that_autograd_finds(latents):
    quantizer = learning.with_centers(latents, learning.quantile_centers(latents, 8), sigma=3.0)
    x = torch.linspace(-2, 3, 101, requires_grad=True)
    (quantizer.soft_assign(x) @ quantizer.levels).sum().backward()
    drawn = show.mapping(quantizer, (-2, 3), points=101)
    torch.testing.assert_close(drawn.slope, x.grad, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(drawn.received, drawn.hard)  # no errors: what was sent arrives
    assert drawn.spread.max() < 1e-3


def test_bit_errors_pull_the_mean_of_what_arrives_inwards_and_spread_it(latents):
    quantizer = learning.with_centers(latents, learning.quantile_centers(latents, 8))
    drawn = show.mapping(quantizer, (-1, 3), ber=0.1)
    assert drawn.received.max() < drawn.hard.max() and drawn.received.min() > drawn.hard.min()
    assert drawn.spread.min() > 0


def test_lloyd_max_finds_the_known_quantiser_of_a_normal_variable():
    normal = torch.special.ndtri((torch.arange(200_000) + 0.5) / 200_000)
    levels = learning.lloyd_max(normal, 4, iterations=500)
    torch.testing.assert_close(levels, torch.tensor([-1.510, -0.4528, 0.4528, 1.510]), atol=2e-3, rtol=0)  # Max, 1960
    lost = learning.relative_distortion(learning.with_centers(normal, levels), normal, 0.0)
    assert float(lost) == pytest.approx(0.1175, abs=1e-3)


def test_the_exact_distortion_is_what_a_sampled_link_loses(latents):
    from semanticnn_core.channels import BinarySymmetric

    values, ber = latents.flatten()[None], 0.05
    quantizer = learning.with_centers(values, learning.quantile_centers(values, 8))
    flips = [BinarySymmetric(ber, seed).wrong_bits(1, 3 * values.numel(), torch.device("cpu")) for seed in range(20)]
    wrong = [torch.where(each, 1 - ber, ber).view(*values.shape, 3) for each in flips]
    received = torch.cat([quantizer(values, each)[0] for each in wrong])
    sampled = float(((received - values) ** 2).mean() / values.var())
    assert sampled == pytest.approx(float(learning.relative_distortion(quantizer, values, ber)), rel=0.03)


@pytest.mark.slow
def test_centres_learn_from_a_bad_start(latents):
    start = torch.linspace(-1.5, 4, 8)
    run = learning.learn_centers(latents, start, ber=0.01, alpha=0.1, steps=60)
    assert run.centers.shape == (len(run.step), 8) and run.step[0] == 0 and run.step[-1] == 60
    torch.testing.assert_close(run.centers[0], start)
    assert run.distortion[-1] < 0.8 * run.distortion[0]
    assert occupancy_loss(run.quantizer.prior) < 0.5 * occupancy_loss(learning.occupancy(_at(start), latents))
    again = learning.learn_centers(latents, start, ber=0.01, alpha=0.1, steps=60)
    torch.testing.assert_close(again.centers, run.centers, rtol=0, atol=0)


def test_entropy_is_what_the_occupancy_loss_leaves(latents):
    use = learning.occupancy(_at(learning.lloyd_max(latents, 8)), latents)
    assert learning.entropy_bits(use) == pytest.approx(3 - float(occupancy_loss(use)) / math.log(2), abs=1e-5)
    assert learning.entropy_bits(torch.tensor([1.0, 0.0])) == 0


def test_no_fixed_order_wins_everywhere():
    even = symbol_codes.compare_orders(torch.linspace(-1, 1, 8), torch.full((8,), 1 / 8), (0.01, 0.05), seeds=3)
    bell = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    normal = learning.with_centers(bell, learning.lloyd_max(bell, 8))
    bent = symbol_codes.compare_orders(normal.levels, normal.prior, (0.01, 0.05), seeds=3)
    first, second = (table[table.ber == 0.05].groupby("order").distortion.mean() for table in (even, bent))
    assert first["natural"] < first["gray"] and second["gray"] < second["natural"]
    assert all(each["optimal"] <= each.min() + 1e-9 for each in (first, second))
    ranked = symbol_codes.rank_orders({"even": even, "bent": bent}, 0.05)
    assert ranked.loc["optimal", "even"] == "0.0" and "±" in ranked.loc["random", "bent"]


def test_huffman_is_shortest_and_comes_back():
    code = huffman([5, 1, 1, 3])
    assert [len(word) for word in code.words] == [1, 3, 3, 2]
    symbols = np.random.default_rng(0).choice(4, 1000, p=[0.5, 0.1, 0.1, 0.3]).tolist()
    bits = code.encode(symbols)
    assert code.decode(bits) == symbols
    assert len(bits) < len(fixed_length(4).encode(symbols))
    assert fixed_length(8).decode(fixed_length(8).encode(range(8))) == list(range(8))
    with pytest.raises(ValueError, match="two symbols"):
        huffman([3])


def test_one_flipped_bit_stays_in_its_symbol_or_runs_on():
    code = PrefixCode(("0", "10", "11"))
    sent = [0, 1, 2, 0, 1]  # 0 10 11 0 10
    damaged = symbol_codes.flipped(code.encode(sent), 0)
    assert code.decode(damaged) == [2, 0, 2, 0, 1]  # 11 0 11 0 10
    assert symbol_codes.wrong_places(sent, code.decode(damaged)).tolist() == [True, True, False, False, False]
    assert symbol_codes.wrong_places([1, 2, 3], [1]).tolist() == [False, True, True]
    symbols = np.random.default_rng(0).integers(0, 8, 200).tolist()
    assert (symbol_codes.single_flip_damage(fixed_length(8), symbols, range(600)) == 1).all()
    uneven = huffman([1, 1, 2, 3, 5, 8, 13, 21])
    assert symbol_codes.single_flip_damage(uneven, symbols, range(0, 600, 7)).max() > 50


@pytest.mark.slow
def test_every_picture_is_drawn(latents):
    quantizer = learning.with_centers(latents, learning.quantile_centers(latents, 8))
    run = learning.learn_centers(latents, torch.linspace(-3, 6, 8), steps=3)
    orders = symbol_codes.compare_orders(quantizer.levels, quantizer.prior, (1e-3, 0.1), seeds=2)
    code, symbols = huffman(quantizer.prior.tolist()), quantizer.assign(latents[0]).flatten().tolist()
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    figures = [
        show.draw_journey(image, latents[0, ..., 0], quantizer),
        show.draw_staircases(latents, quantizer, (1.0, 4.0)),
        show.draw_trajectories({"start": run}, latents, {"Lloyd–Max": learning.lloyd_max(latents, 8)}),
        show.draw_mapping_grid(latents, (2, 8), (0.0, 0.05), 4.0),
        show_codes.draw_error_matrices({"natural": quantizer}, 0.01),
        show_codes.draw_received_values(quantizer, [0.001, 0.1, 0.5]),
        show_codes.draw_order_curves({"case": orders}),
        show_codes.draw_flip_damage({"Huffman": (code, 5)}, symbols),
    ]
    for figure in figures:
        figure.canvas.draw()


@pytest.mark.slow
def test_sliders_change_what_the_panel_shows(latents):
    panel = QuantizerPanel(latents, centers=8, sigma=4.0, ber=0.013)  # a BER of one's own gets its own stop
    traces = {trace.name: trace for trace in panel.figure.data}
    assert panel.ber.options[0] == ("0 %", 0.0) and panel.ber.value == 0.013
    assert np.shape(traces["P"].z) == (8, 8) and "384 bytes" in panel.numbers.value

    assert not any(trace.y is None for trace in panel.figure.data)  # filled before it became a widget
    soft = traces["soft count, as L_div sees it"]
    before = np.array(soft.y)
    panel.sigma.value = 0.5
    quantizer = show.coded_quantizer(panel.latents, panel.best[8], 0.5)
    assert not np.allclose(before, soft.y)
    np.testing.assert_allclose(soft.y, 100 * quantizer.soft_occupancy(panel.latents), rtol=1e-5)
    panel.ber.value = 0.0
    np.testing.assert_allclose(traces["P"].customdata, 100 * np.eye(8))
    np.testing.assert_allclose(traces["mean received"].y, traces["sent"].y, atol=1e-5)
    clean = panel.numbers.value
    panel.ber.value = 0.1
    assert panel.numbers.value != clean and np.min(traces["P"].customdata) > 0
    words = traces["P"].x
    panel.order.value = "gray"
    assert tuple(traces["P"].x) != tuple(words)
    for count in (2, 64):
        panel.centers.value = count
        assert np.shape(traces["P"].z) == (count, count) and len(traces["hard"].y) == count
        assert f"{1024 * (count.bit_length() - 1) // 8} bytes" in panel.numbers.value


def _at(centers):
    quantizer = learning.SoftQuantizer(len(centers)).requires_grad_(False)
    quantizer.centers.copy_(centers)
    return quantizer
