"""Random numbers that do not depend on how many processes share a batch."""

import operator

import torch
from torch import Tensor


class Draws:
    """Random numbers for the samples of a batch, of which this process may hold only a part.

    Every process draws for all samples and keeps those of its own, so that together they meet what one alone would.
    random: a seed, any integer of at most 64 bits, or a torch.Generator; part: this process' number of `parts`.
    """

    def __init__(self, random: "int | torch.Generator | Draws" = 0, part: int = 0, parts: int = 1) -> None:
        if isinstance(random, Draws):
            random, part, parts = random.generator, random.part, random.parts
        self.generator = (
            random if isinstance(random, torch.Generator) else torch.Generator().manual_seed(checked_seed(random))
        )
        self.part, self.parts = part, parts

    def uniform(self, count: int, *shape: int) -> Tensor:
        """Return numbers in [0, 1) for `count` samples, float32 (count, *shape), on the generator's device."""
        return self._own(torch.rand(count * self.parts, *shape, generator=self.generator, device=self.device))

    def normal(self, count: int, *shape: int) -> Tensor:
        """Return normally distributed numbers for `count` samples, float32 (count, *shape)."""
        return self._own(torch.randn(count * self.parts, *shape, generator=self.generator, device=self.device))

    def shared(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1) that are the same for all samples and processes, float32 (*shape)."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where the numbers are drawn."""
        return self.generator.device

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self.parts)[self.part] if self.parts > 1 else drawn


def checked_seed(seed: int) -> int:
    """Return a seed as a plain integer; what is none, or needs more than 64 bits, is a ValueError."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)
        torch.Generator().manual_seed(number)
        return number
    except (TypeError, RuntimeError, ValueError, OverflowError):
        raise ValueError(f"a seed must be an integer of at most 64 bits, got {seed!r}") from None
