"""Looking into the codec: one image's way through it, and tables of what many images suffer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec, SoftQuantizer
from semanticnn_core.config import Window
from semanticnn_core.datasets import ImageSplit
from semanticnn_core.tasks.split import SplitModel

BATCH = 250


@dataclass(frozen=True)
class Journey:
    """Everything one image becomes on its way to the edge."""

    image: Tensor
    """uint8 (3, H, W)."""
    sent: Tensor
    """The feature on the device, (C, h, w)."""
    received: Tensor
    """The feature at the edge, (C, h, w)."""
    payload: Tensor
    """The bytes sent, uint8 (n,)."""
    arrived: Tensor
    """The bytes that arrived, uint8 (n,)."""
    clean: Tensor
    """Class probabilities of the uncompressed network, (classes,)."""
    answer: Tensor
    """Class probabilities from the received feature, (classes,)."""
    ber: float

    @property
    def mse(self) -> float:
        """Mean squared error between the feature sent and received (equation 1)."""
        return float(((self.received - self.sent) ** 2).mean())

    @property
    def flips(self) -> int:
        """How many bits of the payload flipped."""
        return int((byte_bits(self.payload) != byte_bits(self.arrived)).sum())


@torch.no_grad()
def send(
    model: SplitModel,
    codec: SemanticCodec,
    image: Tensor,
    ber: float,
    seed: int = 0,
    slice_ratio: float = 1.0,
    window: Window = "center",
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Journey:
    """Send one image uint8 (3, H, W), as real bytes, through a binary symmetric channel drawn with `seed`.

    encode: what turns images (B, 3, H, W) into payloads uint8 (B, n) instead of the codec's own encoder.
    """
    feature = model.device(image[None])
    payload = encode(image[None]) if encode else codec.compress(feature, slice_ratio, window)
    arrived = BinarySymmetric(ber, seed)(payload)
    received = codec.decompress(arrived, ber, feature.shape[1:], slice_ratio, window)
    clean, answer = (model.edge(each).softmax(1)[0] for each in (feature, received))
    return Journey(image, feature[0], received[0], payload[0], arrived[0], clean, answer, ber)


def first_items(split: ImageSplit, count: int | None) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, 3, H, W) and labels (N,) of up to `count` items drawn from a split, all with None."""
    batch = split.first(count)
    return batch["image"], batch["label"]


def byte_bits(payload: Tensor) -> Tensor:
    """Return the bits, uint8 (…, n, 8), of payload bytes (…, n), the most significant first, as hex is read."""
    return (payload[..., None] >> torch.arange(7, -1, -1)) & 1


def busiest_channels(feature: Tensor, count: int = 4) -> list[int]:
    """Return the channels of a feature (C, h, w) that vary most over the image, the busiest first."""
    return feature.std((1, 2)).argsort(descending=True)[:count].tolist()


@torch.no_grad()
def measure_codecs(
    device: nn.Module,
    codecs: Mapping[str, SemanticCodec],
    images: Tensor,
    bers: Sequence[float],
    seeds: int = 3,
    slice_ratio: float = 1.0,
    tasks: Mapping[str, tuple[nn.Module, Tensor]] | None = None,
    by_image: bool = False,
) -> pd.DataFrame:
    """Send images uint8 (N, 3, H, W) as real bytes through every codec, bit error rate and channel seed.

    tasks: edge part and labels (N,) of each task; all of them read the same received feature.
    Returns one row a point: system, ber, seed, mse (of the feature), and each task's accuracy under its name.
    by_image: one row a point and image instead, with its number; its accuracy is 0 or 1.
    """
    points = [(name, ber, seed) for name in codecs for ber in bers for seed in range(seeds)]
    channels = {point: BinarySymmetric(*point[1:]) for point in points}
    found: dict[tuple, list[pd.DataFrame]] = {point: [] for point in points}
    for index in torch.arange(len(images)).split(BATCH):
        feature = device(images[index])
        payloads = {name: codec.compress(feature, slice_ratio) for name, codec in codecs.items()}
        for point in points:
            name, ber, _ = point
            received = codecs[name].decompress(channels[point](payloads[name]), ber, feature.shape[1:], slice_ratio)
            values = {"mse": (received - feature).square().mean((1, 2, 3))}
            for task, (edge, labels) in (tasks or {}).items():
                values[task] = (edge(received).argmax(1) == labels[index]).double()
            found[point].append(pd.DataFrame({name: each.numpy() for name, each in values.items()}, index.numpy()))
    table = pd.concat(
        {point: pd.concat(parts) for point, parts in found.items()}, names=["system", "ber", "seed", "image"]
    )
    keys = ["system", "ber", "seed"]
    return (table if by_image else table.groupby(keys, sort=False).mean()).reset_index()


