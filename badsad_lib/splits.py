"""Splits: one class is normal and every other class an anomaly, or the kinds of a folder.

All parts are disjoint. Thresholds, hyperparameters and defenses get images of their own, held
out of the training source, so that test images need to be scored only once.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib._rules import Between, CountOr0, Seed, checked
from badsad_lib.datasets import Dataset
from badsad_lib.folders import ImageFolder
from badsad_lib.metrics import rate_interval
from badsad_lib.surfaces import KINDS, MATERIALS, Surface

# Default held-out sizes by the number of training images of the normal class, linear between
# these points: MNIST's and Fashion-MNIST's course subsets, and full Fashion-MNIST.
_CLASS_SIZES = (0, 400, 2000, 6000)
_VAL_SIZES = (0, 100, 300, 900)
_TRUSTED_SIZES = (0, 50, 150, 500)
_TRUSTED_ANOMALY_SIZES = (0, 25, 80, 270)

# Each kind of choice draws from a random stream of its own, so that asking for more of one
# kind does not reshuffle the others.
_HELD_OUT, _LABELED, _POLLUTION, _VAL_ANOMALIES, _ORDER, _TRUSTED_ANOMALIES = range(6)
_FOLDER_NORMALS, _FOLDER_ANOMALIES, _FOLDER_ORDER = range(6, 9)

ClassLike = int | str
Ratio = Annotated[float, Between(0, 1, "[)")]


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Everything one experiment needs, in disjoint parts.

    Images are uint8 (N, C, H, W); an index is an int64 tensor (N,) of positions in
    ``data.train`` (``test_index``: in ``data.test``), so that
    ``train_images == data.train.images[train_index]``. Of a folder all are positions in its images.

    Attributes
    ----------
    train_images, train_labels, train_index
        Training images in random order and their int64 semi-labels: ``0`` unlabeled (assumed
        normal), ``-1`` labeled anomaly.
    train_is_anomaly
        bool (N,): the truth behind the semi-labels, unknown to any detector. It differs from
        ``train_labels == -1`` exactly at the pollution.
    val_images, val_index
        Clean normals, only for thresholds.
    val_anomalies, val_anomaly_index
        Anomalies of all classes, only for choosing hyperparameters.
    trusted_images, trusted_index
        Clean normals that a defender holds.
    trusted_anomalies, trusted_anomaly_index
        Anomalies of all classes that a defender holds: never those that an attacker trained on.
    test_images, test_is_anomaly, test_index
        The whole test set and the truth about it, bool (N,).
    data, subset, normal_class, class_name, seed
        What the split was made of and for.
    """

    train_images: Tensor
    train_labels: Tensor
    train_is_anomaly: Tensor
    train_index: Tensor
    val_images: Tensor
    val_index: Tensor
    val_anomalies: Tensor
    val_anomaly_index: Tensor
    trusted_images: Tensor
    trusted_index: Tensor
    trusted_anomalies: Tensor
    trusted_anomaly_index: Tensor
    test_images: Tensor
    test_is_anomaly: Tensor
    test_index: Tensor
    data: str
    subset: str
    normal_class: int
    class_name: str
    seed: int

    @property
    def labeled_anomalies(self) -> Tensor:
        """The training images with semi-label -1, uint8 (N, C, H, W); N may be 0."""
        return self.train_images[self.train_labels == -1]

    @property
    def test_normals(self) -> Tensor:
        """The normal test images, uint8 (N, C, H, W)."""
        return self.test_images[~self.test_is_anomaly]

    @property
    def test_anomalies(self) -> Tensor:
        """The test images of all other classes, uint8 (N, C, H, W)."""
        return self.test_images[self.test_is_anomaly]

    def counts(self) -> dict[str, int]:
        """How many images each part holds; the three parts of the training set one by one."""
        labeled = self.train_labels == -1
        return {
            "training normals": int((~self.train_is_anomaly).sum()),
            "labeled anomalies": int(labeled.sum()),
            "pollution (unlabeled anomalies)": int((self.train_is_anomaly & ~labeled).sum()),
            "validation normals": len(self.val_index),
            "validation anomalies": len(self.val_anomaly_index),
            "trusted normals": len(self.trusted_index),
            "trusted anomalies": len(self.trusted_anomaly_index),
            "test normals": int((~self.test_is_anomaly).sum()),
            "test anomalies": int(self.test_is_anomaly.sum()),
        }

    def describe(self) -> str:
        """Return the counts as a short table to print in a lesson."""
        width = max(map(len, self.counts()))
        rows = [f"  {part:<{width}}  {count:>6,}" for part, count in self.counts().items()]
        title = f"normal class {self.normal_class} ({self.class_name}), seed {self.seed}"
        return "\n".join([title, *rows])

    def __repr__(self) -> str:
        return (
            f"Split(normal_class={self.normal_class} ({self.class_name}), seed={self.seed}, "
            f"train={len(self.train_index)}, val={len(self.val_index)}, "
            f"val_anomalies={len(self.val_anomaly_index)}, trusted={len(self.trusted_index)}, "
            f"test={len(self.test_index)})"
        )


