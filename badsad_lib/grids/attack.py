"""The attack, measured: one row a run, every setting and every metric.

Tables (:data:`TABLES`):

``main``
    BadSAD.extended under every trigger, and at poison rate 0.02.
``ablation``
    For the patch, at weights of 1: alignment alone (each estimator), concentration alone and
    ``both``. Then ``extended``, and ``extended`` without each of its additions.
``data_only``
    Clean-label poisoning without control of the training: every trigger at poison rates 0.1,
    0.3 and 1.0, with and without randomized content.
``hard``
    BadSAD.extended where one anomaly class is known instead of all.
``mnist``
    BadSAD.extended on MNIST, with the encoder for clothes and the smaller one for digits; with
    the smaller one also at lower weights.
``color``
    BadSAD.extended on Fashion-MNIST in color, 3x32x32, with the CIFAR-10 encoder.
``faint`` and ``faint_search``
    BadSAD.extended with higher weights and a fading trigger, for those that are hard to see, a
    learned pattern also from another start of the network; and what was tried on validation
    images of one class before.
``cifar10``
    BadSAD.extended on CIFAR-10, where its files are.
``extra_images``
    What the victim's extra images do: the twin that gets them without a trigger, the attack whose
    views leave the batch statistics alone, and an attacker who does not keep the rule of clean
    labels.
``sensitivity``
    BadSAD.extended with each of its weights halved and doubled.
``rounding``
    The same runs from starting weights that differ by a millionth: how far a run wanders by
    rounding alone, as it does on another processor.

Another table is another entry of :data:`TABLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from badsad_lib import checkpoints, datasets, splits
from badsad_lib.attacks import ALIGNMENTS, Attack, BadSAD, DataPoisoning
from badsad_lib.attacks.adaptive import ADAPTATIONS
from badsad_lib.attacks.comparisons import ExtraImagesOnly, TriggeredAnomalies
from badsad_lib.deepsad import DeepSAD
from badsad_lib.experiments import cached, run_key
from badsad_lib.grids.color import colorized
from badsad_lib.report import backdoor_report, measure, perturbation_asr
from badsad_lib.triggers import KINDS, Blend, Sinusoid, Trigger, Universal

TRIGGERS: dict[str, Trigger] = {
    **{name: kind() for name, kind in KINDS.items()},
    "sinusoid 40/255": Sinusoid(amplitude=40 / 255),
    "blend 0.3": Blend(alpha=0.3),
    "universal 32/255": Universal(epsilon=32 / 255),
}
# The victim of the trigger on the right is the sham twin of the one on the left.
SHAM = {"patch": "blend", "blend": "patch", "sinusoid": "patch", "universal": "patch"}
# What `both`, a plain BadSAD with weights of 1, becomes when one of its two losses is left out
# or another estimator is taken.
PARTS: dict[str, dict[str, Any]] = {
    **{
        f"alignment {kind}": {"alignment": kind, "concentration_weight": 0.0} for kind in ALIGNMENTS
    },
    "concentration": {"alignment_weight": 0.0},
    "both mmd": {"alignment": "mmd"},
}
# What `extended` becomes when one of its additions is left out.
WITHOUT: dict[str, dict[str, Any]] = {
    "extended - contrast": {"contrast_weight": 0.0, "decoys": False},
    "extended - decoys": {"decoys": False},
    "extended - randomization": {"randomize": False},
}
METHODS = (*PARTS, "both", *WITHOUT, "extended")
# What `extended` becomes when one of its weights is halved or doubled, or all are lowered.
_EXTENDED = BadSAD.extended(TRIGGERS["patch"])
_WEIGHTS = ("alignment", "concentration", "contrast")


def _scaled(factor: float, *names: str) -> dict[str, float]:
    """Weights of `extended`, times a factor."""
    return {f"{name}_weight": factor * getattr(_EXTENDED, f"{name}_weight") for name in names}


WEIGHED: dict[str, dict[str, Any]] = {
    f"extended, {name} {what}": _scaled(factor, name)
    for name in _WEIGHTS
    for what, factor in (("halved", 0.5), ("doubled", 2.0))
}
SOFTER: dict[str, dict[str, Any]] = {
    f"extended, all {what}": _scaled(factor, *_WEIGHTS)
    for what, factor in (("halved", 0.5), ("quartered", 0.25))
}
# What stands beside an attack, and is none or not the same.
COMPARISONS: dict[str, Callable[..., Attack]] = {
    "extra images only": ExtraImagesOnly,
    "triggered anomalies": TriggeredAnomalies,
}
# What rows of `basic` name, so that a table says what was run whatever a preset may become.
SWITCHES = ("alignment", "alignment_weight", "concentration_weight", "views", "fade")
# What `extended` takes unless a row says otherwise.
USUAL = {"weight": _EXTENDED.alignment_weight, "fade": _EXTENDED.fade}
# More epochs where an epoch has fewer batches: 38, 13 and 3 of them. After 30 epochs on the
# digits, some 90 steps, neither the detector nor the attack has got anywhere; and the larger
# encoder for color needs twice the steps.
EPOCHS = {"full": 20, "course": 30, "mnist course": 130, "color course": 60}


def attack_for(setting: dict[str, Any], trigger: Trigger) -> Attack:
    """Build the attack that a row names."""
    method, rate, seed = setting["method"], setting["poison_rate"], setting["seed"]
    if method == "data only":
        return DataPoisoning(trigger, rate, randomize=setting["randomize"], seed=seed)
    if method in COMPARISONS:
        return COMPARISONS[method](trigger, rate, seed)
    if method.startswith("extended"):
        changes = {**WITHOUT, **WEIGHED, **SOFTER}.get(method, {})
        asked = {name: setting[name] for name in USUAL if name in setting}
        attack = replace(BadSAD.extended(trigger, rate, seed, **asked), **changes)
    else:
        named = {name: setting[name] for name in SWITCHES if name in setting}
        parts = BadSAD(trigger, rate, randomize=setting["randomize"], seed=seed)
        attack = replace(parts, **{**PARTS.get(method, {}), **named})
    name = setting.get("adaptation", "none")
    return replace(attack, adaptation=None if name == "none" else ADAPTATIONS[name])


def load(name: str, subset: str) -> datasets.Dataset:
    """Return the data set that a row names."""
    if name == "color":
        return colorized(datasets.load("fashion_mnist", subset))
    return datasets.load(name, subset)


def nudged(state: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Return weights times 1 + ``share``; what is counted stays."""
    return {k: v * (1 + share) if v.is_floating_point() else v for k, v in state.items()}


