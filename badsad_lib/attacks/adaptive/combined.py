"""Several adaptations at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.deepsad import DeepSAD, ExtraLoss
from badsad_lib.triggers import Universal


@dataclass(frozen=True)
class Combined(Adaptation):
    """One adaptation after the other: the views of the first are changed by the second.

    A part that decides what batch normalization sees (:class:`OrdinaryStatistics`) stands last.
    """

    parts: tuple[Adaptation, ...]

    def __post_init__(self) -> None:
        if not self.parts or not all(isinstance(part, Adaptation) for part in self.parts):
            raise TypeError(f"parts must be one or more adaptations, got {self.parts!r}")

    @property
    def told(self) -> str:  # type: ignore[override]
        """What each of them has to know."""
        return "; ".join(part.told for part in self.parts)

    @property
    def needs_contrast(self) -> bool:  # type: ignore[override]
        """Whether one of them does."""
        return any(part.needs_contrast for part in self.parts)

    def __call__(
        self, triggered: Tensor, plain: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :class:`~badsad_lib.attacks.Adaptation`, as all that follows."""
        for part in self.parts:
            triggered, plain = part(triggered, plain, generator)
        return triggered, plain

    def around(
        self, extra_loss: ExtraLoss, images: Tensor, semi_labels: Tensor, seed: int
    ) -> ExtraLoss:
        """Each around the one before."""
        for part in self.parts:
            extra_loss = part.around(extra_loss, images, semi_labels, seed)
        return extra_loss

    def pattern(
        self, detector: DeepSAD, images: Tensor, semi_labels: Tensor, epsilon: float
    ) -> Universal | None:
        """The first one's that has any."""
        for part in self.parts:
            found = part.pattern(detector, images, semi_labels, epsilon)
            if found is not None:
                return found
        return None

    def delivered(self, victim: DeepSAD) -> DeepSAD:
        """One after the other."""
        for part in self.parts:
            victim = part.delivered(victim)
        return victim