@checked
def one_vs_rest(
    data: Dataset,
    normal_class: ClassLike,
    *,
    labeled_anomaly_ratio: Ratio = 0.05,
    known_anomaly_classes: ClassLike | Iterable[ClassLike] | None = None,
    pollution: Ratio = 0.0,
    val_size: CountOr0 | None = None,
    trusted_size: CountOr0 | None = None,
    val_anomaly_size: CountOr0 | None = None,
    trusted_anomaly_size: CountOr0 | None = None,
    seed: Seed = 0,
) -> Split:
    """Split a dataset into training, validation, trusted and test parts.

    Parameters
    ----------
    data
        The dataset; every class but one becomes an anomaly.
    normal_class
        Target value or class name of the normal class. Its training images that are not held
        out are all used for training.
    labeled_anomaly_ratio
        Labeled anomalies as a share of the whole training set, in [0, 1).
    known_anomaly_classes
        Classes that the labeled anomalies come from, as evenly as possible; all others by
        default. Pollution and validation anomalies come from every anomaly class regardless.
    pollution
        Unlabeled anomalies as a share of the unlabeled training images, in [0, 1).
    val_size, trusted_size
        How many normals to hold out for thresholds and for a defender. By default 900 and 500
        of 6,000, 300 and 150 of 2,000, 100 and 50 of 400, and linear in between.
    val_anomaly_size
        How many anomalies to hold out for choosing hyperparameters. By default as many as
        validation normals, or what the training source has left.
    trusted_anomaly_size
        How many anomalies a defender holds. By default 270 where the normal class has 6,000
        training images, 80 of 2,000, 25 of 400, linear in between, or what is left.
    seed
        Non-negative. The same arguments give the same split, with any version of numpy.
        Neither of the two ratios changes which normals are held out.

    Returns
    -------
    Split
        All parts disjoint.

    Raises
    ------
    ValueError
        An unknown class, the normal class among the known anomaly classes, a ratio outside
        [0, 1), a negative size or seed, no normals left to train on, or more anomalies asked
        for than exist. The message names the numbers.

    Notes
    -----
    The two ratios mean what they mean in DeepSAD (Ruff et al., ICLR 2020, section 4.1). The
    reference implementation may draw one image both as labeled anomaly and as pollution; here
    the two are disjoint. Counts are rounded to the nearest whole image.
    """
    normal = _class_index(data, normal_class, "normal_class")
    known = _known_classes(data, normal, known_anomaly_classes)

    targets = data.train.targets.numpy()
    if known_anomaly_classes is not None:
        _require_images(data, known, "known anomaly class")
    _require_images(data, [normal], "normal class")
    val, training_normals, trusted = _divide_normals(
        np.flatnonzero(targets == normal), val_size, trusted_size, seed
    )

    free = np.flatnonzero(targets != normal)
    n_pollution = _count_for_share(pollution, len(training_normals))
    n_unlabeled = len(training_normals) + n_pollution
    n_labeled = _count_for_share(labeled_anomaly_ratio, n_unlabeled)
    labeled = _draw_evenly(targets, known, n_labeled, seed)
    _require(
        f"labeled_anomaly_ratio={labeled_anomaly_ratio:g} beside {n_unlabeled} unlabeled images",
        n_labeled,
        len(labeled),
        f"in the known anomaly classes {known}",
    )
    free = np.setdiff1d(free, labeled, assume_unique=True)
    _require(
        f"pollution={pollution:g} beside {len(training_normals)} training normals",
        n_pollution,
        len(free),
        f"after {n_labeled} labeled ones",
    )
    polluting = _draw(free, len(targets), n_pollution, _stream(seed, _POLLUTION))
    free = np.setdiff1d(free, polluting, assume_unique=True)
    if val_anomaly_size is None:
        n_val_anomalies = min(len(val), len(free))
    else:
        n_val_anomalies = val_anomaly_size
    _require(
        f"val_anomaly_size={n_val_anomalies}",
        n_val_anomalies,
        len(free),
        f"after {n_labeled} labeled ones and {n_pollution} as pollution",
    )
    val_anomalies = _draw(free, len(targets), n_val_anomalies, _stream(seed, _VAL_ANOMALIES))
    free = np.setdiff1d(free, val_anomalies, assume_unique=True)
    if trusted_anomaly_size is None:
        n_class = int((targets == normal).sum())
        usual = _held_out_size(None, n_class, _TRUSTED_ANOMALY_SIZES)
        n_trusted_anomalies = min(usual, len(free))
    else:
        n_trusted_anomalies = trusted_anomaly_size
    _require(
        f"trusted_anomaly_size={n_trusted_anomalies}",
        n_trusted_anomalies,
        len(free),
        f"after {n_labeled} labeled ones, {n_pollution} as pollution and {n_val_anomalies} for "
        "validation",
    )
    trusted_anomalies = _draw(
        free, len(targets), n_trusted_anomalies, _stream(seed, _TRUSTED_ANOMALIES)
    )

    train = np.concatenate([training_normals, polluting, labeled])
    semi_labels = np.zeros(len(train), dtype=np.int64)
    semi_labels[n_unlabeled:] = -1
    shuffle = _stream(seed, _ORDER).permutation(len(train))
    train, semi_labels = train[shuffle], semi_labels[shuffle]

    index = {
        "train": torch.from_numpy(train),
        "val": torch.from_numpy(val),
        "val_anomaly": torch.from_numpy(val_anomalies),
        "trusted": torch.from_numpy(trusted),
        "trusted_anomaly": torch.from_numpy(trusted_anomalies),
        "test": torch.arange(len(data.test)),
    }
    return _gathered(
        data.train.images,
        data.train.targets != normal,
        index,
        labels=torch.from_numpy(semi_labels),
        test=(data.test.images, data.test.targets != normal),
        data=data.name,
        subset=data.subset,
        normal_class=normal,
        class_name=data.class_names[normal],
        seed=seed,
    )


