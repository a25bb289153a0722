"""The codec's networks: an encoder of one convolution for the device, BER-aware decoders for the edge."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semanticnn_core.codec.layers import GDN, BERAttention, PReLU
from semanticnn_core.config import CodecConfig

Weigh = Callable[[Tensor], Tensor]
"""Maps features (B, C, H, W) to others of the same shape, linearly and symmetrically, square by square."""


class Encoder(nn.Module):
    """The device's part: one convolution, GDN, PReLU, and a constant scale."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.conv = nn.Conv2d(config.feature_channels, config.code_channels, config.kernel, config.stride)
        self.gdn = GDN(config.code_channels)
        self.prelu = PReLU(config.code_channels)
        self.register_buffer("scale", torch.ones(()))
        overlap = config.kernel - config.stride
        self.margin = (overlap // 2, overlap - overlap // 2)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the latent (B, K, ⌈H / stride⌉, ⌈W / stride⌉) of a feature (B, C, H, W)."""
        return self.prelu(self.gdn(self.conv(self.padded(feature)))) * self.scale

    @torch.no_grad()
    def calibrate(self, features: Tensor, weigh: Weigh | None = None) -> None:
        """Fit the start of training to a batch of features (B, C, H, W).

        The convolution begins as the Karhunen–Loève transform of what it sees, the strongest component first. Its
        outputs become centred with standard deviation 2, where GDN bends: latents are then bounded, and cannot outgrow
        the centres (beyond the outermost, soft assignment has no gradient). The constant scale brings latents to
        standard deviation 1.
        weigh: what makes errors of features comparable, where a plain mean square is not what counts; the strongest
        components are then those that matter most.
        """
        self.scale.fill_(1.0)
        kernels = principal_kernels(self.padded(features), self.conv, weigh)
        self.conv.weight[: len(kernels)] = kernels
        before = self.conv(self.padded(features))
        gain = 2 / before.std((0, 2, 3)).clamp_min(1e-6)
        self.conv.weight.mul_(gain[:, None, None, None])
        self.conv.bias.sub_(before.mean((0, 2, 3))).mul_(gain)
        self.scale.copy_(1 / self(features).std().clamp_min(1e-6))

    def padded(self, feature: Tensor) -> Tensor:
        """Add the zeros that bring height and width to whole strides and hold the kernel's overlap."""
        height, width = feature.shape[-2:]
        before, after = self.margin
        pads = (before, after + -width % self.stride, before, after + -height % self.stride)
        return F.pad(feature, pads) if any(pads) else feature


def principal_kernels(features: Tensor, conv: nn.Conv2d, weigh: Weigh | None = None) -> Tensor:
    """Return the Karhunen–Loève transform of features' patches as kernels of a convolution, as far as there are any.

    weigh: a symmetric map of features by which the patches are weighed first, and the kernels afterwards; not looked at
    where patches overlap, which are no squares of such a map.
    """
    weigh = weigh if weigh and conv.kernel_size == conv.stride else lambda values: values
    patches = F.unfold(weigh(features), conv.kernel_size, stride=conv.stride)  # (B, C·k·k, places)
    patches = patches.transpose(1, 2).flatten(0, 1).double().cpu()
    count = min(len(conv.weight), *patches.shape)
    components = torch.pca_lowrank(patches, count, niter=4)[2].T  # (count, C·k·k)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    return weigh((components * largest.sign()).view(count, *conv.weight.shape[1:]).to(features))


class DecoderBlock(nn.Module):
    """Transposed convolution, inverse GDN, PReLU, BER attention; doubles the size if `up`, is residual if it can be."""

    def __init__(self, inputs: int, outputs: int, up: bool) -> None:
        super().__init__()
        self.conv = _transposed(inputs, outputs, up)
        self.igdn = GDN(outputs, inverse=True)
        self.prelu = PReLU(outputs)
        self.attention = BERAttention(outputs)

    def forward(self, x: Tensor, log_ber: Tensor) -> Tensor:
        y = self.attention(self.prelu(self.igdn(self.conv(x))), log_ber)
        return x + y if x.shape == y.shape else y


class ResidualBlock(nn.Module):
    """Depthwise 5×5, normalisation, two pointwise convolutions around a PReLU, BER attention; added to its input.

    The block of Liu et al. (2022, ConvNeXt), half as wide inside, with the paper's attention.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.prelu = PReLU(2 * channels)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)
        self.attention = BERAttention(channels)
        nn.init.zeros_(self.narrow.bias)
        self.narrow.weight.data.mul_(0.2)  # blocks begin near the identity

    def forward(self, x: Tensor, log_ber: Tensor) -> Tensor:
        y = self.narrow(self.prelu(self.widen(self.norm(self.spread(x)))))
        return x + self.attention(y, log_ber)


class ResidualDecoder(nn.Module):
    """The edge's part, all of it at the code's own size, where it is cheap and sees far; pixels are shuffled out last.

    It sees beside each value how unsure it is: its posterior standard deviation.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.decoder_widths[0]
        self.enter = nn.Conv2d(2 * config.code_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in config.decoder_widths)
        self.leave = nn.Conv2d(width, config.feature_channels * config.stride**2, 1)
        self.stride, self.range = config.stride, config.feature_range

    def forward(self, latent: Tensor, spread: Tensor, ber: float | Tensor, height: int, width: int) -> Tensor:
        """Return the feature (B, C, height, width) of a received latent and its standard deviations (B, K, h, w).

        ber: the bit error rate that is left, a number or (B,).
        """
        x, log_ber = self.enter(torch.cat([latent, spread], 1)), _log10(ber, latent)
        for block in self.blocks:
            x = block(x, log_ber)
        return F.pixel_shuffle(self.leave(x), self.stride)[..., :height, :width].clamp(*self.range)


class Decoder(nn.Module):
    """The edge's part as in the paper: blocks of growing size, then a transposed convolution into the feature's range.

    Most blocks stand at the code's own size, where they are cheap and see far: that is where damaged symbols stand
    out from their neighbours. The last doubling is the output layer's: at full size a block costs more than all others
    together.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        doublings = config.stride.bit_length() - 1
        widths = (config.code_channels, *config.decoder_widths)
        still = len(config.decoder_widths) - max(doublings - 1, 0)
        self.blocks = nn.ModuleList(
            DecoderBlock(inputs, outputs, up=index >= still)
            for index, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.output = _transposed(widths[-1], config.feature_channels, up=doublings > 0)
        self.range = config.feature_range

    def forward(self, latent: Tensor, spread: Tensor, ber: float | Tensor, height: int, width: int) -> Tensor:
        """Return the feature (B, C, height, width) of a received latent, at a bit error rate (a number or (B,)).

        spread, the standard deviations of the latent, is not looked at.
        """
        log_ber = _log10(ber, latent)
        for block in self.blocks:
            latent = block(latent, log_ber)
        return self.output(latent)[..., :height, :width].clamp(*self.range)


def new_decoder(config: CodecConfig) -> nn.Module:
    """Return the decoder that the settings name."""
    return {"transposed": Decoder, "residual": ResidualDecoder}[config.decoder](config)


def _log10(ber: float | Tensor, like: Tensor) -> Tensor:
    """Return log10 of a bit error rate, (B,), within what decoders know."""
    return torch.as_tensor(ber, device=like.device, dtype=like.dtype).clamp(1e-5, 0.5).log10().expand(len(like))


def _transposed(inputs: int, outputs: int, up: bool) -> nn.ConvTranspose2d:
    """Return a transposed convolution that doubles the size (kernel 4) or keeps it (kernel 3)."""
    if up:
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=3, padding=1)
