"""Sending a window of the code alone, and mirroring it back to size at the edge (Algorithm 1).

The paper's window is the central one. A window that lies elsewhere is named by its corner, int64 (B, 2): top row and
left column, one for each sample.
"""

import math

import torch
from torch import Tensor

PLACES = 32
"""How many windows a place code word can tell apart."""


def sliced_length(length: int, slice_ratio: float) -> int:
    """Return how many of `length` rows (or columns) a slice ratio keeps: ⌊√ratio·length⌋, at least one."""
    if not 0 < slice_ratio <= 1:
        raise ValueError(f"slice_ratio must be in (0, 1], got {slice_ratio}")
    return max(1, math.floor(math.sqrt(slice_ratio) * length + 1e-9))  # √0.49·10 is 6.999… in floats


def share_sent(height: int, width: int, slice_ratio: float) -> float:
    """Return the share of an H×W code that a slice ratio really sends."""
    return sliced_length(height, slice_ratio) * sliced_length(width, slice_ratio) / (height * width)


def slice_center(code: Tensor, slice_ratio: float) -> Tensor:
    """Cut the central window of (B, K, H, W) (Algorithm 1)."""
    rows, columns = (sliced_length(length, slice_ratio) for length in code.shape[-2:])
    return cut(code, rows, columns, center_corner(*code.shape[-2:], rows, columns))


def center_corner(height: int, width: int, rows: int, columns: int) -> Tensor:
    """Return the corner (1, 2) of the central window of rows × columns (Algorithm 1)."""
    return torch.tensor([[(height - rows) // 2, (width - columns) // 2]])


def corners(height: int, width: int, rows: int, columns: int) -> Tensor:
    """Return the corners (n, 2) an adaptive window may have, row by row: all, or 32 at most, spread evenly."""
    free = (height - rows + 1, width - columns + 1)
    sizes = [(r, c) for r in range(1, free[0] + 1) for c in range(1, free[1] + 1) if r * c <= PLACES]
    many = max(sizes, key=lambda size: (size[0] * size[1], -abs(size[0] / free[0] - size[1] / free[1])))
    down, across = (torch.linspace(0, last - 1, count).round().long() for last, count in zip(free, many, strict=True))
    return torch.cartesian_prod(down, across).view(-1, 2)


def best_place(importance: Tensor, rows: int, columns: int, places: Tensor) -> Tensor:
    """Return for each map (B, H, W) which of the corners `places` (n, 2) has the largest sum in its window, (B,).

    By integral image: four look-ups a window. The first of equals wins.
    """
    integral = torch.nn.functional.pad(importance.cumsum(1).cumsum(2), (1, 0, 1, 0))
    top, left = places.to(importance.device).T
    bottom, right = top + rows, left + columns
    sums = integral[:, bottom, right] - integral[:, top, right] - integral[:, bottom, left] + integral[:, top, left]
    return sums.argmax(1)


def cut(code: Tensor, rows: int, columns: int, corner: Tensor) -> Tensor:
    """Cut windows of rows × columns out of codes (B, K, H, W), at one corner (1, 2) or one for each, (B, 2)."""
    if len(corner) == 1:
        top, left = corner[0].tolist()
        return code[..., top : top + rows, left : left + columns]
    down = corner[:, :1].to(code.device) + torch.arange(rows, device=code.device)
    across = corner[:, 1:].to(code.device) + torch.arange(columns, device=code.device)
    return _taken(code, down, across)


def reflect_pad(window: Tensor, height: int, width: int, corner: Tensor | None = None) -> Tensor:
    """Mirror windows (B, K, h, w) out to (B, K, H, W), however small they are.

    corner: where they lie, (1, 2) or (B, 2); in the middle when left out.
    """
    rows, columns = window.shape[-2:]
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(f"a window of {rows}×{columns} cannot be padded to {height}×{width}")
    if (rows, columns) == (height, width):
        return window
    corner = center_corner(height, width, rows, columns) if corner is None else corner
    corner = corner.to(window.device)
    down, across = _mirrored(rows, height, corner[:, 0]), _mirrored(columns, width, corner[:, 1])
    if len(corner) == 1:
        return window[..., down[0], :][..., across[0]]
    return _taken(window, down, across)


def centre_out(rows: int, columns: int) -> Tensor:
    """Return the places (rows·columns,) of a window in progressive order: each smaller central window comes first."""
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


def _taken(code: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return code[b, k, down[b, i], across[b, j]] of codes (B, K, H, W)."""
    batch = torch.arange(len(code), device=code.device)[:, None, None]
    return code.permute(0, 2, 3, 1)[batch, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def _mirrored(kept: int, length: int, start: Tensor) -> Tensor:
    """Return which place in the window of `kept` at `start` (n,) each of `length` places mirrors, (n, length)."""
    place = torch.arange(length, device=start.device) - start[:, None]
    if kept == 1:
        return torch.zeros_like(place)
    period = 2 * (kept - 1)
    place = place % period
    return torch.where(place < kept, place, period - place)
