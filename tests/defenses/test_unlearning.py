"""The opponent that unlearning trains against."""

import torch

from badsad_lib.defenses.unlearning import Opponent
from tests.defenses.samples import anomalies


def an_opponent(**changes) -> Opponent:
    settings = {"radius": 1.5, "count": 2, "views": 8, "restart": 5, "seed": 0}
    return Opponent(anomalies(), **{**settings, **changes})


def play(opponent: Opponent, steps: int) -> list[torch.Tensor]:
    """Brightness is the score: darker patterns hide better."""
    center = torch.zeros(1)
    seen = []
    for step in range(steps):
        views = opponent.views(step)
        latents = views.flatten(1).sum(1, keepdim=True)
        opponent(latents, torch.zeros(0), latents, center).backward()
        seen.append(opponent.patterns.detach().clone())
    return seen


def norms(patterns: torch.Tensor) -> torch.Tensor:
    return patterns.flatten(1).norm(dim=1)


def test_views_are_images_and_as_many_as_asked_for():
    views = an_opponent().views(0)
    assert views.shape == (8, 1, 28, 28)
    assert views.min() >= 0
    assert views.max() <= 1


def test_patterns_stay_within_their_radius_and_reach_it():
    seen = play(an_opponent(restart=100), 12)
    assert all((norms(patterns) <= 1.5001).all() for patterns in seen)
    assert (norms(seen[-1]) > 1.4).all()


def test_patterns_move_against_the_score():
    seen = play(an_opponent(restart=100), 12)
    assert (seen[-1].flatten(1).sum(1) < seen[0].flatten(1).sum(1) - 1).all()


def test_patterns_start_afresh():
    opponent = an_opponent(restart=3)
    seen = play(opponent, 4)
    assert torch.cosine_similarity(seen[2].flatten(), seen[3].flatten(), dim=0) < 0.3


def test_patterns_lie_on_equal_shares_of_the_anomalies():
    opponent = an_opponent()
    opponent.anomalies = torch.full((1, 1, 28, 28), 0.5)
    views = opponent.views(0) - 0.5
    torch.testing.assert_close(views[0], opponent.patterns[0].detach())
    torch.testing.assert_close(views[3], opponent.patterns[0].detach())
    torch.testing.assert_close(views[4], opponent.patterns[1].detach())
