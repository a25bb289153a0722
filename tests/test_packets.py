"""Packets that are lost, and bytes that are spread over them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanticnn_core.channels import BitErrors, Bursts, Payload
from semanticnn_core.channels.packets import Interleaved, Packets
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import SemanticNN


def payload(count: int, size: int, seed: int = 0) -> Payload:
    return Payload(
        torch.randint(0, 256, (count, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    )


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 200), st.floats(0, 1), st.integers(0, 2**31))
@pytest.mark.slow
def test_packets_are_lost_as_a_whole_and_nothing_else_changes(size, length, loss, seed):
    sent = payload(3, length)
    arrival = Packets(BitErrors(0.0), size, loss).channel(seed)(sent)
    assert torch.equal(arrival.payload.data, sent.data) and arrival.present.shape == sent.data.shape
    for each in arrival.present.split(size, 1):
        assert (each == each[:, :1]).all()


def test_the_share_that_is_lost():
    arrival = Packets(BitErrors(0.0), 48, 0.3).channel(0)(payload(2000, 384))
    assert arrival.present.float().mean() == pytest.approx(0.7, abs=4 * (0.21 / 16000) ** 0.5)


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(0, 2**31))
@pytest.mark.slow
def test_an_order_there_and_back_changes_nothing(length, seed):
    sent = payload(2, length, seed)
    assert torch.equal(Interleaved(BitErrors(0.0)).channel(seed)(sent).payload.data, sent.data)
    lost = Interleaved(Packets(BitErrors(0.0), 8, 0.5)).channel(seed)(sent)
    plain = Packets(BitErrors(0.0), 8, 0.5).channel(seed)(sent)
    assert lost.present.sum() == plain.present.sum()


def test_neighbours_part():
    lost = Interleaved(Packets(BitErrors(0.0), 48, 0.5)).channel(1)(payload(50, 384)).present
    apart = (lost[:, 1:] != lost[:, :-1]).float().mean()
    together = Packets(BitErrors(0.0), 48, 0.5).channel(1)(payload(50, 384)).present
    assert apart > 10 * (together[:, 1:] != together[:, :-1]).float().mean()


def test_links_are_points_of_a_sweep(split, codec, dataset):
    links = [Packets(BitErrors(0.01), 4, 0.3), Interleaved(Packets(Bursts(0.01), 4, 0.3))]
    table = sweep([SemanticNN(split, codec)], dataset.test, links, 2)
    assert table["loss"].eq(0.3).all() and table["interleaved"].eq(True).sum() == 2 and len(table) == 4


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="got 0, 0.1"):
        Packets(BitErrors(0.0), 0)
    with pytest.raises(ValueError, match="got 48, 1.5"):
        Packets(BitErrors(0.0), 48, 1.5)
    short = Payload(torch.zeros(2, 5, dtype=torch.uint8), torch.tensor([5, 3]))
    with pytest.raises(ValueError, match="fixed length"):
        Interleaved(BitErrors(0.0)).channel(0)(short)
