"""Systems run where their network is: forward passes on an accelerator that is only pretended.

Fake tensors carry a device and no numbers; a tensor made on the CPU beside them raises as it would on a real one.
"""

import copy

import pytest
import torch
from test_systems import BYTES, started
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from semanticnn_core.systems.learned import FeatureCodec
from semanticnn_core.systems.necst import IABF

DEVICE = "cuda"


class Quiet:
    """A training channel on the device."""

    def __init__(self, count: int) -> None:
        self.ber = torch.full((count,), 0.01, device=DEVICE)

    def wrong_bits(self, count: int, bits: int, device: torch.device) -> Tensor:
        return torch.zeros(count, bits, dtype=torch.bool, device=device)


def elsewhere(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose weights and buffers are fake, on the device; within a FakeTensorMode."""
    for each in module.modules():
        for held in (each._parameters, each._buffers):
            for name, value in held.items():
                if value is not None:
                    fake = torch.empty(value.shape, dtype=value.dtype, device=DEVICE)
                    held[name] = nn.Parameter(fake, False) if isinstance(value, nn.Parameter) else fake
    return module


# IABF looks for flips by a gradient, and autograd asks for a real device
@pytest.mark.parametrize("make", [each for each in BYTES if each is not IABF], ids=lambda make: make.__name__)
@pytest.mark.slow
def test_a_codec_makes_nothing_on_another_device(make: type[FeatureCodec], split, dataset):
    codec, network = copy.deepcopy(started(make, split, dataset).codec), copy.deepcopy(split)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        codec, network = elsewhere(codec), elsewhere(network)
        images = torch.zeros(4, 3, split.image_size, split.image_size, dtype=torch.uint8, device=DEVICE)
        feature = network.device_part(images)
        seen = images if codec.sees == "image" else feature
        received, _ = codec(seen, Quiet(len(images)))
        assert received.device.type == DEVICE and received.shape == feature.shape
        bits = codec.to_bits(codec.encode(seen))
        assert bits.device.type == DEVICE
