"""The three encoder/decoder pairs of the DeepSAD reference, chosen by name or image shape.

A network here knows shapes and nothing else: no loss, no label, no training.
Layers follow Ruff et al. (ICLR 2020) as their reference code runs: 5x5
convolutions with padding 2, batch normalization with ``eps=1e-4`` and nothing
learned in it, leaky ReLU with slope 0.01, 2x2 max pooling, and **no bias
anywhere**: with a bias the network could map every image to the center and be
done (Ruff et al., ICML 2018, proposition 2).

Initial weights come from a generator of their own, never from torch's global one: many
threads may make networks at once, and nobody else's random numbers change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from badsad_lib.images import layout_advice

Shape = tuple[int, int, int]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
SLOPE = 0.01
BN_EPS = 1e-4


@dataclass(frozen=True)
class Architecture:
    """One encoder/decoder pair as data."""

    shape: Shape  # (C, H, W) of one image
    channels: tuple[int, ...]  # output channels of the encoder's convolution blocks
    hidden: tuple[int, ...]  # fully connected widths before the latent
    latent_dim: int
    decoder: tuple[tuple[int, int], ...]  # (channels, padding) of each layer


# The decoder's second layer in the 28x28 pairs has padding 3: it crops 16x16 to 14x14.
ARCHITECTURES: dict[str, Architecture] = {
    "mnist": Architecture((1, 28, 28), (8, 4), (), 32, ((4, 2), (8, 3), (1, 2))),
    "fashion_mnist": Architecture((1, 28, 28), (16, 32), (128,), 64, ((32, 2), (16, 3), (1, 2))),
    "cifar10": Architecture(
        (3, 32, 32), (32, 64, 128), (), 128, ((128, 2), (64, 2), (32, 2), (3, 2))
    ),
}


def architecture_for(shape: Shape, name: str = "auto") -> str:
    """Name of the encoder/decoder pair for images of ``shape`` (C, H, W).

    ``auto`` takes ``fashion_mnist`` for (1, 28, 28) and ``cifar10`` for (3, 32, 32).

    Raises
    ------
    ValueError
        Unknown name, or a shape that the named pair does not take.
    """
    if name != "auto" and name not in ARCHITECTURES:
        raise ValueError(f"unknown network {name!r}; choose 'auto' or one of {list(ARCHITECTURES)}")
    names = ("fashion_mnist", "cifar10") if name == "auto" else (name,)
    for candidate in names:
        if ARCHITECTURES[candidate].shape == tuple(shape):
            return candidate
    takes = " or ".join(str(ARCHITECTURES[n].shape) for n in names)
    raise ValueError(
        f"network {name!r} takes images of shape (C, H, W) = {takes}, got {tuple(shape)}; "
        + (layout_advice((0, *shape)) or _size_advice(tuple(shape), names))
    )


def generator_of(seed: int | torch.Generator) -> torch.Generator:
    """Return a generator on the CPU that starts at ``seed``; one that is given goes on."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


def layer(kind: type[Layer], generator: torch.Generator, *arguments: Any, **keywords: Any) -> Layer:
    """Return a linear or convolutional layer with its weights drawn from ``generator``.

    torch's own constructors draw from its global generator only. Distribution and order are
    theirs (uniform, He et al. 2015), so that a seed gives the same numbers as
    ``torch.manual_seed`` and the constructor would.
    """
    module: Layer = skip_init(kind, *arguments, **keywords)
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        bound = 1 / math.sqrt(module.weight[0].numel())  # inputs of one output
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    return module


def _size_advice(shape: tuple[int, ...], names: tuple[str, ...]) -> str:
    channels, height, width = shape
    if channels == 3 and all(ARCHITECTURES[name].shape[0] == 1 for name in names):
        return "these are color images: images.float().mean(1, keepdim=True) makes them gray"
    if (height, width) == (28, 28) and channels == 3:
        return (
            "for color images of 28x28 pad to 32x32 with "
            "torch.nn.functional.pad(images, (2, 2, 2, 2)), or make them gray"
        )
    return "resize or pad the images first"


