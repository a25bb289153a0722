"""Systems × links × channel seeds, as one tidy table. A batch is sent once, then crosses every channel."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from semanticnn_core.channels.base import Channel, Link
from semanticnn_core.channels.bits import BitErrors
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import WHOLE, Slice, Window
from semanticnn_core.datasets.base import Split, moved
from semanticnn_core.systems.base import OffloadSystem
from semanticnn_core.systems.semanticnn import SemanticNN
from semanticnn_core.tasks.base import Outputs, joined
from semanticnn_core.tasks.split import SplitModel, evaluating

BATCH = 64
"""Images that cross together: more do not fit a CPU's cache, and take half as long again."""


def sweep(
    systems: Iterable[OffloadSystem],
    split: Split,
    links: Iterable[Link],
    seeds: int | Sequence[int] = 3,
    by_image: bool = False,
    map: Callable[..., Iterable] = map,
) -> pd.DataFrame:
    """Measure systems over links; one row a system, link and channel seed.

    Columns: system, the link's settings (ber), the system's settings (slice_ratio, window, share_sent), seed, the
    task's metric (accuracy), agreement: the same metric against what the uncompressed network answers, feature_mse
    where a feature is sent, bytes: the mean that left for an image; and accuracy_low, accuracy_high: the 95 % interval
    of the mean over the seeds, by bootstrap over images and seeds, the same in all rows of a point.
    seeds: how many, or which. The same seed gives all systems of one payload length the same errors.
    by_image: one row an image instead, with its number in the column image; for tasks whose score is a mean.
    map: measures the systems; any function like Python's own.
    """
    systems, links = list(systems), list(links)
    seeds = list(seeds) if isinstance(seeds, Iterable) else list(range(operator.index(seeds)))
    if not (systems and links and seeds):
        raise ValueError(f"a sweep needs systems, links and seeds; got {len(systems)}, {len(links)}, {len(seeds)}")
    same = ([each] * len(systems) for each in (split, links, seeds, by_image))
    return pd.concat(map(measure, systems, *same), ignore_index=True)


def measure(
    system: OffloadSystem, split: Split, links: Sequence[Link], seeds: Sequence[int], by_image: bool = False
) -> pd.DataFrame:
    """Return the rows of one system, links × seeds (× images)."""
    task, rows = system.model.task, []
    if by_image:
        _check_by_image(system.model, split)
    arrived = crossed(system, split, [link.channel(seed) for link in links for seed in seeds])
    clean = task.answers(arrived.clean)
    for number, link in enumerate(links):
        points = slice(number * len(seeds), (number + 1) * len(seeds))
        outputs = arrived.outputs[points]
        if not by_image:
            low, high = interval([task.per_image(each, split.columns) for each in outputs])
        for seed, answered, error, left in zip(
            seeds, outputs, arrived.errors[points], arrived.sent[points], strict=True
        ):
            keys = {"system": system.name, **link.settings, **system.settings, "seed": seed}
            if by_image:
                keys["image"] = range(len(split))
                scores = [task.per_image(answered, truth).numpy() for truth in (split.columns, clean)]
                rest = {"feature_mse": error.numpy(), "bytes": left.numpy()}
            else:
                scores = [[task.score(answered, truth)] for truth in (split.columns, clean)]
                rest = {"feature_mse": float(error.mean()), "bytes": float(left.mean())}
                rest |= {f"{task.metric}_low": low, f"{task.metric}_high": high}
            rows.append(pd.DataFrame({**keys, task.metric: scores[0], "agreement": scores[1], **rest}))
    return pd.concat(rows, ignore_index=True)


@torch.no_grad()
def _check_by_image(model: SplitModel, split: Split) -> None:
    """Refuse a task whose score is no mean over images, before any image is sent."""
    few = split.take(2)
    with evaluating(model):
        outputs = model(few.batch(torch.arange(len(few)))["image"].to(model.device))
    if model.task.per_image(moved(outputs, "cpu"), few.columns) is None:
        raise ValueError(f"{model.task.metric} is no mean over images; sweep without by_image")


@dataclass
class Crossed:
    """A split after every channel: outputs, feature errors (N,) and bytes sent (N,) of each, and clean outputs."""

    outputs: list
    errors: list[Tensor]
    sent: list[Tensor]
    clean: Outputs


