"""A task network cut in two: the part the device runs and the part the edge runs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from semanticnn_core.datasets.base import Split, moved
from semanticnn_core.tasks.base import Outputs, Task, joined
from semanticnn_core.tasks.classification import Classification

Cut = Literal["stem", "pool"]
CLASSIFIERS = ("mobilenet_v2", "resnet50")
DETECTORS = ("yolov3", "yolov3_tiny", "yolov3_small")

ZERO_POINT = (124, 116, 104)  # ImageNet's mean colour in whole pixel values, so that firmware can pad with it
PIXEL_STD = (58.395, 57.12, 57.375)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it a module is in evaluation mode; afterwards every part of it is in the mode it had."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, training in modes.items():
            each.training = training


class PixelNormalize(nn.Module):
    """Turn uint8 pixels (B, 3, H, W) into zero-centred floats: (pixel − integer zero point) / std."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero_point", torch.tensor(ZERO_POINT, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(PIXEL_STD)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        images = (images.to(self.std.dtype) - self.zero_point) / self.std
        return images.contiguous(memory_format=torch.channels_last)


class SplitModel(nn.Module):
    """Any two modules in a row: `device_part` maps uint8 images to a feature, `edge_part` the feature to outputs.

    image_size: height and width of the square images the split is meant for, pixels.
    task: what is asked of the outputs; classification when left out.
    feature_range: smallest and largest feature value; when left out, that of the activation the device runs last, or
    open where its feature does not keep to it.
    Raises ValueError when the dry run that finds the feature's shape fails.
    """

    def __init__(
        self,
        device_part: nn.Module,
        edge_part: nn.Module,
        image_size: int,
        feature_range: tuple[float, float] | None = None,
        description: dict | None = None,
        task: Task | None = None,
    ) -> None:
        super().__init__()
        self.device_part, self.edge_part, self.image_size = device_part, edge_part, image_size
        self.description, self.task = description or {}, task or Classification()
        self.feature_shape, self.output_shape, self.feature_range = self._dry_run(feature_range)

    def forward(self, images: Tensor) -> Tensor:
        """Return the edge's output for images uint8 (B, 3, H, W), nothing compressed."""
        return self.edge_part(self.device_part(images))

    @property
    def device(self) -> torch.device:
        """The processor that holds the weights, to which images must be brought."""
        return next(self.parameters(), torch.empty(0)).device

    @torch.no_grad()
    def answer_all(self, split: Split) -> Any:
        """Return the outputs of the uncompressed network for every item of a split, joined, on the CPU."""
        with evaluating(self):
            return joined([moved(self(batch["image"]), "cpu") for _, batch in split.batches(device=self.device)])

    def score(self, split: Split) -> float:
        """Return the task's score of the uncompressed network on a split."""
        return self.task.score(self.answer_all(split), split.columns)

    def frozen(self) -> "SplitModel":
        """Put the network in evaluation mode, switch its gradients off, and return it."""
        return self.eval().requires_grad_(False)

    def folded(self) -> "SplitModel":
        """Freeze the network and return a copy whose edge has its batch norms folded into the convolutions before.

        The outputs agree to rounding, and MobileNetV2's forward and backward pass takes a quarter less time.
        An edge that torch.fx cannot trace, or that shares layers, is returned as it is.
        """
        edge = self.frozen().edge_part
        probe = torch.rand(2, *self.feature_shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        try:
            candidate = fuse(edge).requires_grad_(False)
            with torch.no_grad():
                same = _close(candidate(probe), edge(probe))
        except Exception:  # what a traced network may raise is as open as what it may contain
            same = False
        edge = candidate if same else edge
        return SplitModel(self.device_part, edge, self.image_size, self.feature_range, self.description, self.task)

    def with_classes(self, classes: int) -> "SplitModel":
        """Return the network with outputs for so many classes: itself, or with a new last layer.

        Raises ValueError when the edge part does not end in a linear layer.
        """
        last = self.edge_part[-1] if isinstance(self.edge_part, nn.Sequential) else None
        if self.output_shape == (classes,):
            return self
        if not isinstance(last, nn.Linear):
            raise ValueError("only an edge part that is a Sequential ending in a Linear layer can get another head")
        head = nn.Linear(last.in_features, classes).to(self.device)
        described = self.description | ({"classes": classes} if self.description else {})
        edge = nn.Sequential(*self.edge_part[:-1], head)
        return SplitModel(self.device_part, edge, self.image_size, self.feature_range, described, self.task)

    def half_rounded(self) -> "SplitModel":
        """Round all weights, in place, to the half precision in which they are published; returns the network."""
        return self.half().float()

    def _dry_run(
        self, given: tuple[float, float] | None
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, float]]:
        """Send two images of noise through; returns the shapes of feature and output, and the feature's range."""
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (2, 3, self.image_size, self.image_size), generator=generator, dtype=torch.uint8)
        ran: list[nn.Module] = []
        leaves = [module for module in self.device_part.modules() if not list(module.children())]
        hooks = [leaf.register_forward_hook(lambda leaf, *_: ran.append(leaf)) for leaf in leaves]
        try:
            with torch.no_grad(), evaluating(self):
                feature = self.device_part(images.to(self.device))
                output = self.edge_part(feature.clone())
        except RuntimeError as error:
            raise ValueError(f"the split does not run on images {tuple(images.shape)}: {error}") from error
        finally:
            for hook in hooks:
                hook.remove()
        if feature.dim() != 4:
            raise ValueError(f"the device part must give a feature (B, C, H, W), got shape {tuple(feature.shape)}")
        low, high = given or _activation_range(ran)
        if not given and (feature.min() < low or feature.max() > high):  # something without a module came after
            low, high = -math.inf, math.inf
        return tuple(feature.shape[1:]), tuple(getattr(output, "shape", ())[1:]), (low, high)

    @classmethod
    def of(
        cls,
        name: str,
        classes: int,
        image_size: int,
        cut: Cut | None = None,
        pretrained: bool = False,
        width: float | None = None,
    ) -> "SplitModel":
        """Build a network by name, cut after its first layer.

        name: torchvision's `mobilenet_v2` (cut after the stem) or `resnet50` (cut after the `stem` or, by default,
        after the max-`pool` behind it), or a detector: `yolov3`, `yolov3_tiny`, `yolov3_small` (cut after the layer
        that first halves the image).
        pretrained: start from torchvision's ImageNet weights; the head is new unless classes is 1000.
        width: a detector's channels, in shares of the original's; its own when left out.
        """
        if name not in (*CLASSIFIERS, *DETECTORS):
            known = ", ".join((*CLASSIFIERS, *DETECTORS))
            raise ValueError(f"unknown task model {name!r}; known: {known}; any other: SplitModel(device, edge, size)")
        if name in DETECTORS:
            return cls._detector(name, classes, image_size, cut, pretrained, width)
        if width is not None:
            raise ValueError(f"width is for detectors, {name} has one of its own")
        cuts = ("stem",) if name == "mobilenet_v2" else ("pool", "stem")
        cut = cut or cuts[0]
        if cut not in cuts:
            raise ValueError(f"{name} can be cut after {' or '.join(cuts)}, not after {cut!r}")
        if classes < 2:
            raise ValueError(f"classes must be at least 2, got {classes}")
        if image_size < 32:
            raise ValueError(f"image_size must be at least 32 for {name}, got {image_size}")
        _, device_part, edge_part = torchvision_parts(name, classes, cut, pretrained)
        description = {"model": name, "classes": classes, "image_size": image_size, "cut": cut}
        model = cls(nn.Sequential(PixelNormalize(), *device_part), edge_part, image_size, description=description)
        return model.to(memory_format=torch.channels_last)

    @classmethod
    def _detector(
        cls, name: str, classes: int, image_size: int, cut: Cut | None, pretrained: bool, width: float | None
    ) -> "SplitModel":
        from semanticnn_core.tasks.yolov3 import parts

        if pretrained:
            raise ValueError(f"torchvision has no weights for {name}; read the original's with read_weights")
        if cut not in (None, "stem"):
            raise ValueError(f"{name} can be cut after stem, not after {cut!r}")
        if classes < 1:
            raise ValueError(f"classes must be at least 1, got {classes}")
        device_part, edge_part, task = parts(name, classes, image_size, width)
        about = {"model": name, "classes": classes, "image_size": image_size, "cut": "stem", "width": width}
        model = cls(device_part, edge_part, image_size, description=about, task=task)
        return model.to(memory_format=torch.channels_last)


