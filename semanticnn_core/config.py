"""The settings of codecs, slices and trainings, and the numbers that everybody shares."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from semanticnn_core.settings import POSITIVE, Settings, setting

DEFAULT_CHECKPOINT = "mobilenet_v2-scene_digits"
"""The checkpoint under data/checkpoints that is taken when none is named."""
BER_GRID = (1e-4, 2.5e-3, 1e-2, 2.5e-2, 5e-2)
"""Bit error rates behind every mean 'over 0.01–5 %'."""
UNCOMPRESSED = "uncompressed"
"""What tables call the network that gets the image as it is, without link or codec."""


def percent(ber: float) -> str:
    """Return a rate as people read it: 0.0025 is `0.25 %`."""
    return f"{100 * ber:.4g} %"


DecoderKind = Literal["residual", "transposed"]
CodeOrder = Literal["optimal", "natural", "gray", "hamming", "random"]
Dequantizer = Literal["posterior", "plain"]
WeightsInput = Literal["normalized", "pixels"]
"""What images a network was trained on: normalised by ImageNet's mean and standard deviation, as torchvision's are, or
pixels 0–255 less the mean, as Caffe's and Keras' ResNets."""
Window = Literal["center", "importance", "energy"]


@dataclass(frozen=True)
class Slice(Settings):
    """Which part of the code leaves the device; both sides agree on it, the bytes do not say it (section 3.3)."""

    ratio: float = setting(1.0, POSITIVE, 1)
    """Share of the code that is asked for; whole rows and columns are sent, never more than asked."""
    window: Window = "center"
    """Where it lies: in the middle, or where the device's table of importance (or the code's energy) says."""
    progressive: bool = False
    """Whether pixels leave from the middle of the window outwards, so that a lost tail costs least."""


WHOLE = Slice()
"""The whole code, row by row."""


@dataclass(frozen=True)
class CodecConfig(Settings):
    """What the codec is; the defaults give 384 bytes for MobileNetV2's 32×32×32 feature."""

    feature_channels: Annotated[int, tyro.conf.Suppress] = setting(32, 1, 4096)
    """Channels of the feature at the split."""
    feature_range: Annotated[tuple[float, float], tyro.conf.Suppress] = (0.0, 6.0)
    """Smallest and largest value the feature can take; ReLU6 gives 0 6, ReLU gives 0 inf."""
    code_channels: int = setting(16, 1, 1024)
    """Channels of the latent that is quantised; the paper has 16."""
    kernel: int = setting(4, 1, 16)
    """Kernel of the encoder's one convolution."""
    stride: int = setting(4, 1, 16)
    """Stride of the encoder's one convolution: 1, 2, 4, 8 or 16."""
    centers: int = setting(8, 2, 64)
    """Quantisation centres: 2, 4, 8, 16, 32 or 64; the paper has 8. Four, in half as many channels again, are
    ahead where a tenth of the bits flips, but not of eight with a stage 1 that is weighed by the task."""
    decoder: DecoderKind = "residual"
    """What the edge restores features with: residual blocks, or the paper's transposed convolutions."""
    decoder_widths: tuple[int, ...] = setting((192, 192, 192, 192), 1, 4096)
    """Channels after each decoder block; the residual decoder's are all equal."""
    code_order: CodeOrder = "optimal"
    """Which code word goes to which centre."""
    dequantizer: Dequantizer = "posterior"
    """What a received symbol becomes: its posterior mean at the estimated BER, or plainly its centre."""
    parity: float = setting(0.0, 0, 0.9)
    """Share of the bytes sent that is parity, by which the edge corrects the rest; 5/12 corrects 5 % bit errors."""

    def check_together(self) -> None:
        for name in ("stride", "centers"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        if self.kernel < self.stride:
            raise ValueError(
                f"kernel must be at least stride ({self.stride}), or pixels are skipped; got {self.kernel}"
            )
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"feature_range must be (low, high) with low < high, got {self.feature_range}")
        if self.decoder == "residual":
            if len(set(self.decoder_widths)) != 1:
                raise ValueError(f"decoder_widths of a residual decoder must all be equal, got {self.decoder_widths}")
            return
        ups = max(self.stride.bit_length() - 2, 0)
        if not self.decoder_widths or len(self.decoder_widths) < ups:
            raise ValueError(f"decoder_widths needs at least {max(ups, 1)} blocks at stride {self.stride}")

    @property
    def bits(self) -> int:
        """Bits per symbol, log2(centers)."""
        return self.centers.bit_length() - 1


PAPER = CodecConfig(
    code_channels=16, centers=8, decoder="transposed", decoder_widths=(64, 96, 64), code_order="natural",
    dequantizer="plain", parity=0.0,
)  # fmt: skip
"""The paper's codec, for MobileNetV2's feature."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """What every training has: AdamW under a one-cycle schedule, images varied a little, all seeded."""

    epochs: int = setting(10, 1, 100_000)
    """Passes over the training split."""
    batch_size: int = setting(64, 1, 65_536)
    """Images per step and process."""
    learning_rate: float = setting(2e-3, 1e-8, 10)
    """Peak of the one-cycle schedule."""
    weight_decay: float = setting(1e-4, 0, 1)
    """AdamW's decoupled weight decay."""
    gradient_clip: float = setting(1.0, 1e-6, 1e6)
    """Largest norm of the gradient."""
    warmup: float = setting(0.15, 0, 0.9)
    """Share of the steps in which the learning rate rises."""
    average: float = setting(0.02, 0, 1)
    """Time constant of the running average of the weights that is kept, as a share of all steps; 0 keeps the last."""
    seed: int = setting(0, 0, 2**31 - 1)
    """Fixes initial weights, order of images, noise."""
    shift: int = setting(4, 0, 64)
    """Largest random shift in pixels, borders reflected."""
    flip: bool = False
    """Mirror half of the images; right for photographs, wrong for digits."""
    jitter: float = setting(0.2, 0, 0.9)
    """Largest random change of brightness and contrast."""
    coarse: float = setting(1.0, 1, 16)
    """Largest factor by which images are shrunk and enlarged again; half of them are, a batch by one factor."""
    noise: float = setting(0.0, 0, 128)
    """Largest standard deviation of noise on the pixels, grey levels; each image draws its own, most of them small."""
    grain: float = setting(1.0, 1, 64)
    """Largest side of the squares that the noise is constant on, pixels; a batch has one side."""


