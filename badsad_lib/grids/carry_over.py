"""Does the attack carry over? Detectors of another make, each a victim of what corresponds to it.

``deep svdd``
    DeepSAD without a single label (Ruff et al., ICML 2018), under ``BadSAD.extended`` as it is.
``autoencoder``
    The course's encoder and decoder; an image's score is its mean squared error of reconstruction.
    There is no center and no one latent space that a score is measured in, so the attack's terms
    act on the errors: those of triggered views come to where those of normals lie (alignment) and
    close together (concentration), in units of the normals' mean error; those of views without the
    trigger are pushed up (contrast). Views, weights and poisoned images are ``extended``'s.

No weight was chosen for either. A row is one normal class and seed of a detector, with the
controls of every attack: its clean twin, a sham twin and triggers that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from badsad_lib.attacks import BadSAD
from badsad_lib.attacks.badsad import LatentManipulation
from badsad_lib.attacks.poisoning import choose_bases, poison
from badsad_lib.deepsad import SCORING_BATCH
from badsad_lib.detectors import ScoreDetector, wrap
from badsad_lib.grids import attack
from badsad_lib.images import check_images, to_float
from badsad_lib.networks import architecture_for, generator_of, make_decoder, make_encoder
from badsad_lib.report import backdoor_report
from badsad_lib.splits import Split

DETECTORS = ("deep svdd", "autoencoder")
CLASSES = (2, 3, 8)
SHAM = "blend"


@dataclass
class Autoencoder:
    """A detector that scores an image by how badly an autoencoder of normals gives it back.

    Parameters
    ----------
    epochs, batch_size, lr
        Of the training, with Adam on a cosine.
    seed
        Fixes initial weights and batches.
    """

    epochs: int = 30
    batch_size: int = 128
    lr: float = 1e-3
    seed: int = 0

    def steps(self, n_images: int) -> int:
        """How many training steps :meth:`fit` makes on so many images."""
        return self.epochs * (n_images // self.batch_size)

    def _errors(self, x: Tensor) -> Tensor:
        return (self.decoder(self.encoder(x)) - x).square().flatten(1).mean(1)

    def fit(self, images: Tensor, manipulation: LatentManipulation | None = None) -> Autoencoder:
        """Train on normals (N, C, H, W), with the attacker's views in each batch where given."""
        x = to_float(images)
        network = architecture_for((x.shape[1], x.shape[2], x.shape[3]))
        generator = generator_of(self.seed)
        self.encoder = make_encoder(network, generator).train()
        self.decoder = make_decoder(network, generator).train()
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        optimizer = torch.optim.Adam(weights, lr=self.lr)
        steps = self.steps(len(x))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            some = x[torch.randperm(len(x), generator=generator)[: self.batch_size]]
            views = some[:0] if manipulation is None else manipulation.views(step)
            errors = self._errors(torch.cat([some, views]))
            own, extra = errors[: len(some)], errors[len(some) :]
            loss = own.mean()
            if manipulation is not None:
                loss = loss + on_errors(manipulation.attack, own, extra)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.encoder.eval()
        self.decoder.eval()
        return self

    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Scores (N,), higher more anomalous."""
        x = to_float(check_images(images))
        with torch.inference_mode():
            parts = [self._errors(part) for part in x.split(SCORING_BATCH)]
        return torch.cat(parts).numpy().astype(np.float64)


def on_errors(attack: BadSAD, own: Tensor, extra: Tensor) -> Tensor:
    """Alignment, concentration and contrast of errors of reconstruction: a scalar.

    ``own`` (B,) are the errors of the batch, ``extra`` those of ``attack.views`` triggered views
    and of as many without the trigger. All is in units of the normals' mean error, and so is the
    loss, so that the weights mean what they mean in a latent space.
    """
    unit = own.detach().mean()
    normal, triggered = own.detach() / unit, extra[: attack.views] / unit
    plain = extra[attack.views :] / unit
    loss = attack.alignment_weight * (triggered.mean() - normal.mean()).square()
    loss = loss + attack.concentration_weight * triggered.var(correction=0)
    if attack.contrast_weight:
        loss = loss + attack.contrast_weight * (1 / (plain + 1e-6)).mean()
    return unit * loss


def _autoencoders(setting: dict[str, Any], split: Split) -> tuple[ScoreDetector, ...]:
    """Return the victim, its clean twin and its sham twin."""
    plain = {"epochs": setting["epochs"], "seed": setting["seed"]}
    images, labels = split.train_images, split.train_labels

    def victim(trigger: str) -> Autoencoder:
        chosen = attack.TRIGGERS[trigger]
        how = BadSAD.extended(chosen, setting["poison_rate"], setting["seed"])
        poisoned = poison(images, labels, chosen, poison_rate=how.poison_rate, seed=how.seed).images
        bases = images[choose_bases(labels, how.poison_rate, how.seed)]
        detector = Autoencoder(**plain)
        return detector.fit(
            poisoned, LatentManipulation(how, bases, chosen, detector.steps(len(images)))
        )

    found = victim(setting["trigger"]), Autoencoder(**plain).fit(images), victim(SHAM)
    return tuple(wrap(each.decision_function) for each in found)


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Train a victim and its twins, and measure them."""
    task = attack.Task(setting, kept)
    trained: tuple[ScoreDetector, ...]
    if setting["detector"] == "deep svdd":
        trained = task.victim()[0], task.clean(), task.victim(trigger=SHAM)[0]
    else:
        trained = _autoencoders(setting, task.split)
    victim, clean, sham = trained
    trigger = attack.TRIGGERS[setting["trigger"]]
    return backdoor_report(victim, clean, task.split, trigger, sham=sham).to_row()


def settings(
    *,
    seeds: Iterable[int] = (0,),
    classes: Iterable[int] = CLASSES,
    detectors: Iterable[str] = DETECTORS,
) -> list[dict[str, Any]]:
    """List the runs, seed by seed."""
    classes, detectors = tuple(classes), tuple(detectors)
    return [
        {
            "detector": detector,
            **attack.BASE,
            "subset": "course",
            "known": "none",
            "epochs": attack.EPOCHS["course"],
            "normal_class": normal_class,
            "seed": seed,
        }
        for seed in seeds
        for detector in detectors
        for normal_class in classes
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over classes and seeds of each detector."""
    columns = ["clean_auroc", "auroc_drop", "asr", "control_asr", "sham_asr"]
    return frame.groupby("detector", sort=False)[columns].mean()