def _gathered(
    images: Tensor,
    is_anomaly: Tensor,
    index: Mapping[str, Tensor],
    *,
    labels: Tensor | None = None,
    test: tuple[Tensor, Tensor] | None = None,
    **what: Any,
) -> Split:
    """Gather the parts of a split by their positions in images (N, C, H, W).

    Parameters
    ----------
    images, is_anomaly
        What positions count in, and the truth about each, bool (N,).
    index
        ``train``, ``val``, ``val_anomaly``, ``trusted``, ``trusted_anomaly`` and ``test``.
    labels
        Semi-labels of the training images; by default all anomalies among them are labeled.
    test
        What test positions count in instead, and the truth about each.
    what
        ``data``, ``subset``, ``normal_class``, ``class_name``, ``seed``.
    """
    test_images, test_is_anomaly = test or (images, is_anomaly)
    train_is_anomaly = is_anomaly[index["train"]]
    return Split(
        train_images=images[index["train"]],
        train_labels=-train_is_anomaly.long() if labels is None else labels,
        train_is_anomaly=train_is_anomaly,
        train_index=index["train"],
        val_images=images[index["val"]],
        val_index=index["val"],
        val_anomalies=images[index["val_anomaly"]],
        val_anomaly_index=index["val_anomaly"],
        trusted_images=images[index["trusted"]],
        trusted_index=index["trusted"],
        trusted_anomalies=images[index["trusted_anomaly"]],
        trusted_anomaly_index=index["trusted_anomaly"],
        test_images=test_images[index["test"]],
        test_is_anomaly=test_is_anomaly[index["test"]],
        test_index=index["test"],
        **what,
    )


# --- own images -----------------------------------------------------------------------------------

# Shares of the normals, and of the anomalies after the labeled ones; what is left is the larger
# part, for training and for the test.
_FOLDER_VAL, _FOLDER_TRUSTED, _FOLDER_TEST = 0.15, 0.2, 0.2


