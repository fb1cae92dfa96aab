"""What the playground runs on, from the detectors that come with the course.

:func:`write` makes a folder of scripts. ``gallery.js`` is small and comes first: images, their
scores, and what the pictures show. ``clean.js``, ``backdoored.js`` and ``repaired.js`` hold the
weights of one detector each, as whole numbers of 16 bits and with batch normalization folded in.
Scripts and no JSON files, because a page opened from the disk may load the one and not the other.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badsad_lib import DeepSAD, datasets, defenses, metrics, splits
from badsad_lib.course import shipped
from badsad_lib.networks import BN_EPS, ConvBlock
from badsad_lib.triggers import Blend, Patch, apply_trigger
from tools.lessons import ROOT, write_atomically
from tools.verified import imported

DETECTORS = {"clean": "clean", "backdoored": "extended"}
NORMALS, ANOMALIES_A_CLASS = 8, 4
TRIGGER = Patch()
QUANTILES = np.arange(160, 200) / 200  # where the slider of the page stops
FIRST = "Sneaker"  # what the page begins with: the first of them among the test images
BINS = 60
DOTS = {"normal": 120, "anomaly": 240}


def encoded(values: Tensor | NDArray[Any], dtype: str = "<f4") -> str:
    """Base64 of the bytes of an array: little-endian float32 unless said otherwise."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode()


def packed(weight: Tensor, bias: Tensor) -> dict[str, str]:
    """Pack a layer: per output, weights are whole numbers of 16 bits times one factor.

    That is as small as half precision and several times as exact, since the weights of an output
    are of one size. Factors and biases are floats: there are few of these.
    """
    factor = weight.flatten(1).abs().amax(dim=1) / 32767
    whole = (weight.flatten(1) / factor.view(-1, 1)).round()
    return {"weight": encoded(whole, "<i2"), "factor": encoded(factor), "bias": encoded(bias)}


def _scale(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and bias that a frozen batch normalization amounts to."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.running_var + BN_EPS).rsqrt()
    return factor, -norm.running_mean * factor


def folded(detector: DeepSAD) -> dict[str, Any]:
    """Return a detector's weights with batch normalization folded into what stands before it."""
    blocks, layers = [], []
    for block in detector.encoder_.blocks:
        assert isinstance(block, ConvBlock)
        factor, bias = _scale(block.norm)
        weight = block.conv.weight.detach() * factor.view(-1, 1, 1, 1)
        blocks.append(packed(weight, bias))
    modules = list(detector.encoder_.head)
    for i, linear in enumerate(modules):
        if not isinstance(linear, nn.Linear):
            continue
        weight, bias = linear.weight.detach(), torch.zeros(linear.out_features)
        if i + 1 < len(modules):
            norm = modules[i + 1]
            assert isinstance(norm, nn.BatchNorm1d)
            factor, bias = _scale(norm)
            weight = weight * factor.view(-1, 1)
        layers.append(packed(weight, bias))
    return {"blocks": blocks, "layers": layers, "center": encoded(detector.center_)}


def gallery_index(targets: Tensor, normal_class: int) -> list[int]:
    """Return the first test images of each class, the normal ones first. Nothing is picked."""
    counts = {normal_class: NORMALS} | {
        c: ANOMALIES_A_CLASS for c in range(10) if c != normal_class
    }
    return [
        int(i) for c, count in counts.items() for i in torch.nonzero(targets == c)[:count].flatten()
    ]


def everywhere(image: Tensor, size: int = TRIGGER.size) -> Tensor:
    """One image (1, H, W) with the square at every place, row by row: (places, 1, H, W)."""
    _, height, width = image.shape
    rows, columns = height - size + 1, width - size + 1
    views = image.repeat(rows * columns, 1, 1, 1)
    for place in range(len(views)):
        row, column = divmod(place, columns)
        views[place, :, row : row + size, column : column + size] = 255
    return views


def repaired() -> DeepSAD:
    """Return the backdoored detector as its buyer repairs it, with a threshold of its own."""
    parts = shipped.split()
    repair = defenses.Unlearning()
    victim = shipped.load(DETECTORS["backdoored"])
    detector = repair.repair(victim, parts.trusted_images, parts.trusted_anomalies)
    return detector.calibrate(parts.val_images, quantile=0.95)


def _guard(detector: DeepSAD, trusted: Tensor) -> dict[str, Any]:
    """What purification learned of normal images, for the page to apply."""
    guard = defenses.Purification().fit(detector, trusted)
    median, deviation = guard._scale  # the page does what the guard does
    return {
        "median": median.tolist(),
        "deviation": deviation.tolist(),
        "threshold": guard.threshold_,
    }


def _axes(detector: DeepSAD, images: Tensor, anomalies: Tensor) -> NDArray[np.float64]:
    """Two principal directions (2, D) of latents, turned so that anomalies lie to the right."""
    away = detector.encode(images) - detector.center_.numpy()
    axes = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)[2][:2]
    x, y = axes @ (detector.encode(anomalies) - detector.center_.numpy()).mean(axis=0)
    return np.array([[x, y], [-y, x]]) @ axes / np.hypot(x, y)