class ConvBlock(nn.Module):
    """Convolution, batch normalization, 2x2 max pooling, leaky ReLU: halves height and width.

    The reference pools last. A leaky ReLU is increasing, so it commutes with the
    maximum: pooling first computes the same function on a quarter of the pixels.
    A frozen batch normalization is increasing too, hence the shorter way to score.
    """

    def __init__(self, channels_in: int, channels_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv = layer(nn.Conv2d, generator, channels_in, channels_out, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=BN_EPS, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H/2, W/2)."""
        x = self.conv(x)
        if self.training:
            x = F.max_pool2d(self.norm(x), 2)
        else:
            x = self.norm(F.max_pool2d(x, 2))
        return F.leaky_relu(x, SLOPE, inplace=True)


class Encoder(nn.Module):
    """Image to latent vector; nothing follows the last linear layer."""

    def __init__(self, arch: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        ends = (arch.shape[0], *arch.channels)
        self.blocks = nn.Sequential(*(ConvBlock(a, b, generator) for a, b in pairwise(ends)))
        shrink = 2 ** len(arch.channels)
        cells = (arch.shape[1] // shrink) * (arch.shape[2] // shrink)
        widths = (arch.channels[-1] * cells, *arch.hidden, arch.latent_dim)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            if i:
                layers += [nn.BatchNorm1d(a, eps=BN_EPS, affine=False), nn.LeakyReLU(SLOPE)]
            layers.append(layer(nn.Linear, generator, a, b, bias=False))
        self.head = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map float images (N, C, H, W) in [0, 1] to latents (N, latent_dim)."""
        latents: Tensor = self.head(self.blocks(images).flatten(1))
        return latents


class Decoder(nn.Module):
    """Latent vector to image in [0, 1]: used by autoencoder pretraining only.

    The (widened) latent is read as a 4x4 feature map; 5x5 transposed convolutions
    alternate with nearest-neighbor upsampling by two.
    """

    def __init__(self, arch: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = (arch.latent_dim, *reversed(arch.hidden))
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers.append(layer(nn.Linear, generator, a, b, bias=False))
            layers.append(nn.BatchNorm1d(b, eps=BN_EPS, affine=False))
        self.head = nn.Sequential(*layers)
        ends = (widths[-1] // 16, *(channels for channels, _ in arch.decoder))
        self.convs = nn.ModuleList(
            layer(nn.ConvTranspose2d, generator, a, b, 5, padding=padding, bias=False)
            for (a, b), (_, padding) in zip(pairwise(ends), arch.decoder)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, eps=BN_EPS, affine=False) for b in ends[1:-1])
        # 4x4 reaches 28 (cropped) and 32 in three doublings; a fourth layer works at 4x4.
        self.first_doubled = len(self.convs) - 3

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, C, H, W) in [0, 1]."""
        x = self.head(latents)
        x = x.view(len(x), -1, 4, 4)
        for i, conv in enumerate(self.convs):
            x = F.leaky_relu(self.norms[i - 1](x) if i else x, SLOPE)
            if i >= self.first_doubled:
                x = F.interpolate(x, scale_factor=2)
            x = conv(x)
        return torch.sigmoid(x)


def make_encoder(name: str, seed: int | torch.Generator = 0) -> Encoder:
    """Encoder of the named architecture with the initial weights of ``seed``.

    A generator in place of a number is drawn from where it stands, so that encoder and
    decoder can share one stream.
    """
    return Encoder(ARCHITECTURES[name], generator_of(seed))


def make_decoder(name: str, seed: int | torch.Generator = 0) -> Decoder:
    """Decoder of the named architecture with the initial weights of ``seed``."""
    return Decoder(ARCHITECTURES[name], generator_of(seed))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