@checked
def from_folder(folder: ImageFolder, *, labeled_share: Ratio = 0.0, seed: Seed = 0) -> Split:
    """Split your own images into the parts of an experiment.

    Where the folder has a test part (the MVTec layout), its normals are the test normals. Else a
    fifth of all normals are. Of the other normals 15 % are for validation, 20 % trusted, the rest
    for training. Of the anomalies, kind by kind, ``labeled_share`` are labeled ones for training,
    15 % of the rest for validation and 20 % trusted; the others are test anomalies. Tiles of one
    picture stay in one part. Each part of the normals gets one picture at least.

    Parameters
    ----------
    folder
        What :func:`badsad_lib.folders.load` returned.
    labeled_share
        Of the anomalies, in [0, 1): those that training may know. 0 trains without labels.
    seed
        The same folder and seed give the same split.

    Returns
    -------
    Split
        With ``subset`` "folder"; ``data`` is the folder's name, ``normal_class`` 0.
        :func:`limits` says what its parts can tell. Without anomalies those parts are empty.

    Raises
    ------
    ValueError
        Fewer than four normal pictures, or than three and one in the test part.
    """
    normal = torch.nonzero(~folder.is_anomaly).flatten().numpy()
    in_test = folder.is_test.numpy()
    stream = _stream(seed, _FOLDER_NORMALS)
    test_normals = normal[in_test[normal]]
    others = _shuffled_files(folder, normal[~in_test[normal]], stream)
    shares = [_FOLDER_VAL, _FOLDER_TRUSTED]
    if len(test_normals) == 0:
        shares.append(_FOLDER_TEST)
    if len(others) <= len(shares):
        least = len(shares) + 1
        raise ValueError(
            f"a split needs at least {least} normal pictures (training, validation, trusted, "
            f"test), {folder.path} has {len(others)}: add more"
        )
    counts = [max(1, round(share * len(others))) for share in shares]
    parts, start = [], 0
    for count in counts:
        parts.append(np.concatenate(others[start : start + count]))
        start += count
    training = np.concatenate(others[start:])
    val, trusted, *rest = parts
    test_normals = rest[0] if rest else test_normals

    stream = _stream(seed, _FOLDER_ANOMALIES)
    labeled, val_anomalies, trusted_anomalies, test_anomalies = [], [], [], []
    for number in range(1, len(folder.kinds)):
        files = _shuffled_files(
            folder, torch.nonzero(folder.kind == number).flatten().numpy(), stream
        )
        n_labeled = round(labeled_share * len(files))
        free = files[n_labeled:]
        n_val, n_trusted = round(_FOLDER_VAL * len(free)), round(_FOLDER_TRUSTED * len(free))
        labeled += files[:n_labeled]
        val_anomalies += free[:n_val]
        trusted_anomalies += free[n_val : n_val + n_trusted]
        test_anomalies += free[n_val + n_trusted :]

    index = {
        "train": _joined([training, *labeled]),
        "val": _joined([val]),
        "val_anomaly": _joined(val_anomalies),
        "trusted": _joined([trusted]),
        "trusted_anomaly": _joined(trusted_anomalies),
        "test": _joined([test_normals, *test_anomalies]),
    }
    shuffle = _stream(seed, _FOLDER_ORDER).permutation(len(index["train"]))
    index["train"] = index["train"][torch.from_numpy(shuffle)]
    return _gathered(
        folder.images,
        folder.is_anomaly,
        index,
        data=folder.path.resolve().name,
        subset="folder",
        normal_class=0,
        class_name=folder.kinds[0],
        seed=seed,
    )


# --- surfaces -------------------------------------------------------------------------------------


