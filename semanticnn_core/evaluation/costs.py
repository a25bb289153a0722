"""What a system costs: multiplications and weights on the device and at the edge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from semanticnn_core.channels.base import Arrival
from semanticnn_core.systems.base import OffloadSystem


@torch.no_grad()
def costs(system: OffloadSystem, image: Tensor) -> dict[str, int]:
    """Return device_macs, device_weights, edge_macs, edge_weights of one image uint8 (3, H, W).

    Multiply-accumulates are those of convolutions and matrix products; weights are the parameters of all modules that
    ran. What is no network, such as a JPEG encoder or error correction, is not counted.
    """
    found = {}
    payload = None

    def send() -> None:
        nonlocal payload
        payload = system.send(image[None].to(system.model.device))

    def receive() -> None:
        system.receive(Arrival(payload, ber=0.01))

    for side, act in (("device", send), ("edge", receive)):
        found[f"{side}_macs"], found[f"{side}_weights"] = _counted(act, list(_modules(system)))
    return found


def _counted(act: Callable[[], None], modules: list[nn.Module]) -> tuple[int, int]:
    with _watched(modules) as ran, FlopCounterMode(display=False) as counter:
        act()
    weights = {id(each): each for module in ran for each in module.parameters(recurse=False)}
    return counter.get_total_flops() // 2, sum(each.numel() for each in weights.values())


@contextmanager
def _watched(modules: list[nn.Module]) -> Iterator[list[nn.Module]]:
    """Within it every module that runs is added to the list."""
    ran: list[nn.Module] = []
    leaves = {each for module in modules for each in module.modules()}
    hooks = [each.register_forward_pre_hook(lambda module, _: ran.append(module)) for each in leaves]
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def _modules(system: object) -> Iterator[nn.Module]:
    """Yield the networks that a system holds, those of systems within it too."""
    for each in fields(system) if is_dataclass(system) else ():
        value = getattr(system, each.name)
        if isinstance(value, nn.Module):
            yield value
        else:
            yield from _modules(value)
