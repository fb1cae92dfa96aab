"""Where each attack puts triggered images among the latents, into ``results/latents.csv``.

    python benchmarks/latents.py [--jobs 2] [--seeds 5]

One row a detector and seed: T-shirts of the course subset, the patch, the split that the
shipped detectors were trained on. The seed fixes initial weights, batches, and which images
are poisoned. Besides the shipped recipes: ``basic`` with half the normal images as bases, and
``extended`` with one part left out each (``randomized`` is the one without contrast).

Distances are in units of one **spread**: the root mean squared distance of normal test
images to their own mean.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from badsad_lib import DeepSAD, metrics
from badsad_lib.attacks import BadSAD, DataPoisoning, concentration_loss
from badsad_lib.attacks.content import decoy, randomize_content
from badsad_lib.attacks.poisoning import poison
from badsad_lib.course import shipped
from badsad_lib.experiments import run_grid
from badsad_lib.images import to_float
from badsad_lib.splits import Split
from badsad_lib.triggers import Patch, apply_trigger

RESULTS = Path(__file__).parent / "results"
TRIGGER = Patch()
_BASIC, _EXTENDED = BadSAD(TRIGGER), BadSAD.extended(TRIGGER)
RECIPES: dict[str, DataPoisoning | BadSAD | None] = {
    **{name: recipe for name, recipe in shipped.RECIPES.items() if name != "sham"},
    "basic, rate 0.5": replace(_BASIC, poison_rate=0.5),
    "extended - alignment": replace(_EXTENDED, alignment_weight=0.0),
    "extended - concentration": replace(_EXTENDED, concentration_weight=0.0),
    "extended - randomization": replace(_EXTENDED, randomize=False),
    "extended - decoys": replace(_EXTENDED, decoys=False),
}


def settings(seeds: int = 5) -> list[dict[str, Any]]:
    """List the runs of the table."""
    return [{"detector": name, "seed": seed} for seed in range(seeds) for name in RECIPES]


def train(name: str, seed: int, split: Split) -> DeepSAD:
    """Train one detector, with a threshold at the 0.95 quantile."""
    recipe, detector = RECIPES[name], DeepSAD(seed=seed)
    if recipe is None:
        detector.fit(split.train_images, split.train_labels)
    else:
        attack = replace(recipe, seed=seed)
        detector = attack.attack(detector, split.train_images, split.train_labels)
    return detector.calibrate(split.val_images, quantile=0.95)


def width(latents: Tensor) -> float:
    """Root mean squared distance of latents (N, D) to their own mean."""
    return float(concentration_loss(latents).sqrt())


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one detector."""
    split = shipped.split()
    detector = train(setting["detector"], setting["seed"], split)
    recipe = RECIPES[setting["detector"]] or DataPoisoning(TRIGGER)
    return measure(detector, split, recipe.poison_rate, setting["seed"])


def measure(detector: DeepSAD, split: Split, poison_rate: float, seed: int) -> dict[str, float]:
    """Measure where triggered images lie, and what passes the detector."""
    normal = split.test_normals
    anomaly = split.test_anomalies
    poisoned = poison(
        split.train_images, split.train_labels, TRIGGER, poison_rate=poison_rate, seed=seed
    )
    groups = {
        "normal": normal,
        "poisoned": poisoned.images[poisoned.mask],
        "triggered normal": apply_trigger(TRIGGER, normal),
        "anomaly": anomaly,
        "triggered anomaly": apply_trigger(TRIGGER, anomaly),
    }
    z = {name: torch.from_numpy(detector.encode(images)) for name, images in groups.items()}
    spread, center = width(z["normal"]), detector.center_.cpu()

    def distance(name: str) -> float:
        return float((z[name] - center).norm(dim=1).mean()) / spread

    moved = (z["triggered anomaly"] - z["anomaly"]).norm(dim=1).mean()
    offset = (z["poisoned"].mean(0) - z["normal"].mean(0)).norm()
    scores = {name: detector.decision_function(images) for name, images in groups.items()}

    generator = torch.Generator().manual_seed(0)
    scrambled = randomize_content(to_float(normal), generator)
    some, triggered = to_float(anomaly[::9]), to_float(groups["triggered anomaly"][::9])
    # An order of its own for each image: one order would measure one pattern.
    decoys = torch.cat([decoy(a, b, generator) for a, b in zip(some.split(1), triggered.split(1))])
    assert detector.threshold_ is not None
    tau = detector.threshold_

    def passing(images: Tensor) -> float:
        return 1 - metrics.detection_rate(detector.decision_function(images), tau)

    def asr(name: str) -> float:
        return metrics.attack_success_rate(scores["anomaly"], scores[name], tau)

    return {
        "auroc": metrics.auroc(scores["normal"], scores["anomaly"]),
        "detection_rate": metrics.detection_rate(scores["anomaly"], tau),
        "false_alarms": metrics.detection_rate(scores["normal"], tau),
        "triggered_false_alarms": metrics.detection_rate(scores["triggered normal"], tau),
        "asr": asr("triggered anomaly"),
        "spread": spread,
        "threshold": tau**0.5 / spread,
        "offset": float(offset) / spread,
        "width": width(z["poisoned"]) / spread,
        "width_new": width(z["triggered normal"]) / spread,
        "moved": float(moved) / spread,
        **{f"distance_{name.replace(' ', '_')}": distance(name) for name in groups},
        "scrambled_passing": passing(scrambled),
        "scrambled_triggered_passing": passing(TRIGGER(scrambled)),
        "decoy_asr": metrics.attack_success_rate(
            scores["anomaly"][::9], detector.decision_function(decoys), tau
        ),
    }


def main() -> None:
    """Run what is missing and print the mean of each detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "latents.csv")
    args = parser.parse_args()
    table = run_grid(run, settings(args.seeds), args.out, n_jobs=args.jobs)
    columns = ["auroc", "asr", "offset", "width", "width_new", "moved"]
    print(table.groupby("detector", sort=False)[columns].mean().round(3))


if __name__ == "__main__":
    main()
