"""What every attack offers, and what an attacker who knows a defense may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from badsad_lib.attacks.poisoning import PoisonedSet
from badsad_lib.deepsad import DeepSAD, ExtraLoss
from badsad_lib.triggers import Trigger, Universal

ViewChange = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Maps triggered views and those that are pushed out, (N, C, H, W) each, to changed ones."""


class Adaptation:
    """What an attacker changes who knows a defense; nothing, where a method is not overridden.

    Calling it changes the views of each training step, as any :data:`ViewChange` does.
    """

    told: ClassVar[str] = "nothing"
    """What the attacker has to know of the defense, and what not."""
    needs_contrast: ClassVar[bool] = True
    """Whether it changes views that contrast pushes out."""

    def __call__(
        self, triggered: Tensor, plain: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return changed views of both kinds."""
        return triggered, plain

    def around(
        self, extra_loss: ExtraLoss, images: Tensor, semi_labels: Tensor, seed: int
    ) -> ExtraLoss:
        """Return an extra loss around the attack's own.

        Parameters
        ----------
        extra_loss
            Its views are triggered ones, then, with contrast, as many that are pushed out.
        images, semi_labels
            The training set, float (N, C, H, W) in [0, 1] and (N,).
        seed
            The attack's.
        """
        return extra_loss

    def pattern(
        self, detector: DeepSAD, images: Tensor, semi_labels: Tensor, epsilon: float
    ) -> Universal | None:
        """Return a pattern for a trigger that has none, or None: it is learned in training."""
        return None

    def delivered(self, victim: DeepSAD) -> DeepSAD:
        """Return what is handed over in place of the trained victim."""
        return victim


class Attack(Protocol):
    """Turns a detector's parameters and a clean training set into a backdoored detector."""

    poison_rate: float
    seed: int
    poisoned_: PoisonedSet  # the training set that `attack` poisoned

    @property
    def trigger(self) -> Trigger:
        """What it was made with."""

    @property
    def trigger_(self) -> Trigger:
        """After :meth:`attack`: the trigger to use, with its pattern where that was learned."""

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """Return a new detector with ``detector``'s parameters and a backdoor in it.

        Parameters
        ----------
        detector
            Its parameters are taken, fitted or not; it is left alone.
        images, semi_labels
            The clean training set: (N, C, H, W) uint8 or float in [0, 1], (N,) in {-1, 0, 1}.
        initial_state
            Encoder weights to start from, say the clean twin's ``initial_state_``. Without
            them the encoder starts as a clean twin's would.
        """
