"""What attacks share whose trigger is given: two fields, their checks, the way to a victim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from badsad_lib._rules import Share, check_fields
from badsad_lib.attacks.poisoning import PoisonedSet
from badsad_lib.deepsad import DeepSAD, ExtraLoss
from badsad_lib.images import check_images, check_semi_labels
from badsad_lib.triggers import Trigger, check_trigger


@dataclass
class GivenTrigger(ABC):
    """An attack that searches for nothing: a training set, perhaps an extra loss, one training.

    A seed is each attack's own field, where it always stood: files are found by their ``repr``.
    """

    trigger: Trigger
    poison_rate: Share = 0.1

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
        images = check_images(images)
        semi_labels = check_semi_labels(semi_labels, len(images))
        victim = DeepSAD(**detector.get_params())
        poisoned, extra_loss = self._prepared(images, semi_labels, victim.steps(len(images)))
        self.trigger_, self.poisoned_ = self.trigger, poisoned
        return victim.fit(
            poisoned.images,
            poisoned.semi_labels,
            extra_loss=extra_loss,
            initial_state=initial_state,
        )

    @abstractmethod
    def _prepared(
        self, images: Tensor, semi_labels: Tensor, steps: int
    ) -> tuple[PoisonedSet, ExtraLoss | None]:
        """Return what the victim trains on, and what joins each of its ``steps``."""
