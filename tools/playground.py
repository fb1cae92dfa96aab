"""What the playground runs on, from the detectors that come with the course.

:func:`write` makes ``data.js``: the weights of the clean and the backdoored detector with batch
normalization folded in, a gallery of test images, and the scores of all test images. A script
and no JSON file, because a page opened from the disk may load the one and not the other.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from badsad_lib import DeepSAD, datasets
from badsad_lib.course import shipped
from badsad_lib.networks import BN_EPS, ConvBlock
from badsad_lib.triggers import Blend, Patch, apply_trigger
from tools.lessons import write_atomically

DETECTORS = {"clean": "clean", "backdoored": "extended"}
NORMALS, ANOMALIES_A_CLASS = 8, 4
TRIGGER = Patch()


def encoded(values: Tensor | np.ndarray, dtype: str = "<f4") -> str:
    """Base64 of the bytes of an array, little-endian float32 or uint8."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode()


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
        blocks.append({"weight": encoded(weight), "bias": encoded(bias)})
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
        layers.append({"weight": encoded(weight), "bias": encoded(bias)})
    return {"blocks": blocks, "layers": layers, "center": encoded(detector.center_)}


def gallery_index(targets: Tensor, normal_class: int) -> list[int]:
    """Return the first test images of each class, the normal ones first. Nothing is picked."""
    counts = {normal_class: NORMALS} | {
        c: ANOMALIES_A_CLASS for c in range(10) if c != normal_class
    }
    return [
        int(i) for c, count in counts.items() for i in torch.nonzero(targets == c)[:count].flatten()
    ]


def content() -> dict[str, Any]:
    """Return everything that the page needs, as JSON."""
    split, data = shipped.split(), datasets.load("fashion_mnist")
    normal = split.test_normals
    anomalies = split.test_anomalies
    triggered = apply_trigger(TRIGGER, anomalies)
    detectors = {}
    for name, file in DETECTORS.items():
        detector = shipped.load(file)
        detectors[name] = folded(detector) | {
            "threshold": detector.threshold_,
            "scores": {
                "held_out": encoded(np.sort(detector.decision_function(split.val_images))),
                "normal": encoded(np.sort(detector.decision_function(normal))),
                "anomaly": encoded(detector.decision_function(anomalies)),
                "triggered": encoded(detector.decision_function(triggered)),
            },
        }
    chosen = gallery_index(data.test.targets, split.normal_class)
    height, width = split.test_images.shape[2:]
    return {
        "size": [height, width],
        "normal_class": data.class_names[split.normal_class],
        "quantile": 0.95,
        "trigger": {
            "size": TRIGGER.size,
            "value": TRIGGER.value,
            "row": height - TRIGGER.margin - TRIGGER.size,
            "column": width - TRIGGER.margin - TRIGGER.size,
        },
        "noise": encoded(Blend().draw(1, height, width)),
        "gallery": [
            {
                "index": i,
                "name": data.class_names[data.test.targets[i]],
                "anomaly": int(data.test.targets[i]) != split.normal_class,
                "pixels": encoded(data.test.images[i], "u1"),
            }
            for i in chosen
        ],
        "detectors": detectors,
    }


def write(path: Path) -> None:
    """Write ``data.js``."""
    write_atomically(path, f"window.BADSAD_DATA = {json.dumps(content())};\n")
