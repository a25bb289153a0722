"""Sending a window of the code alone, and mirroring it back to size at the edge (Algorithm 1).

`Windows` is the one place that knows where a window may lie. A window is named by its corner, int64 (B, 2): top row
and left column, one for each sample, or (1, 2) for all.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from semanticnn_core.config import Slice

MOST_WINDOWS = 32
"""How many windows a protected word can tell apart."""
HEAD_BYTES = 2
"""What announcing a window costs."""


@dataclass(frozen=True)
class Windows:
    """The windows that a slice may send of a code of height × width, and how they are cut and put back.

    The paper's window is the central one, and needs no announcing. A chosen one is any, or one of 32 spread evenly,
    and its number leaves before the code, in two protected bytes.
    """

    height: int
    width: int
    slice: Slice

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole code."""
        return self.height, self.width

    @property
    def rows(self) -> int:
        """Rows that are sent."""
        return sliced_length(self.height, self.slice.ratio)

    @property
    def columns(self) -> int:
        """Columns that are sent."""
        return sliced_length(self.width, self.slice.ratio)

    @property
    def share_sent(self) -> float:
        """The share of the code that is really sent."""
        return self.rows * self.columns / (self.height * self.width)

    @property
    def center(self) -> Tensor:
        """The corner of the central window (Algorithm 1), (1, 2)."""
        return torch.tensor([[(self.height - self.rows) // 2, (self.width - self.columns) // 2]])

    @cached_property
    def everywhere(self) -> Tensor:
        """The corners (n, 2) of the windows that a chosen one may be, row by row: all, or 32 at most, spread evenly."""
        free = (self.height - self.rows + 1, self.width - self.columns + 1)
        sizes = [(r, c) for r in range(1, free[0] + 1) for c in range(1, free[1] + 1) if r * c <= MOST_WINDOWS]
        many = max(sizes, key=lambda size: (size[0] * size[1], -abs(size[0] / free[0] - size[1] / free[1])))
        down, across = (
            torch.linspace(0, last - 1, count).round().long() for last, count in zip(free, many, strict=True)
        )
        return torch.cartesian_prod(down, across).view(-1, 2)

    @property
    def corners(self) -> Tensor:
        """The corners (n, 2) that this slice may have."""
        return self.center if self.slice.window == "center" else self.everywhere

    @property
    def middle(self) -> int:
        """The number of the window nearest to the central one: what to assume where the number was lost."""
        return int((self.corners - self.center).square().sum(1).argmin())

    @property
    def announced(self) -> bool:
        """Whether there is a choice, whose number must be sent."""
        return len(self.corners) > 1

    @property
    def head_bytes(self) -> int:
        """Bytes that leave before the code."""
        return HEAD_BYTES if self.announced else 0

    def best(self, importance: Tensor) -> Tensor:
        """Return for each map (B, H, W) the number of the window with the largest sum, (B,); the first of equals.

        By integral image: four look-ups a window.
        """
        integral = torch.nn.functional.pad(importance.cumsum(1).cumsum(2), (1, 0, 1, 0))
        top, left = self.corners.to(importance.device).T
        bottom, right = top + self.rows, left + self.columns
        sums = integral[:, bottom, right] - integral[:, top, right] - integral[:, bottom, left] + integral[:, top, left]
        return sums.argmax(1)

    def corner(self, number: Tensor | None) -> Tensor:
        """Return the corners (B, 2) of windows by number (B,), or (1, 2) where there is no choice.

        A number that no window has, as bit errors make it, counts as the last.
        """
        if number is None or not self.announced:
            return self.corners[:1]
        return self.corners[number.cpu().clamp_max(len(self.corners) - 1)]

    def frames(self, corner: Tensor) -> Tensor:
        """Return windows as shares of the picture, (B, 4): top, left, bottom, right in [0, 1]."""
        size = torch.tensor([self.height, self.width])
        return torch.cat([corner / size, (corner + torch.tensor([self.rows, self.columns])) / size], 1)

    def cut(self, code: Tensor, corner: Tensor | None = None) -> Tensor:
        """Cut the windows (B, K, rows, columns) out of codes (B, K, H, W); the central one when left out."""
        corner = self.center if corner is None else corner
        if len(corner) == 1:
            top, left = corner[0].tolist()
            return code[..., top : top + self.rows, left : left + self.columns]
        down = corner[:, :1].to(code.device) + torch.arange(self.rows, device=code.device)
        across = corner[:, 1:].to(code.device) + torch.arange(self.columns, device=code.device)
        return _taken(code, down, across)

    def pad(self, window: Tensor, corner: Tensor | None = None) -> Tensor:
        """Mirror windows (B, K, rows, columns) out to (B, K, H, W), however small they are."""
        corner = self.center if corner is None else corner
        return reflect_pad(window, self.height, self.width, corner)


def sliced_length(length: int, ratio: float) -> int:
    """Return how many of `length` rows (or columns) a slice ratio keeps: ⌊√ratio·length⌋, at least one."""
    return max(1, math.floor(math.sqrt(ratio) * length + 1e-9))  # √0.49·10 is 6.999… in floats


def reflect_pad(window: Tensor, height: int, width: int, corner: Tensor) -> Tensor:
    """Mirror windows (B, K, h, w) at their corners, (1, 2) or (B, 2), out to (B, K, H, W)."""
    rows, columns = window.shape[-2:]
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(f"a window of {rows}×{columns} cannot be padded to {height}×{width}")
    if (rows, columns) == (height, width):
        return window
    corner = corner.to(window.device)
    down, across = _mirrored(rows, height, corner[:, 0]), _mirrored(columns, width, corner[:, 1])
    if len(corner) == 1:
        return window[..., down[0], :][..., across[0]]
    return _taken(window, down, across)


def center_out(rows: int, columns: int) -> Tensor:
    """Return the pixels (rows·columns,) of a window in progressive order: each smaller central window comes first."""
    order: list[int] = []
    for top, left, high, wide in nested(rows, columns):
        inside = [i * columns + j for i in range(top, top + high) for j in range(left, left + wide)]
        order += sorted(set(inside) - set(order))
    return torch.tensor(order)


def nested(rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Return the central windows of all sizes, (top, left, rows, columns), each within the next."""
    longest = max(rows, columns)
    sizes = [tuple(max(1, size * length // longest) for length in (rows, columns)) for size in range(1, longest + 1)]
    return [((rows - high) // 2, (columns - wide) // 2, high, wide) for high, wide in sizes]


def restored(pixels: Tensor, present: Tensor, rows: int, columns: int) -> Tensor:
    """Fill what was lost of windows that came in progressive order.

    pixels: (B, rows·columns, K) in the order they were sent; present: bool (B, rows·columns), which came whole.
    Returns pixels row by row, (B, rows·columns, K): those that were lost are mirrored from the largest central window
    that is complete; where none is, they stay as they are.
    """
    back = center_out(rows, columns).to(pixels.device).argsort()
    complete = present.cumprod(1).sum(1)  # pixels before the first lost one
    pixels, present = pixels[:, back], present[:, back]
    windows = nested(rows, columns)
    sizes = torch.tensor([high * wide for *_, high, wide in windows], device=pixels.device)
    largest = torch.searchsorted(sizes, complete, right=True) - 1  # (B,), −1 for none
    for number in largest.unique().tolist():
        chosen = largest == number
        if number < 0 or sizes[number] == rows * columns:
            continue
        top, left, high, wide = windows[number]
        grid = pixels[chosen].transpose(1, 2).unflatten(2, (rows, columns))
        inner = grid[..., top : top + high, left : left + wide]
        mirrored = reflect_pad(inner, rows, columns, torch.tensor([[top, left]])).flatten(2).transpose(1, 2)
        pixels[chosen] = torch.where(present[chosen][..., None], pixels[chosen], mirrored)
    return pixels


def _taken(code: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return code[b, k, down[b, i], across[b, j]] of codes (B, K, H, W)."""
    batch = torch.arange(len(code), device=code.device)[:, None, None]
    return code.permute(0, 2, 3, 1)[batch, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def _mirrored(kept: int, length: int, start: Tensor) -> Tensor:
    """Return which place in the window of `kept` at `start` (n,) each of `length` places mirrors, (n, length)."""
    index = torch.arange(length, device=start.device) - start[:, None]
    if kept == 1:
        return torch.zeros_like(index)
    period = 2 * (kept - 1)
    index = index % period
    return torch.where(index < kept, index, period - index)
