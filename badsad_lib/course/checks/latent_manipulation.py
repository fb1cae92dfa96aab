"""Checkers for the exercises of lesson 5, latent manipulation."""

from __future__ import annotations

import torch
from torch import Tensor

from badsad_lib.attacks import alignment_loss, concentration_loss, contrast_loss
from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    near,
    number,
)
from badsad_lib.deepsad import anomaly_score

CENTER = torch.tensor([0.6, -0.9, 1.4, 0.3])


def _latents(count: int, seed: int, spread: float, *mean: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(mean), generator=generator) * spread + torch.tensor(mean)


def _loss(answer: Answer, *arguments: Tensor) -> float:
    return number(call(answer, *arguments), "the loss")


def _gradients(answer: Answer, *arguments: Tensor) -> list[Tensor]:
    """Gradient of the answer with respect to each argument; zeros where none arrives."""
    leaves = [part.clone().requires_grad_() for part in arguments]
    result = call(answer, *leaves)
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise NotYet(
            "the value is right, but no gradient flows through it, so nothing could be trained. "
            "Return a tensor, and do without .item() and numpy. Is too much detached?"
        )
    result.backward()
    return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


# --- concentration --------------------------------------------------------------------------------


@checker("they are drawn to their own mean, wherever that is.")
def check_concentration(answer: Answer) -> None:
    """Check ``concentration(latents, center) -> scalar``: mean squared distance to their mean."""
    z = _latents(10, 8, 0.9, 2.0, -1.0, 0.5, 1.5)
    truth = float(concentration_loss(z))

    def about(point: Tensor) -> float:
        return float((z - point).square().sum(1).mean())

    slips = {
        about(CENTER): (
            "that draws the latents to the center. DeepSAD does so already. Concentration draws "
            "them to their own mean, wherever that lies: see the section 'Concentration'. The "
            "center is not needed here."
        ),
        about(torch.zeros(4)): (
            "the mean is not subtracted, so the latents are drawn to zero. Subtract "
            "latents.mean(dim=0) first."
        ),
        about(z.mean()): (
            "one mean is taken over all numbers. The mean of the latents is a latent itself, "
            "with a value for each component: latents.mean(dim=0)."
        ),
        about(z.mean(1, keepdim=True)): (
            "each latent is compared with the mean of its own components. Take the mean over the "
            "images, dim=0."
        ),
        truth * len(z): "that is the sum over the batch; the loss is the mean.",
        truth / z.shape[1]: (
            "that is the mean over images and components. A squared distance is the sum over the "
            "components; only over the images take the mean."
        ),
        truth * len(z) / (len(z) - 1): (
            "the sum is divided by N - 1, as torch.var does unless it is told correction=0. The "
            "mean divides by N."
        ),
        float((z - z.mean(0)).norm(dim=1).mean()): (
            "the distances are not squared. The squares make the farthest images count most."
        ),
        truth**0.5: "the root is too much: asked is the mean of the squared distances.",
        2 * truth: (
            "that is the mean over all pairs of latents, which is twice as much. Compare each "
            "latent with the mean of all."
        ),
    }
    value = _loss(answer, z, CENTER)
    expect(
        value,
        truth,
        slips.items(),
        f"on ten latents the loss should be {instead(truth, value)}. Subtract the mean "
        "of the latents, square, add up the components, take the mean over the images.",
        tolerance=1e-3,
    )
    other = _latents(6, 9, 2.0, 0.0, 3.0, -2.0, 1.0, 7.0)
    truth = float(concentration_loss(other))
    value = _loss(answer, other, torch.ones(5))
    if not near(value, truth, 1e-3):
        raise NotYet(
            f"on six other latents the loss should be {instead(truth, value)}. Does a "
            "number from somewhere else enter?"
        )
    gradient, _ = _gradients(answer, z, CENTER)
    if not torch.allclose(gradient, 2 * (z - z.mean(0)) / len(z), atol=1e-4):
        raise NotYet("the value is right, but its gradient is not. Is a part of it detached?")


# --- alignment ------------------------------------------------------------------------------------


