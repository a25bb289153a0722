"""What the edge network looks at: attribution maps of a feature, and the differentiable one of equation 3.

All maps explain one class's logit at a feature (B, C, H, W). A *pixel* map sums over the channels, a *channel* map
over the pixels. The network that explains, the guide, is the edge network itself unless another is given. Captum
computes the maps, but for DeepLIFT's, see `deep_lift`.
"""

import copy
import math
import numbers
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from semanticnn_core.explain.deep_lift import deep_lift
from semanticnn_core.tasks.base import Task
from semanticnn_core.tasks.split import evaluating

Level = Literal["pixel", "channel"]
METHODS = ("integrated_gradients", "gradient_shap", "input_x_gradient", "saliency", "occlusion", "deep_lift")
COMPLETE = ("integrated_gradients", "gradient_shap", "deep_lift")
"""Methods whose scores should sum to the logit's rise from the zero feature to this one."""
PATCH = 4
"""Pixels occluded together, in each direction; the window moves by half of it. A smaller feature is one patch."""


@dataclass(frozen=True)
class Attribution:
    """Scores of a batch of features, and how far they are from complete."""

    scores: Tensor
    """(B, H, W) at pixel level, (B, C) at channel level; positive speaks for the class (saliency: unsigned)."""
    target: Tensor
    """The classes explained, int64 (B,)."""
    gap: Tensor | None
    """|Σ scores − (logit at the feature − logit at zero)| over that rise's size, (B,); None where not defined."""


class Explained(nn.Module):
    """A guide as attribution asks for it: from a feature to the evidence (B, K) of a task, logits or what it has."""

    def __init__(self, guide: nn.Module, task: Task) -> None:
        super().__init__()
        self.guide, self.task = guide, task

    def forward(self, feature: Tensor) -> Tensor:
        return self.task.evidence(self.guide(feature))


def attribute(
    guide: nn.Module,
    feature: Tensor,
    target: Tensor | int | None = None,
    method: str = "integrated_gradients",
    level: Level = "pixel",
    steps: int = 100,
    internal_batch_size: int = 200,
    seed: int = 0,
) -> Attribution:
    """Explain a class's logit at features (B, C, H, W) against the zero feature.

    guide: maps features to logits (B, classes), and is explained in evaluation mode; the edge itself or another.
    target: class of each sample (B,), or one for all; the guide's own answer when left out.
    method: `integrated_gradients` (midpoint rule, `steps` points), `gradient_shap` (`steps` noisy points),
    `input_x_gradient`, `saliency` (absolute gradient), `occlusion` (4×4 pixels, or a channel, set to zero) or
    `deep_lift` (guides of linear and elementwise calls and max pooling).
    internal_batch_size: features that pass the guide at a time, which bounds the memory.
    Gradients are taken also within `no_grad` and `inference_mode`, and halves are explained in single precision.
    Raises ValueError on an unknown method or level, a class out of range, features the guide cannot take, guides that
    `deep_lift` does not fit, and scores that are not finite.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if level not in ("pixel", "channel"):
        raise ValueError(f"level must be 'pixel' or 'channel', got {level!r}")
    fewest = 2 if method == "integrated_gradients" else 1  # captum's own least; one point: `midpoint_attribution`
    steps = _whole("steps", steps, fewest)
    rows, seed = _whole("internal_batch_size", internal_batch_size, 1), _whole("seed", seed, 0, 2**32 - 1)
    if feature.dim() != 4 or not feature.numel():
        raise ValueError(f"features must have the shape (B, C, H, W) and not be empty, got {tuple(feature.shape)}")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(feature.device.type, enabled=False),
        evaluating(guide),
    ):
        guide, feature = _differentiable(guide, feature)
        logits = _logits(guide, feature, rows)
        target = _target(target, logits)
        explain = _EXPLAINERS[method](guide, level, steps, rows)
        with _seeded(seed, feature) if method == "gradient_shap" else nullcontext():
            try:
                parts = [explain(*part).detach() for part in zip(feature.split(rows), target.split(rows), strict=True)]
            except RuntimeError as error:
                raise ValueError(f"{method} cannot explain this guide: {error}") from error
        at_zero = _logits(guide, torch.zeros_like(feature[:1]), rows)[0]
    scores = torch.cat(parts).sum(1 if level == "pixel" else (2, 3))
    if not scores.isfinite().all():
        raise ValueError(f"{method} gives scores that are not finite: look for NaN in the features and in the guide")
    if method not in COMPLETE:
        return Attribution(scores, target, None)
    rise = logits.gather(1, target[:, None])[:, 0] - at_zero[target]
    gap = (scores.flatten(1).sum(1) - rise).abs()
    if method == "deep_lift" and (gap > 0.01 * scores.flatten(1).abs().sum(1) + 1e-3 * logits.abs().max()).any():
        raise ValueError(
            "deep_lift's scores do not sum to the logit's rise: the guide has a call that joins samples, "
            "draws at random or hides a step from torch.fx; try integrated_gradients"
        )
    return Attribution(scores, target, gap / rise.abs().clamp_min(1e-6))


def midpoint_attribution(guide: nn.Module, feature: Tensor, target: Tensor) -> Tensor:
    """Return φ (B, H, W), the pixel map of one-point Integrated Gradients, with gradient to the feature.

    φ = Σ_channels feature × ∂logit/∂feature at half the feature. The gradient factor is held constant: ReLU and ReLU6
    networks in evaluation mode are piecewise linear, so its derivative is zero almost everywhere. One forward and one
    backward pass.
    """
    with torch.inference_mode(False), torch.enable_grad():
        half = (0.5 * feature.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(guide(half).gather(1, target.clone()[:, None]).sum(), half)
    return (feature * slope).sum(1)


def _whole(name: str, value: int, least: int, most: float = math.inf) -> int:
    if not isinstance(value, numbers.Integral) or not least <= value <= most:
        span = f"of at least {least}" if most == math.inf else f"in [{least}, {most}]"
        raise ValueError(f"{name} must be a whole number {span}, got {value!r}")
    return int(value)


def _differentiable(guide: nn.Module, feature: Tensor) -> tuple[nn.Module, Tensor]:
    """Return both in one precision, single at least, and none made in inference mode; copies where they are not so."""
    weights = [*guide.parameters(), *guide.buffers()]
    kinds = {weight.dtype for weight in weights if weight.is_floating_point()}
    dtype = torch.float64 if torch.float64 in kinds else torch.float32
    if kinds - {dtype} or any(weight.is_inference() for weight in weights):
        guide = copy.deepcopy(guide).to(dtype)
    feature = feature.detach().to(dtype)
    return guide, feature.clone() if feature.is_inference() else feature


def _logits(guide: nn.Module, feature: Tensor, rows: int) -> Tensor:
    try:
        with torch.no_grad():
            logits = torch.cat([guide(part.clone()) for part in feature.split(rows)])
    except RuntimeError as error:
        raise ValueError(f"the guide cannot take features {tuple(feature.shape)}: {error}") from error
    if logits.dim() != 2:
        raise ValueError(f"the guide must answer with logits (B, classes), got shape {tuple(logits.shape)}")
    return logits


def _target(target: Tensor | int | None, logits: Tensor) -> Tensor:
    if target is None:
        return logits.argmax(1)
    target = torch.as_tensor(target, device=logits.device)
    if target.dim() == 0:
        target = target.expand(len(logits))
    if target.shape != logits.shape[:1] or target.is_floating_point():
        raise ValueError(
            f"target must be one class or {len(logits)} of them, got {target.dtype} of shape {tuple(target.shape)}"
        )
    if target.min() < 0 or target.max() >= logits.shape[1]:
        raise ValueError(f"target must be in [0, {logits.shape[1] - 1}], got {target.min()} … {target.max()}")
    return target.long().clone()  # it may have been made in inference mode, or be expanded


Explainer = Callable[[Tensor, Tensor], Tensor]


def _untouched(guide: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the guide on a copy: a leading in-place activation would change the very feature that is explained."""
    return lambda feature: guide(feature.clone())


