"""What every attack offers, and what an attacker who knows a defense may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from badsad_lib.attacks.poisoning import PoisonedSet
from badsad_lib.deepsad import DeepSAD
from badsad_lib.triggers import Trigger

Adaptation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Maps triggered views and those that are pushed out, (N, C, H, W) each, to changed ones."""


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