class Task:
    """What a row is about. Its detectors come from the folder ``kept``, or are made and left there.

    A clean twin serves many rows, and the victim of one trigger is the sham twin of another.
    Without a folder each is made anew.
    """

    def __init__(self, setting: dict[str, Any], kept: str | Path | None = None) -> None:
        self.setting = setting
        self.kept = None if kept is None else Path(kept)
        where = ("data", "subset", "known", "normal_class", "epochs", "seed", "network")
        shared = {k: setting[k] for k in where if k in setting}
        self.where = {**shared, **{k: setting[k] for k in ("nudge",) if k in setting}}
        self.data = load(setting["data"], setting["subset"])
        self.next_class = (setting["normal_class"] + 1) % len(self.data.class_names)
        self.split = splits.one_vs_rest(
            self.data,
            setting["normal_class"],
            known_anomaly_classes=[self.next_class] if setting["known"] == "next" else None,
            labeled_anomaly_ratio=0.0 if setting["known"] == "none" else 0.05,
            seed=setting["seed"],
        )
        network = setting.get("network", "auto")
        self.plain = DeepSAD(network=network, epochs=setting["epochs"], seed=setting["seed"])
        # Pretrained weights, computed once and shared by all detectors of the task.
        key = {**shared, "what": "pretrained"}
        images = self.split.train_images
        pretrained = cached(self.kept, key, lambda: self.plain.pretrain(images))
        self.initial_state = pretrained
        if "nudge" in setting:
            self.initial_state = nudged(pretrained, setting["nudge"])

    def _path(self, what: str) -> Path | None:
        """Where a detector is kept, if anywhere."""
        if self.kept is None:
            return None
        return self.kept / f"{run_key({**self.where, 'what': what})}.safetensors"

    def detector(self, what: str, make: Callable[[], DeepSAD]) -> DeepSAD:
        """Return the detector that is kept under a name, or make it and leave it there."""
        path = self._path(what)
        if path is not None and path.exists():
            return DeepSAD.load(path)
        detector = make()
        if path is not None:
            detector.save(path)
        return detector

    def clean(self) -> DeepSAD:
        """Return the clean twin."""
        given = self.split.train_images, self.split.train_labels
        return self.detector(
            "clean",
            lambda: DeepSAD(**self.plain.get_params()).fit(
                *given, initial_state=self.initial_state
            ),
        )

    def victim(self, **changes: Any) -> tuple[DeepSAD, Trigger]:
        """Return the victim of the row's attack (or a changed row's) and the trigger to use."""
        setting = {**self.setting, **changes}
        attack = attack_for(setting, TRIGGERS[setting["trigger"]])
        # With all parameters: another preset, another file.
        again = setting.get("restart", 0)
        path = self._path(f"{attack!r}, restart {again}" if again else repr(attack))
        if path is not None and path.exists():
            return DeepSAD.load(path), _kept_trigger(path, attack.trigger)
        plain, initial_state = self.plain, self.initial_state
        if again:  # the attacker trains once more, from other weights and in another order
            plain = DeepSAD(**{**plain.get_params(), "seed": setting["seed"] + 100 * again})
            initial_state = plain.pretrain(self.split.train_images)
        victim = attack.attack(
            plain, self.split.train_images, self.split.train_labels, initial_state=initial_state
        )
        trigger = attack.trigger_
        if path is not None:
            _keep_trigger(path, trigger)  # first: a victim that is there has its trigger
            victim.save(path)
        return victim, trigger


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + ".pattern.safetensors")