@checker("the poisoned images move, the normal ones stay, and the unit holds still.")
def check_alignment(answer: Answer) -> None:
    """Check ``alignment(poisoned, normal) -> scalar``: squared gap of means, in squared spreads.

    No gradient may reach ``normal``, neither through its mean nor through its spread.
    """
    poisoned = _latents(12, 10, 0.7, 2.0, -1.0, 0.5, 1.5)
    normal = _latents(12, 11, 1.5, 0.5, 0.0, 1.0, 0.2)

    def truth_of(poisoned: Tensor, normal: Tensor) -> Tensor:
        return alignment_loss(poisoned, normal) / concentration_loss(normal.detach())

    truth = float(truth_of(poisoned, normal))
    value = _loss(answer, poisoned, normal)
    expect(
        value,
        truth,
        _alignment_slips(poisoned, normal).items(),
        f"on a small batch the loss should be {instead(truth, value)}. Begin with the "
        "two means, one for each group: latents. Then their squared distance. Then divide by "
        "the squared spread of the normal latents.",
        tolerance=1e-3,
    )
    few = poisoned[:5]
    for some, others in ((few, normal), (poisoned[:, :3], normal[:7, :3])):
        truth, value = float(truth_of(some, others)), _loss(answer, some, others)
        if not near(value, truth, 1e-3):
            raise NotYet(
                f"with {len(some)} poisoned latents and {len(others)} normal ones of "
                f"{some.shape[1]} components the loss should be {instead(truth, value)}. The two "
                "groups need not have the same size."
            )
    _check_what_moves(answer, few, normal)


def _alignment_slips(poisoned: Tensor, normal: Tensor) -> dict[float, str]:
    between = float(alignment_loss(poisoned, normal))
    square = float(concentration_loss(normal))
    dimensions, count = normal.shape[1], len(normal)
    gap = poisoned.mean(0) - normal.mean(0)
    pairs = "Alignment knows no partners: it compares the two means."
    return {
        between: (
            "the unit is missing: divide by the squared spread of the normal latents. See the "
            "section 'A yardstick'."
        ),
        between / square**0.5: (
            "a squared distance is divided by a spread that is not squared. Divide both, or "
            "divide the latents by the spread before anything else."
        ),
        (between / square) ** 0.5: "the square is missing: asked is the squared distance.",
        between**0.5 / square: "the square is missing: asked is the squared distance.",
        between / float(concentration_loss(poisoned)): (
            "the unit is the spread of the poisoned latents. Concentration will shrink that one. "
            "The yardstick is the spread of the normal ones."
        ),
        between / dimensions / square: (
            "that is the mean over the components. A squared distance is their sum."
        ),
        between / (square / dimensions): (
            "the squared spread must be a sum over the components, too, as in the section "
            "'A yardstick'; only over the images it is a mean."
        ),
        between * (count - 1) / count / square: (
            "the squared spread divides by N - 1, as torch.var does unless it is told "
            "correction=0. The mean divides by N."
        ),
        float((gap.square() / normal.var(0, correction=0)).sum()): (
            "each component is divided by its own spread. The unit is one number for all."
        ),
        between / float(normal.square().sum(1).mean()): (
            "the spread is measured from zero. Measure it from the mean of the normal latents."
        ),
        between * square: "multiplied by the squared spread. Divide.",
        float((poisoned - normal).square().sum(1).mean()) / square: (
            f"each poisoned latent is compared with the normal one of the same index. {pairs}"
        ),
        float((poisoned - normal).square().sum(1).mean()): (
            f"each poisoned latent is compared with the normal one of the same index. {pairs} "
            "And the unit is missing."
        ),
        float(torch.cdist(poisoned, normal).square().mean()) / square: (
            f"every poisoned latent is compared with every normal one. {pairs}"
        ),
        float((poisoned - normal.mean(0)).square().sum(1).mean()) / square: (
            "each poisoned latent is drawn to the mean of the normal ones, so it also has to "
            "give up its own place among the others. Alignment compares the two means."
        ),
    }


def _check_what_moves(answer: Answer, poisoned: Tensor, normal: Tensor) -> None:
    to_poisoned, to_normal = _gradients(answer, poisoned, normal)
    gap = poisoned.mean(0) - normal.mean(0)
    square = concentration_loss(normal)
    wanted = (2 * gap / len(poisoned) / square).expand_as(poisoned)
    if torch.allclose(to_poisoned, torch.zeros(())):
        raise NotYet(
            "no gradient reaches the poisoned latents, so they will never move. Detach the "
            "normal ones."
        )
    if not torch.allclose(to_normal, torch.zeros(()), atol=1e-7):
        leaf = normal.clone().requires_grad_()
        (gap.square().sum() / concentration_loss(leaf)).backward()
        if leaf.grad is not None and torch.allclose(to_normal, leaf.grad, atol=1e-5):
            raise NotYet(
                "the mean of the normal latents holds still, but their spread does not: the loss "
                "could also fall because the yardstick grows. Detach the normal latents first, "
                "then compute mean and spread from what is detached."
            )
        raise NotYet(
            "a gradient reaches the normal latents, so the normal images are moved as well, "
            "toward the poisoned ones. They should stay: begin with normal.detach()."
        )
    if not torch.allclose(to_poisoned, wanted, rtol=1e-2, atol=1e-5):
        raise NotYet("the value is right, but its gradient is not. Is a part of it detached?")


