"""Against repairs of the weights: the backdoor is trained in a simulated repair as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from badsad_lib._rules import Count, Inside, OneOf, Positive, Weight, check_fields
from badsad_lib.attacks.adaptive._around import Around
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.deepsad import ExtraLoss, anomaly_score, deep_sad_loss
from badsad_lib.networks import Encoder, make_encoder

REPAIRS = ("shrink and perturb", "fine-tuning")
BATCH = 64  # training images in a simulated step

State = dict[str, Tensor]


class _AfterRepair(Around):
    encoder: Encoder

    def __init__(
        self, inner: ExtraLoss, by: SurviveRepair, images: Tensor, semi_labels: Tensor, seed: int
    ) -> None:
        super().__init__(inner)
        self.by, self.images, self.semi_labels = by, images, semi_labels
        self.generator = torch.Generator().manual_seed(seed + 6)
        self.age = 0

    def views(self, step: int) -> Tensor:
        """Views of the inner loss."""
        self.seen = self.inner.views(step)
        return self.seen

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """The inner loss, and the same on the repaired weights."""
        loss = self.inner(latents, semi_labels, extra_latents, center)
        images, labels = self._batch()
        weights = self._shrunk() if self.by.repair == REPAIRS[0] else self._tuned(images, labels)
        repaired = self._latents(weights, torch.cat([images, self.seen.to(images)]))
        after = self.inner(repaired[: len(images)], labels, repaired[len(images) :], center)
        return loss + self.by.weight * after

    def _batch(self) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.images), (BATCH,), generator=self.generator)
        device = self.center.device
        return self.images[index].to(device), self.semi_labels[index].to(device)

    def _latents(self, weights: State, images: Tensor) -> Tensor:
        """Latents under other weights; the encoder's own statistics stay as they are."""
        statistics = {name: values.clone() for name, values in self.encoder.named_buffers()}
        latents: Tensor = functional_call(self.encoder, {**weights, **statistics}, (images,))
        return latents.float()

    def _shrunk(self) -> State:
        """The weights mixed with new ones of the same lengths, as the repair does."""
        fresh = make_encoder(self.encoder.arch, self.generator).to(self.center.device)
        new = {name: values.detach() for name, values in fresh.named_parameters()}
        keep = self.by.keep + (1 - self.by.keep) * float(torch.rand((), generator=self.generator))
        mixed = {}
        for name, old in self.encoder.named_parameters():
            rows = (len(old), *[1] * (old.ndim - 1))
            lengths = [
                each.detach().flatten(1).norm(dim=1).clamp_min(1e-12).view(rows)
                for each in (old, new[name])
            ]
            mixed[name] = torch.lerp(new[name] * (lengths[0] / lengths[1]), old, keep)
        return mixed

    def _tuned(self, images: Tensor, labels: Tensor) -> State:
        """The weights after some steps of fine-tuning, which grows by one with each call.

        Gradients pass to the weights as if the steps taken did not depend on them (first-order
        meta-learning).
        """
        now = dict(self.encoder.named_parameters())
        if self.age % self.by.restart == 0:
            self.tuned = {name: nn.Parameter(w.detach().clone()) for name, w in now.items()}
            self.optimizer = torch.optim.Adam(self.tuned.values(), lr=self.by.lr)
        self.age += 1
        scores = anomaly_score(self._latents(dict(self.tuned), images), self.center)
        grads = torch.autograd.grad(deep_sad_loss(scores, labels), list(self.tuned.values()))
        for parameter, grad in zip(self.tuned.values(), grads):
            parameter.grad = grad
        self.optimizer.step()
        return {name: w + (self.tuned[name].detach() - w.detach()) for name, w in now.items()}


@dataclass(frozen=True)
class SurviveRepair(Adaptation):
    """Against a repair of the weights: a backdoor that is to be there after it, too.

    At each step the attack's loss is also taken on weights that a simulated repair leaves: mixed
    with new ones (:class:`~badsad_lib.defenses.ShrinkPerturb`), or fine-tuned for up to
    ``restart`` steps on the attacker's clean images at the high learning rate
    (:meth:`~badsad_lib.defenses.FineTuning.at_high_rate`).

    Parameters
    ----------
    repair
        One of ``shrink and perturb`` and ``fine-tuning``.
    weight
        Of the loss after the repair, beside that before it.
    keep
        Least share of the old weights in a mixture; each step draws one between it and 1.
    lr, restart
        Learning rate of the simulated fine-tuning, and after how many steps it starts anew from
        the weights as they are.
    """

    repair: Annotated[str, OneOf(REPAIRS)] = REPAIRS[0]
    weight: Weight = 1.0
    keep: Inside = 0.4
    lr: Positive = 1e-2
    restart: Count = 40

    told: ClassVar[str] = (
        "the repair and its settings; not its seed, nor the buyer's images and anomalies"
    )
    needs_contrast: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def around(
        self, extra_loss: ExtraLoss, images: Tensor, semi_labels: Tensor, seed: int
    ) -> ExtraLoss:
        """See :class:`~badsad_lib.attacks.Adaptation`."""
        return _AfterRepair(extra_loss, self, images, semi_labels, seed)