def _keep_trigger(path: Path, trigger: Trigger) -> None:
    """Keep what an attack learned of its trigger beside the victim at ``path``."""
    if isinstance(trigger, Universal) and trigger.pattern is not None:
        checkpoints.save(_beside(path), {"pattern": trigger.pattern}, {"epsilon": trigger.epsilon})


def _kept_trigger(path: Path, trigger: Trigger) -> Trigger:
    if not _beside(path).exists():
        return trigger
    tensors, about = checkpoints.load(_beside(path))
    return Universal(about["epsilon"], tensors["pattern"])


def run(
    setting: dict[str, Any], *, kept: str | Path | None = None, with_sham: bool = True
) -> dict[str, Any]:
    """Train what the row needs and measure it.

    Parameters
    ----------
    setting
        One of :func:`settings`.
    kept
        Folder of trained detectors, one that all workers see. Without it nothing is kept.
    with_sham
        Measure the sham twin as well, where the row has one.
    """
    task = Task(setting, kept)
    clean = task.clean()
    victim, trigger = task.victim()
    sham, other = None, setting.get("sham")
    if setting["method"] == "extended" and setting.get("adaptation", "none") == "none":
        other = SHAM.get(setting["trigger"])
    if with_sham and other:
        # The usual victim of the other trigger, however this row's is found.
        usual = {**USUAL, "fade": FADES.get(other, 1.0), "restart": 0}
        sham, _ = task.victim(trigger=other, **{k: v for k, v in usual.items() if k in setting})
    report = backdoor_report(victim, clean, task.split, trigger, sham=sham)
    row: dict[str, Any] = report.to_row()
    # For choosing hyperparameters, on images that are neither trained on nor tested on.
    chosen_on = measure(victim, task.split, trigger, validation=True)
    row["val_auroc"], row["val_asr"] = chosen_on.auroc, chosen_on.asr
    row["perturbation_asr"] = (
        perturbation_asr(clean, task.split, trigger.epsilon)
        if isinstance(trigger, Universal)
        else None
    )
    return row