@torch.no_grad()
def crossed(system: OffloadSystem, split: Split, channels: Sequence[Channel]) -> Crossed:
    """Send every batch once, and let it cross every channel."""
    model = system.model
    outputs, errors, sent = ([[] for _ in channels] for _ in range(3))
    clean = []
    bar = tqdm(total=len(split) * len(channels), desc=system.name, unit="img", leave=False, disable=None)
    with evaluating(model), bar:
        for index, batch in split.batches(BATCH, model.device):
            payload = system.send(batch["image"])
            feature = payload.local.get("feature")
            clean.append(moved(model(batch["image"]) if feature is None else model.edge_part(feature), "cpu"))
            for channel, answered, error, left in zip(channels, outputs, errors, sent, strict=True):
                received = system.receive(channel(payload))
                left.append((payload.length if received.sent is None else received.sent).cpu())
                answered.append(moved(received.outputs, "cpu"))
                both = feature is not None and received.feature is not None
                error.append(
                    (received.feature - feature).square().flatten(1).mean(1).cpu() if both else index * torch.nan
                )
                bar.update(len(index))
    errors, sent = ([torch.cat(each).double() for each in both] for both in (errors, sent))
    return Crossed([joined(each) for each in outputs], errors, sent, joined(clean))


def interval(values: Sequence[Tensor | None], draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds and images, by bootstrap over both; NaN where there are no values.

    values: for each channel seed the values of all images (N,). Seeds share the images, so both are drawn anew.
    """
    if values[0] is None:
        return math.nan, math.nan
    table, generator = torch.stack(list(values)).double(), torch.Generator().manual_seed(0)  # (seeds, N)
    seeds = torch.randint(len(table), (draws, len(table)), generator=generator)
    images = torch.randint(table.shape[1], (draws, table.shape[1]), generator=generator)
    times = torch.zeros(images.shape, dtype=table.dtype).scatter_add_(1, images, torch.ones(images.shape).double())
    means = (times @ table.T).gather(1, seeds).mean(1) / table.shape[1]  # each draw's sum for every seed, its seeds'
    low, high = means.float().quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def summarize(
    table: pd.DataFrame, by: Sequence[str] = ("system", "ber", "slice_ratio", "window"), metric: str = "accuracy"
) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds of the metric, with agreement, feature_mse and bytes."""
    return table.groupby(list(by), as_index=False).agg(
        **{metric: (metric, "mean"), f"{metric}_std": (metric, "std")},
        **{name: (name, "first") for name in (f"{metric}_low", f"{metric}_high") if name in table},
        agreement=("agreement", "mean"),
        feature_mse=("feature_mse", "mean"),
        bytes=("bytes", "mean"),
        seeds=(metric, "size"),
    )


def compare_windows(
    model: SplitModel, codec: SemanticCodec, split: Split, ratios: Sequence[float], ber: float = 0.01, seed: int = 0
) -> pd.DataFrame:
    """Send a split through every window; one row a window and ratio, for `draw_windows`.

    Columns window, slice_ratio, share_sent, accuracy, and the gain over the central window: its mean and standard
    error over the images, each compared with itself. The whole code is the same for all windows.
    """
    first, *others = get_args(Window)
    slices = [Slice(ratio, window) for ratio in ratios for window in (first, *others) if ratio < 1 or window == first]
    table = sweep([SemanticNN(model, codec, each) for each in slices], split, [BitErrors(ber)], [seed], by_image=True)
    keys = ["slice_ratio", "window", "share_sent"]
    center = table[table["window"] == first].set_index(["slice_ratio", "image"])["accuracy"]
    pairs = pd.MultiIndex.from_frame(table[["slice_ratio", "image"]])
    table = table.assign(gain=table["accuracy"].to_numpy() - center.loc[pairs].to_numpy())
    means = table.groupby(keys, sort=False).agg(
        accuracy=("accuracy", "mean"), gain=("gain", "mean"), standard_error=("gain", "sem")
    )
    whole = means.reset_index()
    rest = [whole[whole["slice_ratio"] == 1].assign(window=window) for window in others]
    return pd.concat([whole, *rest], ignore_index=True)


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
