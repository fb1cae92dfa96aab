"""What readers of lesson 5 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from badsad_lib.attacks import alignment_loss, concentration_loss, contrast_loss
from badsad_lib.deepsad import anomaly_score, deep_sad_loss

LESSON = "5_latent_manipulation"


def together(
    about: Callable[[Tensor, Tensor], Tensor] = lambda z, c: z.mean(0),
    of: Callable[[Tensor], Tensor] = lambda d: d.square().sum(1).mean(),
) -> Callable[[Tensor, Tensor], Tensor]:
    """Answer correctly, unless one of the steps is changed."""
    return lambda z, c: of(z - about(z, c))


def squared_spread(z: Tensor) -> Tensor:
    return (z - z.mean(0)).square().sum(1).mean()


def aligned(
    poisoned: Tensor,
    normal: Tensor,
    *,
    fixed: Callable[[Tensor], Tensor] = Tensor.detach,
    fixed_unit: Callable[[Tensor], Tensor] = Tensor.detach,
    gap: Callable[[Tensor, Tensor], Tensor] = lambda p, n: p.mean(0) - n.mean(0),
    size: Callable[[Tensor], Tensor] = lambda g: g.square().sum(),
    square: Callable[[Tensor, Tensor], Any] = lambda p, n: squared_spread(n),
) -> Tensor:
    """Answer correctly, unless one of the steps is changed."""
    return size(gap(poisoned, fixed(normal))) / square(poisoned, fixed_unit(normal))


def slip(**step: Any) -> Callable[..., Tensor]:
    return lambda *arguments: aligned(*arguments, **step)


def kept(z: Tensor) -> Tensor:
    return z


def halves(poisoned: Tensor, normal: Tensor) -> Tensor:
    """Take both means over as many latents as the smaller group has."""
    n = min(len(poisoned), len(normal))
    gap = poisoned[:n].mean(0) - normal[:n].detach().mean(0)
    return gap.square().sum() / squared_spread(normal.detach())


def inverse(z: Tensor, center: Tensor) -> Tensor:
    return 1 / (anomaly_score(z, center) + 1e-6)


def concentrated_one_by_one(z: Tensor, c: Tensor) -> Tensor:
    middle = sum(z) / len(z)
    return sum(((x - middle) ** 2).sum() for x in z) / len(z)


def centered_in_place(z: Tensor, c: Tensor) -> Tensor:
    z -= z.mean(0)
    return z.square().sum(1).mean()


def aligned_without_a_graph(poisoned: Tensor, normal: Tensor) -> Tensor:
    with torch.no_grad():
        middle = normal.mean(0)
        unit = (normal - middle).pow(2).sum(1).mean()
    return torch.dist(poisoned.mean(0), middle) ** 2 / unit


def aligned_by_items(poisoned: Tensor, normal: Tensor) -> Tensor:
    fixed = torch.tensor(normal.tolist())
    spread = ((fixed - fixed.mean(0)) ** 2).sum(1).mean() ** 0.5
    return (((poisoned.mean(0) - fixed.mean(0)) / spread) ** 2).sum()


def contrast_one_by_one(triggered: Tensor, plain: Tensor, center: Tensor) -> Tensor:
    return sum(1 / (((x - center) ** 2).sum() + 1e-6) for x in plain) / len(plain)


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    (
        "concentration",
        "pulled to the center",
        together(lambda z, c: c),
        "draws the latents to the center",
    ),
    (
        "concentration",
        "mean not subtracted",
        together(lambda z, c: torch.zeros(z.shape[1])),
        "drawn to zero",
    ),
    ("concentration", "one mean for all", together(lambda z, c: z.mean()), "over all numbers"),
    (
        "concentration",
        "mean of each latent",
        together(lambda z, c: z.mean(1, keepdim=True)),
        "over the images, dim=0",
    ),
    ("concentration", "sum", together(of=lambda d: d.square().sum()), "the sum over the batch"),
    (
        "concentration",
        "mean over the components, too",
        together(of=lambda d: d.square().mean()),
        "sum over the components",
    ),
    (
        "concentration",
        "unbiased variance",
        lambda z, c: z.var(dim=0).sum(),
        "divided by N - 1",
    ),
    (
        "concentration",
        "not squared",
        together(of=lambda d: d.norm(dim=1).mean()),
        "not squared",
    ),
    (
        "concentration",
        "root",
        lambda z, c: together()(z, c).sqrt(),
        "the root is too much",
    ),
    (
        "concentration",
        "all pairs",
        lambda z, c: (z[:, None] - z[None]).square().sum(2).mean(),
        "mean over all pairs",
    ),
    (
        "concentration",
        "median",
        together(lambda z, c: z.median(0).values),
        "on ten latents",
    ),
    (
        "concentration",
        "divided by a fixed number",
        together(of=lambda d: d.square().sum() / 10),
        "six other latents",
    ),
    ("concentration", "no gradient", lambda z, c: together()(z, c).item(), "no gradient"),
    (
        "concentration",
        "gradient cut for a part",
        lambda z, c: together()(torch.cat([z[:5], z[5:].detach()]), c),
        "its gradient is not",
    ),
    (
        "alignment",
        "normal latents move, too",
        slip(fixed=kept, fixed_unit=kept),
        "a gradient reaches the normal latents",
    ),
    (
        "alignment",
        "mean of the normal latents moves",
        slip(fixed=kept),
        "a gradient reaches the normal latents",
    ),
    ("alignment", "unit moves", slip(fixed_unit=kept), "the yardstick grows"),
    (
        "alignment",
        "poisoned latents detached instead",
        lambda p, n: aligned(p.detach(), n, fixed=kept),
        "no gradient reaches the poisoned",
    ),
    (
        "alignment",
        "everything detached",
        lambda p, n: aligned(p.detach(), n),
        "no gradient flows",
    ),
    (
        "alignment",
        "compared with the index partner",
        slip(gap=lambda p, n: p - n[: len(p)], size=lambda g: g.square().sum(1).mean()),
        "of the same index",
    ),
    (
        "alignment",
        "index partner, no unit",
        lambda p, n: (p - n.detach()[: len(p)]).square().sum(1).mean(),
        "the unit is missing",
    ),
    (
        "alignment",
        "all pairs",
        slip(
            gap=lambda p, n: p[:, None] - n[None],
            size=lambda g: g.square().sum(2).mean(),
        ),
        "compared with every normal one",
    ),
    (
        "alignment",
        "each to the mean",
        slip(gap=lambda p, n: p - n.mean(0), size=lambda g: g.square().sum(1).mean()),
        "give up its own place",
    ),
    ("alignment", "no unit", slip(square=lambda p, n: 1), "the unit is missing"),
    (
        "alignment",
        "spread not squared",
        slip(square=lambda p, n: squared_spread(n).sqrt()),
        "not squared. Divide both",
    ),
    (
        "alignment",
        "distance not squared, nor the unit",
        slip(
            size=lambda g: g.square().sum().sqrt(),
            square=lambda p, n: squared_spread(n).sqrt(),
        ),
        "the square is missing",
    ),
    (
        "alignment",
        "distance not squared",
        slip(size=lambda g: g.square().sum().sqrt()),
        "the square is missing",
    ),
    (
        "alignment",
        "spread of the poisoned",
        slip(square=lambda p, n: squared_spread(p)),
        "the spread of the poisoned",
    ),
    (
        "alignment",
        "mean over the components",
        slip(size=lambda g: g.square().mean()),
        "mean over the components",
    ),
    (
        "alignment",
        "unit as a mean over the components",
        slip(square=lambda p, n: (n - n.mean(0)).square().mean()),
        "must be a sum over the components",
    ),
    (
        "alignment",
        "unbiased variance",
        slip(square=lambda p, n: n.var(0).sum()),
        "divides by N - 1",
    ),
    (
        "alignment",
        "each component by its own spread",
        lambda p, n: (
            (p.mean(0) - n.detach().mean(0)).square() / n.detach().var(0, correction=0)
        ).sum(),
        "one number for all",
    ),
    (
        "alignment",
        "spread from zero",
        slip(square=lambda p, n: n.square().sum(1).mean()),
        "measured from zero",
    ),
    (
        "alignment",
        "multiplied",
        slip(square=lambda p, n: 1 / squared_spread(n)),
        "Divide.",
    ),
    ("alignment", "groups cut to one size", halves, "need not have the same size"),
    (
        "alignment",
        "one component only",
        slip(size=lambda g: g[:1].square().sum()),
        "Begin with the two means",
    ),
    (
        "alignment",
        "gradient doubled",
        lambda p, n: 2 * aligned(p, n) - aligned(p, n).detach(),
        "its gradient is not",
    ),
    (
        "contrast",
        "pull, not push",
        lambda t, p, c: anomaly_score(p, c).mean(),
        "They should leave",
    ),
    (
        "contrast",
        "minus for the inverse",
        lambda t, p, c: -anomaly_score(p, c).mean(),
        "no lower end",
    ),
    ("contrast", "minus the inverse", lambda t, p, c: -inverse(p, c).mean(), "sign is reversed"),
    (
        "contrast",
        "pushes the triggered",
        lambda t, p, c: inverse(t, c).mean(),
        "would undo the backdoor",
    ),
    (
        "contrast",
        "pulls the triggered",
        lambda t, p, c: anomaly_score(t, c).mean(),
        "pulls the images with the trigger",
    ),
    (
        "contrast",
        "pushes both",
        lambda t, p, c: inverse(torch.cat([t, p]), c).mean(),
        "both groups are pushed out",
    ),
    (
        "contrast",
        "pushes both, added",
        lambda t, p, c: inverse(t, c).mean() + inverse(p, c).mean(),
        "both groups are pushed out",
    ),
    (
        "contrast",
        "pulls and pushes",
        lambda t, p, c: anomaly_score(t, c).mean() + inverse(p, c).mean(),
        "pulled to the center besides",
    ),
    (
        "contrast",
        "inverse of the mean",
        lambda t, p, c: 1 / anomaly_score(p, c).mean(),
        "inverse of the mean",
    ),
    ("contrast", "sum", lambda t, p, c: inverse(p, c).sum(), "the sum over the batch"),
    (
        "contrast",
        "not squared",
        lambda t, p, c: (1 / (p - c).norm(dim=1)).mean(),
        "not squared",
    ),
    (
        "contrast",
        "from zero",
        lambda t, p, c: inverse(p, torch.zeros(4)).mean(),
        "measured from zero",
    ),
    (
        "contrast",
        "mean over the components",
        lambda t, p, c: (1 / (p - c).square().mean(1)).mean(),
        "the sum over the components",
    ),
    (
        "contrast",
        "division by zero",
        lambda t, p, c: (1 / anomaly_score(p, c)).mean(),
        "infinite",
    ),
    (
        "contrast",
        "distance from the triggered",
        lambda t, p, c: (1 / (p - t).square().sum(1)).mean(),
        "on a small batch",
    ),
    ("contrast", "no gradient", lambda t, p, c: inverse(p, c).mean().item(), "no gradient"),
    (
        "contrast",
        "gradient cut for a part",
        lambda t, p, c: inverse(torch.cat([p[:4], p[4:].detach()]), c).mean(),
        "its gradient is not",
    ),
    (
        "contrast",
        "a pull that the value hides",
        lambda t, p, c: inverse(p, c).mean() + t.sum() - t.detach().sum(),
        "its gradient is not",
    ),
    ("concentration", "in place", centered_in_place, "changes what it is given (z)"),
    (
        "alignment",
        "one component too few",
        lambda p, n: aligned(p[:, :4], n[:, :4]) * n.shape[1] / 4,
        "of 3 components",
    ),
    (
        "contrast",
        "divided by the number of triggered",
        lambda t, p, c: inverse(p, c).sum() / len(t),
        "need not have the same size",
    ),
    (
        "contrast",
        "moved to the center in place",
        lambda t, p, c: (1 / (p.sub_(c).square().sum(1) + 1e-6)).mean(),
        "changes what it is given (p)",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("concentration", lambda z, c: concentration_loss(z)),
    ("concentration", lambda z, c: z.var(dim=0, correction=0).sum()),
    ("concentration", lambda z, c: torch.cdist(z, z).square().mean() / 2),
    ("concentration", together(lambda z, c: z.mean(0).detach())),
    ("alignment", aligned),
    (
        "alignment",
        lambda p, n: alignment_loss(p, n) / concentration_loss(n.detach()),
    ),
    (
        "alignment",
        lambda p, n: alignment_loss(
            p / concentration_loss(n.detach()).sqrt(), n / concentration_loss(n.detach()).sqrt()
        ),
    ),
    ("contrast", lambda t, p, c: contrast_loss(p, c)),
    ("contrast", lambda t, p, c: (anomaly_score(p, c) + 1e-6).pow(-1).mean()),
    ("concentration", concentrated_one_by_one),
    (
        "concentration",
        lambda z, c: z.square().sum(1).mean() - z.mean(0).square().sum(),
    ),
    ("concentration", lambda z, c: torch.cov(z.T, correction=0).trace()),
    ("alignment", aligned_without_a_graph),
    ("alignment", aligned_by_items),
    ("alignment", slip(square=lambda p, n: n.var(0, correction=0).sum())),
    ("alignment", slip(gap=lambda p, n: (p - n.mean(0)).mean(0))),
    ("contrast", contrast_one_by_one),
    ("contrast", lambda t, p, c: inverse(p, c).sum() / len(p)),
    ("contrast", lambda t, p, c: (1 / anomaly_score(p, c).clamp(min=1e-6)).mean()),
    ("contrast", lambda t, p, c: (1 / ((p - c).norm(dim=1) ** 2 + 1e-8)).mean()),
    (
        "contrast",
        lambda t, p, c: deep_sad_loss(anomaly_score(p, c), torch.full((len(p),), -1), 1.0),
    ),
]
