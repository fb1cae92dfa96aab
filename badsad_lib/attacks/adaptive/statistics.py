"""Against inspections of batch normalization: nothing of the attack's views is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from badsad_lib.attacks.adaptive._around import Around, evaluating
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.deepsad import ExtraLoss


class _Apart(Around):
    def views(self, step: int) -> Tensor:
        """No view joins the batch."""
        self.apart = self.inner.views(step)
        return self.apart[:0]

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """The inner loss, with views normalized by what is stored."""
        with evaluating(self.encoder) as encoder:
            extra_latents = encoder(self.apart.to(center)).float()
        return self.inner(latents, semi_labels, extra_latents, center)


@dataclass(frozen=True)
class OrdinaryStatistics(Adaptation):
    """Against :class:`~badsad_lib.defenses.BatchStatistics`: ordinary means and variances.

    The views pass through the network by themselves and are normalized with what is stored from
    ordinary batches, so the stored statistics are those of the training images. Those
    that are poisoned, ``poison_rate`` of the normals, are among them.
    """

    told: ClassVar[str] = "that stored variances are looked at"
    needs_contrast: ClassVar[bool] = False

    def around(
        self, extra_loss: ExtraLoss, images: Tensor, semi_labels: Tensor, seed: int
    ) -> ExtraLoss:
        """See :class:`~badsad_lib.attacks.Adaptation`."""
        return _Apart(extra_loss)
