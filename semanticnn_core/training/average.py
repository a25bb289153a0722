"""The running average of a network's weights, which trainings keep."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def running_average(model: nn.Module, steps: float) -> AveragedModel:
    """Return the exponential average of a network's weights and buffers over about so many steps; up to 1, the latest.

    Whole numbers, such as code words, are as they are now: torch's own average rounds them down, and code word 3 may
    become 2.
    """
    average = get_ema_multi_avg_fn(1 - 1 / max(steps, 1))

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            average(averaged, current, count)
        else:
            for kept, now in zip(averaged, current, strict=True):
                kept.copy_(now)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


@contextmanager
def weights_of(other: nn.Module, model: nn.Module) -> Iterator[None]:
    """Within it a network has the weights and buffers of another."""
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(other.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(own)
