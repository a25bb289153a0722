"""Accuracy over bit error rate × slice ratio × channel seed, as one tidy table."""

from collections.abc import Iterable, Sequence
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import share_sent
from semanticnn_core.config import Window
from semanticnn_core.datasets.base import ImageSplit
from semanticnn_core.systems.base import OffloadSystem
from semanticnn_core.systems.semanticnn import SemanticNN
from semanticnn_core.tasks.classification import clean_logits
from semanticnn_core.tasks.split import SplitModel, evaluating

BATCH = 250


@torch.no_grad()
def measure(
    system: OffloadSystem, model: SplitModel, split: ImageSplit, ber: float, seed: int, clean: Tensor | None = None
) -> dict[str, float]:
    """Send a whole split through one channel; returns accuracy, agreement, feature_mse and bytes per image.

    agreement: share of the images for which the edge answers what the uncompressed network `model` answers.
    clean: those answers, when they are known already, int64 (N,).
    """
    channel = BinarySymmetric(ber, seed)
    clean = clean_logits(model, split).argmax(1) if clean is None else clean
    with evaluating(model):
        return _measured(system, model, split, channel, clean)


def _measured(
    system: OffloadSystem, model: SplitModel, split: ImageSplit, channel: BinarySymmetric, clean: Tensor
) -> dict[str, float]:
    sums = dict.fromkeys(("accuracy", "agreement", "feature_mse", "bytes"), 0.0)
    for index in torch.arange(len(split)).split(BATCH):
        images = split.__getitems__(index)["image"].to(model.place)
        offload = system.infer(images, channel)
        answer = offload.outputs.argmax(1).cpu()
        sums["accuracy"] += float((answer == split.labels[index]).sum())
        sums["agreement"] += float((answer == clean[index]).sum())
        sums["bytes"] += float(offload.bytes_sent.sum())
        if offload.feature is not None:
            error = offload.feature - model.device(images)
            sums["feature_mse"] += float((error**2).mean()) * len(index)
    return {name: value / len(split) for name, value in sums.items()}


def sweep(
    model: SplitModel,
    codec: SemanticCodec,
    split: ImageSplit,
    bers: Iterable[float],
    slice_ratios: Iterable[float] = (1.0,),
    seeds: int = 3,
    name: str = "SemanticNN",
    window: Window = "center",
) -> pd.DataFrame:
    """Measure a codec over a grid; one row a point: system, ber, slice_ratio, window, share_sent, seed, and measures.

    bers: bit error rates in [0, 0.5]; slice_ratios in (0, 1]; seeds: how many channel seeds, at least 1; window: where
    the part that is sent lies.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    code, bers = codec.code_shape(model.feature_shape), tuple(bers)
    clean = clean_logits(model, split).argmax(1)
    tables = []
    for slice_ratio in slice_ratios:
        table = sweep_systems([SemanticNN(model, codec, slice_ratio, name, window)], model, split, bers, seeds, clean)
        table.insert(2, "slice_ratio", slice_ratio)
        table.insert(3, "window", window)
        table.insert(4, "share_sent", share_sent(code[1], code[2], slice_ratio))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def sweep_systems(
    systems: Iterable[OffloadSystem],
    model: SplitModel,
    split: ImageSplit,
    bers: Iterable[float],
    seeds: int = 3,
    clean: Tensor | None = None,
) -> pd.DataFrame:
    """Measure systems over bit error rates and channel seeds; one row a point: system, ber, seed, and measures.

    The same seed gives all systems of one payload length the same flips. clean: see `measure`.
    """
    clean = clean_logits(model, split).argmax(1) if clean is None else clean
    return pd.DataFrame(
        {"system": system.name, "ber": ber, "seed": seed} | measure(system, model, split, ber, seed, clean)
        for system, ber, seed in product(systems, tuple(bers), range(seeds))
    )


def summarize(table: pd.DataFrame, by: Sequence[str] = ("system", "ber", "slice_ratio", "window")) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds of accuracy, agreement and feature_mse, with bytes."""
    return table.groupby(list(by), as_index=False).agg(
        accuracy=("accuracy", "mean"),
        accuracy_std=("accuracy", "std"),
        agreement=("agreement", "mean"),
        feature_mse=("feature_mse", "mean"),
        bytes=("bytes", "mean"),
        seeds=("accuracy", "size"),
    )


def byte_counts(
    model: SplitModel, codec: SemanticCodec, slice_ratio: float = 1.0, window: Window = "center"
) -> dict[str, float]:
    """Return the bytes of image, feature and payload in both conventions, and how many times smaller it is.

    `*_float_*` counts 32-bit floats, as the paper's Table 1 does; the others count 8 bits a value.
    """
    image = 3 * model.image_size**2
    channels, height, width = model.feature_shape
    feature = channels * height * width
    payload = codec.payload_bytes(model.feature_shape, slice_ratio, window)
    return {
        "payload_bytes": payload,
        "image_bytes": image,
        "feature_bytes": feature,
        "image_float_bytes": 4 * image,
        "feature_float_bytes": 4 * feature,
        "image_times": image / payload,
        "feature_times": feature / payload,
        "image_float_times": 4 * image / payload,
        "feature_float_times": 4 * feature / payload,
    }
