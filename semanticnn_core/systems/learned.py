"""Systems that are trained behind a split, on one budget: a feature becomes bits, and what arrives a feature again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from semanticnn_core.channels.base import Arrival, BitChannel, Payload
from semanticnn_core.channels.bits import BinarySymmetric, random_ber
from semanticnn_core.codec.networks import Encoder, ResidualDecoder
from semanticnn_core.codec.payload import pack, payload_bytes, unpack
from semanticnn_core.config import CodecConfig, Stage
from semanticnn_core.datasets.augment import augment
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.settings import POSITIVE, Settings, setting
from semanticnn_core.systems.base import Received
from semanticnn_core.tasks.base import Outputs
from semanticnn_core.tasks.split import SplitModel, evaluating
from semanticnn_core.training.loop import SILENT, Progress, Run, fit, placed, training_device
from semanticnn_core.training.losses import denoising_loss
from semanticnn_core.training.teacher import taught_by, with_teacher

POSITION = 8
"""Side of what one position of a code stands for, pixels: 64 positions at 64 px, as SemanticNN has on MobileNetV2."""
LEAST = 8
"""Fewest rows and columns of a code."""
RATE = 4e-4
"""Learning rate of stage 2 that suits most systems at the budget (data/results/scene_digits-rates.csv)."""


@dataclass(frozen=True)
class Budget(Settings):
    """What every system of a benchmark is given: bytes, images, steps, a channel, a seed."""

    bytes: int = setting(384, 8, 1 << 20)
    """Bytes that may leave for an image, where a system has a choice."""
    images: int = setting(8000, 1)
    """Training images, the first of the training split."""
    epochs: tuple[int, int] = setting((2, 8), 1, 100_000)
    """Epochs of stage 1 (restore the feature) and of stage 2 (answer right)."""
    ber: tuple[float, float] = setting((1e-3, 0.1), POSITIVE, 0.5)
    """Bit error rates met in training, drawn log-uniformly for each image."""
    flip: bool = False
    """Mirror half of the training images; right for photographs, wrong for digits."""
    seed: int = setting(0, 0, 2**31 - 1)
    """Training seed."""

    @property
    def clean(self) -> "Budget":
        """The same without bit errors, for systems that are not trained with them."""
        return replace(self, ber=(POSITIVE, POSITIVE))

    def stages(self, rate: float = RATE) -> tuple[Stage, Stage]:
        """Return the settings of both stages; rate: the second one's learning rate, each system's own."""
        common = {"ber": self.ber, "flip": self.flip, "seed": self.seed}
        first, second = self.epochs
        return Stage(epochs=first, **common), Stage(epochs=second, learning_rate=rate, **common)


class FeatureCodec(nn.Module):
    """Base of systems that send a feature as a fixed number of bits; a system gives the four functions below.

    device:  feature ─► encode ─► to_bits ─► Payload
    edge:    Arrival ─► from_bits ─► decode ─► feature

    Training sends the very same bits: forward, values are those that arrive; backward, the quantiser is passed as if it
    were not there (straight through), and what `from_bits` learns gets its own gradient.
    model: the network that is served. size: bytes that may leave for an image.
    """

    title = ""
    """What tables call it; the class' name when empty."""
    bits = 0
    """Bits that leave for an image, set by the system."""
    rate = RATE
    """Learning rate of stage 2, where the validation split did not ask for another."""
    sees = "feature"
    """What `encode` gets: the feature, or the image uint8 (B, 3, H, W) itself."""

    def __init__(self, model: SplitModel, size: int) -> None:
        super().__init__()
        self.feature_shape, self.grid = model.feature_shape, code_side(model)

    def start(self, features: Tensor, model: SplitModel) -> None:
        """Fit the start of training to features (B, C, H, W); an encoder like SemanticNN's is calibrated to them."""
        if isinstance(encoder := getattr(self, "encoder", None), Encoder):
            encoder.calibrate(features)

    def encode(self, feature: Tensor) -> Tensor:
        """Return the latent, (B, …), of what the system `sees`, a feature (B, C, H, W): what the device computes."""
        raise NotImplementedError

    def to_bits(self, latent: Tensor) -> Tensor:
        """Return the bits that stand for a latent, bool (B, bits)."""
        raise NotImplementedError

    def from_bits(self, bits: Tensor, ber: float | Tensor) -> Tensor:
        """Return what received bits (B, bits) are worth, shaped as the latent."""
        raise NotImplementedError

    def decode(self, latent: Tensor, ber: float | Tensor) -> Tensor:
        """Return the feature (B, C, H, W) of a received latent."""
        raise NotImplementedError

    def penalty(self, latent: Tensor, received: Tensor) -> Tensor | float:
        """Return what a system adds to both losses."""
        return 0.0

    def local(self, feature: Tensor) -> Mapping[str, Tensor]:
        """Return what the device works out for itself and never sends, by name."""
        return {}

    def answer(self, outputs: Outputs, local: Mapping[str, Tensor]) -> Outputs:
        """Return the final outputs, from the edge's and from what the device worked out."""
        return outputs

    def forward(self, seen: Tensor, channel: BitChannel) -> tuple[Tensor, Tensor | float]:
        """Return the feature as it arrives, with gradient, and the penalty."""
        latent = self.encode(seen)
        bits = self.to_bits(latent.detach())
        received = self.from_bits(bits ^ channel.wrong_bits(*bits.shape, bits.device), channel.ber)
        through = received + latent - latent.detach()
        return self.decode(through, channel.ber), self.penalty(latent, received)

    @torch.no_grad()
    def compress(self, seen: Tensor) -> Payload:
        """Return the bytes of features (B, C, H, W), or of what the system `sees`."""
        return Payload(pack(self.to_bits(self.encode(seen)).byte(), 1))

    @torch.no_grad()
    def decompress(self, arrival: Arrival) -> Tensor:
        """Return the features (B, C, H, W) of what arrived; bytes that did not are read as zeros."""
        data, ber = arrival.payload.data, arrival.estimated_ber
        data = data if arrival.present is None else data * arrival.present
        if data.shape[1] != payload_bytes(self.bits, 1):
            raise ValueError(f"{self.title} sends {payload_bytes(self.bits, 1)} bytes, got shape {tuple(data.shape)}")
        bits = unpack(data, 1, self.bits).bool()
        return self.decode(self.from_bits(bits, ber), ber)


