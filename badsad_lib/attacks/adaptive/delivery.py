"""Before training and after it: a trigger that others fall for, weights that do not move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from badsad_lib._rules import Count, Positive, check_fields
from badsad_lib.attacks.learned import optimize_against
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import NEW_LENGTH, copy_of, standardized
from badsad_lib.triggers import Universal


@dataclass(frozen=True)
class LongFilters(Adaptation):
    """Against fine-tuning: filters so long that its steps hardly turn them. Free of charge.

    What a normalization follows may be multiplied by anything: the detector's scores stay as they
    are. A step of Adam has about the length of its learning rate, however long the filter is. A
    repair that standardizes the filters first does not notice.
    """

    factor: Positive = 100.0

    told: ClassVar[str] = "that the weights will be trained on"
    needs_contrast: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def delivered(self, victim: DeepSAD) -> DeepSAD:
        """Return the victim with the same scores and longer filters."""
        longer = copy_of(victim)
        longer.encoder_.load_state_dict(standardized(victim.encoder_, self.factor * NEW_LENGTH))
        return longer


@dataclass(frozen=True)
class SharedWeakness(Adaptation):
    """Against a second opinion, and own training: a trigger that other detectors fall for, too.

    Trains detectors as a buyer might, on random parts of the training set, learns one bounded
    pattern that hides labeled anomalies from all of them, and makes it the trigger of the
    backdoor. Needs a :class:`~badsad_lib.triggers.Universal` trigger without a pattern. Labeled
    anomalies are shown with it to those detectors alone, never to the victim.

    Parameters
    ----------
    count
        How many detectors.
    normals, steps
        Training normals for each of them, beside all labeled anomalies, and training steps.
    search_steps
        For learning the pattern.
    """

    count: Count = 4
    normals: Count = 300
    steps: Count = 240
    search_steps: Count = 500

    told: ClassVar[str] = (
        "the architecture and length of the buyer's own training; not his images or seeds"
    )
    needs_contrast: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def pattern(
        self, detector: DeepSAD, images: Tensor, semi_labels: Tensor, epsilon: float
    ) -> Universal | None:
        """Return the pattern that hides the labeled anomalies from all of the detectors."""
        anomalies = images[semi_labels < 0]
        if len(anomalies) == 0:
            raise ValueError("a shared weakness needs labeled anomalies, there are none")
        normals = images[semi_labels >= 0]
        others = []
        for i in range(self.count):
            other = DeepSAD(
                **{
                    **detector.get_params(),
                    "epochs": 1,
                    "min_steps": self.steps,
                    "pretrain_epochs": 0,
                    "seed": detector.seed + 1000 + i,
                }
            )
            draw = torch.Generator().manual_seed(other.seed)
            part = normals[torch.randperm(len(normals), generator=draw)[: self.normals]]
            labels = torch.tensor([0] * len(part) + [-1] * len(anomalies))
            others.append(other.fit(torch.cat([part, anomalies]), labels))
        return optimize_against(
            others, anomalies, epsilon=epsilon, steps=self.search_steps, seed=detector.seed
        )
