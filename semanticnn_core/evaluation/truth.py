"""Attribution maps against what is known: where the object is, and what the edge network does when pixels go.

Two kinds of metrics. *Truth* needs the object's mask and box, as SceneDigits has them, and counts only images that the
edge network answers right. *Faithfulness* needs none: does the edge network obey the map? A map may come from another
guide; the edge network judges it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.datasets.base import Split
from semanticnn_core.explain.attribution import METHODS, Level, attribute
from semanticnn_core.systems.base import OffloadSystem, offload
from semanticnn_core.tasks.split import SplitModel

TRUTH = ("pointing", "inside", "ratio")
"""Is the maximum in the box; share of the positive scores inside the mask; that over the mask's share of the area."""
FAITHFULNESS = ("deletion", "insertion", "infidelity", "sensitivity", "gap")
"""Areas under the two curves, `relative_infidelity`, `max_sensitivity`, and the completeness gap."""
METRICS = (*TRUTH, *FAITHFULNESS)
RANDOM = "random"
"""A map of noise: what a method must beat."""
BATCH = 50
ROWS = 100
"""Features that pass a network at a time: about 1 GB for MobileNetV2's gradients at 64 px."""
REMOVALS = 24
JITTERS = 4
RADIUS = 0.05


def measure_explanations(
    model: SplitModel,
    split: Split,
    systems: Sequence[OffloadSystem] = (),
    ber: float = 0.01,
    methods: Sequence[str] = (*METHODS, RANDOM),
    levels: Sequence[Level] = ("pixel",),
    guides: Mapping[str, nn.Module] | None = None,
    metrics: Sequence[str] = METRICS,
    steps: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure maps of the true class; one row a feature, guide, level, method, metric and image, with its value.

    systems: besides the `clean` feature, that which each of these receives over a channel of error rate `ber`.
    guides: networks that explain, by name; an `nn.Module` on the feature, or a `SplitModel` with the same feature
    shape. The edge network alone, named `edge`, when left out.
    metrics: some of `METRICS`. Truth is measured at pixel level, where the split has masks and boxes, on images that
    are answered right; the gap is there for methods that have one. Rows that would not count are left out.
    Raises ValueError on unknown metrics, methods, levels, and guides for another feature.
    """
    for name, chosen, known in (("metric", metrics, METRICS), ("method", methods, (*METHODS, RANDOM))):
        for each in chosen:
            if each not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {each!r}")
    edge = model.folded().edge_part
    networks = {"edge": edge} if guides is None else {name: _guide(name, each, model) for name, each in guides.items()}
    frames = []
    for index, name, feature, items in _features(model, split, systems, ber, seed):
        for level in levels:
            judge = _Judge(edge, feature, items, level, seed)
            for guide, network in networks.items():
                for method in methods:
                    explain = partial(explain_by, network, method, level, steps, seed + int(index[0]))
                    keys = {"feature": name, "guide": guide, "level": level, "method": method, "image": index.numpy()}
                    for metric, values in judge(explain, metrics, method).items():
                        frames.append(pd.DataFrame(keys | {"metric": metric, "value": values.double().cpu().numpy()}))
    columns = ["feature", "guide", "level", "method", "metric", "image", "value"]
    return (pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)).dropna(ignore_index=True)


def summarize_explanations(
    table: pd.DataFrame, by: Sequence[str] = ("feature", "guide", "level", "method", "metric")
) -> pd.DataFrame:
    """Return mean, standard error (sd / √images), median and number of images of each group of rows."""
    return table.groupby(list(by), as_index=False, sort=False).agg(
        mean=("value", "mean"), standard_error=("value", "sem"), median=("value", "median"), images=("value", "size")
    )


def common_images(table: pd.DataFrame, by: str = "feature") -> pd.DataFrame:
    """Keep rows of `measure_explanations` whose image counts at every value of column `by`: the same images for all."""
    values = table.groupby(["guide", "level", "method", "metric", "image"])[by].transform("nunique")
    return table[values == table[by].nunique()]


def map_likeness(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return how maps (B, h, w) correlate with their partners, and with another image's: the mean over the images.

    The second number is what maps have in common that knew nothing of the image.
    """
    first, second = (F.normalize(maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True)) for maps in (first, second))
    return tuple(float((first * second.roll(shift, 0)).sum(1).mean()) for shift in (0, 1))


