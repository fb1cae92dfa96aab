"""The data-only attack: phase one of BadSAD, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from badsad_lib._rules import Flag, Seed, Share, check_fields
from badsad_lib.attacks.poisoning import poison
from badsad_lib.deepsad import DeepSAD
from badsad_lib.triggers import Trigger, check_trigger


@dataclass
class DataPoisoning:
    """Data-only attack: poison normal images, let the victim train as usual.

    Clean-label in the strict sense. With ``randomize`` the content of the poisoned
    images is scrambled as well, which still needs no control over training.
    """

    trigger: Trigger
    poison_rate: Share = 0.1
    randomize: Flag = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_trigger(self.trigger)
        check_fields(self)

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """See :meth:`Attack.attack <badsad_lib.attacks.Attack.attack>`."""
        self.trigger_ = self.trigger
        self.poisoned_ = poison(
            images,
            semi_labels,
            self.trigger,
            poison_rate=self.poison_rate,
            randomize=self.randomize,
            seed=self.seed,
        )
        return DeepSAD(**detector.get_params()).fit(
            self.poisoned_.images, self.poisoned_.semi_labels, initial_state=initial_state
        )
