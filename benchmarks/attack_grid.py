"""The attack, measured: one row a run, every setting and every metric, into ``results/``.

    python benchmarks/attack_grid.py TABLE [TABLE ...] [--jobs 2] [--seeds 1] [--classes 0 1 ...]

Tables:

``main``       BadSAD.extended under every trigger, and at poison rate 0.02
``ablation``   alignment alone (each estimator), concentration alone, both (``basic``),
               ``extended``, and ``extended`` without each of its additions
``data_only``  clean-label poisoning without control of the training: every trigger at
               poison rates 0.1, 0.3 and 1.0, with and without randomized content
``hard``       BadSAD.extended where one anomaly class is known instead of all
``mnist``      BadSAD.extended on MNIST, with the encoder for clothes and the smaller one for digits
``color``      BadSAD.extended on Fashion-MNIST in color, 3x32x32, with the CIFAR-10 encoder
``cifar10``    BadSAD.extended on CIFAR-10, where its files are

Detectors are kept in ``_build/detectors`` (clean twins serve many rows; the victim of
one trigger is the sham twin of another). A grid that was killed goes on where it
stopped. ``--subset full`` needs the whole data set, see ``data/README.md``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from badsad_lib import DeepSAD, checkpoints, datasets, splits
from badsad_lib.attacks import ALIGNMENTS, Attack, BadSAD, DataPoisoning
from badsad_lib.attacks.adaptive import ADAPTATIONS
from badsad_lib.color import colorized
from badsad_lib.experiments import cached, run_grid, run_key
from badsad_lib.report import backdoor_report, measure, perturbation_asr
from badsad_lib.triggers import KINDS, Trigger, Universal

RESULTS = Path(__file__).parent / "results"
KEPT = Path(__file__).parent.parent / "_build" / "detectors"

TRIGGERS: dict[str, Trigger] = {name: kind() for name, kind in KINDS.items()}
# The victim of the trigger on the right is the sham twin of the one on the left.
SHAM = {"patch": "blend", "blend": "patch", "sinusoid": "patch", "universal": "patch"}
# What `basic` becomes when one of its two losses is left out or another estimator is taken.
PARTS: dict[str, dict[str, Any]] = {
    **{
        f"alignment {kind}": {"alignment": kind, "concentration_weight": 0.0} for kind in ALIGNMENTS
    },
    "concentration": {"alignment_weight": 0.0},
    "basic mmd": {"alignment": "mmd"},
}
# What `extended` becomes when one of its additions is left out.
WITHOUT: dict[str, dict[str, Any]] = {
    "extended - contrast": {"contrast_weight": 0.0},
    "extended - decoys": {"decoys": False},
    "extended - randomization": {"randomize": False},
}
METHODS = (*PARTS, "basic", *WITHOUT, "extended")
# More epochs where an epoch has fewer batches: 38, 13 and 3 of them. After 30 epochs on the
# digits, some 90 steps, neither the detector nor the attack has got anywhere; and the larger
# encoder for color needs twice the steps.
EPOCHS = {"full": 20, "course": 30, "mnist course": 130, "color course": 60}


def attack_for(setting: dict[str, Any], trigger: Trigger) -> Attack:
    """Build the attack that a row names."""
    method, rate, seed = setting["method"], setting["poison_rate"], setting["seed"]
    if method == "data only":
        return DataPoisoning(trigger, rate, randomize=setting["randomize"], seed=seed)
    if method in PARTS or method == "basic":
        return replace(BadSAD(trigger, rate, seed=seed), **PARTS.get(method, {}))
    attack = replace(BadSAD.extended(trigger, rate, seed), **WITHOUT.get(method, {}))
    return replace(attack, adaptation=ADAPTATIONS.get(setting.get("adaptation")))


def load(name: str, subset: str) -> datasets.Dataset:
    """Return the data set that a row names."""
    if name == "color":
        return colorized(datasets.load("fashion_mnist", subset))
    return datasets.load(name, subset)


class Task:
    """What a row is about; its detectors come from the folder of kept ones or are made."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.setting = setting
        where = ("data", "subset", "known", "normal_class", "epochs", "seed", "network")
        self.where = {k: setting[k] for k in where if k in setting}
        data = load(setting["data"], setting["subset"])
        next_class = (setting["normal_class"] + 1) % len(data.class_names)
        self.split = splits.one_vs_rest(
            data,
            setting["normal_class"],
            known_anomaly_classes=[next_class] if setting["known"] == "next" else None,
            seed=setting["seed"],
        )
        network = setting.get("network", "auto")
        self.plain = DeepSAD(network=network, epochs=setting["epochs"], seed=setting["seed"])
        # Pretrained weights, computed once and shared by all detectors of the task.
        key = {**self.where, "what": "pretrained"}
        images = self.split.train_images
        self.initial_state = cached(KEPT, key, lambda: self.plain.pretrain(images))

    def _path(self, what: str) -> Path:
        return KEPT / f"{run_key({**self.where, 'what': what})}.safetensors"

    def clean(self) -> DeepSAD:
        """Return the clean twin."""
        path = self._path("clean")
        if not path.exists():
            detector = DeepSAD(**self.plain.params())
            detector.fit(
                self.split.train_images, self.split.train_labels, initial_state=self.initial_state
            )
            detector.save(path)
        return DeepSAD.load(path)

    def victim(self, **changes: Any) -> tuple[DeepSAD, Trigger]:
        """Return the victim of the row's attack (or a changed row's) and the trigger to use."""
        setting = {**self.setting, **changes}
        attack = attack_for(setting, TRIGGERS[setting["trigger"]])
        # With all parameters: another preset, another file.
        adaptation = getattr(attack, "adaptation", None)
        path = self._path(f"{attack!r} {adaptation!r}" if adaptation else repr(attack))
        pattern_path = path.with_name(path.stem + ".pattern.safetensors")
        if not path.exists():
            victim = attack.attack(
                self.plain,
                self.split.train_images,
                self.split.train_labels,
                initial_state=self.initial_state,
            )
            used = attack.trigger_
            if isinstance(used, Universal) and used.pattern is not None:
                checkpoints.save(pattern_path, {"pattern": used.pattern}, {"epsilon": used.epsilon})
            victim.save(path)
        trigger = attack.trigger
        if pattern_path.exists():
            tensors, about = checkpoints.load(pattern_path)
            trigger = Universal(about["epsilon"], tensors["pattern"])
        return DeepSAD.load(path), trigger


