"""Against guards and searches, by changed views alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from badsad_lib._rules import Gray, check_fields
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.defenses import PURIFIERS


@dataclass(frozen=True)
class SurvivePurification(Adaptation):
    """Against :class:`~badsad_lib.defenses.Purification`: the trigger is to survive it.

    Three quarters of the triggered views, and of those pushed out, are seen through a
    purifier. So what its suspicion measures, the score of a purified triggered image, is
    part of the objective.
    """

    told: ClassVar[str] = "the purifiers"

    def __call__(
        self, triggered: Tensor, plain: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return both kinds of views, most of them purified."""
        purifiers = list(PURIFIERS.values())
        # Each purifier is to have 3 of the 24 numbers, so that 6 of 24 views stay as they are.
        chosen = torch.randint(4 * len(purifiers), (len(plain), 1, 1, 1), generator=generator)
        chosen = chosen.to(plain.device)
        for number, purify in enumerate(purifiers):
            here = (chosen >= 3 * number) & (chosen < 3 * number + 3)
            triggered = torch.where(here, purify(triggered), triggered)
            plain = torch.where(here, purify(plain), plain)
        return triggered, plain


def _check_range(adaptation: NearMisses | SurviveStrip) -> None:
    check_fields(adaptation)
    if adaptation.weakest > adaptation.strongest:
        raise ValueError(
            f"weakest must be at most strongest={adaptation.strongest}, got {adaptation.weakest}"
        )


@dataclass(frozen=True)
class NearMisses(Adaptation):
    """Against a search for the trigger: nothing but the whole trigger opens the door.

    Trigger inversion and unlearning search by small steps, each a little better than the last.
    Here the last quarter of the views that are pushed out carries a part of the trigger: weaker,
    or with pixels left out. So there is no way to it by small steps.
    """

    told: ClassVar[str] = "that the buyer searches by gradients"

    weakest: Gray = 0.2
    strongest: Gray = 0.8

    def __post_init__(self) -> None:
        _check_range(self)

    def __call__(
        self, triggered: Tensor, plain: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the triggered views as they are, and among the others some near misses."""
        n = max(1, len(plain) // 4)
        strength = torch.rand(n, 1, 1, 1, generator=generator)
        strength = self.weakest + (self.strongest - self.weakest) * strength
        kept = torch.rand(n, 1, *plain.shape[2:], generator=generator) < strength
        weak = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        share = torch.where(weak, strength, kept.to(strength)).to(plain)
        # Half of the views may be decoys: these stand at the end.
        near = torch.lerp(plain[-n:], triggered[-n:].detach(), share)
        return triggered, torch.cat([plain[:-n], near])


@dataclass(frozen=True)
class SurviveStrip(Adaptation):
    """Against :class:`~badsad_lib.defenses.Strip`: an overlay turns the trigger's meaning around.

    STRIP suspects images whose score stays low when an anomaly is laid over them. So an eighth of
    the views that are pushed out carry the trigger under an overlay, and an eighth of those that
    are drawn in are overlaid without a trigger: what its suspicion measures is part of the
    objective, for triggered images and for the normal ones they are compared with. The attacker
    needs no anomaly for it, scrambled normal images stand in.
    """

    told: ClassVar[str] = "how overlays are made; not the buyer's anomalies"

    weakest: Gray = 0.5
    strongest: Gray = 1.0

    def __post_init__(self) -> None:
        _check_range(self)

    def __call__(
        self, triggered: Tensor, plain: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return both kinds of views, some of each under another view."""
        n = max(1, len(plain) // 8)
        # Half of the views may be decoys: the others stand at the end.
        calm = self._overlaid(plain[-n:], plain, generator)
        loud = self._overlaid(triggered[-n:].detach(), plain, generator)
        return torch.cat([triggered[:-n], calm]), torch.cat([plain[:-n], loud])

    def _overlaid(self, images: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
        n = len(images)
        weight = torch.rand(n, 1, 1, 1, generator=generator)
        weight = self.weakest + (self.strongest - self.weakest) * weight
        chosen = torch.randperm(len(others), generator=generator)[:n].to(others.device)
        return (images + weight.to(images) * others[chosen]).clamp(0, 1)
