"""What scenes of digits are made of: scans and photographs, shared out to splits, cropped, placed and painted.

The glyphs are scikit-learn's `load_digits` (8×8 scans), the scenes are crops of its two photographs
(`load_sample_images`). Every digit scan and every tile of photograph belongs to one split alone.
"""

import hashlib
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.files import alone

ROWS = 50
"""Images that are worked out at a time."""
LUMA = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class SceneRecipe:
    """Everything that decides how hard the scenes are.

    Contrast (0.16–0.5) and opacity (0.75–1) were eased once, after pilot runs in which the task network learned late
    or not at all; every published number is from the values below.
    """

    counts: tuple[int, int, int] = (16_000, 2_000, 2_000)
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)  # of digit scans and of photograph tiles
    photo_tiles: tuple[int, int] = (4, 6)  # rows and columns each photograph is cut into
    digit_size: tuple[float, float] = (28.0, 45.0)  # side of the upright glyph, pixels
    rotation: float = 20.0  # largest angle, degrees
    photo_zoom: tuple[float, float] = (1.0, 1.45)  # photograph pixels per scene pixel
    contrast: tuple[float, float] = (0.25, 0.6)  # |luma of the ink − luma behind it|, luma in [0, 1]
    tint: float = 0.35  # largest departure of the ink's colour channels from its luma
    opacity: tuple[float, float] = (0.85, 1.0)
    edge: tuple[float, float] = (0.30, 0.62)  # ink level at which a stroke starts and is full
    noise: float = 0.02  # standard deviation of sensor noise, full scale 1


@dataclass(frozen=True)
class Share:
    """What a split's scenes are made of: glyphs (n, 8, 8), ink in [0, 1]; labels (n,); tiles (m, 3, h, w)."""

    glyphs: Tensor
    labels: Tensor
    tiles: Tensor


def shares(recipe: SceneRecipe, generator: torch.Generator) -> list[Share]:
    """Return what each split owns of scans and tiles."""
    glyphs, labels, photos = _sources()
    tiles = cut_tiles(photos, recipe.photo_tiles)
    digit_owner = share_out(labels, recipe.shares, generator)
    tile_owner = share_out(torch.arange(len(tiles)) % len(photos), recipe.shares, generator)
    return [
        Share(glyphs[digit_owner == split], labels[digit_owner == split], tiles[tile_owner == split])
        for split in range(len(recipe.counts))
    ]


def cached(
    path: Path,
    title: str,
    build: Callable[[], ImageDataset],
    save: Callable[[Path, ImageDataset], None],
    load: Callable[[Path], ImageDataset],
) -> ImageDataset:
    """Load a data set from a file, or build it and keep it there, when it is not there or damaged.

    Of several processes that ask at once, one builds it and the others wait.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a disk that nobody can write to keeps nothing: then each builds its own
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(path.parent))
        if path.exists():
            try:
                return load(path)
            except Exception as error:  # numpy, zipfile and the missing key of a half-written file each raise their own
                warnings.warn(f"{path} is damaged ({error}); {title} is built anew", stacklevel=3)
        dataset = build()
        try:
            save(path, dataset)
        except OSError as error:  # a read-only or full disk costs the time of building, no more
            warnings.warn(f"{title} could not be kept in {path} ({error})", stacklevel=3)
        return dataset


def cache_path(root: Path, name: str, recipe: Any, seed: int) -> Path:
    """Return where a data set of a recipe and a seed is kept."""
    key = hashlib.sha256(repr((asdict(recipe), seed)).encode()).hexdigest()[:8]
    return Path(root) / "cache" / f"{name}-{key}.npz"


def _sources() -> tuple[Tensor, Tensor, Tensor]:
    """Return scikit-learn's glyphs (1797, 8, 8), ink in [0, 1], their labels, and its photographs (2, 3, 427, 640)."""
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    photos = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2) / 255
    return torch.from_numpy(digits.images).float() / 16, torch.from_numpy(digits.target).long(), photos


def share_out(groups: Tensor, shares: tuple[float, ...], generator: torch.Generator) -> Tensor:
    """Return for each item the split that owns it, sharing out each group by itself."""
    owner = torch.empty_like(groups)
    bounds = torch.tensor(shares).cumsum(0)[:-1]
    for group in groups.unique():
        members = torch.nonzero(groups == group).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        owner[members] = torch.bucketize((torch.arange(len(members)) + 0.5) / len(members), bounds)
    return owner


