"""Every compared system by name: how it is made for a network, data and a budget. A plain dict, to be added to."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import PAPER, SENSITIVITY, WHOLE, CodecConfig, Slice
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.systems.adjscc import FloatADJSCC, UniformADJSCC
from semanticnn_core.systems.agilenn import AgileNN, CompressedAgileNN, LocalHead
from semanticnn_core.systems.base import OffloadSystem
from semanticnn_core.systems.bottlenet import BottleNet
from semanticnn_core.systems.deepcod import DeepCOD
from semanticnn_core.systems.deepsc import DeepSC, EdgeDeepSC
from semanticnn_core.systems.learned import (
    RATE,
    Budget,
    FeatureCodec,
    channels_for,
    code_settings,
    code_side,
    train,
)
from semanticnn_core.systems.limitnet import BareLimitNet, LimitNet
from semanticnn_core.systems.necst import IABF, NECST
from semanticnn_core.systems.neuromessenger import NeuroMessenger
from semanticnn_core.systems.pictures import Picture
from semanticnn_core.systems.product_vq import ProductVQ
from semanticnn_core.systems.protected import Protected, Retransmitted
from semanticnn_core.systems.raw import Raw
from semanticnn_core.systems.semanticnn import SemanticNN
from semanticnn_core.systems.thumbnail import LearnedThumbnail, Thumbnail
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import SILENT, Run
from semanticnn_core.training.sensitivity import sensitivity
from semanticnn_core.training.stages import finetune_semantic, new_codec, pretrain_denoising

Kind = Literal["faithful", "fair", "published"]
PUBLISHED = "SemanticNN, published"
"""The row of a checkpoint's own codec."""
WEIGHED = "SemanticNN, weighed by the task"
WEIGHED_PARITY = "SemanticNN, weighed by the task, with parity"
WEIGHED_BOTTLENECK = "bottleneck + error correction, weighed by the task"
"""Rows whose stage 1 minimises what errors of the feature cost the task (see `training.sensitivity`)."""
JPEG_READ = "JPEG + error correction, network trained on it"
WEBP_READ = "WebP + error correction, network trained on it"
"""Rows whose network is not the frozen one: a copy that learned to read what arrives."""
Make = Callable[[SplitModel, ImageDataset, Budget, Run], "OffloadSystem | Mapping[float, OffloadSystem]"]


@dataclass(frozen=True)
class Compared:
    """A row of the benchmark.

    make: builds, and trains, the system; where the sender knows the bit error rate, one system for each rate up to
    which it is used. kind: as its paper has it, or with the bytes, channel and budget that all have, or a codec that
    was trained far longer. trained: whether the training seed matters.
    """

    make: Make
    kind: Kind = "fair"
    trained: bool = True


def semanticnn(
    model: SplitModel,
    data: ImageDataset,
    budget: Budget,
    run: Run = SILENT,
    name: str = "SemanticNN, ours",
    slice: Slice = WHOLE,
    distill: float = 1.0,
    rate: float = RATE,
    weighed: float = 0.0,
    **codec: object,
) -> SemanticNN:
    """Train SemanticNN's codec on a budget; further settings are the codec's.

    rate: learning rate of stage 2. weighed: share of stage 1's error that is weighed by the task.
    """
    codec = {"centers": 4} | codec
    bits = CodecConfig(centers=codec["centers"]).bits
    channels = codec.pop("code_channels", 0) or channels_for(model, budget.bytes, bits)
    config = code_settings(model, channels, **codec)
    used = replace(data, train=data.train.take(budget.images), validation=data.validation.take(200))
    metric = sensitivity(model.folded(), used.train, config.stride, weighed, budget.seed)
    trained = new_codec(model, data, config, budget.seed, metric)
    first, second = (replace(each, slice_ratio=(slice.ratio, slice.ratio)) for each in budget.stages(rate))
    pretrain_denoising(trained, model.device_part, used, first, run, metric)
    finetune_semantic(trained, model, used, replace(second, distill=distill), run)
    return SemanticNN(model.folded(), trained.requires_grad_(False), slice, name)


PAPER_RATE = 1.5e-3
"""Learning rate of stage 2 for the paper's decoder, which learns little on this budget in steps that suit ours."""


def paper(**changes: object) -> Make:
    """Return how the paper's codec is made: eight centres, its decoder; `changes` are further settings.

    Like all rows it is distilled from the uncompressed network, and not trained with L_XAI. The released scheme is the
    same in a random code order, without distillation; what the release has beside (centres that stay where chance put
    them, an L_div without gradient, symbols replaced in place of flipped bits) is repaired.
    """
    kept = ("centers", "decoder", "decoder_widths", "code_order", "dequantizer")
    settings = {"rate": PAPER_RATE} | {name: getattr(PAPER, name) for name in kept} | changes
    return partial(semanticnn, **settings)


