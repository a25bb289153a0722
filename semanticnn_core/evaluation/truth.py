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
from semanticnn_core.explain.metrics import (
    ROWS,
    area_under,
    inside_share,
    logits_of,
    mask_on_grid,
    masking_curve,
    max_sensitivity,
    pointing_game,
    relative_infidelity,
    squared_falls,
)
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


class _Judge:
    """Values of the metrics for maps of one batch of features; not a number where an image does not count."""

    def __init__(self, edge: nn.Module, feature: Tensor, items: Mapping[str, Tensor], level: Level, seed: int) -> None:
        self.where, self.items, self.level, self.seed = (edge, feature, items["label"]), items, level, seed
        self.right = logits_of(edge, feature).argmax(1) == items["label"]
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
                self.falls = squared_falls(*self.where, scores, self.seed)
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
