"""Simple detectors of images to compare with: what a paper should beat before it claims anything.

Each has ``fit(images)`` on normals alone and ``decision_function(images)``, higher more anomalous.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional as F

from badsad_lib.images import to_float
from badsad_lib.networks import generator_of, layer, make_encoder

Images = Tensor


def _flat(images: Images) -> np.ndarray:
    return to_float(images).flatten(1).numpy()


class PrincipalComponents:
    """Squared error of what the components that hold 95 % of the variance give back."""

    def __init__(self, seed: int = 0) -> None:
        self.pca = PCA(0.95, svd_solver="full")

    def fit(self, images: Images) -> PrincipalComponents:
        """Find the components of normals (N, C, H, W)."""
        self.pca.fit(_flat(images))
        return self

    def decision_function(self, images: Images) -> np.ndarray:
        """Scores (N,)."""
        flat = _flat(images)
        back = self.pca.inverse_transform(self.pca.transform(flat))
        return np.square(flat - back).sum(axis=1)


class NearestPixels:
    """Mean distance to the five nearest normals, pixel by pixel."""

    def __init__(self, seed: int = 0) -> None:
        self.nearest = NearestNeighbors(n_neighbors=5)

    def fit(self, images: Images) -> NearestPixels:
        """Keep the normals (N, C, H, W), N at least 5."""
        self.nearest.fit(_flat(images))
        return self

    def decision_function(self, images: Images) -> np.ndarray:
        """Scores (N,)."""
        return self.nearest.kneighbors(_flat(images))[0].mean(axis=1)


class UntrainedPatches:
    """PatchCore (Roth et al., CVPR 2022) without what makes it strong, its pretrained features.

    Patches are the first two blocks of an untrained encoder of 32x32 tiles, one vector for 4x4
    pixels; an image scores the largest distance of its patches to the nearest one of a bank.
    """

    BANK = 8000

    def __init__(self, seed: int = 0) -> None:
        self.generator = generator_of(seed)

    def _patches(self, images: Images) -> Tensor:
        with torch.inference_mode():
            found = self.blocks(to_float(images))
            # Neighbors in the map join in, as they do in PatchCore.
            found = F.avg_pool2d(found, 3, stride=1, padding=1, count_include_pad=False)
        return found.permute(0, 2, 3, 1).flatten(1, 2)

    def fit(self, images: Images) -> UntrainedPatches:
        """Fill the bank with patches of normals (N, C, H, W)."""
        name = "fashion_mnist" if images.shape[1] == 1 else "cifar10"
        encoder = make_encoder(name, self.generator)
        self.blocks = encoder.blocks[:2].train()
        for module in self.blocks.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the statistics of all that it sees
        self._patches(images)
        self.blocks.eval()
        patches = self._patches(images).flatten(0, 1)
        order = torch.randperm(len(patches), generator=self.generator)[: self.BANK]
        self.bank = patches[order]
        return self

    def decision_function(self, images: Images) -> np.ndarray:
        """Scores (N,)."""
        with torch.inference_mode():
            found = [
                torch.cdist(patches, self.bank).min(dim=1).values.max()
                for patches in self._patches(images)
            ]
        return torch.stack(found).numpy().astype(np.float64)


class ConvolutionalAutoencoder:
    """Error of an autoencoder: three convolutions down, three up, the worst spot of 8x8 pixels."""

    STEPS, BATCH, LR = 300, 32, 2e-3
    WIDTHS = (16, 32, 8)

    def __init__(self, seed: int = 0) -> None:
        self.generator = generator_of(seed)

    def _network(self, channels: int) -> nn.Sequential:
        parts: list[nn.Module] = []
        ends = (channels, *self.WIDTHS)
        for a, b in pairwise(ends):
            parts += [layer(nn.Conv2d, self.generator, a, b, 4, stride=2, padding=1), nn.ReLU()]
        for a, b in pairwise(reversed(ends)):
            parts += [
                layer(nn.ConvTranspose2d, self.generator, a, b, 4, stride=2, padding=1),
                nn.ReLU(),
            ]
        return nn.Sequential(*parts[:-1], nn.Sigmoid())

    def fit(self, images: Images) -> ConvolutionalAutoencoder:
        """Train it on normals (N, C, H, W), sides a multiple of 8."""
        x = to_float(images)
        self.network = self._network(x.shape[1])
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.LR)
        for _ in range(self.STEPS):
            some = x[torch.randint(len(x), (self.BATCH,), generator=self.generator)]
            loss = F.mse_loss(self.network(some), some)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return self

    def decision_function(self, images: Images) -> np.ndarray:
        """Scores (N,)."""
        x = to_float(images)
        with torch.inference_mode():
            error = (self.network(x) - x).square().mean(1, keepdim=True)
            spots = F.avg_pool2d(error, 8, stride=4).flatten(1).amax(1)
        return spots.numpy().astype(np.float64)


NEIGHBORS = {
    "principal components": PrincipalComponents,
    "nearest pixels": NearestPixels,
    "untrained patches": UntrainedPatches,
    "autoencoder": ConvolutionalAutoencoder,
}