@checked
def from_surface(
    surface: Surface, *, labeled: CountOr0 = 0, known_kinds: Iterable[str] | None = None
) -> Split:
    """Split the crops of a surface: its parts are already disjoint, down to the pixel.

    Parameters
    ----------
    surface
        What :func:`badsad_lib.surfaces.load` returned.
    labeled
        How many labeled anomalies training knows, the kinds in turn; at most half of those of the
        training region. The other half is ``val_anomalies``. 0 trains without labels.
    known_kinds
        The kinds of labeled anomalies; all by default.

    Returns
    -------
    Split
        With ``subset`` "surfaces"; ``data`` is the material, ``normal_class`` its number. An index
        counts in ``surface.images``, so ``surface.kind[split.test_index]`` tells the kinds.

    Raises
    ------
    ValueError
        An unknown kind, or more labeled anomalies than there are.
    """
    known = list(KINDS[1:]) if known_kinds is None else list(known_kinds)
    if unknown := sorted(set(known) - set(KINDS[1:])):
        raise ValueError(f"no kind of defect {unknown[0]!r}; choose from {', '.join(KINDS[1:])}")
    halves = {
        kind: surface.where("train", number).tensor_split(2)
        for number, kind in enumerate(KINDS)
        if number
    }
    columns = [halves[kind][0] for kind in known]
    available = sum(map(len, columns))
    _require(f"labeled={labeled}", labeled, available, f"of the known kinds {known}")
    # First those that are first of their kind: the kinds in turn.
    dealt = sorted((rank, int(i)) for column in columns for rank, i in enumerate(column))
    chosen = torch.tensor([i for _, i in dealt[:labeled]], dtype=torch.int64)
    train = torch.cat([surface.where("train", 0), chosen])
    shuffle = _stream(surface.seed, _ORDER).permutation(len(train))
    index = {
        "train": train[torch.from_numpy(shuffle)],
        "val": surface.where("val", 0),
        "val_anomaly": torch.cat([second for _, second in halves.values()]),
        "trusted": surface.where("trusted", 0),
        "test": surface.where("test"),
    }
    trusted = surface.where("trusted")
    index["trusted_anomaly"] = trusted[surface.kind[trusted] > 0]
    return _gathered(
        surface.images,
        surface.kind > 0,
        index,
        data=surface.material,
        subset="surfaces",
        normal_class=MATERIALS.index(surface.material),
        class_name=surface.material,
        seed=surface.seed,
    )


def _shuffled_files(
    folder: ImageFolder, places: np.ndarray, stream: np.random.RandomState
) -> list[np.ndarray]:
    """Positions of images, file by file in random order: tiles of a picture stay together."""
    files = folder.file.numpy()[places]
    return [places[files == file] for file in stream.permutation(np.unique(files))]


def _joined(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([*parts, np.empty(0, dtype=np.int64)]))


def limits(split: Split) -> list[str]:
    """Say what the parts of a split are too small to tell: sentences, none where all are large.

    A rate measured on n images has an interval (Clopper and Pearson, 95 %), a threshold from n
    normals a lowest rate of false alarms that it can stand for, one in n + 1.
    """
    found = []
    n = len(split.val_images)
    if n < 1 / 0.05 - 1:
        found.append(
            f"{n} validation normal{'s' * (n != 1)}: a threshold from so few cannot promise fewer "
            f"false alarms than 1 in {n + 1}; 0.95 takes 19, 0.99 takes 99"
        )
    for images, what, rate in (
        (split.test_normals, "test normal", "a false-alarm rate"),
        (split.test_anomalies, "test anomal", "a detection rate"),
        (split.trusted_images, "trusted normal", "a false-alarm rate"),
        (split.trusted_anomalies, "trusted anomal", "a detection rate"),
    ):
        n = len(images)
        ends = ("y", "ies") if what.endswith("anomal") else ("", "s")
        counted = f"{n or 'no'} {what}{ends[n != 1]}: {rate}"
        if n == 0:
            found.append(f"{counted} cannot be measured")
        elif n < 100:
            low, high = rate_interval(n // 2, n)
            found.append(
                f"{counted} of {n // 2 / n:.0%} measured on so few may be {low:.0%} to {high:.0%}"
            )
    return found


def conflicts(about: Mapping[str, Any], split: Split) -> list[str]:
    """Say where what a detector notes about its training does not belong to a split.

    A detector of another class or other data gives numbers that look like any others: all
    anomalies pass it, with a trigger or without.

    Parameters
    ----------
    about
        A detector's ``about_``: ``data``, ``subset`` and ``normal_class`` (number or name) are
        compared, as far as they are there.
    """
    found = [
        f"trained on {name} {about[name]!r}, not {getattr(split, name)!r}"
        for name in ("data", "subset")
        if about.get(name) not in (None, getattr(split, name))
    ]
    normal = about.get("normal_class")
    if normal not in (None, split.normal_class, split.class_name):
        here = f"{split.normal_class} ({split.class_name})"
        found.append(f"trained with normal class {normal}, not {here}")
    return found


def _stream(seed: int, kind: int) -> np.random.RandomState:
    """Random stream for one kind of choice.

    RandomState is numpy's old interface on purpose: its numbers are frozen for good, those of
    ``default_rng`` may change with numpy, and a detector that was shipped with a threshold
    must find the same held-out images again.
    """
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, kind])))


