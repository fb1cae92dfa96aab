"""What readers of lesson 4 get wrong, and what they should then be told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from badsad_lib import metrics

LESSON = "4_naive_poisoning"

Scores = dict[str, np.ndarray]


def asr(
    scores: Scores,
    quantile: float,
    *,
    source: Callable[[Scores], np.ndarray] = lambda s: s["validation normals"],
    tail: Callable[[float], float] = lambda q: q,
    rate: Callable[[np.ndarray, np.ndarray, float], Any] = metrics.attack_success_rate,
    after: str = "triggered anomalies",
) -> Any:
    """Answer correctly, unless one of the steps is changed."""
    threshold = np.quantile(source(scores), tail(quantile))
    return rate(scores["anomalies"], scores[after], threshold)


def wrong_asr(**step: Any) -> Callable[..., Any]:
    return lambda *arguments: asr(*arguments, **step)


def of(*names: str) -> Callable[[Scores], np.ndarray]:
    return lambda scores: np.concatenate([scores[name] for name in names])


def seen(
    batches: list[Tensor],
    mask: Tensor,
    *,
    per_batch: Callable[[int, list[Tensor], Tensor], Any] = lambda n, b, m: n / len(b),
    per_image: Callable[[int, list[Tensor], Tensor], Any] = lambda n, b, m: n / int(m.sum()),
) -> tuple[Any, Any]:
    """Answer correctly, unless one of the two is changed."""
    count = sum(int(mask[batch].sum()) for batch in batches)
    return per_batch(count, batches, mask), per_image(count, batches, mask)


def wrong_seen(**step: Any) -> Callable[..., tuple[Any, Any]]:
    return lambda *arguments: seen(*arguments, **step)


def images_in(batches: list[Tensor]) -> int:
    return sum(map(len, batches))


def lengths(
    encoder: nn.Module,
    images: Tensor,
    center: Tensor,
    *,
    loss: Callable[[Tensor], Tensor] = lambda offset: offset.square().sum(),
    length: Callable[[list[Tensor]], Any] = lambda parts: torch.cat(parts).norm(),
    combine: Callable[[Tensor], Any] = torch.mean,
    groups: Callable[[Tensor], Any] = lambda images: images.split(1),
) -> Any:
    """Answer correctly, unless one of the steps is changed."""
    each = []
    for group in groups(images):
        offset = encoder(group) - center
        parts = torch.autograd.grad(loss(offset) / len(group), list(encoder.parameters()))
        each.append(length([part.flatten() for part in parts]))
    return combine(torch.stack(each))


def wrong_lengths(**step: Any) -> Callable[..., Any]:
    return lambda *arguments: lengths(*arguments, **step)


def gradients_pile_up(encoder: nn.Module, images: Tensor, center: Tensor) -> float:
    each = []
    for image in images.split(1):
        (encoder(image) - center).square().sum().backward()
        each.append(torch.cat([w.grad.flatten() for w in encoder.parameters()]).norm())
    return float(torch.stack(each).mean())


def emptied_each_time(encoder: nn.Module, images: Tensor, center: Tensor) -> float:
    each = []
    for image in images.split(1):
        encoder.zero_grad()
        (encoder(image) - center).square().sum().backward()
        each.append(torch.cat([w.grad.flatten() for w in encoder.parameters()]).norm())
    return float(torch.stack(each).mean())


def on_pixels(encoder: nn.Module, images: Tensor, center: Tensor) -> float:
    images.requires_grad_()
    (gradient,) = torch.autograd.grad((encoder(images) - center).square().sum(), images)
    return float(gradient.flatten(1).norm(dim=1).mean())


def in_training_mode(encoder: nn.Module, images: Tensor, center: Tensor) -> Any:
    return lengths(encoder.train(), images, center)


def training_mode_for_a_while(encoder: nn.Module, images: Tensor, center: Tensor) -> Any:
    value = lengths(encoder.train(), images, center)
    encoder.eval()
    return value


def takes_a_step(encoder: nn.Module, images: Tensor, center: Tensor) -> Any:
    value = lengths(encoder, images, center)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight -= 0.1
    return value


def asr_one_by_one(scores: Scores, quantile: float) -> float:
    tau = np.percentile(scores["validation normals"], 100 * quantile)
    pairs = zip(scores["anomalies"], scores["triggered anomalies"])
    passes = [after <= tau for before, after in pairs if before > tau]
    return sum(passes) / len(passes)


def asr_by_torch(scores: Scores, quantile: float) -> Tensor:
    tau = torch.quantile(torch.from_numpy(scores["validation normals"]), quantile)
    before, after = (torch.from_numpy(scores[k]) for k in ("anomalies", "triggered anomalies"))
    return (after[before > tau] <= tau).double().mean()


def sorts_the_normals(scores: Scores, quantile: float) -> Any:
    scores["validation normals"].sort()
    return asr(scores, quantile)


def leaves_a_mark(scores: Scores, quantile: float) -> Any:
    scores["threshold"] = np.quantile(scores["validation normals"], quantile)
    return asr(scores, quantile)


def keeps_counting(batches: list[Tensor], mask: Tensor, count: list[int] = []) -> Any:  # noqa: B006
    count.extend(int(mask[batch].sum()) for batch in batches)
    return sum(count) / len(batches), sum(count) / int(mask.sum())


def empties_the_batches(batches: list[Tensor], mask: Tensor) -> Any:
    count, number = 0, len(batches)
    while batches:
        count += int(mask[batches.pop()].sum())
    return count / number, count / int(mask.sum())


def seen_image_by_image(batches: list[Tensor], mask: Tensor) -> tuple[float, float]:
    times = dict.fromkeys(torch.nonzero(mask).flatten().tolist(), 0)
    for batch in batches:
        for image in batch.tolist():
            if image in times:
                times[image] += 1
    return sum(times.values()) / len(batches), sum(times.values()) / len(times)


def seen_of_all(batches: list[Tensor], mask: Tensor) -> Tensor:
    times = torch.bincount(torch.cat(batches), minlength=len(mask))[mask].double()
    return torch.stack([times.sum() / len(batches), times.mean()])


def seen_by_numpy(batches: list[Tensor], mask: Tensor) -> Any:
    poisoned = mask.numpy()
    in_batch = np.array([poisoned[batch.numpy()].sum() for batch in batches])
    return np.array([in_batch.mean(), in_batch.sum() / poisoned.sum()])


def lengths_of_a_copy(encoder: nn.Module, images: Tensor, center: Tensor) -> float:
    own, each = copy.deepcopy(encoder), []
    for image in images.split(1):
        own.zero_grad()
        torch.nn.functional.mse_loss(own(image)[0], center, reduction="sum").backward()
        each.append(sum(weight.grad.square().sum() for weight in own.parameters()) ** 0.5)
    return float(sum(each)) / len(each)


def lengths_from_one_batch(encoder: nn.Module, images: Tensor, center: Tensor) -> float:
    distances = (encoder(images) - center).pow(2).sum(dim=1)
    total = 0.0
    for distance in distances:
        parts = torch.autograd.grad(distance, list(encoder.parameters()), retain_graph=True)
        total += sum(float((part**2).sum()) for part in parts) ** 0.5
    return total / len(images)


def lengths_of_lengths(encoder: nn.Module, images: Tensor, center: Tensor) -> Any:
    each = []
    for image in images:
        distance = (encoder(image.unsqueeze(0)) - center).norm().square()
        parts = torch.autograd.grad(distance, list(encoder.parameters()))
        each.append(torch.stack([part.norm() for part in parts]).norm().item())
    return np.mean(each)


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    (
        "measure_asr",
        "threshold from test normals",
        wrong_asr(source=of("test normals")),
        "comes from test images",
    ),
    (
        "measure_asr",
        "threshold from triggered normals",
        wrong_asr(source=of("triggered normals")),
        "knows no trigger",
    ),
    (
        "measure_asr",
        "threshold from anomalies",
        wrong_asr(source=of("anomalies")),
        "scores of anomalies",
    ),
    (
        "measure_asr",
        "threshold from triggered anomalies",
        wrong_asr(source=of("triggered anomalies")),
        "scores of triggered anomalies",
    ),
    (
        "measure_asr",
        "threshold from validation and test",
        wrong_asr(source=of("validation normals", "test normals")),
        "validation and test images together",
    ),
    (
        "measure_asr",
        "never flagged ones counted",
        wrong_asr(rate=lambda b, a, t: (a <= t).mean()),
        "never flagged",
    ),
    (
        "measure_asr",
        "both wrong",
        wrong_asr(source=of("test normals"), rate=lambda b, a, t: (a <= t).mean()),
        "comes from test images",
    ),
    (
        "measure_asr",
        "divided by all anomalies",
        wrong_asr(rate=lambda b, a, t: ((b > t) & (a <= t)).mean()),
        "divide by all of them",
    ),
    (
        "measure_asr",
        "still flagged",
        wrong_asr(rate=lambda b, a, t: (a[b > t] > t).mean()),
        "still flagged",
    ),
    (
        "measure_asr",
        "drop of the detection rate",
        wrong_asr(rate=lambda b, a, t: (b > t).mean() - (a > t).mean()),
        "detection rate drops",
    ),
    (
        "measure_asr",
        "triggered normals",
        lambda s, q: (s["triggered normals"] <= np.quantile(s["validation normals"], q)).mean(),
        "about anomalies",
    ),
    (
        "measure_asr",
        "share of those that pass",
        wrong_asr(rate=lambda b, a, t: (b[a <= t] > t).mean()),
        "Turn it around",
    ),
    (
        "measure_asr",
        "flagged on the threshold",
        wrong_asr(rate=lambda b, a, t: (a[b >= t] <= t).mean()),
        "counts as flagged",
    ),
    (
        "measure_asr",
        "on the threshold does not pass",
        wrong_asr(rate=lambda b, a, t: (a[b > t] < t).mean()),
        "does not count as passing",
    ),
    (
        "measure_asr",
        "threshold taken for flagged throughout",
        wrong_asr(rate=lambda b, a, t: (a[b >= t] < t).mean()),
        "taken for flagged",
    ),
    (
        "measure_asr",
        "counted, not shared",
        wrong_asr(rate=lambda b, a, t: ((b > t) & (a <= t)).sum()),
        "number of anomalies",
    ),
    (
        "measure_asr",
        "percent",
        wrong_asr(rate=lambda b, a, t: 100 * (a[b > t] <= t).mean()),
        "percentage",
    ),
    ("measure_asr", "wrong tail", wrong_asr(tail=lambda q: 1 - q), "wrong tail"),
    ("measure_asr", "quantile fixed", wrong_asr(tail=lambda q: 0.9), "quantile that it is given"),
    (
        "measure_asr",
        "largest normal score",
        wrong_asr(tail=lambda q: 1.0),
        "First the threshold",
    ),
    (
        "poison_seen",
        "share, not number",
        wrong_seen(per_batch=lambda n, b, m: torch.stack([m[i].float().mean() for i in b]).mean()),
        "mean *share*",
    ),
    (
        "poison_seen",
        "share of all images",
        wrong_seen(per_batch=lambda n, b, m: m.float().mean()),
        "share of poisoned images",
    ),
    (
        "poison_seen",
        "each image once",
        wrong_seen(per_batch=lambda n, b, m: m.sum() / len(b)),
        "counts only once",
    ),
    (
        "poison_seen",
        "batches with poison",
        wrong_seen(per_batch=lambda n, b, m: sum(bool(m[i].any()) for i in b) / len(b)),
        "share of batches",
    ),
    ("poison_seen", "sum", wrong_seen(per_batch=lambda n, b, m: n), "sum over all batches"),
    (
        "poison_seen",
        "first batch",
        wrong_seen(per_batch=lambda n, b, m: m[b[0]].sum()),
        "first batch",
    ),
    (
        "poison_seen",
        "reckoned from a full batch",
        wrong_seen(per_batch=lambda n, b, m: len(b[0]) * m.float().mean()),
        "a full batch",
    ),
    (
        "poison_seen",
        "divided by images",
        wrong_seen(per_batch=lambda n, b, m: n / images_in(b)),
        "divide by the number of batches",
    ),
    (
        "poison_seen",
        "sum of all poisoned",
        wrong_seen(per_image=lambda n, b, m: n),
        "Divide by their number",
    ),
    (
        "poison_seen",
        "divided by all images",
        wrong_seen(per_image=lambda n, b, m: n / len(m)),
        "you divide by all images",
    ),
    (
        "poison_seen",
        "divided by all that was seen",
        wrong_seen(per_image=lambda n, b, m: n / images_in(b)),
        "number of images in the batches",
    ),
    ("poison_seen", "once each", wrong_seen(per_image=lambda n, b, m: 1), "counts only once"),
    (
        "poison_seen",
        "once a batch",
        wrong_seen(per_image=lambda n, b, m: len(b)),
        "No image is in all",
    ),
    (
        "poison_seen",
        "reckoned from the epochs",
        wrong_seen(per_image=lambda n, b, m: sum(len(i) == len(b[0]) for i in b) / 2),
        "count what is in the batches",
    ),
    ("poison_seen", "swapped", lambda b, m: seen(b, m)[::-1], "swapped"),
    ("poison_seen", "one of the two", lambda b, m: seen(b, m)[0], "two numbers"),
    (
        "gradient_length",
        "length of the mean gradient",
        wrong_lengths(groups=lambda x: [x]),
        "length of the mean gradient",
    ),
    (
        "gradient_length",
        "length of the summed gradient",
        lambda e, x, c: len(x) * lengths(e, x, c, groups=lambda x: [x]),
        "length of the sum",
    ),
    ("gradient_length", "gradients pile up", gradients_pile_up, "pile up"),
    (
        "gradient_length",
        "lengths of the weights added",
        wrong_lengths(length=lambda parts: sum(part.norm() for part in parts)),
        "join them first",
    ),
    (
        "gradient_length",
        "mean over the weights",
        wrong_lengths(length=lambda parts: sum(part.norm() for part in parts) / len(parts)),
        "mean over the weights",
    ),
    (
        "gradient_length",
        "root forgotten",
        wrong_lengths(length=lambda parts: torch.cat(parts).square().sum()),
        "root is missing",
    ),
    ("gradient_length", "sum over images", wrong_lengths(combine=torch.sum), "sum over the images"),
    (
        "gradient_length",
        "distance, not squared",
        wrong_lengths(loss=lambda offset: offset.norm()),
        "take no root",
    ),
    ("gradient_length", "pixels", on_pixels, "with respect to the pixels"),
    (
        "gradient_length",
        "first weight",
        wrong_lengths(length=lambda parts: parts[0].norm()),
        "only the first weight",
    ),
    (
        "gradient_length",
        "last weight",
        wrong_lengths(length=lambda parts: parts[-1].norm()),
        "only the last weight",
    ),
    (
        "gradient_length",
        "last image",
        wrong_lengths(combine=lambda each: each[-1]),
        "the last image alone",
    ),
    (
        "gradient_length",
        "absolute values",
        wrong_lengths(length=lambda parts: torch.cat(parts).abs().sum()),
        "absolute values",
    ),
    ("gradient_length", "training mode", in_training_mode, "training mode"),
    ("gradient_length", "training mode for a while", training_mode_for_a_while, "training mode"),
    ("gradient_length", "a step is taken", takes_a_step, "the weights changed"),
    (
        "gradient_length",
        "one length for each image",
        wrong_lengths(combine=lambda each: each),
        "must be one number",
    ),
    (
        "gradient_length",
        "largest, not mean",
        wrong_lengths(combine=torch.max),
        "mean length of a gradient: expected",
    ),
    ("measure_asr", "sorts its input", sorts_the_normals, "changes what it is given (scores)"),
    ("measure_asr", "leaves a mark", leaves_a_mark, "changes what it is given (scores)"),
    ("poison_seen", "keeps counting", keeps_counting, "something else when it is called again"),
    ("poison_seen", "empties the list", empties_the_batches, "changes what it is given (batches)"),
    (
        "poison_seen",
        "batches with poison alone",
        wrong_seen(per_batch=lambda n, b, m: n / sum(bool(m[i].any()) for i in b)),
        "Those without count, too",
    ),
    (
        "poison_seen",
        "images that came up alone",
        wrong_seen(per_image=lambda n, b, m: n / sum(m[i] for i in set(torch.cat(b).tolist()))),
        "They count, too",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("measure_asr", asr),
    ("measure_asr", wrong_asr(rate=lambda b, a, t: ((b > t) & (a <= t)).sum() / (b > t).sum())),
    ("poison_seen", seen),
    ("poison_seen", wrong_seen(per_batch=lambda n, b, m: torch.tensor(n) / len(b))),
    ("gradient_length", lengths),
    ("gradient_length", emptied_each_time),
    ("measure_asr", asr_one_by_one),
    ("measure_asr", asr_by_torch),
    ("measure_asr", wrong_asr(rate=lambda b, a, t: 1 - (a[b > t] > t).mean())),
    ("measure_asr", wrong_asr(rate=lambda b, a, t: np.array(np.mean(a[~(b <= t)] <= t)))),
    ("poison_seen", seen_image_by_image),
    ("poison_seen", seen_of_all),
    ("poison_seen", seen_by_numpy),
    ("poison_seen", lambda b, m: list(seen(b, m.clone()))),
    ("gradient_length", lengths_of_a_copy),
    ("gradient_length", lengths_from_one_batch),
    ("gradient_length", lengths_of_lengths),
    ("gradient_length", lambda *arguments: lengths(*arguments).item()),
]
