"""What is delivered and what its buyer holds: for the grids on repairs and inspection.

The buyer's anomalies are never those that an attacker trained on. Detectors are those of
:mod:`badsad_lib.grids.attack`, kept in the same folder; so are the buyer's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from badsad_lib import defenses, splits
from badsad_lib.deepsad import DeepSAD
from badsad_lib.grids import attack
from badsad_lib.triggers import Trigger


@dataclass(frozen=True)
class Regime:
    """How many trusted normals and anomalies a buyer holds, and which."""

    trusted: int
    anomalies: int
    kinds: Literal["all", "one", "synthetic"] = "all"


REGIMES = {
    "150 + 80": Regime(150, 80),
    "50 + 20": Regime(50, 20),
    "20 + 20": Regime(20, 20),
    "150 + one kind": Regime(150, 80, "one"),
    "150 + synthetic": Regime(150, 150, "synthetic"),
}
# Honest trainings beside the usual one: what is done to the split, or to its images.
UNUSUAL: dict[str, dict[str, Any]] = {
    "clean, augmented": {},
    "clean, more labels": {"labeled_anomaly_ratio": 0.2},
    "clean, polluted": {"pollution": 0.1},
}
CLEAN = {"method": "clean", "trigger": "border"}
BASIC = {**attack.BASIC, "trigger": "border", "poison_rate": 0.5}
# In the order of what they tell.
VICTIMS: tuple[dict[str, Any], ...] = (
    BASIC,
    {"trigger": "patch"},
    {"trigger": "blend"},
    {"trigger": "border"},
    {"trigger": "sinusoid"},
    {"trigger": "universal"},
    {"trigger": "warp"},
)
# Attackers who know a defense, each with a trigger that suits what it does.
ATTACKERS: tuple[dict[str, Any], ...] = (
    {"trigger": "border", "adaptation": "inspections"},
    {"trigger": "blend 0.3", "adaptation": "inspections"},
    {"trigger": "border", "adaptation": "shrink and perturb"},
    {"trigger": "border", "adaptation": "high learning rate"},
    {"trigger": "universal 32/255", "adaptation": "second opinion"},
    {"trigger": "patch", "adaptation": "learning rate"},
    {"trigger": "patch", "adaptation": "batch statistics"},
    {"trigger": "border", "adaptation": "relative search"},
    {"trigger": "patch", "adaptation": "search"},
)
BACKDOORED = (*VICTIMS, *ATTACKERS)
DELIVERED = (CLEAN, *BACKDOORED)
# What is delivered of each data set, and what its buyer holds at most.
KINDS: dict[str, tuple[dict[str, Any], ...]] = {
    "fashion_mnist": DELIVERED,
    "mnist": (CLEAN, BASIC, {"trigger": "patch"}),
}
HOLDS = {"fashion_mnist": "150 + 80", "mnist": "50 + 20"}
CLASSES = (2, 3, 6, 8, 0)


def augmented(images: Tensor, seed: int) -> Tensor:
    """Images (N, C, H, W), each once more: mirrored or not, shifted by up to two pixels."""
    generator = torch.Generator().manual_seed(seed)
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    more = torch.empty_like(images)
    for i, image in enumerate(padded):
        top, left, mirror = torch.randint(5, (3,), generator=generator).tolist()
        moved = image[:, top : top + height, left : left + width]
        more[i] = moved.flip(-1) if mirror % 2 else moved
    return torch.cat([images, more])


class Task(attack.Task):
    """What a row is about: a delivered detector, and what its buyer holds."""

    def delivered(self) -> tuple[DeepSAD, Trigger]:
        """Return the detector that the row names, and the trigger to try on it."""
        method = self.setting["method"]
        if method in UNUSUAL:
            return self.detector(method, self._unusual), attack.TRIGGERS[self.setting["trigger"]]
        if method == "clean":
            return self.clean(), attack.TRIGGERS[self.setting["trigger"]]
        return self.victim()

    def held(self, regime: str) -> tuple[Tensor, Tensor]:
        """Return trusted normals and anomalies of a regime, one of :data:`REGIMES`."""
        here = REGIMES[regime]
        trusted = self.split.trusted_images[: here.trusted]
        if here.kinds == "synthetic":
            # Another seed than that of what `TrainYourOwn` makes.
            made = defenses.synthetic_anomalies(trusted, here.anomalies, self.plain.seed + 100)
            given = trusted, made
        elif here.kinds == "one":
            given = trusted, self._of_one_kind(here.anomalies)
        else:
            given = trusted, self.split.trusted_anomalies[: here.anomalies]
        if (len(given[0]), len(given[1])) != (here.trusted, here.anomalies):
            raise ValueError(
                f"a buyer with {regime} is not to be had here: the split has "
                f"{len(given[0])} trusted normals and {len(given[1])} anomalies"
            )
        return given

    def own(self, regime: str, how: defenses.TrainYourOwn) -> DeepSAD:
        """Return a detector of the buyer's own."""

        def make() -> DeepSAD:
            # Of the architecture and parameters of whatever is delivered.
            return how.repair(self.clean(), *self.held(regime))

        return self.detector(f"own, {regime}, {how!r}", make)

    def _of_one_kind(self, count: int) -> Tensor:
        taken = torch.cat(
            [
                self.split.train_index,
                self.split.val_anomaly_index,
                self.split.trusted_anomaly_index,
            ]
        )
        kind = np.flatnonzero(self.data.train.targets.numpy() == self.next_class)
        free = torch.from_numpy(np.setdiff1d(kind, taken.numpy()))
        order = torch.randperm(len(free), generator=torch.Generator().manual_seed(self.plain.seed))
        return self.data.train.images[free[order[:count]]]

    def _unusual(self) -> DeepSAD:
        method, seed = self.setting["method"], self.setting["seed"]
        split = splits.one_vs_rest(
            self.data, self.setting["normal_class"], seed=seed, **UNUSUAL[method]
        )
        images, labels = split.train_images, split.train_labels
        if method == "clean, augmented":
            images, labels = augmented(images, seed), labels.repeat(2)
        return DeepSAD(**self.plain.get_params()).fit(images, labels)


def base(data: str = "fashion_mnist", *, subset: str = "course") -> dict[str, Any]:
    """Return what all rows of these grids name, as the tables of the attack name it."""
    few = f"{data} {subset}"
    return {
        **{k: v for k, v in attack.BASE.items() if k not in ("method", "trigger")},
        "data": data,
        "subset": subset,
        "method": "extended",
        "epochs": attack.EPOCHS.get(few, attack.EPOCHS[subset]),
        "adaptation": "none",
    }