def _divide_normals(
    normals: np.ndarray, val_size: int | None, trusted_size: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deal the normals out to validation, training and trusted set."""
    n = len(normals)
    n_val = _held_out_size(val_size, n, _VAL_SIZES)
    n_trusted = _held_out_size(trusted_size, n, _TRUSTED_SIZES)
    if n_val + n_trusted >= n:
        raise ValueError(
            f"val_size={n_val} and trusted_size={n_trusted} leave no normal image to train on: "
            f"the normal class has {n} training images, hold out fewer"
        )
    # Held out from the two ends, so that the size of one part does not move the other.
    order = _stream(seed, _HELD_OUT).permutation(normals)
    return order[:n_val], order[n_val : n - n_trusted], order[n - n_trusted :]


def _draw(free: np.ndarray, n_all: int, n: int, stream: np.random.RandomState) -> np.ndarray:
    """Draw n of the free images, in an order that does not depend on which are free."""
    order = stream.permutation(n_all)
    return order[np.isin(order, free)][:n]


def _draw_evenly(targets: np.ndarray, classes: Sequence[int], n: int, seed: int) -> np.ndarray:
    """Draw up to n images, class by class in turn, until n are found or none is left."""
    stream = _stream(seed, _LABELED)
    turns = stream.permutation(np.unique(targets))
    shuffled = [(c, stream.permutation(np.flatnonzero(targets == c))) for c in turns]
    columns = [column for c, column in shuffled if c in classes]
    dealt = np.concatenate([*columns, np.empty(0, dtype=np.int64)])
    rank = np.concatenate([*map(np.arange, map(len, columns)), np.empty(0, dtype=np.int64)])
    # By rank within the class, ties in the order of turns.
    return dealt[np.argsort(rank, kind="stable")][:n]


def _require(what: str, wanted: int, available: int, where: str) -> None:
    if wanted > available:
        raise ValueError(
            f"{what} needs {wanted} anomalies, but there are {available} {where}; ask for less"
        )


def _require_images(data: Dataset, classes: Sequence[int], what: str) -> None:
    for c in classes:
        if not (data.train.targets == c).any():
            raise ValueError(
                f"the {what} {c} ({data.class_names[c]}) has no training images in {data.name}: "
                "choose another class"
            )


def _count_for_share(share: float, others: int) -> int:
    """How many to add to ``others`` so that they make up ``share`` of the sum."""
    return round(others * share / (1 - share))


def _held_out_size(size: int | None, n_class: int, table: Sequence[int]) -> int:
    return int(np.interp(n_class, _CLASS_SIZES, table)) if size is None else size


def _class_index(data: Dataset, value: ClassLike, name: str) -> int:
    if isinstance(value, str):
        if value not in data.class_names:
            raise ValueError(
                f"{name}: {data.name} has no class {value!r}; choose from "
                f"{', '.join(data.class_names)}"
            )
        return data.class_names.index(value)
    number = hasattr(value, "__index__") and not isinstance(value, bool)
    index = operator.index(value) if number else -1
    if not 0 <= index < len(data.class_names):
        raise ValueError(
            f"{name} must be in 0..{len(data.class_names) - 1}, one of the "
            f"{len(data.class_names)} classes of {data.name}, got {value!r}"
        )
    return index


def _known_classes(
    data: Dataset, normal: int, known: ClassLike | Iterable[ClassLike] | None
) -> list[int]:
    if known is None:
        return [c for c in range(len(data.class_names)) if c != normal]
    if isinstance(known, str | int | np.integer):
        known = [known]
    classes = sorted({_class_index(data, c, "known_anomaly_classes") for c in known})
    if normal in classes:
        raise ValueError(
            f"known_anomaly_classes {classes} contain the normal class {normal} "
            f"({data.class_names[normal]})"
        )
    return classes
