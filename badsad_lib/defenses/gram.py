"""Gram statistics of convolution activations: what is put together unlike a normal image.

After Ma et al., "The 'Beatrix' Resurrections" (NDSS 2023, arXiv 2209.11715, section IV): the
correlations of a layer's channels, in several powers, against their median and median
absolute deviation on clean images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from badsad_lib._rules import Count, Seed, check_fields
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import check_inputs, map_activations, robust_scale
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.detectors import Access

POWERS = (1, 2, 4, 8)


def gram_features(activations: Tensor, powers: tuple[int, ...] = POWERS) -> Tensor:
    """Upper triangles of the Gram matrices of activations (N, C, H, W), in several powers.

    Of the power p: the p-th root of the Gram matrix of the activations' p-th powers, so that
    all have the unit of a squared activation. Odd powers and roots keep the sign.

    Returns
    -------
    Tensor
        (N, len(powers) * C (C + 1) / 2).
    """
    flat = activations.flatten(2)
    rows, columns = torch.triu_indices(flat.shape[1], flat.shape[1])
    features = []
    for power in powers:
        raised = flat**power
        gram = (raised @ raised.transpose(1, 2))[:, rows, columns] / flat.shape[2]
        features.append(gram.sign() * gram.abs() ** (1 / power))
    return torch.cat(features, dim=1)


def _features(blocks: list[Tensor]) -> Tensor:
    return torch.cat([gram_features(block) for block in blocks], dim=1)


class _Scale:
    """Median and median absolute deviation of Gram features on some images."""

    def __init__(self, detector: DeepSAD, images: Tensor) -> None:
        self.median, self.deviation = robust_scale(map_activations(detector, images, _features))

    def distance(self, detector: DeepSAD, images: Tensor) -> Scores:
        """Mean distance of the features from their medians, in deviations: (N,)."""

        def mean_distance(blocks: list[Tensor]) -> Tensor:
            return ((_features(blocks).cpu() - self.median).abs() / self.deviation).mean(dim=1)

        return map_activations(detector, images, mean_distance).double().numpy()


@dataclass
class GramInputs(InputDefense):
    """Flag inputs whose channel correlations are not those of trusted normals.

    **Who can run it:** the buyer. **Needs** the weights and trusted normals; no anomalies.
    **Costs** one pass through the convolutions an image.

    **Where it fails.** It tells apart what is put together unlike a normal image, and so a
    triggered anomaly mostly by the anomaly in it. A triggered anomaly that looks much like a
    normal image passes here as well.
    """

    ACCESS: ClassVar[Access] = Access.WEIGHTS

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        self._scale = _Scale(self._deep_sad(), trusted)

    def _suspicion(self, images: Tensor) -> Scores:
        return self._scale.distance(self._deep_sad(), images)

    def _deep_sad(self) -> DeepSAD:
        assert isinstance(self.detector_, DeepSAD)  # nothing else gives weights
        return self.detector_


@dataclass
class GramData:
    """Rank training images by how far their channel correlations lie from the pool's own.

    **Who can run it:** the trainer, who holds the training data. **Needs** a detector trained
    on them and the pool itself: medians hold as long as less than half of it is poisoned.
    **Costs** two passes through the convolutions.

    **Where it fails.** A trigger that changes the activations by less than normal images
    differ from one another.

    Parameters
    ----------
    sample
        Images of the pool that medians are taken from, at most.
    seed
        Which.
    """

    sample: Count = 1000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def suspicion(self, detector: DeepSAD, images: Tensor) -> Scores:
        """Suspicion (N,) of the images (N, C, H, W) trained on as normal, N at least 20."""
        images = check_inputs(detector, images, least=20, why="to have a median")
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(len(images), generator=generator)[: self.sample]
        return _Scale(detector, images[chosen]).distance(detector, images)
