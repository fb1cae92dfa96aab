"""Checkers for the exercises of lesson 2, DeepSAD."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    near,
    number,
    pair,
    verdict,
)
from badsad_lib.deepsad import deep_sad_loss


@checker("every input lands on the center, the loss is zero, and the detector is blind.")
def check_collapse(answer: Answer) -> None:
    """Check ``collapse(center, n_inputs) -> (weight, bias)`` of a linear layer.

    The layer computes ``inputs @ weight.T + bias`` and must give the center for every input.
    """
    for components, n_inputs in ((4, 9), (7, 3)):
        generator = torch.Generator().manual_seed(3)
        center = torch.randn(components, generator=generator) + 3
        value = call(answer, center, n_inputs)
        parts = pair(value, "weight, bias", "two things, weight and bias")
        weight, bias = (torch.as_tensor(part).detach().to(torch.float32) for part in parts)
        shapes = tuple(weight.shape), tuple(bias.shape)
        if shapes != ((components, n_inputs), (components,)):
            swapped = " First the weight, then the bias." * (len(shapes[0]) < len(shapes[1]))
            raise NotYet(
                f"for a center of {components} components and {n_inputs} inputs the weight must "
                f"have shape {(components, n_inputs)} and the bias {(components,)}, got "
                f"{shapes[0]} and {shapes[1]}.{swapped}"
            )
        if not weight.any() and not bias.any():
            raise NotYet(
                "every input lands on zero, but the center is not zero. Which of the two "
                "parameters can move all latents at once?"
            )
        if weight.any():
            raise NotYet(
                "the latents still depend on the input: some weight is not zero. Only what "
                "ignores the image treats all images alike."
            )
        if not torch.allclose(bias, center, atol=1e-4):
            raise NotYet("every input lands on one point, but that point is not the center.")


@checker("this is the DeepSAD loss, and gradients flow through it.")
def check_batch_loss(answer: Answer) -> None:
    """Check ``batch_loss(distances, semi_labels, eta) -> scalar``: the DeepSAD loss of a batch."""
    generator = torch.Generator().manual_seed(4)
    distances = torch.rand(12, generator=generator) * 4 + 0.5
    labels = torch.tensor([0, 0, 0, 0, 0, 0, -1, -1, -1, 1, 1, 1])

    def loss(d: Tensor, y: Tensor, eta: float) -> float:
        return number(call(answer, d, y, eta), "the loss")

    def mean_of(unlabeled: Tensor, anomaly: Tensor, normal: Tensor) -> float:
        parts = [unlabeled[labels == 0], anomaly[labels == -1], normal[labels == 1]]
        return float(torch.cat(parts).mean())

    eta, d, inverse = 3.0, distances, 1 / distances
    value, truth = loss(d, labels, eta), float(deep_sad_loss(d, labels, eta))
    slips = {
        mean_of(d, eta * d, eta * d): (
            "labeled anomalies cost eta * d, like labeled normals, so they are pulled to the "
            "center. What must be large for them is the inverse: see the section 'A few labels'."
        ),
        mean_of(d, -eta * d, eta * d): (
            "labeled anomalies cost -eta * d. That has no lower end: the network could push them "
            "away for ever and forget all else. The inverse, eta / d, levels off."
        ),
        mean_of(d, inverse, d): "eta is missing: it weighs the labeled images against the others.",
        mean_of(d, eta * inverse, d): "eta is missing for labeled normals (semi-label +1).",
        mean_of(d, inverse, eta * d): "eta is missing for labeled anomalies (semi-label -1).",
        mean_of(eta * d, eta * inverse, eta * d): (
            "eta weighs every image alike, so it does nothing but scale the loss. Unlabeled "
            "images (semi-label 0) have weight 1."
        ),
        truth * len(d): "that is the sum over the batch; the loss is the mean.",
        mean_of(d, eta * inverse, d * 0): "labeled normals (semi-label +1) cost nothing.",
        mean_of(d, d * 0, eta * d): "labeled anomalies (semi-label -1) cost nothing.",
        mean_of(d * 0 + 1, eta * inverse, eta * d): (
            "unlabeled images cost a constant, d ** 0 = 1, so nothing pulls them to the center. "
            "Treat semi-label 0 on its own."
        ),
        mean_of(d * 0 + eta, eta * inverse, eta * d): (
            "unlabeled images cost a constant, eta * d ** 0 = eta, so nothing pulls them to the "
            "center. Treat semi-label 0 on its own."
        ),
    }
    expect(
        value,
        truth,
        slips.items(),
        f"on a small batch the loss should be {instead(truth, value)}. Check one "
        "semi-label at a time: 0 costs d, +1 costs eta * d, -1 costs eta / d.",
        tolerance=1e-3,
    )
    for label in (-1, 0, 1):
        one = torch.full((12,), label)
        value, truth = loss(d, one, eta), float(deep_sad_loss(d, one, eta))
        if not near(value, truth, 1e-3):
            raise NotYet(
                f"a batch in which every semi-label is {label} should cost "
                f"{instead(truth, value)}. Take one mean over the whole batch, not one mean a "
                "group."
            )
    value, truth = loss(d[2:], labels[2:], 0.5), float(deep_sad_loss(d[2:], labels[2:], 0.5))
    if not near(value, truth, 1e-3):
        raise NotYet(
            f"with eta = 0.5 and ten images the loss should be {instead(truth, value)}. Fix "
            "neither eta nor the size of the batch."
        )
    if not np.isfinite(loss(torch.zeros(12), labels, eta)):
        raise NotYet(
            "a labeled anomaly right at the center makes the loss infinite. Add a tiny number to "
            "the distance before you take the inverse."
        )
    _check_gradient(answer, distances, labels, eta)


def _check_gradient(answer: Answer, distances: Tensor, labels: Tensor, eta: float) -> None:
    ours, theirs = (distances.clone().requires_grad_() for _ in range(2))
    result = call(answer, ours, labels, eta)
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise NotYet(
            "the value is right, but no gradient flows through it, so nothing could be trained. "
            "Return a tensor, and do without .item(), .detach() and numpy."
        )
    result.backward()
    deep_sad_loss(theirs, labels, eta).backward()
    assert theirs.grad is not None
    if ours.grad is None or not torch.allclose(ours.grad, theirs.grad, rtol=1e-2, atol=1e-3):
        raise NotYet("the value is right, but its gradient is not. Is a part of it detached?")


def _healthy() -> dict[str, Any]:
    """Weights before and after, scores and center of a detector in good order."""
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    before = {
        "blocks.0.conv.weight": noise(4, 1, 3, 3),
        "blocks.0.norm.running_mean": torch.zeros(4),
        "blocks.0.norm.num_batches_tracked": torch.tensor(0),
        "head.0.weight": noise(6, 4),
    }
    after = {
        "blocks.0.conv.weight": before["blocks.0.conv.weight"] + 0.01 * noise(4, 1, 3, 3),
        "blocks.0.norm.running_mean": noise(4),
        "blocks.0.norm.num_batches_tracked": torch.tensor(130),
        "head.0.weight": before["head.0.weight"] + 0.01 * noise(6, 4),
    }
    return {
        "before": before,
        "after": after,
        "scores": noise(50).square().numpy() + 0.1,
        "center": torch.tensor([0.1, -0.1, 0.7, -1.2, 0.3, 2.0]),
    }


@checker("it tells the living detector from each of the dead ones.")
def check_is_alive(answer: Answer) -> None:
    """Check ``is_alive(before, after, scores, center) -> bool``.

    True for a detector in good order; False where a weight did not move, the scores are all
    the same or not finite, or a component of the center is zero.
    """
    healthy = _healthy()

    def alive(**changed: Any) -> bool:
        case = _healthy() | changed
        result = call(answer, case["before"], case["after"], case["scores"], case["center"])
        return verdict(result)

    if not alive():
        raise NotYet(
            "a detector in good order is called dead. Look at each of your conditions: weights "
            "that moved, scores that differ, and a center without a zero are all fine."
        )
    before, after, scores = healthy["before"], healthy["after"], healthy["scores"]
    still = after["blocks.0.conv.weight"].clone()
    still[0] = before["blocks.0.conv.weight"][0]
    if not alive(after=after | {"blocks.0.conv.weight": still}):
        raise NotYet(
            "a detector is called dead because some numbers within a weight stayed as they were. "
            "A weight, all that goes by one name, has moved when any of its numbers has."
        )
    for scale, shift in ((1e-7, 0.0), (1e-5, 1.0)):
        if not alive(scores=scale * scores + shift):
            raise NotYet(
                f"scores that differ by {np.ptp(scale * scores):.0e}, around a mean of "
                f"{(scale * scores + shift).mean():.0e}, are called the same. Compare their "
                "spread with a millionth of their mean."
            )
    if alive(after=dict(before)):
        raise NotYet("a detector that is exactly as it was before training is called alive.")
    untrained = {k: before[k] if k.endswith(".weight") else after[k] for k in before}
    if alive(after=untrained):
        raise NotYet(
            "no weight moved, and yet you call it alive. The running statistics of batch "
            "normalization did move: they follow every forward pass, trained or not. Compare "
            "only what ends in '.weight'."
        )
    for name in ("blocks.0.conv.weight", "head.0.weight"):
        if alive(after=after | {name: before[name]}):
            raise NotYet(
                f"{name} did not move, and yet you call it alive. One weight that moved is not "
                "enough: ask it of all of them."
            )
    if alive(scores=np.full(50, 0.25)):
        raise NotYet("all images get one score, and yet you call it alive.")
    if alive(scores=0.1 + 1e-9 * scores) or alive(scores=1e4 * (1 + 1e-8 * scores)):
        raise NotYet(
            "all scores agree to a millionth of their mean, and yet you call it alive. Rounding "
            "alone makes equal scores differ: compare their spread with their size."
        )
    for value in (np.nan, np.inf, -np.inf):
        if alive(scores=np.r_[scores, value]):
            name = str(value).replace("nan", "NaN")
            raise NotYet(f"one score is {name}, and yet you call it alive. Try numpy.isfinite.")
    if alive(center=torch.zeros(6)):
        raise NotYet("the center is zero, and yet you call it alive. See 'Two ways to cheat'.")
    one_zero = healthy["center"].clone()
    one_zero[2] = 0
    if alive(center=one_zero):
        raise NotYet(
            "one component of the center is zero, and yet you call it alive. A single one is "
            "enough for the network to give up on that direction: ask about any, not all."
        )