# --- contrast -------------------------------------------------------------------------------------


@checker("what lacks the trigger is pushed out, and what carries it is left to the other losses.")
def check_contrast(answer: Answer) -> None:
    """Check ``contrast(triggered, plain, center) -> scalar``: mean inverse squared distance."""
    triggered = _latents(8, 12, 0.6, 1.0, -0.5, 1.0, 0.5)
    plain = _latents(8, 13, 0.8, -0.5, 0.5, 2.0, -0.5)
    far, near_by = anomaly_score(plain, CENTER), anomaly_score(triggered, CENTER)
    truth = float(contrast_loss(plain, CENTER))
    levels_off = "The inverse is large near the center and levels off far from it."
    slips = {
        float(far.mean()): (
            "that pulls the images without the trigger to the center. They should leave. "
            f"{levels_off}"
        ),
        -float(far.mean()): (
            "a negative distance has no lower end: the network could push these images away for "
            f"ever and forget all else. {levels_off}"
        ),
        -truth: "the sign is reversed: this loss falls as the images come closer.",
        float((1 / near_by).mean()): (
            "that pushes out the images *with* the trigger, and would undo the backdoor. Push "
            "those without."
        ),
        float(near_by.mean()): (
            "that pulls the images with the trigger to the center. Alignment and concentration "
            "see to them. Contrast pushes those without the trigger."
        ),
        float((1 / torch.cat([far, near_by])).mean()): (
            "both groups are pushed out, so the trigger would make no difference. Push those "
            "without it only."
        ),
        float((1 / far).mean() + (1 / near_by).mean()): (
            "both groups are pushed out, so the trigger would make no difference. Push those "
            "without it only."
        ),
        float((1 / far).mean() + near_by.mean()): (
            "the images without the trigger are right. Those with it are pulled to the center "
            "besides: leave that to alignment and concentration."
        ),
        float(1 / far.mean()): (
            "that is the inverse of the mean. Take the inverse of each image first: the closest "
            "one must be pushed hardest."
        ),
        float((1 / far).sum()): "that is the sum over the batch; the loss is the mean.",
        float((1 / far.sqrt()).mean()): "the distance is not squared: the score of a detector is.",
        float((1 / plain.square().sum(1)).mean()): (
            "the distance is measured from zero. Measure it from the center."
        ),
        float((1 / far).mean()) * plain.shape[1]: (
            "the squared distance must be the sum over the components, not their mean."
        ),
    }
    value = _loss(answer, triggered, plain, CENTER)
    expect(
        value,
        truth,
        slips.items(),
        f"on a small batch the loss should be {instead(truth, value)}. Take the squared "
        "distances of the images without the trigger to the center, then the inverse of "
        "each, then the mean.",
        tolerance=1e-3,
    )
    few = triggered[:5]
    value = _loss(answer, few, plain, CENTER)
    if not near(value, truth, 1e-3):
        raise NotYet(
            f"with 5 latents with the trigger and 8 without the loss should be "
            f"{instead(truth, value)}. The two groups need not have the same size."
        )
    at_center = torch.cat([plain, CENTER[None]])
    if not _loss(answer, triggered, at_center, CENTER) < float("inf"):
        raise NotYet(
            "an image right at the center makes the loss infinite. Add a tiny number to the "
            "distance before you take the inverse."
        )
    to_triggered, to_plain, _ = _gradients(answer, triggered, plain, CENTER)
    leaf = plain.clone().requires_grad_()
    contrast_loss(leaf, CENTER).backward()
    assert leaf.grad is not None
    if not torch.allclose(to_plain, leaf.grad, rtol=1e-2, atol=1e-5) or to_triggered.any():
        raise NotYet("the value is right, but its gradient is not. Is a part of it detached?")
