"""What the edge network looks at: attribution maps of a feature, by captum, and the differentiable one of equation 3.

All maps explain one class's logit at a feature (B, C, H, W). A *pixel* map sums over the channels, a *channel* map
over the pixels. The network that explains, the guide, is the edge network itself unless another is given.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Level = Literal["pixel", "channel"]
METHODS = ("integrated_gradients", "gradient_shap", "input_x_gradient", "saliency", "occlusion", "deep_lift")
COMPLETE = ("integrated_gradients", "gradient_shap", "deep_lift")
"""Methods whose scores should sum to the logit's rise from the zero feature to this one."""
PATCH = 4
"""Pixels occluded together, in each direction; the window moves by half of it."""


@dataclass(frozen=True)
class Attribution:
    """Scores of a batch of features, and how far they are from complete."""

    scores: Tensor
    """(B, H, W) at pixel level, (B, C) at channel level; positive speaks for the class (saliency: unsigned)."""
    target: Tensor
    """The classes explained, int64 (B,)."""
    gap: Tensor | None
    """|Σ scores − (logit at the feature − logit at zero)| over that rise's size, (B,); None where not defined."""


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

    guide: maps features to logits (B, classes), in evaluation mode; the edge network itself or another.
    target: class of each sample (B,), or one for all; the guide's own answer when left out.
    method: `integrated_gradients` (midpoint rule, `steps` points), `gradient_shap` (`steps` noisy points),
    `input_x_gradient`, `saliency` (absolute gradient), `occlusion` (4×4 pixels, or a channel, set to zero) or
    `deep_lift`.
    internal_batch_size: features that pass the guide at a time, which bounds the memory.
    Raises ValueError on an unknown method or level, a class out of range, and features the guide cannot take.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if level not in ("pixel", "channel"):
        raise ValueError(f"level must be 'pixel' or 'channel', got {level!r}")
    fewest = 2 if method == "integrated_gradients" else 1  # captum's own least; one point: `midpoint_attribution`
    for name, value, least in (("steps", steps, fewest), ("internal_batch_size", internal_batch_size, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    feature = feature.detach()
    logits = _logits(guide, feature, internal_batch_size)
    target = _target(target, logits)
    explain = _EXPLAINERS[method](guide, level, steps, internal_batch_size)
    rows = max(1, internal_batch_size // (2 if method == "deep_lift" else 1))
    with _seeded(seed, feature) if method == "gradient_shap" else nullcontext():
        parts = [explain(*part).detach() for part in zip(feature.split(rows), target.split(rows), strict=True)]
    scores = torch.cat(parts).sum(1 if level == "pixel" else (2, 3))
    gap = None
    if method in COMPLETE:
        at_zero = _logits(guide, torch.zeros_like(feature[:1]), internal_batch_size)[0]
        rise = logits.gather(1, target[:, None])[:, 0] - at_zero[target]
        gap = (scores.flatten(1).sum(1) - rise).abs() / rise.abs().clamp_min(1e-6)
    return Attribution(scores, target, gap)


def midpoint_attribution(guide: nn.Module, feature: Tensor, target: Tensor) -> Tensor:
    """Return φ (B, H, W), the pixel map of one-point Integrated Gradients, with gradient to the feature.

    φ = Σ_channels feature × ∂logit/∂feature at half the feature. The gradient factor is held constant: ReLU and ReLU6
    networks in evaluation mode are piecewise linear, so its derivative is zero almost everywhere. One forward and one
    backward pass.
    """
    half = (0.5 * feature).detach().requires_grad_()
    with torch.enable_grad():
        logit = guide(half).gather(1, target[:, None]).sum()
    return (feature * torch.autograd.grad(logit, half)[0]).sum(1)


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
    return target.long()


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
            baseline, noise = torch.zeros_like(feature), 0.1 * float(feature.std())
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
        patch, stride = (channels, PATCH, PATCH), (channels, PATCH // 2, PATCH // 2)
        if level == "channel":
            patch, stride = (1, height, width), (1, height, width)
        together = max(1, rows // len(feature))
        with torch.no_grad():
            fall = method.attribute(feature, patch, stride, target=target, perturbations_per_eval=together)
        return fall / patch[0] if level == "pixel" else fall / (height * width)  # the sum over the rest is the fall

    return explain


def _deep_lift(guide: nn.Module, level: Level, steps: int, rows: int) -> Explainer:
    from captum.attr import DeepLift
    from captum.attr._core import deep_lift

    deep_lift.SUPPORTED_NON_LINEAR.setdefault(nn.ReLU6, deep_lift.nonlinear)  # or it counts as linear, without a word
    method = DeepLift(_own_activations(guide))

    def explain(feature: Tensor, target: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum announces its hooks
            return method.attribute(feature.clone().requires_grad_(), target=target)

    return explain


def _own_activations(guide: nn.Module) -> nn.Module:
    """Return a copy in which every call of an activation is a module of its own, not in place.

    DeepLIFT's hooks keep one input a module; torchvision's ResNet calls each ReLU several times, and a call of a
    function is not seen at all.
    """
    graph = torch.fx.symbolic_trace(copy.deepcopy(guide).eval())
    seen = set()
    for node in graph.graph.nodes:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if node.op in ("call_function", "call_method") and name in ("relu", "relu_", "relu6"):
            again = f"{name}_{node.name}"
            graph.add_submodule(again, nn.ReLU6() if name == "relu6" else nn.ReLU())
            node.op, node.target, node.args, node.kwargs = "call_module", again, (node.all_input_nodes[0],), {}
        if node.op == "call_module":
            module = graph.get_submodule(node.target)
            if getattr(module, "inplace", False):
                module.inplace = False
            if node.target in seen and not list(module.parameters()):
                again = f"{node.target}_{len(seen)}_{node.name}"
                graph.add_submodule(again, copy.deepcopy(module))
                node.target = again
            seen.add(node.target)
    graph.recompile()
    return graph


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
