"""A receiver that finds the bit error rate itself."""

import pytest
import torch

from semanticnn_core.channels import BitErrors
from semanticnn_core.channels.packets import Packets
from semanticnn_core.evaluation import sweep
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.systems.piloted import RATES, Piloted, expected_rate


@pytest.fixture
def piloted(split, codec) -> Piloted:
    return Piloted(SemanticNN(split, codec), "piloted", pilots=9)


def test_the_mean_rate_given_a_count():
    few, many = (expected_rate(torch.tensor([count]), torch.tensor([bits])) for count, bits in ((0, 56), (5000, 10**5)))
    assert float(many) == pytest.approx(0.05, rel=0.02)
    assert float(few) < 0.01
    rates = expected_rate(torch.arange(57), torch.full((57,), 56))
    assert (rates.diff() > 0).all() and rates.min() >= RATES.min() and rates.max() <= RATES.max()
    nothing = expected_rate(torch.tensor([0]), torch.tensor([0]))
    assert float(nothing) == pytest.approx(float(RATES.mean()))


def test_pilots_leave_behind_the_payload_and_are_counted(piloted, dataset):
    images = dataset.test["image"]
    payload, inner = piloted.send(images), piloted.inner.send(images)
    assert torch.equal(payload.data[:, :-9], inner.data) and torch.equal(payload.data[0, -9:], piloted.known)
    table = sweep([piloted], dataset.test, [BitErrors(0.01)], 1)
    assert table["bytes"].tolist() == [inner.data.shape[1] + 9]


@pytest.mark.parametrize("ber", [0.0025, 0.02, 0.1])
def test_the_system_inside_believes_in_what_was_counted(piloted, dataset, ber):
    believed = []

    class Watched(SemanticNN):
        def receive(self, arrival):
            believed.append(arrival.ber)
            return super().receive(arrival)

    inner = Watched(piloted.inner.model, piloted.inner.codec)
    images = dataset.test["image"].repeat(20, 1, 1, 1)
    offload(Piloted(inner, "piloted", 64), images, BitErrors(ber).channel(3))
    assert float(believed[0].mean()) == pytest.approx(ber, rel=0.25)


def test_lost_pilots_tell_nothing(piloted, dataset):
    sent = offload(piloted, dataset.test["image"], Packets(BitErrors(0.01), 40, 1.0).channel(0))
    assert sent.received.outputs.isfinite().all()
