"""The data-only attack: phase one of BadSAD, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from badsad_lib._rules import Flag, Seed
from badsad_lib.attacks._base import GivenTrigger
from badsad_lib.attacks.poisoning import PoisonedSet, poison


@dataclass
class DataPoisoning(GivenTrigger):
    """Data-only attack: poison normal images, let the victim train as usual.

    Clean-label in the strict sense. With ``randomize`` the content of the poisoned
    images is scrambled as well, which still needs no control over training.
    """

    randomize: Flag = False
    seed: Seed = 0

    def _prepared(
        self, images: Tensor, semi_labels: Tensor, steps: int
    ) -> tuple[PoisonedSet, None]:
        poisoned = poison(
            images,
            semi_labels,
            self.trigger,
            poison_rate=self.poison_rate,
            randomize=self.randomize,
            seed=self.seed,
        )
        return poisoned, None
