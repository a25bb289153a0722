"""Systems × links × channel seeds, as one tidy table. A batch is sent once, then crosses every channel."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import torch
from tqdm.auto import tqdm

from semanticnn_core.channels.base import Link
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import WHOLE, Slice
from semanticnn_core.datasets.base import Split, moved
from semanticnn_core.systems.base import OffloadSystem
from semanticnn_core.tasks.base import joined
from semanticnn_core.tasks.split import SplitModel, evaluating


def sweep(
    systems: Iterable[OffloadSystem],
    split: Split,
    links: Iterable[Link],
    seeds: int | Sequence[int] = 3,
    map: Callable[..., Iterable] = map,
) -> pd.DataFrame:
    """Measure systems over links; one row a system, link and channel seed.

    Columns: system, the link's settings (ber), the system's settings (slice_ratio, window, share_sent), seed, the
    task's metric (accuracy), agreement: the same metric against what the uncompressed network answers, feature_mse
    where a feature is sent, bytes: the mean that left for an image.
    seeds: how many, or which. The same seed gives all systems of one payload length the same errors.
    map: measures the systems; any function like Python's own.
    """
    systems, links = list(systems), list(links)
    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not (systems and links and seeds):
        raise ValueError(f"a sweep needs systems, links and seeds; got {len(systems)}, {len(links)}, {len(seeds)}")
    count = len(systems)
    return pd.concat(map(measure, systems, [split] * count, [links] * count, [seeds] * count), ignore_index=True)


@torch.no_grad()
def measure(system: OffloadSystem, split: Split, links: Sequence[Link], seeds: Sequence[int]) -> pd.DataFrame:
    """Return the rows of one system, links × seeds."""
    model, device = system.model, system.model.device
    points = [(link, seed, link.channel(seed)) for link in links for seed in seeds]
    outputs, clean, sent = [[] for _ in points], [], 0.0
    errors = torch.zeros(len(points), dtype=torch.float64)
    bar = tqdm(total=len(split) * len(points), desc=system.name, unit="img", leave=False, disable=None)
    with evaluating(model), bar:
        for index, batch in split.batches(device=device):
            payload = system.send(batch["image"])
            sent += float(payload.length.sum())
            feature = payload.local.get("feature")
            clean.append(moved(model(batch["image"]) if feature is None else model.edge_part(feature), "cpu"))
            for point, (_, _, channel) in enumerate(points):
                received = system.receive(channel(payload))
                outputs[point].append(moved(received.outputs, "cpu"))
                if received.feature is not None and feature is not None:
                    errors[point] += float((received.feature - feature).square().mean()) * len(index)
                bar.update(len(index))
    clean = model.task.answers(joined(clean))
    rows = []
    for (link, seed, _), parts, error in zip(points, outputs, errors.tolist(), strict=True):
        answered = joined(parts)
        row = {"system": system.name, **link.settings, **system.settings, "seed": seed}
        row |= {model.task.metric: model.task.score(answered, split.columns)}
        row |= {"agreement": model.task.score(answered, clean)}
        rows.append(row | {"feature_mse": error / len(split), "bytes": sent / len(split)})
    return pd.DataFrame(rows)


def summarize(
    table: pd.DataFrame, by: Sequence[str] = ("system", "ber", "slice_ratio", "window"), metric: str = "accuracy"
) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds of the metric, with agreement, feature_mse and bytes."""
    return table.groupby(list(by), as_index=False).agg(
        **{metric: (metric, "mean"), f"{metric}_std": (metric, "std")},
        agreement=("agreement", "mean"),
        feature_mse=("feature_mse", "mean"),
        bytes=("bytes", "mean"),
        seeds=(metric, "size"),
    )


def byte_counts(model: SplitModel, codec: SemanticCodec, slice: Slice = WHOLE) -> dict[str, float]:
    """Return the bytes of image, feature and payload in both conventions, and how many times smaller it is.

    `*_float_*` counts 32-bit floats, as the paper's Table 1 does; the others count 8 bits a value.
    """
    image = 3 * model.image_size**2
    channels, height, width = model.feature_shape
    feature = channels * height * width
    payload = codec.payload_bytes(model.feature_shape, slice)
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