def _integrated_gradients(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(_untouched(guide))
    return lambda feature, target: method.attribute(
        feature, target=target, n_steps=steps, method="riemann_middle", internal_batch_size=max(rows, len(feature))
    )


def _gradient_shap(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import GradientShap

    method = GradientShap(_untouched(guide))

    def one(feature: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros_like(feature)
        for count in [rows] * (steps // rows) + [steps % rows] * (steps % rows > 0):
            baseline, noise = (
                torch.zeros_like(feature),
                0.1 * float(feature.std(correction=min(1, feature.numel() - 1))),
            )
            total += count * method.attribute(feature, baseline, target=target, n_samples=count, stdevs=noise)
        return total / steps

    return lambda feature, target: torch.cat(
        [one(*each) for each in zip(feature.split(1), target.split(1), strict=True)]
    )


def _input_x_gradient(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import InputXGradient

    method = InputXGradient(_untouched(guide))
    return lambda feature, target: method.attribute(feature.clone().requires_grad_(), target=target)


def _saliency(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import Saliency

    method = Saliency(_untouched(guide))
    return lambda feature, target: method.attribute(feature.clone().requires_grad_(), target=target)


def _occlusion(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import Occlusion

    method = Occlusion(_untouched(guide))

    def explain(feature: Tensor, target: Tensor) -> Tensor:
        channels, height, width = feature.shape[1:]
        patch = (channels, min(PATCH, height), min(PATCH, width)) if level == "pixel" else (1, height, width)
        stride = (channels, min(PATCH // 2, height), min(PATCH // 2, width)) if level == "pixel" else patch
        together = max(1, rows // len(feature))
        with torch.no_grad():
            fall = method.attribute(feature, patch, stride, target=target, perturbations_per_eval=together)
        return fall / patch[0] if level == "pixel" else fall / (height * width)  # the sum over the rest is the fall

    return explain


def _deep_lift(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    return lambda feature, target: deep_lift(guide, feature, target)


_EXPLAINERS = {
    "integrated_gradients": _integrated_gradients,
    "gradient_shap": _gradient_shap,
    "input_x_gradient": _input_x_gradient,
    "saliency": _saliency,
    "occlusion": _occlusion,
    "deep_lift": _deep_lift,
}


@contextmanager
def _seeded(seed: int, feature: Tensor) -> Iterator[None]:
    """Within it torch's and numpy's global draws, which GradientSHAP uses, follow a seed; afterwards they go on."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[feature.device] if feature.is_cuda else []):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