def _angles(detector: DeepSAD, axes: NDArray[Any], images: Tensor) -> NDArray[np.float64]:
    """In which direction of the two axes each image lies from the center, in radians (N,)."""
    x, y = axes @ (detector.encode(images) - detector.center_.numpy()).T
    return np.arctan2(y, x)


def _about(
    detector: DeepSAD, split: splits.Split, gallery: Tensor, edges: NDArray[np.float64]
) -> dict[str, Any]:
    """All that the page shows of one detector, except what needs its weights."""
    held_out = detector.decision_function(split.val_images)
    thresholds = np.array([metrics.threshold_at(held_out, float(q)) for q in QUANTILES])
    groups = {"normal": split.test_normals, "anomaly": split.test_anomalies}
    scores = {name: detector.decision_function(images) for name, images in groups.items()}
    triggered = detector.decision_function(apply_trigger(TRIGGER, split.test_anomalies))
    rates = [
        [
            metrics.detection_rate(scores["normal"], float(tau)),
            metrics.detection_rate(scores["anomaly"], float(tau)),
            metrics.attack_success_rate(scores["anomaly"], triggered, float(tau)),
        ]
        for tau in thresholds
    ]
    # How many of the thresholds each place lies above: at the k-th it raises the alarm if more.
    doors = [
        np.searchsorted(thresholds, detector.decision_function(everywhere(image)), side="left")
        for image in gallery
    ]
    axes = _axes(detector, split.test_images, split.test_anomalies)
    return {
        "thresholds": thresholds.tolist(),
        "rates": rates,
        "hills": {n: np.histogram(np.log10(s), edges)[0].tolist() for n, s in scores.items()},
        "doors": encoded(np.stack(doors), "u1"),
        "axes": encoded(axes),
        "dots": {
            name: encoded(
                np.stack(
                    [_angles(detector, axes, images[: DOTS[name]]), scores[name][: DOTS[name]]]
                )
            )
            for name, images in groups.items()
        },
        # What is asked first is answered before the weights have come.
        **{
            kind: {
                "angles": encoded(_angles(detector, axes, images)),
                "scores": encoded(detector.decision_function(images)),
            }
            for kind, images in {
                "plain": gallery,
                "triggered": apply_trigger(TRIGGER, gallery),
            }.items()
        },
    }


def content() -> dict[str, Any]:
    """Return what each script sets, by the script's name."""
    split, data = shipped.split(), datasets.load("fashion_mnist")
    detectors = {name: shipped.load(file) for name, file in DETECTORS.items()}
    detectors["repaired"] = repaired()
    scores = np.stack([one.decision_function(split.test_images) for one in detectors.values()])
    low, high = np.log10(scores.min()) - 0.5, np.log10(scores.max()) + 0.1
    edges = np.linspace(low, high, BINS + 1)
    chosen = gallery_index(data.test.targets, split.normal_class)
    names = [data.class_names[data.test.targets[i]] for i in chosen]
    height, width = split.test_images.shape[2:]
    gallery = {
        "size": [height, width],
        "normal_class": data.class_names[split.normal_class].split("/")[0],
        "quantiles": QUANTILES.tolist(),
        "first": names.index(FIRST),
        "axis": [float(low), float(high)],
        "trigger": {
            "size": TRIGGER.size,
            "value": TRIGGER.value,
            "row": height - TRIGGER.margin - TRIGGER.size,
            "column": width - TRIGGER.margin - TRIGGER.size,
        },
        "noise": encoded(Blend().draw(1, height, width)),
        "gallery": [
            {
                "name": name,
                "anomaly": int(data.test.targets[i]) != split.normal_class,
                "pixels": encoded(data.test.images[i], "u1"),
            }
            for name, i in zip(names, chosen)
        ],
        "detectors": {
            name: _about(detector, split, data.test.images[chosen], edges)
            for name, detector in detectors.items()
        },
        "guards": {
            name: _guard(detectors[name], split.trusted_images)
            for name in ("backdoored", "repaired")
        },
    }
    return {"gallery": gallery} | {name: folded(detector) for name, detector in detectors.items()}


@functools.cache
def _key() -> str:
    """Short hash of all that the scripts are made from."""
    own = Path(__file__)
    files = {own, *imported([own.read_text(encoding="utf-8")])}
    files |= {shipped.path(file) for file in DETECTORS.values()}
    files |= set((ROOT / "data").glob("*.npz"))
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:16]


def write(folder: Path, cache: Path = ROOT / "_build" / "cache") -> None:
    """Write the scripts, anew only where what they are made from has changed."""
    made = cache / f"playground-{_key()}"
    if not made.is_dir():
        shutil.rmtree(cache, ignore_errors=True)
        partial = cache / "partial"
        for name, values in content().items():
            text = f"(window.BADSAD_DATA ??= {{}}).{name} = {json.dumps(values)};\n"
            write_atomically(partial / f"{name}.js", text)
        partial.rename(made)
    for file in made.iterdir():
        write_atomically(folder / file.name, file.read_bytes())
