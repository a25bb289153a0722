"""Feature-augmentation learning: first a denoising autoencoder, then the task (section 3.2)."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import BitChannel, Mistaken
from semanticnn_core.channels.bits import BinarySymmetric, random_ber
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import sliced_length
from semanticnn_core.config import BER_GRID, CodecConfig, CodecTrainConfig, Slice
from semanticnn_core.datasets.augment import augment, cropped
from semanticnn_core.datasets.base import ImageDataset, Split
from semanticnn_core.draws import Draws
from semanticnn_core.explain.attribution import Explained, midpoint_attribution
from semanticnn_core.tasks.base import joined
from semanticnn_core.tasks.split import SplitModel, evaluating
from semanticnn_core.training.loop import SILENT, Progress, Row, Run, Step, fingerprint, fit, placed, training_device
from semanticnn_core.training.losses import denoising_loss, occupancy_loss, xai_loss
from semanticnn_core.training.matching import Listened, matching_loss
from semanticnn_core.training.sensitivity import Sensitivity
from semanticnn_core.training.teacher import taught_by, with_teacher

CALIBRATION_IMAGES = 256


def new_codec(
    model: SplitModel, dataset: ImageDataset, config: CodecConfig, seed: int = 0, metric: Sensitivity | None = None
) -> SemanticCodec:
    """Return an untrained codec for a task network's feature, calibrated on a few training images.

    metric: what errors of the feature cost the task; its encoder then begins with what matters most to it.
    """
    torch.manual_seed(seed)
    codec = SemanticCodec(config).to(model.device)
    images = dataset.train.batch(torch.arange(min(CALIBRATION_IMAGES, len(dataset.train))))["image"]
    with torch.no_grad(), evaluating(model):
        codec.calibrate(model.device_part(images.to(model.device)), metric.weigh if metric else None)
    codec.set_code_order(seed=seed)
    return codec


def pretrain_denoising(
    codec: SemanticCodec,
    device_part: nn.Module,
    dataset: ImageDataset,
    config: CodecTrainConfig,
    run: Run = SILENT,
    metric: Sensitivity | None = None,
) -> list[Row]:
    """Stage 1: train the codec, in place, to restore features from damaged bits (equation 1).

    device_part: of the task network; truth and edge are not needed, so the result serves every task with the same
    feature. metric: what errors cost one task, in place of their mean square; the result then serves that one.
    Afterwards the code words are set for the learned centres, their use and the channel.
    Returns one row an epoch.
    """
    device, device_part = training_device(), device_part.eval().requires_grad_(False)
    facts = {"network": fingerprint(device_part)} | ({"metric": fingerprint(metric)} if metric else {})
    run = replace(run, title="stage 1: denoising", facts={**run.facts, **facts})

    @torch.no_grad()
    def validate(network: SemanticCodec) -> Row:
        error = 0.0
        for batch, channel in _validation(dataset.validation, device):
            feature = device_part(batch["image"])
            received = network(feature, channel, Slice(config.slice_ratio[1])).feature
            error += float(denoising_loss(feature, received)) * len(feature)
        error /= len(dataset.validation)
        return {"validation_mse": error}

    with placed(device, codec, device_part, *([metric] if metric else [])):
        rows = fit(codec, denoising_step(device_part, config, metric), validate, dataset.train, config, run)
    codec.quantizer.sigma = config.sigma[1]
    codec.set_code_order(config.ber, config.seed)
    return rows


def finetune_semantic(
    codec: SemanticCodec,
    model: SplitModel,
    dataset: ImageDataset,
    config: CodecTrainConfig,
    run: Run = SILENT,
    guide: nn.Module | None = None,
) -> list[Row]:
    """Stage 2: train the codec, in place, for what the frozen task network makes of it (equation 2).

    The teacher of the distillation answers once for each training image, as it is, before the training begins; where
    answers move with the image, or its layers are matched, in each step.
    guide: the network whose attributions L_XAI looks at; the edge part itself when left out.
    Returns one row an epoch: the terms of the loss, and on the validation split, over the BER grid and at the largest
    slice ratio, the task's own loss and score.
    """
    codec.quantizer.sigma = config.sigma[1]
    device, model, task = training_device(), model.folded(), model.task
    run = replace(run, title="stage 2: semantic", facts={**run.facts, "network": fingerprint(model)})

    @torch.no_grad()
    def validate(network: SemanticCodec) -> Row:
        outputs, loss = [], 0.0
        for batch, channel in _validation(dataset.validation, device):
            feature = model.device_part(batch["image"])
            outputs.append(model.edge_part(network(feature, channel, Slice(config.slice_ratio[1])).feature))
            loss += float(task.loss(outputs[-1], batch)) * len(feature)
        score = task.score(joined(outputs), dataset.validation.columns)
        return {f"validation_{task.metric}": score, "validation_loss": loss / len(dataset.validation)}

    with placed(device, codec, model, *([guide] if guide else [])):
        asked_once = config.distill and not config.match
        train = with_teacher(dataset.train, model) if asked_once else dataset.train
        return fit(codec, semantic_step(model, config, guide), validate, train, config, run)


def denoising_step(device_part: nn.Module, config: CodecTrainConfig, metric: Sensitivity | None = None) -> Step:
    """Return stage 1's step: what a batch of images costs a codec behind a frozen device part (equation 1).

    metric: what is minimised in place of the mean square.
    """
    low, high = config.sigma
    cost = metric or denoising_loss

    def step(codec: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        _inner(codec).quantizer.sigma = low * (high / low) ** progress.fraction
        with torch.no_grad():
            images = augment(batch, config, progress.draws)["image"]
            feature = device_part(cropped(images, config.crop, progress.draws))
        sent = codec(feature, *_conditions(codec, feature, config, progress))
        return {"loss": cost(feature, sent.feature)}

    return step


def semantic_step(model: SplitModel, config: CodecTrainConfig, guide: nn.Module | None = None) -> Step:
    """Return stage 2's step: what a batch costs a codec inside a frozen task network (equation 2).

    A batch has `image`, the truth and, for distillation, perhaps `teacher` (see `with_teacher`).
    guide: the network whose attributions L_XAI looks at, of what the task says; the edge part when left out.
    """
    guide, task = Explained(guide or model.edge_part, model.task), model.task
    listened = Listened(model.edge_part)

    def step(codec: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        batch = augment(batch, config, progress.draws)
        with torch.no_grad():
            feature = model.device_part(batch["image"])
        sent = codec(feature, *_conditions(codec, feature, config, progress))
        outputs, said = listened(sent.feature)
        terms = {"L_div": occupancy_loss(sent.occupancy), "L_cls": task.loss(outputs, batch)}
        loss = config.alpha * terms["L_div"] + config.beta * terms["L_cls"]
        if config.gamma:
            phi = midpoint_attribution(guide, sent.feature, task.explained(batch))
            terms["L_XAI"] = xai_loss(phi, config.xai_balance, config.xai_reward, config.xai_softness)
            loss = loss + config.gamma * terms["L_XAI"]
        if config.match:
            with torch.no_grad():
                teacher, clean = listened(feature)
            batch = {**batch, "teacher": teacher}
            terms["L_match"] = matching_loss(said, clean)
            loss = loss + config.match * terms["L_match"]
        if config.distill:
            terms["L_distill"] = task.distill(outputs, taught_by(model, batch, feature), config.temperature)
            loss = loss + config.distill * terms["L_distill"]
        return {"loss": loss, **terms}

    return step


def _conditions(
    codec: nn.Module, feature: Tensor, config: CodecTrainConfig, progress: Progress
) -> tuple[BitChannel, Slice, Tensor | None, Tensor | None]:
    """Draw what a batch meets: a channel, a slice, where the windows lie, and which bytes arrive."""
    draws, inner = progress.draws, _inner(codec)
    channel = _channel(len(feature), config, draws)
    slice, corner = _slice(inner, feature, config, draws)
    size = inner.payload_bytes(feature.shape[1:], slice) - inner.windows(feature.shape[1:], slice).head_bytes
    return channel, slice, corner, _present(len(feature), size, config.lost, draws, feature.device)


def _channel(count: int, config: CodecTrainConfig, draws: Draws) -> BitChannel:
    """Draw a rate for each sample, and what the receiver believes of it."""
    rate = random_ber(*config.ber, count, draws)
    channel = BinarySymmetric(rate, draws)
    if config.mistaken == 1:
        return channel
    factor = torch.exp((2 * draws.uniform(count) - 1) * math.log(config.mistaken))
    return Mistaken(channel, (rate * factor).clamp_max(0.5))


def _slice(
    codec: SemanticCodec, feature: Tensor, config: CodecTrainConfig, draws: Draws
) -> tuple[Slice, Tensor | None]:
    """Draw a slice and, where they may lie anywhere, the corner of each sample's window.

    A share of the batches, `sliced`, have windows whose sides are drawn evenly; the others' are the largest.
    """
    count, (low, ratio) = len(feature), config.slice_ratio
    windows = codec.windows(feature.shape[1:], Slice(ratio))
    if low < ratio:
        coin, chance = draws.shared(2).tolist()
        longest = max(windows.height, windows.width)
        sides = range(sliced_length(longest, low), sliced_length(longest, ratio) + 1)
        ratio = (sides[int(chance * len(sides))] / longest) ** 2 if coin < config.sliced else ratio
    if config.window == "center":
        return Slice(ratio), None
    windows = replace(windows, slice=Slice(ratio))
    number, coin = (draws.uniform(count).cpu() for _ in range(2))
    anywhere = windows.everywhere[(number * len(windows.everywhere)).long()]
    return windows.slice, torch.where(coin[:, None] < 0.5, windows.center, anywhere)


def _present(count: int, size: int, lost: float, draws: Draws, device: torch.device) -> Tensor | None:
    """Draw which bytes of each payload arrive, bool (count, size): spread losses, as an interleaver leaves them."""
    if not lost:
        return None
    share = lost * (2 * draws.uniform(count, 1) - 1)
    return (draws.uniform(count, size) >= share).to(device)


def _validation(split: Split, device: torch.device):
    """Yield every batch with a channel whose error rates walk through the BER grid, always the same."""
    generator, rates = torch.Generator(device).manual_seed(0), torch.tensor(BER_GRID, device=device)
    for index, batch in split.batches(device=device):
        yield batch, BinarySymmetric(rates[index.to(device) % len(BER_GRID)], generator)


def _inner(network: nn.Module) -> SemanticCodec:
    return getattr(network, "module", network)
