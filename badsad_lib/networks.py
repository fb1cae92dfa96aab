"""Encoders and decoders: the DeepSAD reference's three pairs, and any size by the same rules.

A network here knows shapes and nothing else: no loss, no label, no training.
Layers follow Ruff et al. (ICLR 2020) as their reference code runs: 5x5
convolutions with padding 2, batch normalization with ``eps=1e-4`` and nothing
learned in it, leaky ReLU with slope 0.01, 2x2 max pooling, and **no bias
anywhere**: with a bias the network could map every image to the center and be
done (Ruff et al., ICML 2018, proposition 2).

:func:`architecture_by_rule` carries the reference over to any images from 16 to 256 pixels a
side. Blocks halve the image while its shorter side has 8 pixels or more, so that a map of 4 to 7
pixels is left. The first has 16 channels for gray images and 32 for color, each further one twice
as many, up to 128. Gray images end in a hidden layer of 128 and 64 latents, color in 128 latents.
For (1, 28, 28) and (3, 32, 32) that is the reference's encoder of Fashion-MNIST and CIFAR-10.

Initial weights come from a generator of their own, never from torch's global one: many
threads may make networks at once, and nobody else's random numbers change.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from badsad_lib._rules import Whole
from badsad_lib.images import layout_advice

Shape = tuple[int, int, int]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
SLOPE = 0.01
BN_EPS = 1e-4
SIZES = (16, 256)
"""Least and most pixels a side that networks are made for."""
MOST_CHANNELS = 128
_SMALLEST_MAP = 4
# 256x256 in color has 1.8 million; a description from elsewhere may ask for anything.
_MOST_PARAMETERS = 20_000_000


@dataclass(frozen=True)
class Architecture:
    """One encoder/decoder pair as data."""

    shape: Shape  # (C, H, W) of one image
    channels: tuple[int, ...]  # output channels of the encoder's convolution blocks
    hidden: tuple[int, ...]  # fully connected widths before the latent
    latent_dim: int
    decoder: tuple[tuple[int, int], ...]  # (channels, padding) of each layer

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of what the last block hands on."""
        shrink = 2 ** len(self.channels)
        return self.shape[1] // shrink, self.shape[2] // shrink

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, which JSON can hold; :meth:`from_description` reads them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_description(cls, description: Any) -> Self:
        """Read what :meth:`describe` wrote, from a source that is not trusted.

        Raises
        ------
        ValueError
            Anything else, or a network that is too large to be one of these.
        """
        try:
            c, h, w = _widths("shape", description["shape"])
            found = cls(
                (c, h, w),
                _widths("channels", description["channels"]),
                _widths("hidden", description["hidden"]),
                Whole(1, 4096)("latent_dim", description["latent_dim"]),
                tuple(
                    (Whole(1, 4096)("channels", a), Whole(0, 3)("padding", b))
                    for a, b in description["decoder"]
                ),
            )
            wrong = _fault(found, set(description))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"this does not describe a network: {error!r}") from error
        if wrong:
            raise ValueError(f"this does not describe a network: {wrong}")
        return found


def _widths(name: str, values: Any) -> tuple[int, ...]:
    return tuple(Whole(1, 4096)(name, value) for value in values)


def _fault(arch: Architecture, names: set[str]) -> str:
    """Say what in a description from elsewhere cannot be; else nothing."""
    if extra := names - set(asdict(arch)):
        return f"it holds {sorted(extra)}"
    if not arch.channels or min(arch.map_size) < 1:
        return f"{len(arch.channels)} blocks cannot halve {arch.shape}"
    if not 1 <= len(arch.decoder) <= 16 or arch.decoder[-1][0] != arch.shape[0]:
        return f"the decoder ends in {arch.decoder[-1:]}, the images have {arch.shape[0]} channels"
    ends = (arch.shape[0], *arch.channels)
    widths = (arch.channels[-1] * math.prod(arch.map_size), *arch.hidden, arch.latent_dim)
    count = sum(25 * a * b for a, b in pairwise(ends)) + sum(a * b for a, b in pairwise(widths))
    return f"it would have {count:,} parameters" if count > _MOST_PARAMETERS else ""


# The decoder's second layer in the 28x28 pairs has padding 3: it crops 16x16 to 14x14.
ARCHITECTURES: dict[str, Architecture] = {
    "mnist": Architecture((1, 28, 28), (8, 4), (), 32, ((4, 2), (8, 3), (1, 2))),
    "fashion_mnist": Architecture((1, 28, 28), (16, 32), (128,), 64, ((32, 2), (16, 3), (1, 2))),
    "cifar10": Architecture(
        (3, 32, 32), (32, 64, 128), (), 128, ((128, 2), (64, 2), (32, 2), (3, 2))
    ),
    # Ours, for the many tiles of one image: half as many channels, a fifth of the arithmetic.
    "tile_gray": Architecture((1, 32, 32), (8, 16, 32), (), 32, ((32, 2), (16, 2), (8, 2), (1, 2))),
    "tile_color": Architecture(
        (3, 32, 32), (8, 16, 32), (), 32, ((32, 2), (16, 2), (8, 2), (3, 2))
    ),
}


