"""A detector of one's own, trained on nothing but what one holds: what any repair has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from badsad_lib._rules import Count, CountOr0, Positive, Seed, check_fields, checked
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import check_inputs, fresh_encoder
from badsad_lib.defenses.synthetic import synthetic_anomalies
from badsad_lib.images import to_float


@dataclass
class TrainYourOwn:
    """Train a new detector of the same architecture on trusted images; no weight is taken over.

    **Who can run it:** any buyer who knows what architecture to train; scores of the delivered
    detector are not even asked for. **Needs** 20 trusted normals, and labeled anomalies as far as
    there are any. **Costs** ``steps`` training steps. There is no backdoor to remove, so it is
    the baseline: a repair that is not better than this, in AUROC or detection, has earned nothing.

    **Where it fails.** What hides anomalies from any detector, a border on some classes, hides
    them from this one as well. How much is lost with few images, or anomalies of one kind, is not
    measured yet.

    Parameters
    ----------
    steps, lr
        At least so many training steps; Adam with a learning rate that falls along a cosine. 1e-3
        was held against 3e-3 on the validation images of normal classes 0 and 1.
    synthetic
        How many anomalies are made from the trusted normals
        (:func:`~badsad_lib.defenses.synthetic_anomalies`) and trained on beside the real ones.
    seed
        Fixes the first weights, what is made and the order of images.
    """

    steps: Count = 240
    lr: Positive = 1e-3
    synthetic: CountOr0 = 0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def repair(
        self,
        detector: DeepSAD,
        trusted_images: Tensor,
        anomalies: Tensor | None = None,
        *,
        kinds: Sequence[Any] | Tensor | None = None,
    ) -> DeepSAD:
        """Return a new detector with a center of its own and no threshold.

        Parameters
        ----------
        detector
            Fitted; its architecture and parameters are taken, and nothing else.
        trusted_images
            Clean normals (N, C, H, W), uint8 or float in [0, 1], N at least 20.
        anomalies
            Clean labeled anomalies (M, C, H, W), or None.
        kinds
            Taken for the sake of :class:`~badsad_lib.defenses.Repair`, and not looked at: there
            is nothing here that one kind of anomalies could damage.

        Raises
        ------
        RuntimeError
            The detector is not fitted.
        TypeError, ValueError
            Wrong or too few images.
        """
        trusted = check_inputs(detector, trusted_images, least=20, name="trusted_images")
        parts = []
        if anomalies is not None:
            parts.append(to_float(check_inputs(detector, anomalies, name="anomalies")))
        if self.synthetic:
            parts.append(synthetic_anomalies(trusted, self.synthetic, self.seed))
        count = sum(map(len, parts))
        images = torch.cat([to_float(trusted), *parts])
        labels = torch.tensor([0] * len(trusted) + [-1] * count)
        own = DeepSAD(
            **{
                **detector.get_params(),
                "epochs": 1,
                "min_steps": self.steps,
                "lr": self.lr,
                "seed": self.seed,
            }
        )
        return own.fit(
            images, labels, initial_state=fresh_encoder(detector, self.seed).state_dict()
        )


@checked
def references(
    detector: DeepSAD,
    trusted_images: Tensor,
    anomalies: Tensor | None = None,
    *,
    own: TrainYourOwn | None = None,
    count: Count = 5,
) -> list[DeepSAD]:
    """Train ``count`` detectors of one's own, known to be clean: what an inspection compares with.

    Parameters
    ----------
    detector, trusted_images, anomalies
        As in :meth:`TrainYourOwn.repair`.
    own
        How they are trained, from its seed on; ``TrainYourOwn()`` by default.
    """
    own = own or TrainYourOwn()
    return [
        replace(own, seed=own.seed + i).repair(detector, trusted_images, anomalies)
        for i in range(count)
    ]
