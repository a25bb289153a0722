"""What is wrong with a checkpoint: its weights, its task network, the use of its bits, and what it loses on a link."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import percent
from semanticnn_core.datasets.base import ImageDataset, Split, listed, moved
from semanticnn_core.evaluation.sweep import BATCH
from semanticnn_core.systems import SemanticNN, offload
from semanticnn_core.systems.checkpoints import Checkpoint
from semanticnn_core.tasks.base import Outputs, Targets, Task, joined
from semanticnn_core.tasks.split import evaluating

IMAGES = 300
"""Validation images that are looked at."""
BER = 0.01
"""Bit error rate at which the codec is tried."""
DEAD = 0.2
"""Share of its bits below which a channel, or an element of the code, counts as dead."""
RARE = 0.1
"""Share of an even use below which a centre counts as unused."""
LOST = 0.1
"""Share of the uncompressed network's score that a codec may lose without a warning."""

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is about, how bad it is, what was found, and what to do.

    values: the numbers behind it, by name, ready for JSON.
    """

    about: str
    level: Level
    text: str
    advice: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.level}: {self.about}: {self.text}" + (f"; {self.advice}" if self.advice else "")


@torch.no_grad()
def examine(checkpoint: Checkpoint, data: ImageDataset | None, images: int = IMAGES) -> list[Finding]:
    """Return findings on weights, task network and every codec of a checkpoint, on so many validation images.

    data: what the network was trained for; without it only the weights and tables are looked at.
    """
    model = checkpoint.model
    codecs = {name: each for name, each in checkpoint.systems.items() if isinstance(each, SemanticCodec)}
    findings = [_weights({"base": model, **checkpoint.systems})]
    if findings[0].level == "error":
        return findings
    if data is not None:
        model, split = model.folded(), data.validation.take(images)
        clean = model.answer_all(split)
        findings.append(network_finding(model.task, clean, split.columns))
    for name, codec in codecs.items():
        findings.append(_importance(name, codec))
        if data is not None:
            findings += _codec_findings(name, SemanticNN(model, codec), split, clean)
    if not checkpoint.systems:
        todo = f"make one: semanticnn train --checkpoint {checkpoint.name}"
        findings.append(Finding("systems", "warning", "there is a task network, but no codec for it", todo))
    return findings


def network_finding(task: Task, outputs: Outputs, targets: Targets) -> Finding:
    """Say whether the uncompressed network knows more than the best constant answer, beyond luck with these images."""
    about, score, count = "task network", task.score(outputs, targets), len(targets["image"])
    text = f"{task.metric} {percent(score)} on {count} images"
    if (chance := task.chance(targets)) is None:
        return Finding(about, "ok", text, values={task.metric: score})
    values = {task.metric: score, "chance": chance}
    if score > chance + 2 * (chance * (1 - chance) / count) ** 0.5:
        return Finding(about, "ok", f"{text}, chance is {percent(chance)}", values=values)
    text = f"{text} is no better than chance, {percent(chance)}, so agreement with it says nothing"
    return Finding(about, "error", text, "train it again: semanticnn train-base", values)


def _weights(parts: Mapping[str, nn.Module]) -> Finding:
    wrong = [
        f"{part}: {name}"
        for part, module in parts.items()
        for name, value in module.state_dict().items()
        if not value.isfinite().all()
    ]
    if wrong:
        advice = "the training diverged; train again with a smaller learning rate"
        return Finding("weights", "error", f"not finite in {listed(wrong, 3)}", advice, {"not_finite": wrong})
    return Finding("weights", "ok", "all are finite")


def _importance(name: str, codec: SemanticCodec) -> Finding:
    if codec.importance.any():
        return Finding(f"{name}, importance", "ok", "the device has a table of importance")
    text = "the device has no table of importance, so --window importance is refused"
    return Finding(f"{name}, importance", "warning", text, "train again; semanticnn train fits it at its end")


def _codec_findings(name: str, system: SemanticNN, split: Split, clean: Outputs) -> list[Finding]:
    """Send images once over a link and look at latents, symbols and answers."""
    codec, channel = system.codec, BinarySymmetric(BER)
    latents, outputs = [], []
    with evaluating(system.model), evaluating(codec):
        for _, batch in split.batches(BATCH, system.model.device):
            sent = offload(system, batch["image"], channel)
            latents.append(codec.encoder(sent.payload.local["feature"]).cpu())
            outputs.append(moved(sent.received.outputs, "cpu"))
    latent, levels = torch.cat(latents), codec.quantizer.levels.cpu()
    index = codec.quantizer.assign(latent.to(codec.quantizer.centers.device)).cpu()
    counts = torch.stack([(index == center).sum(0) for center in range(len(levels))], -1)  # (K, h, w, n)
    findings = [
        _answers(system.model.task, joined(outputs), clean, split),
        _channels(counts.sum((1, 2)), codec.config.bits),
        _elements(counts, codec.config.bits),
        _centers(counts.sum((0, 1, 2)), codec.quantizer.prior.cpu()),
        _calibration(latent, levels),
    ]
    return [
        Finding(f"{name}, {each.about}", each.level, each.text, each.advice, each.values) for each in findings if each
    ]


def _answers(task: Task, outputs: Outputs, clean: Outputs, split: Split) -> Finding:
    score, before = task.score(outputs, split.columns), task.score(clean, split.columns)
    agreement = task.score(outputs, task.answers(clean))
    text = (
        f"{task.metric} {percent(score)} at {percent(BER)} bit errors, uncompressed {percent(before)}; "
        f"agreement {percent(agreement)}"
    )
    values = {"ber": BER, task.metric: score, "uncompressed": before, "agreement": agreement}
    by_chance = network_finding(task, outputs, split.columns).level == "error"
    if by_chance or score < (1 - LOST) * before:
        advice = "train longer (--stage2.epochs), or give the codec more bits (--codec.code-channels)"
        return Finding("answers", "error" if by_chance else "warning", text, advice, values)
    return Finding("answers", "ok", text, values=values)


def _channels(counts: Tensor, bits: int) -> Finding:
    """Judge the entropy of each channel's symbols, counts (K, n)."""
    entropy = _entropy(counts)
    dead = [f"channel {each} carries {entropy[each]:.2f}" for each in (entropy < DEAD * bits).nonzero().flatten()]
    values = {"bits": bits, "entropy_by_channel": entropy.tolist()}
    if dead:
        text = f"{listed(dead)} of the {bits} bits paid for each symbol"
        advice = (
            "train longer, with another --stage1.seed or a larger --stage2.alpha, or with fewer --codec.code-channels"
        )
        return Finding("channels", "warning", text, advice, values)
    text = f"all {len(entropy)} carry at least {entropy.min():.2f} of the {bits} bits paid for each symbol"
    return Finding("channels", "ok", text, values=values)