def architecture_by_rule(shape: Shape) -> Architecture:
    """Encoder and decoder for images of ``shape`` (C, H, W), by the rules at the top.

    The decoder starts from 4x4 as the reference's do, doubles until it covers the image, and
    what is too much is cut off.

    Raises
    ------
    ValueError
        A side of fewer than 16 or more than 256 pixels, or no channel.
    """
    channels, height, width = shape
    if channels < 1 or not all(SIZES[0] <= side <= SIZES[1] for side in (height, width)):
        raise ValueError(
            f"networks take images of {SIZES[0]} to {SIZES[1]} pixels a side, (C, H, W), "
            f"got {tuple(shape)}; " + (layout_advice((0, *shape)) or _size_advice(height, width))
        )
    blocks = int(math.log2(min(height, width) / _SMALLEST_MAP))
    doublings = _doublings(height, width)
    first, hidden, latent_dim = (16, (128,), 64) if channels == 1 else (32, (), 128)
    widths = [min(first * 2**i, MOST_CHANNELS) for i in range(max(blocks, doublings))]
    decoder = [(w, 2) for w in reversed(widths[:doublings])] + [(channels, 2)]
    return Architecture(
        (channels, height, width), tuple(widths[:blocks]), hidden, latent_dim, tuple(decoder)
    )


def architecture_for(shape: Shape, name: str = "auto") -> str | Architecture:
    """Encoder/decoder pair for images of ``shape`` (C, H, W): a name, or a description.

    ``auto`` takes ``fashion_mnist`` for (1, 28, 28), ``cifar10`` for (3, 32, 32), and what
    :func:`architecture_by_rule` makes for any other.

    Raises
    ------
    ValueError
        Unknown name, a shape that the named pair does not take, or one that none does.
    """
    shape = (shape[0], shape[1], shape[2])
    if name == "auto":
        for candidate in ("fashion_mnist", "cifar10"):
            if ARCHITECTURES[candidate].shape == shape:
                return candidate
        return architecture_by_rule(shape)
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown network {name!r}; choose 'auto' or one of {list(ARCHITECTURES)}")
    takes = ARCHITECTURES[name].shape
    if takes != shape:
        raise ValueError(
            f"network {name!r} takes images of shape (C, H, W) = {takes}, got {shape}; "
            + (layout_advice((0, *shape)) or "network='auto' makes one for this shape")
        )
    return name


def architecture_of(network: str | Architecture) -> Architecture:
    """Return the architecture that a name stands for, or the one that is given.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if isinstance(network, Architecture):
        return network
    if network not in ARCHITECTURES:
        raise ValueError(f"unknown network {network!r}; choose one of {list(ARCHITECTURES)}")
    return ARCHITECTURES[network]


def _doublings(height: int, width: int) -> int:
    return math.ceil(math.log2(max(height, width) / _SMALLEST_MAP))


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


def _size_advice(height: int, width: int) -> str:
    if min(height, width) < SIZES[0]:
        return "enlarge or pad the images first"
    return "make the images smaller first, or cut them into tiles"


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
        widths = (arch.channels[-1] * math.prod(arch.map_size), *arch.hidden, arch.latent_dim)
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
        self.first_doubled = len(self.convs) - _doublings(*arch.shape[1:])

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to images (N, C, H, W) in [0, 1]."""
        x = self.head(latents)
        x = x.view(len(x), -1, 4, 4)
        for i, conv in enumerate(self.convs):
            x = F.leaky_relu(self.norms[i - 1](x) if i else x, SLOPE)
            if i >= self.first_doubled:
                x = F.interpolate(x, scale_factor=2)
            x = conv(x)
        # The reference's pairs fit; of others, what is doubled too far is cut off.
        return torch.sigmoid(x[:, :, : self.arch.shape[1], : self.arch.shape[2]])


def make_encoder(network: str | Architecture, seed: int | torch.Generator = 0) -> Encoder:
    """Encoder of an architecture, or of a named one, with the initial weights of ``seed``.

    A generator in place of a number is drawn from where it stands, so that encoder and
    decoder can share one stream.
    """
    return Encoder(architecture_of(network), generator_of(seed))


def make_decoder(network: str | Architecture, seed: int | torch.Generator = 0) -> Decoder:
    """Decoder of an architecture, or of a named one, with the initial weights of ``seed``."""
    return Decoder(architecture_of(network), generator_of(seed))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