FIXED = 208 / 384
"""Share of the bytes that may be data for all of them to arrive right up to 5 % bit errors."""
RATES = {2.5e-3: 352 / 384, 1e-2: 320 / 384, 2.5e-2: 272 / 384, 5e-2: FIXED, 0.5: 144 / 384}
"""That share for a sender which knows the bit error rate, by the largest rate for which it is used."""


def data_bytes(model: SplitModel, size: int, share: float, centers: int = 4) -> int:
    """Return the bytes of data, in whole channels, among `size` bytes with parity."""
    channel = channel_bytes(model, centers)
    return max(round(size * share / channel), 1) * channel


def channel_bytes(model: SplitModel, centers: int = 4) -> int:
    """Return the bytes of one channel of so many centres: of four, 16 at 64 positions."""
    return code_side(model) ** 2 * CodecConfig(centers=centers).bits // 8


def bottleneck(
    model: SplitModel,
    data: ImageDataset,
    budget: Budget,
    run: Run = SILENT,
    share: float = FIXED,
    name: str = "bottleneck + error correction",
    weighed: float = 0.0,
    centers: int = 4,
) -> Protected:
    """Train our codec without errors, and put it behind an error-correcting code."""
    size = data_bytes(model, budget.bytes, share, centers)
    codec = {"code_channels": size // channel_bytes(model, centers), "centers": centers}
    inner = semanticnn(model, data, budget.clean, run, weighed=weighed, **codec)
    return Protected(inner, size, budget.bytes, name)


def knowing_bottleneck(
    model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT
) -> dict[float, OffloadSystem]:
    """Train one bottleneck for every rate of the code that a sender which knows the link would choose."""
    name = "bottleneck + error correction, rate known"
    made = {most: bottleneck(model, data, budget, run, share) for most, share in RATES.items()}
    return {most: replace(each, name=name) for most, each in made.items()}


def with_parity(model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT) -> SemanticNN:
    """Train our codec under errors with parity of its own, whose soft decisions its decoder is trained on."""
    size = data_bytes(model, budget.bytes, FIXED, centers=8)
    codec = {"centers": 8, "code_channels": size // channel_bytes(model, 8), "parity": 1 - size / budget.bytes}
    return semanticnn(model, data, budget, run, name=WEIGHED_PARITY, weighed=SENSITIVITY, **codec)


def picture(format: str, name: str) -> Make:
    """Return how a picture behind error correction is made."""

    def make(model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT) -> Protected:
        size = data_bytes(model, budget.bytes, FIXED)
        return Protected(Picture(model.folded(), size, format), size, budget.bytes, name)

    return make


def read_picture(format: str, name: str) -> Make:
    """Return how pictures behind error correction are read by a copy of the network, trained on images and epochs of
    the budget."""

    def make(model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT) -> Protected:
        size = data_bytes(model, budget.bytes, FIXED)
        used = replace(data, train=data.train.take(budget.images))
        taught = Picture(model, size, format).taught(used, sum(budget.epochs), budget.flip, budget.seed, run)
        return Protected(replace(taught, model=model.folded()), size, budget.bytes, name)

    return make


def repeated(format: str, name: str) -> Make:
    """Return how a picture with checksum and retransmission is made."""

    def make(model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT) -> Retransmitted:
        return Retransmitted(Picture(model.folded(), budget.bytes - 4, format), name)

    return make


def published(codec: SemanticCodec) -> Compared:
    """Return the row of a codec as it is: what a system can do that had all the time it needed."""
    return Compared(untrained(lambda model, _: SemanticNN(model, codec, name=PUBLISHED)), "published", False)


def untrained(build: Callable[[SplitModel, Budget], OffloadSystem]) -> Make:
    """Return how a system without training is made."""
    return lambda model, data, budget, run=SILENT: build(model.folded(), budget)


def learned(codec: type[FeatureCodec], clean: bool = False, name: str = "") -> Make:
    """Return how a `FeatureCodec` is made and trained: with bit errors, or without."""

    def make(model: SplitModel, data: ImageDataset, budget: Budget, run: Run = SILENT) -> OffloadSystem:
        return train(codec, model, data, budget.clean if clean else budget, name or codec.title, run)

    return make


SYSTEMS: dict[str, Compared] = {
    "SemanticNN, ours": Compared(semanticnn),
    "SemanticNN, ours, a fifth left out": Compared(  # SemanticNN₀.₂ of Figure 6 sends 20 % less
        partial(semanticnn, name="SemanticNN, ours, a fifth left out", slice=Slice(0.8)), "faithful"
    ),
    WEIGHED: Compared(partial(semanticnn, name=WEIGHED, weighed=SENSITIVITY, centers=8)),
    WEIGHED_PARITY: Compared(with_parity),
    "SemanticNN, paper": Compared(paper(name="SemanticNN, paper")),
    "SemanticNN, released scheme": Compared(
        paper(name="SemanticNN, released scheme", code_order="random", distill=0.0), "faithful"
    ),
    "bottleneck + error correction": Compared(bottleneck),
    WEIGHED_BOTTLENECK: Compared(partial(bottleneck, name=WEIGHED_BOTTLENECK, weighed=SENSITIVITY, centers=8)),
    "bottleneck + error correction, rate known": Compared(knowing_bottleneck),
    "NECST": Compared(learned(NECST)),
    "IABF": Compared(learned(IABF)),
    "product VQ": Compared(learned(ProductVQ)),
    "DeepCOD*": Compared(learned(DeepCOD)),
    "DeepCOD*, no errors in training": Compared(learned(DeepCOD, True, "DeepCOD*, no errors in training"), "faithful"),
    "AgileNN*": Compared(learned(AgileNN)),
    "AgileNN*, LZW": Compared(learned(CompressedAgileNN, True), "faithful"),
    "AgileNN*, local head alone": Compared(learned(LocalHead), "faithful"),
    "A-ADJSCC": Compared(learned(FloatADJSCC), "faithful"),
    "A-ADJSCC, 3 bits": Compared(learned(UniformADJSCC)),
    "BottleNet++": Compared(learned(BottleNet)),
    "DeepSC*": Compared(learned(DeepSC), "faithful"),
    "DeepSC*, edge alone": Compared(learned(EdgeDeepSC)),
    "LimitNet*": Compared(learned(LimitNet)),
    "LimitNet*, bare map": Compared(learned(BareLimitNet, True), "faithful"),
    "thumbnail": Compared(untrained(lambda model, budget: Thumbnail(model)), trained=False),
    "thumbnail, learned decoder": Compared(learned(LearnedThumbnail)),
    "JPEG + error correction": Compared(picture("jpeg", "JPEG + error correction"), trained=False),
    "WebP + error correction": Compared(picture("webp", "WebP + error correction"), trained=False),
    JPEG_READ: Compared(read_picture("jpeg", JPEG_READ)),
    WEBP_READ: Compared(read_picture("webp", WEBP_READ)),
    "JPEG + retransmission": Compared(repeated("jpeg", "JPEG + retransmission"), "faithful", False),
    "NeuroMessenger-style": Compared(untrained(lambda model, budget: NeuroMessenger(model)), "faithful", False),
    "NeuroMessenger-style, capped": Compared(
        untrained(lambda model, budget: NeuroMessenger(model, budget.bytes)), "faithful", False
    ),
    "raw image, 8 bits": Compared(untrained(lambda model, budget: Raw(model)), "faithful", False),
    "raw image, 32-bit floats": Compared(untrained(lambda model, budget: Raw(model, "image", True)), "faithful", False),
    "raw feature, 8 bits": Compared(untrained(lambda model, budget: Raw(model, "feature")), "faithful", False),
    "raw feature, 32-bit floats": Compared(
        untrained(lambda model, budget: Raw(model, "feature", True)), "faithful", False
    ),
}
"""What the benchmark compares, in the order of its tables."""


def from_file(words: str) -> tuple[str, Compared]:
    """Return the name and the row of a system of one's own, given as FILE.py:CLASS.

    CLASS is a `FeatureCodec`, which is trained on the budget as all are, or anything that is called with model, data
    and budget and returns an `OffloadSystem`. Raises ValueError when the file cannot be read or lacks it.
    """
    path, _, wanted = words.rpartition(":")
    file = Path(path).expanduser()
    if file.suffix != ".py" or not wanted:
        raise ValueError(f"a system of one's own must be FILE.py:CLASS, got {words!r}")
    if not file.is_file():
        raise ValueError(f"there is no file {file}, which should give the system {wanted}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = getattr(module, wanted)
    except Exception as error:
        raise ValueError(f"{file} gives no {wanted}: {type(error).__name__}: {error}") from error
    if inspect.isclass(found) and issubclass(found, FeatureCodec):
        return found.title or wanted, Compared(learned(found, name=found.title or wanted))
    if not callable(found):
        raise ValueError(f"{wanted} of {file} is neither a FeatureCodec nor a function (model, data, budget)")
    return wanted, Compared(lambda model, data, budget, run=SILENT: found(model, data, budget))
