"""Feature-augmentation learning: first a denoising autoencoder, then the task (section 3.2)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.channels.bits import BinarySymmetric, random_ber
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import center_corner, corners, sliced_length
from semanticnn_core.config import BER_GRID, CodecConfig, CodecTrainConfig
from semanticnn_core.datasets.augment import augment
from semanticnn_core.datasets.base import ImageDataset, ImageSplit
from semanticnn_core.explain.attribution import midpoint_attribution
from semanticnn_core.tasks.classification import clean_logits
from semanticnn_core.tasks.split import SplitModel, evaluating
from semanticnn_core.training.loop import Progress, Step, accelerator_for, fit
from semanticnn_core.training.losses import denoising_loss, distillation_loss, occupancy_loss, xai_loss

History = list[dict[str, float]]
CALIBRATION_IMAGES = 256


def new_codec(model: SplitModel, dataset: ImageDataset, config: CodecConfig, seed: int = 0) -> SemanticCodec:
    """Return an untrained codec for a task network's feature, calibrated on a few training images."""
    torch.manual_seed(seed)
    codec = SemanticCodec(config).to(model.place)
    images = dataset.train.__getitems__(list(range(min(CALIBRATION_IMAGES, len(dataset.train)))))["image"]
    with torch.no_grad(), evaluating(model):
        codec.calibrate(model.device(images.to(model.place)))
    codec.set_code_order(seed=seed)
    return codec