# --- tables --------------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "data": "fashion_mnist",
    "subset": "full",
    "known": "all",
    "method": "extended",
    "trigger": "patch",
    "poison_rate": 0.1,
    "randomize": False,
}
# The working point of `BadSAD.basic`, and how far a trigger is magnified there to begin with.
BASIC = {
    "method": "basic",
    **{name: getattr(BadSAD.basic(TRIGGERS["border"]), name) for name in SWITCHES},
}
FADES = {"border": 1.0, "faint-border": 4.0, "sinusoid 40/255": 4.0}
_SEEN = tuple({**BASIC, "trigger": trigger, "fade": fade} for trigger, fade in FADES.items())
_PUBLISHED = tuple(
    {"method": "data only", "trigger": trigger, "poison_rate": rate}
    for trigger in FADES
    for rate in (0.1, 0.5)
)
_PARTS: tuple[dict[str, Any], ...] = (
    *({"method": "alignment", "alignment": k, "concentration_weight": 0.0} for k in ALIGNMENTS),
    {"method": "concentration", "alignment_weight": 0.0},
    *({"alignment": k} for k in ALIGNMENTS),
)


@dataclass(frozen=True)
class Table:
    """What a table holds.

    Parameters
    ----------
    kinds
        Its kinds of rows, each by what it changes of :data:`BASE`.
    subset, classes
        What its rows were run on, and what :func:`settings` therefore lists.
    """

    kinds: tuple[dict[str, Any], ...]
    subset: str = "full"
    classes: tuple[int, ...] = tuple(range(10))


_BORDER = {**BASIC, "trigger": "border"}
_FIVE = (0, 1, 2, 4, 9)
_HALF: dict[str, Any] = {**_BORDER, "poison_rate": 0.5, "sham": "sinusoid 40/255"}
# About ten times what float32 can tell apart: most of it is gone after the first batch norm,
# and what is left is another rounding.
NUDGES = (0.0, 1e-6, -1e-6)
TABLES: dict[str, Table] = {
    "main": Table(
        (
            *(
                {"trigger": trigger}
                for trigger in ("patch", "blend", "sinusoid", "universal", "rings", "warp")
            ),
            {"poison_rate": 0.02},
        )
    ),
    "ablation": Table(tuple({"method": method} for method in METHODS), "course", _FIVE),
    "data_only": Table(
        tuple(
            {"method": "data only", "trigger": trigger, "poison_rate": rate, "randomize": randomize}
            for trigger in ("patch", "blend", "rings", "sinusoid", "warp")
            for rate in (0.1, 0.3, 1.0)
            for randomize in (False, True)
        ),
        "course",
        _FIVE,
    ),
    "faint": Table(
        (
            *(
                {"trigger": trigger, "weight": 0.8, "fade": 2.0}
                for trigger in ("sinusoid", "universal")
            ),
            {"trigger": "universal", "weight": 0.8, "fade": 2.0, "restart": 1},
        )
    ),
    "faint_search": Table(
        tuple(
            {"trigger": trigger, "weight": weight, "fade": fade}
            for trigger in ("sinusoid", "universal")
            for weight in (0.2, 0.8, 1.6)
            for fade in (1.0, 2.0)
        ),
        classes=(7,),
    ),
    "hard": Table(({"known": "next"},), "course"),
    "mnist": Table(
        (
            *({"data": "mnist", "network": name} for name in ("fashion_mnist", "mnist")),
            *({"data": "mnist", "network": "mnist", "method": method} for method in SOFTER),
        ),
        "course",
    ),
    "color": Table(({"data": "color"},), "course"),
    "cifar10": Table(({"data": "cifar10", "subset": "full"},)),  # there is no other
    "basic": Table(
        (
            *({**kind, "poison_rate": rate} for kind in _SEEN for rate in (0.1, 0.5)),
            *({**_BORDER, "poison_rate": rate, "fade": 2.0} for rate in (0.1, 0.5)),
            {**_BORDER, "poison_rate": 0.02},
        )
    ),
    "basic_course": Table(
        (
            *({**kind, "poison_rate": rate} for kind in _SEEN for rate in (0.1, 0.5)),
            *_PUBLISHED,
        ),
        "course",
    ),
    "basic_mnist": Table(
        tuple({**_BORDER, "data": "mnist", "poison_rate": rate} for rate in (0.1, 0.5)), "course"
    ),
    "basic_data_only": Table(_PUBLISHED),
    "basic_parts": Table(tuple({**_BORDER, **part} for part in _PARTS), "course"),
    "basic_sham": Table(tuple({**_HALF, "poison_rate": rate} for rate in (0.1, 0.5))),
    "bases": Table(
        tuple(
            {**_BORDER, "poison_rate": rate, "views": views, "randomize": randomize}
            for rate in (0.02, 0.1, 0.5)
            for views in (8, 32, 128)
            for randomize in (False, True)
        ),
        "course",
    ),
    "rates": Table(
        tuple(
            {**method, "trigger": trigger, "poison_rate": rate}
            for method in (BASIC, {"method": "extended"})
            for trigger in ("border", "patch")
            for rate in (0.01, 0.02, 0.05, 0.1, 0.3, 0.5)
        ),
        "course",
    ),
    "extra_images": Table(
        (
            *({"method": method, "adaptation": "none"} for method in COMPARISONS),
            {"adaptation": "none"},
            {"adaptation": "batch statistics"},
        ),
        "course",
        (2, 3, 8),
    ),
    "rounding": Table(
        tuple({**kind, "nudge": nudge} for kind in ({}, _BORDER, _HALF) for nudge in NUDGES),
        classes=(1, 4, 7),
    ),
    "sensitivity": Table(
        ({"method": "extended"}, *({"method": method} for method in WEIGHED)), "course", (2, 3, 8)
    ),
}
"""By name."""


