"""Sending the middle of the code alone, and mirroring it back to size at the edge (Algorithm 1)."""

import math

import torch
from torch import Tensor


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
    height, width = code.shape[-2:]
    rows, columns = sliced_length(height, slice_ratio), sliced_length(width, slice_ratio)
    top, left = (height - rows) // 2, (width - columns) // 2
    return code[..., top : top + rows, left : left + columns]


def reflect_pad(window: Tensor, height: int, width: int) -> Tensor:
    """Mirror a central window (B, K, h, w) out to (B, K, H, W), however small the window is."""
    rows = _reflected(window.shape[-2], height).to(window.device)
    columns = _reflected(window.shape[-1], width).to(window.device)
    if window.shape[-2:] == (height, width):
        return window
    return window[..., rows, :][..., columns]


def _reflected(kept: int, length: int) -> Tensor:
    """Return for each of `length` places the place in the window of `kept` that it mirrors, (length,)."""
    if not 1 <= kept <= length:
        raise ValueError(f"a window of {kept} cannot be padded to {length}")
    start = (length - kept) // 2
    if kept == 1:
        return torch.zeros(length, dtype=torch.long)
    period = 2 * (kept - 1)
    place = (torch.arange(length) - start) % period
    return torch.where(place < kept, place, period - place)
