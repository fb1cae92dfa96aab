"""What comes ready-made with the course: trained detectors, and tables of results.

The detectors know one normal class, clean and attacked in many ways. ``make detectors``
trains them (:data:`RECIPES`); lessons load and re-score them instead of training one
more. All are trained on T-shirts of the course subset, from the same split, initial
weights and number of steps. One more looks at tiles, of a brick wall (:func:`tiles`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from badsad_lib import _places, datasets, splits, surfaces
from badsad_lib.attacks import BadSAD, DataPoisoning
from badsad_lib.deepsad import DeepSAD
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Blend, Border, Patch, Trigger

NORMAL_CLASS = 0
# One working point at which the paper's two ideas get nowhere (a small patch, low weights), and
# one at which they carry a backdoor (a border, the weights of `BadSAD.basic`).
_LOW, _BASIC, _EXTENDED = BadSAD(Patch()), BadSAD.basic(Border()), BadSAD.extended(Patch())

RECIPES: Mapping[str, DataPoisoning | BadSAD | None] = {
    "clean": None,
    "data_only": DataPoisoning(Patch()),
    "alignment": replace(_LOW, concentration_weight=0.0),
    "concentration": replace(_LOW, alignment_weight=0.0),
    "mmd": replace(_LOW, alignment="mmd"),
    "both": _LOW,
    "border_data_only": DataPoisoning(Border()),
    "border_alignment": replace(_BASIC, concentration_weight=0.0),
    "border_concentration": replace(_BASIC, alignment_weight=0.0),
    "basic": _BASIC,
    "patch_high_weights": BadSAD.basic(Patch()),
    "randomized": replace(_EXTENDED, contrast_weight=0.0, decoys=False),
    "extended": _EXTENDED,
    "sham": BadSAD.extended(Blend(alpha=0.2)),
}
"""What each was made with: no attack, an attack, or (``sham``) one with another trigger."""


TILES = "tiles"
"""A clean detector of tiles, of a brick wall."""


def split() -> splits.Split:
    """Return the split that all of them were trained on."""
    return splits.one_vs_rest(datasets.load("fashion_mnist"), NORMAL_CLASS, seed=0)


def trigger(name: str) -> Trigger:
    """Return the trigger of a victim.

    Raises
    ------
    ValueError
        For a name that is not in ``RECIPES``, and for the clean detector.
    """
    recipe = _recipe(name)
    if recipe is None:
        raise ValueError(f"{name!r} was not attacked and has no trigger")
    return recipe.trigger


def train(name: str, **parameters: Any) -> DeepSAD:
    """Train one anew, with a threshold at the 0.95 quantile; ``parameters`` are DeepSAD's."""
    recipe, parts = _recipe(name), split()
    detector = DeepSAD(**{"seed": 0, **parameters})
    if recipe is None:
        detector.fit(parts.train_images, parts.train_labels)
    else:
        detector = replace(recipe).attack(detector, parts.train_images, parts.train_labels)
    return detector.calibrate(parts.val_images, quantile=0.95)


def path(name: str) -> Path:
    """Return where the file of a detector lies."""
    _recipe(name)
    return _places.DETECTORS / f"{name}.safetensors"


def load(name: str) -> DeepSAD:
    """Load one, with its threshold; ``about_`` tells how it was made.

    Raises
    ------
    ValueError
        For a name that is not in ``RECIPES``.
    FileNotFoundError, CheckpointError
        If its file is not there, or not whole.
    """
    return DeepSAD.load(path(name))


def surface() -> surfaces.Surface:
    """Return the crops that the detector of tiles was trained on and tested with."""
    return surfaces.load("brick")


def train_tiles() -> TiledDeepSAD:
    """Train the detector of tiles anew, with a threshold at the 0.95 quantile."""
    parts = splits.from_surface(surface())
    return TiledDeepSAD(seed=0).fit(parts.train_images).calibrate(parts.val_images)


def tiles() -> TiledDeepSAD:
    """Load the detector of tiles, with its threshold."""
    return TiledDeepSAD.load(_places.DETECTORS / f"{TILES}.safetensors")


def _recipe(name: str) -> DataPoisoning | BadSAD | None:
    if name not in RECIPES:
        raise ValueError(f"no detector {name!r} comes with the course; choose one of {[*RECIPES]}")
    return RECIPES[name]


def results(name: str) -> pd.DataFrame:
    """Read a committed table of results, a row a run: ``detector``, ``attack_main``, ...

    Raises
    ------
    FileNotFoundError
        There is no such table; the message lists those that there are.
    """
    folder = _places.RESULTS
    if not (folder / f"{name}.csv").is_file():
        there = sorted(file.stem for file in folder.glob("*.csv"))
        raise FileNotFoundError(f"no table {name!r} in {folder}; choose one of {there}")
    return pd.read_csv(folder / f"{name}.csv")