def pretrain_denoising(
    codec: SemanticCodec,
    device: nn.Module,
    dataset: ImageDataset,
    config: CodecTrainConfig,
    run_dir: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> History:
    """Stage 1: train the codec, in place, to restore features from damaged bits (equation 1).

    device: the device part alone; labels and edge are not needed, so the result serves every task with
    the same feature. Afterwards the code words are set for the learned centres, their use and the channel.
    Returns one row an epoch; the validation split chooses the weights that are kept.
    """
    accelerator = accelerator_for(config)
    device = device.eval().requires_grad_(False)

    @torch.no_grad()
    def validate(network: SemanticCodec) -> dict[str, float]:
        error = 0.0
        for batch, channel in _validation(dataset.validation, accelerator.device):
            feature = device(batch["image"])
            received = network(feature, channel, config.slice_ratio[1]).feature
            error += float(denoising_loss(feature, received)) * len(feature)
        error /= len(dataset.validation)
        return {"validation_mse": error, "score": -error}

    with _lent(accelerator.device, codec, device):
        rows = fit(
            codec, denoising_step(device, config), validate, dataset.train, config, accelerator,
            run_dir=run_dir, resume=resume, title="stage 1: denoising", on_epoch=on_epoch,
        )  # fmt: skip
    codec.quantizer.sigma = config.sigma[1]
    codec.set_code_order(config.ber, config.seed)
    return rows


def finetune_semantic(
    codec: SemanticCodec,
    model: SplitModel,
    dataset: ImageDataset,
    config: CodecTrainConfig,
    run_dir: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    guide: nn.Module | None = None,
) -> History:
    """Stage 2: train the codec, in place, for what the frozen task network makes of it (equation 2).

    The teacher of the distillation answers once for each training image, as it is, before the training begins.
    guide: the network whose attributions L_XAI looks at; the edge network itself when left out.
    Returns one row an epoch; the accuracy over the BER grid, at the largest slice ratio, on the validation split
    chooses the weights.
    """
    accelerator = accelerator_for(config)
    codec.quantizer.sigma = config.sigma[1]
    place, model = accelerator.device, model.folded()

    @torch.no_grad()
    def validate(network: SemanticCodec) -> dict[str, float]:
        right = loss = 0.0
        for batch, channel in _validation(dataset.validation, place):
            logits = model.edge(network(model.device(batch["image"]), channel, config.slice_ratio[1]).feature)
            right += float((logits.argmax(1) == batch["label"]).sum())
            loss += float(F.cross_entropy(logits, batch["label"], reduction="sum"))
        count = len(dataset.validation)
        return {"validation_accuracy": right / count, "validation_loss": loss / count, "score": right / count}

    with _lent(place, codec, model, *[guide] * (guide is not None)):
        teacher = clean_logits(model, dataset.train) if config.distill else None
        return fit(
            codec, semantic_step(model, config, guide), validate, replace(dataset.train, teacher=teacher), config,
            accelerator, run_dir=run_dir, resume=resume, title="stage 2: semantic", on_epoch=on_epoch,
        )  # fmt: skip


@contextmanager
def _lent(place: torch.device, *modules: nn.Module) -> Iterator[None]:
    """Within it modules are where the training runs; afterwards they are back where they were."""
    homes = [next((each.device for each in module.state_dict().values()), place) for module in modules]
    for module in modules:
        module.to(place)
    try:
        yield
    finally:
        for module, home in zip(modules, homes, strict=True):
            module.to(home)


def denoising_step(device: nn.Module, config: CodecTrainConfig) -> Step:
    """Return stage 1's step: what a batch of images costs a codec behind a frozen device part (equation 1)."""
    low, high = config.sigma

    def step(codec: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        _inner(codec).quantizer.sigma = low * (high / low) ** progress.fraction
        with torch.no_grad():
            feature = device(augment(batch["image"], config, progress.generator))
        sent = codec(feature, *_conditions(codec, feature, config, progress))
        return {"loss": denoising_loss(feature, sent.feature)}

    return step


def semantic_step(model: SplitModel, config: CodecTrainConfig, guide: nn.Module | None = None) -> Step:
    """Return stage 2's step: what a batch costs a codec inside a frozen task network (equation 2).

    A batch has `image`, `label` and, for distillation, `teacher`: the uncompressed network's logits (B, classes).
    guide: the network whose attributions L_XAI looks at; the edge network itself when left out.
    """
    guide = guide or model.edge

    def step(codec: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        labels = batch["label"]
        with torch.no_grad():
            feature = model.device(augment(batch["image"], config, progress.generator))
        sent = codec(feature, *_conditions(codec, feature, config, progress))
        logits = model.edge(sent.feature)
        terms = {"L_div": occupancy_loss(sent.occupancy), "L_cls": F.cross_entropy(logits, labels)}
        loss = config.alpha * terms["L_div"] + config.beta * terms["L_cls"]
        if config.gamma:
            phi = midpoint_attribution(guide, sent.feature, labels)
            terms["L_XAI"] = xai_loss(phi, config.xai_balance, config.xai_reward, config.xai_softness)
            loss = loss + config.gamma * terms["L_XAI"]
        if config.distill:
            terms["L_distill"] = distillation_loss(logits, batch["teacher"], config.temperature)
            loss = loss + config.distill * terms["L_distill"]
        return {"loss": loss, **terms}

    return step


def _conditions(
    codec: nn.Module, feature: Tensor, config: CodecTrainConfig, progress: Progress
) -> tuple[BinarySymmetric, float, Tensor | None]:
    """Draw what a batch meets: a channel, a slice ratio, and where the windows lie.

    Half of the batches have the largest ratio; the sides of the others' windows are drawn evenly.
    """
    dice = progress.generator
    channel = BinarySymmetric(random_ber(*config.ber, len(feature), dice), dice)
    _, height, width = _inner(codec).code_shape(feature.shape[1:])
    low, ratio = config.slice_ratio
    if low < ratio:
        coin, chance = torch.rand(2, generator=dice, device=dice.device).tolist()
        longest = max(height, width)
        sides = range(sliced_length(longest, low), sliced_length(longest, ratio) + 1)
        ratio = (sides[int(chance * len(sides))] / longest) ** 2 if coin < 0.5 else ratio
    if config.window == "center":
        return channel, ratio, None
    rows, columns = sliced_length(height, ratio), sliced_length(width, ratio)
    places, center = corners(height, width, rows, columns), center_corner(height, width, rows, columns)
    place, coin = (torch.rand(len(feature), generator=dice, device=dice.device).cpu() for _ in range(2))
    return channel, ratio, torch.where(coin[:, None] < 0.5, center, places[(place * len(places)).long()])


def _validation(split: ImageSplit, device: torch.device, batch_size: int = 250):
    """Yield every batch with a channel whose error rates walk through the BER grid, always the same."""
    generator = torch.Generator(device).manual_seed(0)
    for index in torch.arange(len(split)).split(batch_size):
        batch = {name: value.to(device) for name, value in split.__getitems__(index).items()}
        yield batch, BinarySymmetric(torch.tensor(BER_GRID, device=device)[index.to(device) % len(BER_GRID)], generator)


def _inner(network: nn.Module) -> SemanticCodec:
    return getattr(network, "module", network)