def masking_table(
    network: nn.Module, feature: Tensor, label: Tensor, maps: Mapping[str, Tensor], steps: int = 16
) -> pd.DataFrame:
    """Return both curves of several maps: method, kind ("deletion", "insertion"), share (0–1), image, probability."""
    frames = []
    for method, scores in maps.items():
        for kind in ("deletion", "insertion"):
            curve = masking_curve(network, feature, label, scores, kind == "insertion", steps)
            table = pd.DataFrame(curve.cpu().numpy(), columns=np.linspace(0, 1, steps + 1))
            table = table.rename_axis("image").reset_index().melt("image", var_name="share", value_name="probability")
            frames.append(table.assign(method=method, kind=kind))
    return pd.concat(frames, ignore_index=True).astype({"share": float})


def explain_by(
    guide: nn.Module, method: str, level: Level, steps: int, seed: int, feature: Tensor, label: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return scores, (B, H, W) or (B, C), and the completeness gap of a method of `attribute`, or of `random`."""
    if method == RANDOM:
        generator = torch.Generator().manual_seed(seed)
        shape = (len(feature), *(feature.shape[2:] if level == "pixel" else feature.shape[1:2]))
        return torch.rand(shape, generator=generator).to(feature.device), None
    return (found := attribute(guide, feature, label, method, level, steps, ROWS, seed)).scores, found.gap


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
        logits = _logits(network, feature * _units(kept, feature))
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
        falls = _infidelity(network, feature, label, 0 * units, False, seed)
    return (_infidelity(network, feature, label, units, True, seed) / falls.clamp_min(1e-12)).clamp(0, 1)


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


class _Judge:
    """Values of the metrics for maps of one batch of features; not a number where an image does not count."""

    def __init__(self, edge: nn.Module, feature: Tensor, items: Mapping[str, Tensor], level: Level, seed: int) -> None:
        self.where, self.items, self.level, self.seed = (edge, feature, items["label"]), items, level, seed
        self.right = _logits(edge, feature).argmax(1) == items["label"]
        self.falls = None

    def __call__(self, explain: Callable, metrics: Sequence[str], method: str) -> dict[str, Tensor]:
        where = self.where[1:]
        scores, gap = explain(*where)
        found = self.truth(scores) if self.level == "pixel" else {}
        if gap is not None:
            found["gap"] = gap
        for kind in ("deletion", "insertion"):
            if kind in metrics:
                found[kind] = area_under(masking_curve(*self.where, scores, kind == "insertion"))
        if "infidelity" in metrics:
            if self.falls is None:  # the same for every map
                self.falls = _infidelity(*self.where, 0 * _units(scores, self.where[1]), False, self.seed)
            found["infidelity"] = relative_infidelity(*self.where, scores, self.falls, self.seed)
        if "sensitivity" in metrics and method != RANDOM:  # noise does not depend on the feature at all
            found["sensitivity"] = max_sensitivity(lambda *case: explain(*case)[0], *where, self.level, self.seed)
        return {name: found[name] for name in metrics if name in found}

    def truth(self, scores: Tensor) -> dict[str, Tensor]:
        found = {}
        if "box" in self.items:
            found["pointing"] = pointing_game(scores, self.items["box"], self.items["image"].shape[-2:])
        if "mask" in self.items:
            mask = mask_on_grid(self.items["mask"], *scores.shape[1:])
            found["inside"] = inside_share(scores, mask)
            found["ratio"] = found["inside"] / mask.mean((1, 2))
        return {name: values.where(self.right, torch.nan) for name, values in found.items()}


def _features(
    model: SplitModel, split: Split, systems: Sequence[OffloadSystem], ber: float, seed: int
) -> Iterator[tuple[Tensor, str, Tensor, dict[str, Tensor]]]:
    """Yield (image numbers, name, feature, items) of every batch, for the clean feature and each system's."""
    channels = {system.name: BinarySymmetric(ber, seed) for system in systems}
    for index, items in split.batches(BATCH, model.device):
        with torch.no_grad():
            yield index, "clean", model.device_part(items["image"]), items
        for system in systems:
            feature = offload(system, items["image"], channels[system.name]).received.feature
            if feature is None:
                raise ValueError(f"{system.name} sends no feature, so there is nothing to explain in it")
            yield index, system.name, feature, items


def _guide(name: str, guide: nn.Module, model: SplitModel) -> nn.Module:
    if not isinstance(guide, SplitModel):
        return guide
    if guide.feature_shape != model.feature_shape:
        raise ValueError(f"guide {name!r} reads a feature {guide.feature_shape}, but this one is {model.feature_shape}")
    return guide.folded().edge_part


@torch.no_grad()
def _logits(network: nn.Module, feature: Tensor) -> Tensor:
    return torch.cat([network(_fast(part)) for part in feature.split(ROWS)])


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
