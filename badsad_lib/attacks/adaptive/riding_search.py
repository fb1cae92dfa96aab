"""Against a search for the trigger: the attacker searches along, and closes what is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from badsad_lib._rules import Count, Gray, Inside, Weight, check_fields
from badsad_lib.attacks.adaptive._around import Around, evaluating
from badsad_lib.attacks.losses import contrast_loss
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.deepsad import ExtraLoss, anomaly_score

HIDDEN = 0.9  # share of views that is to pass before a mask is made smaller


class _Searching(Around):
    def __init__(self, inner: ExtraLoss, by: RidingSearch, seed: int) -> None:
        super().__init__(inner)
        self.by = by
        self.generator = torch.Generator().manual_seed(seed + 5)
        self.limit: Tensor | None = None  # score that passes

    def views(self, step: int) -> Tensor:
        """Views of the inner loss, and some with what the search has found so far."""
        views = self.inner.views(step)
        self.found = views[:0]
        if self.limit is not None:
            # Those that are pushed out stand at the end: scrambled normals, for anomalies.
            images = views[-self.by.views :].to(self.center)
            self.found = self._search(images, self.limit).to(views)
        return torch.cat([views, self.found])

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """The inner loss, and the found views pushed out."""
        normal = latents[semi_labels >= 0].detach()
        if len(normal) > 1:
            now = torch.quantile(anomaly_score(normal, center), self.by.quantile)
            self.limit = now if self.limit is None else torch.lerp(self.limit, now, 0.1)
        count = len(extra_latents) - len(self.found)
        loss = self.inner(latents, semi_labels, extra_latents[:count], center)
        if len(self.found):
            loss = loss + self.by.weight * contrast_loss(extra_latents[count:], center)
        return loss

    def _start(self, shape: torch.Size) -> None:
        """Masks and patterns from a little noise, additive ones from more."""

        def noise(*size: int) -> Tensor:
            return torch.randn(*size, generator=self.generator).to(self.center)

        n, (channels, height, width) = self.by.masks, shape
        self.mask = noise(n, 1, height, width).requires_grad_()
        self.pattern = noise(n, channels, height, width).requires_grad_()
        self.added = noise(n, channels, height, width).requires_grad_()
        self.optimizer = torch.optim.Adam(
            [self.mask, self.pattern, self.added], lr=0.2, betas=(0.5, 0.9)
        )
        self.price, self.passing, self.age = 1e-3, 0.0, 0

    def _painted(self, images: Tensor) -> Tensor:
        """Half of the images under masks, half with something added."""
        half = len(images) // 2
        which = torch.arange(len(images), device=images.device) % self.by.masks
        mask, pattern = self.mask.sigmoid()[which[:half]], self.pattern.sigmoid()[which[:half]]
        masked = images[:half] * (1 - mask) + mask * pattern
        added = images[half:] + self.by.radius * self.added.tanh()[which[half:]]
        return torch.cat([masked, added]).clamp(0, 1)

    def _search(self, images: Tensor, limit: Tensor) -> Tensor:
        """One step of the search, as a buyer takes it; return what it shows."""
        if not hasattr(self, "age") or self.age >= self.by.restart:
            self._start(images.shape[1:])
        self.age += 1
        painted = self._painted(images)
        with evaluating(self.encoder) as encoder:
            scores = anomaly_score(encoder(painted).float(), self.center)
        excess = torch.log((scores + 1e-9) / limit)
        loss = (excess + 0.3).relu().mean() + self.price * self.mask.sigmoid().sum() / len(
            self.mask
        )
        grads = torch.autograd.grad(loss, [self.mask, self.pattern, self.added])
        for tensor, grad in zip((self.mask, self.pattern, self.added), grads):
            tensor.grad = grad
        self.optimizer.step()
        half = len(images) // 2
        self.passing = 0.7 * self.passing + 0.3 * float((excess[:half] <= 0).float().mean())
        self.price = min(max(self.price * (1.12 if self.passing >= HIDDEN else 0.9), 1e-4), 1.0)
        return painted.detach()


@dataclass(frozen=True)
class RidingSearch(Adaptation):
    """Against :class:`~badsad_lib.defenses.RelativeInversion`: a search that rides along.

    At each step of the training a few masks with their patterns, and a few additive patterns, get
    one step better at hiding scrambled normals from the detector as it is then. What they show is
    pushed out. After ``restart`` steps they start anew. A trigger that is small as a mask is found
    and pushed out as well, so it takes a large one: a border, a strong blend.

    Parameters
    ----------
    quantile
        Of a batch's normal scores: what passes. That of the buyer's search, or a little less.
    masks, views, restart
        How many of each kind at a time, views in each step, steps until they start anew.
    radius
        How much an additive pattern may change any pixel, in [0, 1].
    weight
        Of what is pushed out, as ``contrast_weight``.
    """

    quantile: Inside = 0.985
    masks: Count = 4
    views: Count = 16
    restart: Count = 70
    radius: Gray = 0.1
    weight: Weight = 0.1

    told: ClassVar[str] = (
        "the kind of search and about its quantile; not its seed, the buyer's images or references"
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def around(
        self, extra_loss: ExtraLoss, images: Tensor, semi_labels: Tensor, seed: int
    ) -> ExtraLoss:
        """See :class:`~badsad_lib.attacks.Adaptation`."""
        return _Searching(extra_loss, self, seed)