def paired_gains(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Compare two systems of `measure_codecs(…, by_image=True)` image by image: first − second.

    One row a ber; under the name of each measure `mean` and `sem`, its standard error over the images.
    """
    means = table.drop(columns="seed").groupby(["system", "ber", "image"]).mean()
    return (means.loc[first] - means.loc[second]).groupby("ber").agg(["mean", "sem"])


@torch.no_grad()
def accuracy(model: SplitModel, images: Tensor, labels: Tensor) -> float:
    """Return the share of images (N, 3, H, W) that the uncompressed network gets right."""
    answers = [model(images[index]).argmax(1) for index in torch.arange(len(images)).split(BATCH)]
    return float((torch.cat(answers) == labels).float().mean())


def epochs_in_words(training: Mapping[str, dict | list[dict]]) -> str:
    """Say how many epochs each stage of a checkpoint's codec had; a stage gone through several times is a list."""
    stages = {name: each if isinstance(each, list) else [each] for name, each in training.items() if name != "base"}
    return ", ".join(f"{name} {' + '.join(str(each['epochs']) for each in runs)}" for name, runs in stages.items())


@torch.no_grad()
def mean_feature_error(device: nn.Module, images: Tensor) -> float:
    """Return the MSE of always answering each channel's mean: what a receiver without a link could reach."""
    feature = device(images)
    return float(((feature - feature.mean((0, 2, 3), keepdim=True)) ** 2).mean())


@torch.no_grad()
def measure_told(
    device: nn.Module, codec: SemanticCodec, images: Tensor, bers: Sequence[float], seeds: int = 3
) -> pd.DataFrame:
    """Let a channel have one bit error rate and tell the receiver another; columns ber, told, seed, error.

    error: the feature's mean squared error as a share of its variance around each channel's mean.
    """
    feature = device(images)
    variance = mean_feature_error(device, images)
    payload, shape, rows = codec.compress(feature), feature.shape[1:], []
    for ber in bers:
        for seed in range(seeds):
            arrived = BinarySymmetric(ber, seed)(payload)
            for told in bers:
                error = float(F.mse_loss(codec.decompress(arrived, told, shape), feature)) / variance
                rows.append({"ber": ber, "told": told, "seed": seed, "error": error})
    return pd.DataFrame(rows)


@torch.no_grad()
def told_distortion(quantizer: SoftQuantizer, bers: Sequence[float]) -> pd.DataFrame:
    """Return the exact mean of (centre sent − value received)², as a share of the centres' variance.

    No sampling: Σ_i prior_i Σ_j P(j | i, ber)·(centre_i − value_j(told))². Columns ber (the truth), told, error.
    """
    prior = quantizer.prior / quantizer.prior.sum()
    variance = prior @ (quantizer.levels - prior @ quantizer.levels) ** 2
    rows = []
    for told in bers:
        error = (quantizer.levels[:, None] - quantizer.values(told)) ** 2  # (sent, received)
        for ber in bers:
            distortion = (prior[:, None] * quantizer.transition(ber)[0] * error).sum()
            rows.append({"ber": ber, "told": told, "error": float(distortion / variance)})
    return pd.DataFrame(rows)


def rehead(
    model: SplitModel, images: Tensor, labels: Tensor, steps: int = 60, weight_decay: float = 1e-3
) -> SplitModel:
    """Give a split network a second task: same device part, same frozen edge, a new last linear layer.

    Only that layer is fitted (L-BFGS, logistic regression) to images (N, 3, H, W) and labels (N,).
    Raises ValueError when the edge does not end in a linear layer.
    """
    if not (isinstance(model.edge, nn.Sequential) and isinstance(model.edge[-1], nn.Linear)):
        raise ValueError("rehead needs an edge that is a Sequential ending in a Linear layer")
    body = model.edge[:-1]
    with torch.no_grad():
        parts = torch.arange(len(images)).split(BATCH)
        embedding = torch.cat([body(model.device(images[index])) for index in parts])  # (N, E)
    head = nn.Linear(embedding.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(head.weight)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(embedding), labels) + weight_decay * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return SplitModel(model.device, nn.Sequential(*body, head), model.image_size, model.feature_range).frozen()


@torch.no_grad()
def symbol_shares(device: nn.Module, codec: SemanticCodec, images: Tensor) -> Tensor:
    """Return how often each centre, in ascending order, is sent for images (N, 3, H, W); sums to 1, (n,)."""
    index = codec.quantizer.assign(codec.encoder(device(images)).contiguous())
    return torch.bincount(index.flatten(), minlength=codec.config.centers) / index.numel()
