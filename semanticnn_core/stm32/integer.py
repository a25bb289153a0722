"""The device side in integers: what the firmware computes, exact to the last bit, in PyTorch.

Convolutions run in float64 over whole numbers below 2^53, where floating point makes no error; everything else in
int64. Every step has the name that it has in the generated C.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_FEATURE = 255
LARGEST_LATENT = 32767


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution that ends in whole steps of its output: (Σ weight·input + bias) · multiplier / 2^shift, rounded."""

    weight: Tensor
    """int64 (outputs, inputs, k, k)."""
    bias: Tensor
    """int64 (outputs,), in units of one step of weight times one of input."""
    multiplier: Tensor
    """int64 (outputs,), below 2^31."""
    shift: int
    """33 to 62, one for the whole layer."""
    stride: int
    step: float
    """What one step of the output is worth in the float network."""

    def accumulate(self, x: Tensor) -> Tensor:
        """Return the sums int64 (B, outputs, h, w) of integers x (B, inputs, H, W), which bring their own padding."""
        sums = F.conv2d(x.double(), self.weight.double(), self.bias.double(), self.stride)
        return sums.long()

    def requantize(self, sums: Tensor) -> Tensor:
        """Return sums int64 (B, outputs, h, w) in output steps: (sum·m + 2^(S−1)) >> S, rounded once, half upwards."""
        return (sums * self.multiplier[:, None, None] + (1 << (self.shift - 1))) >> self.shift


@dataclass(frozen=True)
class IntegerEncoder:
    """All that the device computes, from pixels to indices of centres, in integers.

    Made by `quantize_encoder`, which proves that nothing overflows.
    """

    image_size: int
    zero_point: Tensor
    """What is subtracted from a pixel, int64 (3,); zero padding then is the float network's."""
    stem: IntegerLayer
    stem_padding: int
    pool: bool
    """Whether a 3×3 max-pool of stride 2 follows the stem."""
    code: IntegerLayer
    margin: tuple[int, int]
    """Zeros before and after the feature's rows and columns."""
    gamma: Tensor
    """GDN's weights, int64 (K, K), 16 bits; channel i's are in units of its own."""
    beta: Tensor
    """GDN's constants in the same units, int64 (K,), below 2^52."""
    norm_shift: int
    """How far a norm is shifted right to fit 31 bits."""
    thresholds: Tensor
    """Signed squares of the thresholds between centres before GDN and PReLU, int64 (K, n − 1), ascending, 32 bits."""
    square_shift: int
    """How far a signed square is shifted left before it is compared."""

    def pixels(self, images: Tensor) -> Tensor:
        """Return images uint8 (B, 3, H, W) less the zero point, int64; other sizes are a ValueError."""
        wanted = (3, self.image_size, self.image_size)
        if images.dtype != torch.uint8 or images.dim() != 4 or tuple(images.shape[1:]) != wanted:
            raise ValueError(f"images must be uint8 (B, {wanted}), got {images.dtype} {tuple(images.shape)}")
        return images.cpu().long() - self.zero_point[:, None, None]

    def feature(self, images: Tensor) -> Tensor:
        """Return the feature in steps, int64 (B, C, h, w) in [0, 255], of images uint8 (B, 3, H, W)."""
        sums = self.stem.accumulate(F.pad(self.pixels(images), (self.stem_padding,) * 4))
        feature = self.stem.requantize(sums).clamp(0, LARGEST_FEATURE)
        if self.pool:
            feature = F.max_pool2d(feature.double(), 3, 2, 1).long()
        return feature

    def latent(self, feature: Tensor) -> Tensor:
        """Return the encoder convolution's outputs in steps, int64 (B, K, h, w), 16 bits, of a feature in steps."""
        sums = self.code.accumulate(F.pad(feature, self.margin * 2))
        return self.code.requantize(sums).clamp(-LARGEST_LATENT - 1, LARGEST_LATENT)

    def quantize(self, latent: Tensor) -> Tensor:
        """Return the index of the nearest centre, int64 (B, K, h, w), of a latent in steps.

        GDN, PReLU and the nearest centre without root and division: x / √norm exceeds a threshold t where the signed
        square x·|x| exceeds t·|t|·norm. PReLU only moves the negative thresholds.
        """
        x = latent.movedim(1, -1)  # (B, h, w, K)
        norm = ((x * x) @ self.gamma.T + self.beta) >> self.norm_shift
        level = (x * x.abs()) << self.square_shift
        return (level[..., None] > self.thresholds * norm[..., None]).sum(-1).movedim(-1, 1)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the indices of the centres that images uint8 (B, 3, H, W) are sent as, int64 (B, K, h, w)."""
        return self.quantize(self.latent(self.feature(images)))

    @property
    def macs(self) -> int:
        """Multiplications and additions of both convolutions for one image, GDN left out."""
        stem_size = self.image_size // self.stem.stride
        feature_size = stem_size // 2 if self.pool else stem_size
        code_size = -(-feature_size // self.code.stride)
        return stem_size**2 * self.stem.weight.numel() + code_size**2 * self.code.weight.numel()
