"""Spectral signatures: poison shows along the direction in which the latents vary most.

Tran et al., "Spectral Signatures in Backdoor Attacks" (NeurIPS 2018, arXiv 1811.00636,
algorithm 1), with all training normals as the one class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import check_fields
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import Layer, check_inputs, embed
from badsad_lib.defenses.protocols import Scores


def spectral_scores(vectors: Tensor) -> Tensor:
    """Squared projection of centered vectors (N, D) on their top singular direction: (N,)."""
    centered = vectors - vectors.mean(dim=0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    return (centered @ directions[0]).square()


@dataclass
class SpectralSignatures:
    """Rank training images by their part in the main direction of variation.

    **Who can run it:** the trainer, who holds the training data. **Needs** a detector trained
    on them; no trusted images. The original removes 1.5 times the known poison rate. Here
    nobody tells it: judge the ranking by its ROC curve. **Costs** one pass over the data and one
    singular value decomposition.

    **Where it fails.** The direction in which latents vary most must be the trigger's. In a
    detector, odd normal images vary more. Where an attack draws poisoned latents together the
    ranking even turns around: poisoned images are then the least suspicious of all.

    Parameters
    ----------
    layer
        ``latent``, or ``conv``: what the last convolution block hands on.
    """

    layer: Layer = "latent"

    def __post_init__(self) -> None:
        check_fields(self)

    def suspicion(self, detector: DeepSAD, images: Tensor) -> Scores:
        """Suspicion (N,) of the images (N, C, H, W) trained on as normal, N at least 20."""
        images = check_inputs(detector, images, least=20, why="to have a direction")
        return spectral_scores(embed(detector, images, self.layer)).double().numpy()
