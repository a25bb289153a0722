"""What an attribution map is worth: against the object's mask and box, and against the network that it explains."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.explain.attribution import Level

ROWS = 100
"""Features that pass a network at a time: about 1 GB for MobileNetV2's gradients at 64 px."""
REMOVALS = 24
JITTERS = 4
RADIUS = 0.05


def mask_on_grid(mask: Tensor, height: int, width: int) -> Tensor:
    """Return masks (B, H, W) averaged over the area of each feature pixel, in [0, 1], (B, height, width)."""
    return F.adaptive_avg_pool2d(mask[:, None].float(), (height, width))[:, 0]


def inside_share(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the share of the positive scores (B, H, W) that lies inside soft masks (B, H, W); NaN without any."""
    positive = scores.clamp_min(0)
    return (positive * mask).sum((1, 2)) / positive.sum((1, 2))


def pointing_game(scores: Tensor, box: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return 1.0 where the middle of the pixel of largest score (B, H, W) lies in the box (B, 4) of image pixels."""
    height, width = scores.shape[1:]
    top = scores.flatten(1).argmax(1)
    y, x = (top // width + 0.5) * image_size[0] / height, (top % width + 0.5) * image_size[1] / width
    x0, y0, x1, y1 = box.T
    return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).double()


@torch.no_grad()
def masking_curve(
    network: nn.Module, feature: Tensor, label: Tensor, scores: Tensor, insertion: bool = False, steps: int = 16
) -> Tensor:
    """Return the label's probability after each of `steps` equal parts has gone, or come back, (B, steps + 1).

    scores: (B, H, W) for pixels, (B, C) for channels; the largest score goes (or comes) first. Gone means zero.
    """
    rank = scores.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1)
    curve = []
    for step in range(steps + 1):
        chosen = rank < round(step / steps * rank.shape[1])
        kept = (chosen if insertion else ~chosen).view_as(scores)
        logits = logits_of(network, feature * _units(kept, feature))
        curve.append(logits.softmax(1).gather(1, label[:, None])[:, 0])
    return torch.stack(curve, 1)


def area_under(curve: Tensor) -> Tensor:
    """Return the area under curves (B, n) over [0, 1], by trapezoids, (B,)."""
    return ((curve[:, 1:] + curve[:, :-1]) / 2).mean(1)


def relative_infidelity(
    network: nn.Module, feature: Tensor, label: Tensor, scores: Tensor, falls: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Return how much of the logit's falls a map leaves unexplained, in [0, 1], (B,), by captum's infidelity.

    The network is a function of a mask over pixels (or channels), logit(feature × mask). Removed are random
    rectangles of an eighth to half of each side (or random sets of up to half of the channels); a map's prediction of
    the fall is the sum of the scores removed, times the factor that suits it best, since not all methods speak in
    logits. The mean squared error is divided by the mean squared fall: 0 is perfect, 1 no better than a map of zeros.
    falls: the mean squared falls at the same level and seed, where they are known already.
    """
    units = _units(scores, feature).to(feature)
    if falls is None:
        falls = squared_falls(network, feature, label, scores, seed)
    return (_infidelity(network, feature, label, units, True, seed) / falls.clamp_min(1e-12)).clamp(0, 1)


def max_sensitivity(
    explain: Callable[[Tensor, Tensor], Tensor], feature: Tensor, label: Tensor, level: Level = "pixel", seed: int = 0
) -> Tensor:
    """Return the largest relative change of a map under small noise, (B,), by captum's sensitivity_max.

    explain: feature and label to scores. Noise: every pixel (channel) of the feature times 1 ± up to 5 %, drawn four
    times; the change is in the Euclidean norm, over that of the map.
    """
    from captum.metrics import sensitivity_max

    batch, channels, height, width = feature.shape
    mask = feature.new_ones(batch, 1, height, width) if level == "pixel" else feature.new_ones(batch, channels, 1, 1)
    generator = torch.Generator().manual_seed(seed)

    def masked(mask: Tensor | tuple[Tensor]) -> tuple[Tensor]:  # captum gives a tuple once, and always wants one
        mask = mask[0] if isinstance(mask, tuple) else mask
        times = len(mask) // batch
        return (explain(_fast(feature.repeat_interleave(times, 0) * mask), label.repeat_interleave(times)),)

    def shake(mask: Tensor) -> Tensor:
        return mask + RADIUS * (2 * torch.rand(mask.shape, generator=generator).to(mask) - 1)

    return sensitivity_max(
        masked, mask, shake, n_perturb_samples=JITTERS, max_examples_per_batch=_together(batch, JITTERS)
    )


def squared_falls(network: nn.Module, feature: Tensor, label: Tensor, scores: Tensor, seed: int = 0) -> Tensor:
    """Return the mean squared falls of the logit that `relative_infidelity` divides by, (B,): any map's are alike.

    scores: of the level in question; only their shape counts.
    """
    return _infidelity(network, feature, label, 0 * _units(scores, feature), False, seed)


@torch.no_grad()
def logits_of(network: nn.Module, feature: Tensor) -> Tensor:
    """Return what a network says of features, a few at a time."""
    return torch.cat([network(_fast(part)) for part in feature.split(ROWS)])


def _infidelity(
    network: nn.Module, feature: Tensor, label: Tensor, units: Tensor, normalize: bool, seed: int
) -> Tensor:
    from captum.metrics import infidelity

    generator = torch.Generator().manual_seed(seed)
    return infidelity(
        lambda mask, feature: network(_fast(feature * mask)), lambda mask: _removed(mask, generator),
        torch.ones_like(units), units, target=label, additional_forward_args=feature, normalize=normalize,
        n_perturb_samples=REMOVALS, max_examples_per_batch=_together(len(units), REMOVALS),
    )  # fmt: skip


def _fast(feature: Tensor) -> Tensor:
    """Return a copy in the memory layout in which networks are fastest, which an in-place activation may change."""
    return feature.clone(memory_format=torch.channels_last)


def _together(batch: int, times: int) -> int:
    """Return how many of batch × times features captum is to pass at a time: about `ROWS`, and within its bounds."""
    return min(max(ROWS, batch), batch * times)


def _units(values: Tensor, feature: Tensor) -> Tensor:
    """Return values of pixels (B, H, W) or channels (B, C) in a shape that multiplies features (B, C, H, W)."""
    if values.shape == (len(feature), *feature.shape[2:]):
        return values[:, None]
    if values.shape == feature.shape[:2]:
        return values[:, :, None, None]
    raise ValueError(f"scores must be (B, H, W) or (B, C) of feature {tuple(feature.shape)}, got {tuple(values.shape)}")


def _removed(mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw what to remove of each mask: a rectangle of pixels (n, 1, H, W), or some channels (n, C, 1, 1).

    Returns 1 where something goes, and the mask without it.
    """
    count, channels, height, width = mask.shape
    if channels > 1:
        share = torch.rand(count, 1, generator=generator) / 2
        removed = (torch.rand(count, channels, generator=generator) < share)[:, :, None, None].to(mask)
        return removed, mask - removed
    sides = []
    for length in (height, width):
        size = ((1 / 8 + 3 / 8 * torch.rand(count, 1, generator=generator)) * length).round().clamp_min(1)
        start = (torch.rand(count, 1, generator=generator) * (length - size + 1)).floor()
        line = torch.arange(length)
        sides.append((line >= start) & (line < start + size))
    removed = (sides[0][:, :, None] & sides[1][:, None, :])[:, None].to(mask)
    return removed, mask - removed