def _close(one: Outputs, other: Outputs) -> bool:
    """Return whether outputs agree to rounding."""
    if isinstance(one, Tensor):
        return torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    return all(map(_close, one, other))


def torchvision_parts(
    name: str, classes: int, cut: Cut, pretrained: bool = False
) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Return a torchvision classifier, the modules of it that the device runs, and the edge part."""
    net = _torchvision(name, classes, pretrained)
    if name == "mobilenet_v2":
        if net.classifier[1].out_features != classes:
            net.classifier[1] = nn.Linear(net.last_channel, classes)
        edge = nn.Sequential(*net.features[1:], nn.AdaptiveAvgPool2d(1), nn.Flatten(), *net.classifier)
        return net, [*net.features[0]], edge
    if net.fc.out_features != classes:
        net.fc = nn.Linear(net.fc.in_features, classes)
    stem, pool = [net.conv1, net.bn1, net.relu], [net.maxpool]
    tail = [net.layer1, net.layer2, net.layer3, net.layer4, net.avgpool, nn.Flatten(), net.fc]
    return (net, stem + pool, nn.Sequential(*tail)) if cut == "pool" else (net, stem, nn.Sequential(*pool, *tail))


def _torchvision(name: str, classes: int, pretrained: bool) -> nn.Module:
    import torchvision

    if not pretrained:
        return _identity_start(torchvision.models.get_model(name, num_classes=classes))
    try:
        return torchvision.models.get_model(name, weights="DEFAULT")
    except OSError as error:
        raise OSError(
            f"torchvision could not fetch its weights for {name} ({error}); go online once, or leave pretrained out"
        ) from error


def _identity_start(net: nn.Module) -> nn.Module:
    """Let every residual branch begin at zero: the deep network then starts as a shallow one and learns at once.

    From torchvision's own start, MobileNetV2 was at chance after 750 steps on a harder draft of SceneDigits (one run
    at learning rate 3e-3); from this one it was learning after 250.
    """
    from torchvision.models.mobilenetv2 import InvertedResidual
    from torchvision.models.resnet import Bottleneck

    for block in net.modules():
        if isinstance(block, InvertedResidual) and block.use_res_connect:
            nn.init.zeros_(block.conv[-1].weight)
        elif isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
    return net


def _activation_range(ran: list[nn.Module]) -> tuple[float, float]:
    """Return the range of the last activation among the modules that ran, if nothing that could leave it followed."""
    keeping = (nn.MaxPool2d, nn.AvgPool2d, nn.Dropout, nn.Identity)
    last = next((module for module in reversed(ran) if not isinstance(module, keeping)), None)
    known = {nn.ReLU: (0.0, math.inf), nn.ReLU6: (0.0, 6.0), nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}
    return known.get(type(last), (-math.inf, math.inf))