def cut_tiles(photos: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cut photographs (P, 3, H, W) into tiles (rows·columns·P, 3, h, w); tile i is of photograph i % P."""
    rows, columns = grid
    height, width = photos.shape[-2] // rows, photos.shape[-1] // columns
    tiles = photos.unfold(2, height, height).unfold(3, width, width)  # (P, 3, rows, columns, h, w)
    return tiles.permute(2, 3, 0, 1, 4, 5).flatten(0, 2).contiguous()


def draws(count: int, generator: torch.Generator) -> Callable[..., Tensor]:
    """Return a function (low, high, *shape) that draws evenly for each of `count` images."""
    return lambda low, high, *shape: torch.rand(count, *shape, generator=generator) * (high - low) + low


def by_parts(function: Callable[..., Tensor], *columns: Tensor) -> Tensor:
    """Return what a function makes of columns (n, …), a few rows at a time.

    The numbers are the same. They stay in the processor's cache, which saves up to a third of the time.
    """
    return torch.cat([function(*rows) for rows in zip(*(each.split(ROWS) for each in columns), strict=True)])


def strokes(ink: Tensor, recipe: SceneRecipe) -> Tensor:
    """Return how opaque the stroke of ink (n, 1, H, W) is at each pixel, in [0, 1]."""
    low, high = recipe.edge
    return ((ink - low) / (high - low)).clamp(0, 1)


def painted(scene: Tensor, stroke: Tensor, generator: torch.Generator, recipe: SceneRecipe) -> Tensor:
    """Paint a stroke (n, 1, H, W) over each scene (n, 3, H, W), in an ink that stands out from what lies behind it."""
    uniform = draws(len(scene), generator)
    step = uniform(*recipe.contrast)
    sign = torch.where(torch.rand(len(scene), generator=generator) < 0.5, -1.0, 1.0)
    tint = _tint(uniform(-1, 1, 3)) * recipe.tint
    return by_parts(_paint, scene, stroke, step, sign, tint, uniform(*recipe.opacity))


def _paint(scene: Tensor, stroke: Tensor, step: Tensor, sign: Tensor, tint: Tensor, opacity: Tensor) -> Tensor:
    luma = (scene * LUMA[:, None, None]).sum(1, keepdim=True)
    behind = (luma * stroke).sum((1, 2, 3)) / stroke.sum((1, 2, 3))  # mean luma under the digit
    sign = torch.where((behind + sign * step).clamp(0, 1) == behind + sign * step, sign, -sign)
    color = (behind + sign * step)[:, None] + tint  # (n, 3)
    alpha = stroke * opacity[:, None, None, None]
    return scene * (1 - alpha) + color.clamp(0, 1)[:, :, None, None] * alpha


def noisy(image: Tensor, generator: torch.Generator, recipe: SceneRecipe) -> Tensor:
    """Return images with sensor noise, as pixels uint8."""
    noise = torch.randn(image.shape, generator=generator)
    return by_parts(lambda *part: ((part[0] + part[1] * recipe.noise).clamp(0, 1) * 255).round().byte(), image, noise)


def _tint(offset: Tensor) -> Tensor:
    """Remove the luma of a colour offset (n, 3), so that tint changes colour and not brightness."""
    return offset - (offset * LUMA).sum(1, keepdim=True)


def crop_tiles(tiles: Tensor, draws: Tensor, zoom: tuple[float, float], size: int) -> Tensor:
    """Cut one random crop per row of `draws` (n, 5: tile, zoom, x, y, mirroring); returns (n, 3, size, size)."""
    return by_parts(lambda rows: _crop(tiles, rows, zoom, size), draws)


def _crop(tiles: Tensor, draws: Tensor, zoom: tuple[float, float], size: int) -> Tensor:
    height, width = tiles.shape[-2:]
    side = (zoom[0] + draws[:, 1] * (zoom[1] - zoom[0])) * size
    left, top = draws[:, 2] * (width - side), draws[:, 3] * (height - side)
    ramp = (torch.arange(size) + 0.5) / size
    x = (left[:, None] + ramp * side[:, None]) / width * 2 - 1  # (n, size)
    y = (top[:, None] + ramp * side[:, None]) / height * 2 - 1
    x = torch.where(draws[:, 4:] < 0.5, x.flip(1), x)
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)  # (n, size, size, 2)
    which = (draws[:, 0] * len(tiles)).long()
    return F.grid_sample(tiles[which], grid, padding_mode="border", align_corners=False)


def place_glyphs(glyphs: Tensor, size: Tensor, degrees: Tensor, place: Tensor, side: int) -> Tensor:
    """Draw each glyph at its size and angle, wholly inside the scene; returns ink (n, 1, side, side)."""
    return by_parts(lambda *rows: _place(*rows, side), glyphs, size, degrees, place)


def _place(glyphs: Tensor, size: Tensor, degrees: Tensor, place: Tensor, side: int) -> Tensor:
    angle = torch.deg2rad(degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    reach = size / 2 * (cos + sin.abs())  # half side of the rotated square's bounding box
    center = reach[:, None] + place * (side - 2 * reach[:, None])  # (n, 2) x, y
    ramp = torch.arange(side) + 0.5
    dx = (ramp[None, :] - center[:, :1])[:, None, :] * 2 / size[:, None, None]  # (n, 1, side)
    dy = (ramp[None, :] - center[:, 1:])[:, :, None] * 2 / size[:, None, None]  # (n, side, 1)
    cos, sin = cos[:, None, None], sin[:, None, None]
    grid = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], -1)  # (n, 64, 64, 2)
    smooth = F.interpolate(glyphs[:, None], scale_factor=8, mode="bicubic", align_corners=False)
    return F.grid_sample(smooth, grid, padding_mode="zeros", align_corners=False)


def tight_boxes(masks: Tensor) -> Tensor:
    """Return the smallest boxes (N, 4: x0, y0, x1, y1; x1, y1 exclusive) around the masks (N, H, W)."""
    columns, rows = masks.any(1).int(), masks.any(2).int()
    first_last = [(line.argmax(1), line.shape[1] - line.flip(1).argmax(1)) for line in (columns, rows)]
    (x0, x1), (y0, y1) = first_last
    return torch.stack([x0, y0, x1, y1], 1).float()