@dataclass(frozen=True)
class BaseTrainConfig(TrainConfig):
    """Training of the task network itself, before any codec."""

    epochs: int = setting(12, 0, 100_000)
    """Passes over the training split; 0 publishes the network as it starts."""
    batch_size: int = setting(64, 1, 65_536)
    learning_rate: float = setting(2e-3, 1e-8, 10)
    weight_decay: float = setting(0.05, 0, 1)
    label_smoothing: float = setting(0.1, 0, 0.9)
    """Probability spread over the wrong classes."""
    sizes: tuple[int, ...] = setting((), 16, 4096)
    """Image sizes that equal shares of a classifier's training have, pixels, rising to the network's own: a small start
    costs a fraction of the time."""

    def check_together(self) -> None:
        if list(self.sizes) != sorted(self.sizes):
            raise ValueError(f"sizes must rise to the network's own, got {' '.join(map(str, self.sizes))}")


@dataclass(frozen=True)
class CodecTrainConfig(TrainConfig):
    """Training of the codec: the channel it meets, and the weights of equation 2."""

    ber: tuple[float, float] = setting((1e-4, 5e-2), POSITIVE, 0.5)
    """Bit error rates met in training, drawn log-uniformly for each sample."""
    mistaken: float = setting(1.0, 1, 100)
    """Largest factor by which the rate that the receiver believes in is off, either way, drawn log-uniformly."""
    lost: float = setting(0.0, 0, 0.95)
    """Largest share of a payload's bytes that is lost: half of the samples lose none, the others evenly up to it."""
    slice_ratio: tuple[float, float] = setting((1.0, 1.0), 1e-6, 1)
    """Smallest and largest slice ratio met in training."""
    sliced: float = setting(0.5, 0, 1)
    """Share of the batches whose slice ratio is drawn; the others have the largest."""
    window: Literal["center", "anywhere"] = "center"
    """Where the windows of slice ratios below 1 lie: in the middle, or, for half of the samples, at random."""
    crop: int = setting(0, 0, 4096)
    """Side of the square that stage 1 cuts from each batch, anywhere, pixels; 0 takes whole images. What a codec learns
    on a part serves the whole, and large images take a fraction of the time."""
    sensitivity: float = setting(0.0, 0, 1)
    """Share of stage 1's error that is weighed by what it costs the task; at 0 it is the paper's mean square."""
    sigma: tuple[float, float] = setting((1.0, 4.0), 1e-3, 1e3)
    """Sharpness of the soft assignment in units of the centre spacing: rises through stage 1, then stays."""
    alpha: float = setting(2.0, 0, 1e6)
    """Weight of the occupancy loss L_div (equation 2)."""
    beta: float = setting(1.0, 0, 1e6)
    """Weight of the cross-entropy L_cls (equation 2)."""
    gamma: float = setting(0.0, 0, 1e6)
    """Weight of the explanation loss L_XAI (equation 2); one more forward and backward pass of the edge network."""
    xai_balance: float = setting(0.5, 0, 1)
    """λ of equation 3: between the sum of positive attributions (1) and their number (0)."""
    xai_reward: float = setting(0.5, -1e6, 1e6)
    """r of equation 3, a constant: at 1 − λ the loss is zero where all pixels speak for the class."""
    xai_softness: float = setting(0.1, 1e-4, 1e3)
    """Width of the smooth count of positive attributions, in units of their mean size."""
    distill: float = setting(1.0, 0, 1e6)
    """Weight of the divergence from the uncompressed network's prediction."""
    temperature: float = setting(2.0, 0.1, 100)
    """Temperature of that divergence."""
    match: float = setting(0.0, 0, 1e6)
    """Weight of how far the edge network's layers are from what they make of the uncompressed feature; the teacher then
    answers for each image as it was moved."""

    def check_together(self) -> None:
        for name in ("ber", "slice_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (low, high) with low ≤ high, got {low:g}, {high:g}")


SENSITIVITY = 0.98
"""Share of stage 1's error that is weighed by the task in `semanticnn train`; the rest, the plain mean square, minds
what the measured images did not show. 0.95 and 0.99 gain the same, 0.8 and 0.5 less."""
STAGE2_RATE = 1e-4
"""Learning rate of stage 2 in `semanticnn train`. Its gradients come through the task network, steep and noisy: larger
steps first spoil what stage 1 has learned, the more the wider the decoder."""


@dataclass(frozen=True)
class Stage(CodecTrainConfig):
    """A stage as `semanticnn train` runs it: what has proved itself, for as long as the recipe says."""

    epochs: int | None = setting(None, 0, 100_000)
    """Passes over the training split; the recipe's when left out. With 0 in stage 2 the codec only denoises."""
    batch_size: int = setting(32, 1, 65_536)
    ber: tuple[float, float] = setting((1e-3, 1e-1), POSITIVE, 0.5)
    alpha: float = setting(0.5, 0, 1e6)
