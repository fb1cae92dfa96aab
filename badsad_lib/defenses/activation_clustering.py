"""Activation clustering: the latents of the normal images, in two groups.

Chen et al., "Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering"
(SafeAI 2019, arXiv 1811.03728, section 3), with all training normals as the one class, and
PCA in place of independent components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from torch import Tensor

from badsad_lib._rules import Count, Seed, check_fields
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import Layer, check_inputs, embed
from badsad_lib.defenses.protocols import Scores


@dataclass
class ActivationClustering:
    """Split training images in two by their latents; the smaller group is the suspect.

    **Who can run it:** the trainer, who holds the training data. **Needs** a detector trained
    on them; no trusted images. **Costs** one pass over the data.

    **Where it fails.** Two-means always finds two groups. Look at ``silhouette_`` first: near 1
    the groups are real, and the original calls a class poisoned from 0.10 to 0.15 on. Poisoned
    images that lie among the normal ones, which is what alignment is for, form no group.

    Parameters
    ----------
    components
        Principal components kept; 10 as in the original.
    layer
        ``latent``, or ``conv``: what the last convolution block hands on.
    seed
        Starts two-means.

    Attributes
    ----------
    silhouette_ : float
        How well the groups are apart, in [-1, 1].
    smaller_share_ : float
        Share of the images in the smaller group, in (0, 0.5].
    """

    components: Count = 10
    layer: Layer = "latent"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def suspicion(self, detector: DeepSAD, images: Tensor) -> Scores:
        """Suspicion (N,): how much closer to the smaller group's center, N at least 20.

        ``images`` (N, C, H, W) are those trained on as normal.
        """
        images = check_inputs(detector, images, least=20, why="to form groups")
        vectors = embed(detector, images, self.layer).double().numpy()
        count = min(self.components, *vectors.shape)
        points = PCA(count, svd_solver="full").fit_transform(vectors)
        # scikit-learn takes seeds of 32 bits.
        groups = KMeans(2, n_init=10, random_state=self.seed).fit(points)
        sizes = np.bincount(groups.labels_, minlength=2)
        self.smaller_share_ = float(sizes.min() / sizes.sum())
        self.silhouette_ = float(silhouette_score(points, groups.labels_))
        small, large = np.argmin(sizes), 1 - np.argmin(sizes)
        distances = groups.transform(points)
        return distances[:, large] - distances[:, small]