def _elements(counts: Tensor, bits: int) -> Finding | None:
    """Judge the entropy of each element of the code over the images, counts (K, h, w, n); None of too few images."""
    images, centers = int(counts[0, 0, 0].sum()), counts.shape[-1]
    if images < 4 * centers:
        return None
    entropy = _entropy(counts)
    dead, carried = (entropy < DEAD * bits).double().mean(), entropy.mean() / bits
    text = f"they carry {percent(float(carried))} of the bits paid; {percent(float(dead))} of them are nearly constant"
    values = {"carried": float(carried), "nearly_constant": float(dead), "entropy_by_element": entropy.tolist()}
    if carried < 0.5 or dead > 0.25:
        advice = "train longer, or save bytes with --slice-ratio or fewer --codec.code-channels"
        return Finding("elements", "warning", text, advice, values)
    return Finding("elements", "ok", text, values=values)


def _centers(counts: Tensor, prior: Tensor) -> Finding:
    """Judge how often each centre is sent, counts (n,), and whether the receiver's prior says so."""
    use = counts / counts.sum()
    rare = (use < RARE / len(use)).nonzero().flatten().tolist()
    apart = float((use - prior).abs().sum() / 2)
    values = {"use": use.tolist(), "prior": prior.tolist(), "prior_apart": apart}
    advice = "train longer, with a larger --stage2.alpha"
    if rare:
        text = f"{len(rare)} of {len(use)} are hardly sent: number {listed(rare)}"
        return Finding("centers", "warning", text, f"{advice} or fewer --codec.centers", values)
    if apart > 0.1:
        text = f"the receiver's prior is wrong for {percent(apart)} of the symbols"
        return Finding("centers", "warning", text, "train again on images like those that are sent", values)
    text = f"each of {len(use)} is sent, the rarest for {percent(float(use.min()))} of the symbols"
    return Finding("centers", "ok", text, values=values)


def _calibration(latent: Tensor, levels: Tensor) -> Finding:
    """Judge whether latents stay within a spacing of the outermost centres, where they all look alike."""
    low, high = 2 * levels[0] - levels[1], 2 * levels[-1] - levels[-2]
    beyond = float(((latent < low) | (latent > high)).double().mean())
    text = f"{percent(beyond)} of the latents lie far beyond the outermost centres"
    if beyond > 0.01:
        advice = "calibrate on images like those that are sent, and train again"
        return Finding("calibration", "warning", text, advice, {"beyond": beyond})
    return Finding("calibration", "ok", text, values={"beyond": beyond})


def _entropy(counts: Tensor) -> Tensor:
    """Return the entropy in bits of counts (…, n)."""
    share = counts.double() / counts.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1) / torch.log(torch.tensor(2.0, dtype=torch.double))