@dataclass(frozen=True)
class LearnedSystem:
    """A task network and a trained `FeatureCodec`."""

    model: SplitModel
    codec: FeatureCodec
    name: str
    settings: Mapping[str, object] = field(default_factory=dict)

    @torch.no_grad()
    def send(self, images: Tensor) -> Payload:
        """Return the bytes of images uint8 (B, 3, H, W); the feature stays on the device."""
        if self.codec.sees == "image":
            return self.codec.compress(images)
        feature = self.model.device_part(images)
        payload = self.codec.compress(feature)
        return replace(payload, local={"feature": feature, **payload.local, **self.codec.local(feature)})

    @torch.no_grad()
    def receive(self, arrival: Arrival) -> Received:
        """Decode what arrived and answer."""
        feature = self.codec.decompress(arrival)
        outputs = self.codec.answer(self.model.edge_part(feature), arrival.payload.local)
        return Received(outputs, feature)


def train(
    make: type[FeatureCodec], model: SplitModel, data: ImageDataset, budget: Budget, name: str = "", run: Run = SILENT
) -> LearnedSystem:
    """Build a system's codec and train it on a budget: stage 1 with equation 1, stage 2 for the task.

    Every system gets the same images in the same order, the same error rates, steps and averaging of weights; stage 2
    has cross-entropy and distillation from the uncompressed network, the network itself is frozen.
    """
    torch.manual_seed(budget.seed)
    device, served = training_device(), model.folded()
    codec = make(model, budget.bytes).to(model.device)
    train_split = data.train.take(budget.images)
    images = train_split.batch(torch.arange(min(256, len(train_split))))["image"].to(model.device)
    with torch.no_grad(), evaluating(model):
        codec.start(model.device_part(images), served)
    first, second = budget.stages(codec.rate)

    def sent(network: nn.Module, batch: dict[str, Tensor], config: Stage, progress: Progress):
        batch = augment(batch, config, progress.draws)
        with torch.no_grad():
            feature = served.device_part(batch["image"])
        channel = BinarySymmetric(random_ber(*config.ber, len(feature), progress.draws), progress.draws)
        return batch, feature, *network(batch["image"] if codec.sees == "image" else feature, channel)

    def restore(network: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        _, feature, received, penalty = sent(network, batch, first, progress)
        return {"loss": denoising_loss(feature, received) + penalty}

    def answer(network: nn.Module, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        batch, feature, received, penalty = sent(network, batch, second, progress)
        outputs = codec.answer(served.edge_part(received), codec.local(feature))
        loss = served.task.loss(outputs, batch) + penalty
        teacher = taught_by(served, batch, feature)
        return {"loss": loss + second.distill * served.task.distill(outputs, teacher, second.temperature)}

    with placed(device, codec, served):
        fit(codec, restore, lambda network: {}, train_split, first, replace(run, title=f"{name} 1"))
        taught = with_teacher(train_split, served)
        fit(codec, answer, lambda network: {}, taught, second, replace(run, title=f"{name} 2"))
    return LearnedSystem(served, codec.eval().requires_grad_(False), name or codec.title or make.__name__)


def code_side(model: SplitModel) -> int:
    """Return rows and columns of every system's code, whose positions each stand for 8×8 pixels of the image."""
    return min(max(model.image_size // POSITION, LEAST), model.feature_shape[1])


def light_encoder(model: SplitModel, channels: int) -> Encoder:
    """Return an encoder as SemanticNN's, from a network's feature to a code of so many channels."""
    return Encoder(code_settings(model, channels))


def edge_decoder(model: SplitModel, channels: int) -> ResidualDecoder:
    """Return a decoder as SemanticNN's, of values (channels, h, w) and as many numbers that say how unsure they are."""
    return ResidualDecoder(code_settings(model, channels))


def code_settings(model: SplitModel, channels: int, **settings: object) -> CodecConfig:
    """Return a codec's settings for a network's feature and a code of so many channels."""
    stride = model.feature_shape[1] // code_side(model)
    shape = {"feature_channels": model.feature_shape[0], "feature_range": model.feature_range}
    return CodecConfig(**shape, code_channels=channels, kernel=stride, stride=stride, **settings)


def channels_for(model: SplitModel, size: int, bits: int) -> int:
    """Return how many values of so many bits each position may have, of `size` bytes."""
    places = code_side(model) ** 2
    channels = 8 * size // (places * bits)
    if not channels:
        least = places * bits // 8
        raise ValueError(f"{size} bytes are too few: one value of {bits} bits a position takes {least} bytes")
    return channels


def to_binary(index: Tensor, bits: int) -> Tensor:
    """Return whole numbers (B, …) in [0, 2^bits) as bits, bool (B, n), the lowest first."""
    return (index[..., None] >> torch.arange(bits, device=index.device) & 1).bool().flatten(1)


def from_binary(bits: Tensor, width: int) -> Tensor:
    """Return the whole numbers, int64 (B, n / width), that bits (B, n) stand for."""
    weights = 1 << torch.arange(width, device=bits.device)
    return (bits.unflatten(1, (-1, width)) * weights).sum(-1)