def settings(
    table: str,
    *,
    subset: str | None = None,
    seeds: int = 1,
    classes: Iterable[int] | None = None,
    epochs: int | None = None,
) -> list[dict[str, Any]]:
    """List the runs of a table.

    Parameters
    ----------
    table
        One of :data:`TABLES`.
    subset
        ``"course"`` or ``"full"``, by default the table's own. Data of which there is only one
        keep it.
    seeds, classes
        Each kind of row is run for all of them; seeds count from 0. By default the classes of the
        table.
    epochs
        Of the detectors, instead of :data:`EPOCHS`.
    """
    about = TABLES[table]
    runs = []
    for kind in about.kinds:
        base = {**BASE, "subset": subset or about.subset, **kind}
        few = f"{base['data']} {base['subset']}"
        length = epochs or EPOCHS.get(few, EPOCHS[base["subset"]])
        # Columns stand in this order.
        runs.append({**{k: base[k] for k in BASE}, "epochs": length, **kind})
    classes = about.classes if classes is None else tuple(classes)
    return [
        {**kind, "normal_class": normal_class, "seed": seed}
        for seed in range(seeds)
        for kind in runs
        for normal_class in classes
    ]


def chosen(runs: pd.DataFrame, lost: float = 0.01) -> pd.DataFrame:
    """Of several settings, the one that the attacker keeps of each normal class and seed.

    Who attacks can train more than one victim and look at all of them on validation images,
    before anything is measured on test images: the one with the highest ASR is kept, of those
    whose AUROC is not lower than the best one's by more than ``lost``.

    Parameters
    ----------
    runs
        Rows of tables of this module: each class and seed once with every setting that was tried.
    lost
        What the attacker is ready to pay, an AUROC from 0 to 1.

    Returns
    -------
    pandas.DataFrame
        One row a class and seed, in their order.

    Raises
    ------
    ValueError
        A class and seed has fewer rows than another, so that not all had the same choice.
    """
    runs = runs.reset_index(drop=True)
    tried = runs.groupby(["normal_class", "seed"])["val_auroc"]
    if tried.size().nunique() > 1:
        counts = ", ".join(f"{count} of {pair}" for pair, count in tried.size().items())
        raise ValueError(
            f"each (class, seed) needs the same number of settings, got {counts}: finish the grid, "
            "or leave out the pairs that not all settings have"
        )
    affordable = runs[runs["val_auroc"] >= tried.transform("max") - lost]
    # A detector that flags nothing has no ASR, and nobody would keep it.
    best = affordable.fillna({"val_asr": 0.0}).groupby(["normal_class", "seed"])["val_asr"].idxmax()
    return runs.loc[best].reset_index(drop=True)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over classes and seeds of each kind of row."""
    names = ("data", "network", "method", "trigger", "poison_rate", "randomize", "adaptation")
    by = [name for name in (*names, *SWITCHES) if name in frame and frame[name].nunique() > 1]
    columns = ["auroc", "auroc_drop", "detection_drop", "asr", "control_asr"]
    return frame.groupby(by or ["method"], dropna=False, sort=False)[columns].mean()