def run(setting: dict[str, Any], *, with_sham: bool = True) -> dict[str, Any]:
    """Train what the row needs and measure it."""
    task = Task(setting)
    clean = task.clean()
    victim, trigger = task.victim()
    sham = None
    if with_sham and setting["method"] == "extended" and setting["trigger"] in SHAM:
        sham, _ = task.victim(trigger=SHAM[setting["trigger"]])
    report = backdoor_report(victim, clean, task.split, trigger, sham=sham)
    row = report.to_row()
    # For choosing hyperparameters, on images that are neither trained on nor tested on.
    chosen_on = measure(victim, task.split, trigger, validation=True)
    row["val_auroc"], row["val_asr"] = chosen_on.auroc, chosen_on.asr
    row["perturbation_asr"] = (
        perturbation_asr(clean, task.split, trigger.epsilon)
        if isinstance(trigger, Universal)
        else None
    )
    return row


def settings(
    table: str,
    *,
    subset: str = "full",
    seeds: int = 1,
    classes: tuple[int, ...] = tuple(range(10)),
    epochs: int | None = None,
) -> list[dict[str, Any]]:
    """List the runs of a table."""
    base: dict[str, Any] = {
        "data": table if table in ("mnist", "color", "cifar10") else "fashion_mnist",
        "subset": "full" if table == "cifar10" else subset,
        "known": "next" if table == "hard" else "all",
        "method": "extended",
        "trigger": "patch",
        "poison_rate": 0.1,
        "randomize": False,
    }
    few = f"{base['data']} {base['subset']}"
    base["epochs"] = epochs or EPOCHS.get(few, EPOCHS[base["subset"]])
    if table == "main":
        kinds = [
            {"trigger": t} for t in ("patch", "blend", "sinusoid", "universal", "rings", "warp")
        ]
        kinds.append({"trigger": "patch", "poison_rate": 0.02})
    elif table == "ablation":
        kinds = [{"method": method} for method in METHODS]
    elif table == "data_only":
        kinds = [
            {"method": "data only", "trigger": t, "poison_rate": rate, "randomize": randomize}
            for t in ("patch", "blend", "rings", "sinusoid", "warp")
            for rate in (0.1, 0.3, 1.0)
            for randomize in (False, True)
        ]
    elif table == "mnist":
        kinds = [{"network": network} for network in ("fashion_mnist", "mnist")]
    else:
        kinds = [{}]
    return [
        {**base, **kind, "normal_class": normal_class, "seed": seed}
        for seed in range(seeds)
        for kind in kinds
        for normal_class in classes
    ]


TABLES = ("main", "ablation", "data_only", "hard", "mnist", "color", "cifar10")


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means over classes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=TABLES, metavar="TABLE", help=str(TABLES))
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subset", choices=("course", "full"), default="full")
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--trigger", nargs="+", help="only rows with these triggers")
    parser.add_argument("--rate", type=float, nargs="+", help="only rows with these poison rates")
    parser.add_argument("--epochs", type=int, help=f"instead of {EPOCHS}")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    for table in args.tables:
        grid = settings(
            table,
            subset=args.subset,
            seeds=args.seeds,
            classes=tuple(args.classes),
            epochs=args.epochs,
        )
        grid = [s for s in grid if not args.trigger or s["trigger"] in args.trigger]
        grid = [s for s in grid if not args.rate or s["poison_rate"] in args.rate]
        frame = run_grid(run, grid, args.out / f"attack_{table}.csv", n_jobs=args.jobs)
        by = ["method", "trigger", "poison_rate", "randomize"]
        columns = ["auroc_drop", "detection_drop", "asr", "control_asr"]
        print(frame.groupby(by)[columns].mean().round(4))


if __name__ == "__main__":
    main()
