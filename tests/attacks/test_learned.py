"""Bounded patterns: what a search may do, and that a finished detector stays as it is."""

import math

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks.learned import LearnedPattern, optimize_against
from badsad_lib.images import to_uint8
from badsad_lib.triggers import Universal, apply_trigger, linf
from tests.samples import noise, weights


def test_a_pattern_learns_against_its_gradient_and_within_its_bound():
    pattern = LearnedPattern((1, 4, 4), epsilon=0.1, seed=0)
    start = pattern.pattern.detach().clone()
    assert start.abs().max() <= 0.1
    pattern.learn(share=0.5)  # no gradient has come back yet
    assert torch.equal(pattern.pattern, start)
    for _ in range(5):
        pattern(torch.full((2, 1, 4, 4), 0.5)).sum().backward()
        pattern.learn(share=0.5)
    assert torch.allclose(pattern.pattern, torch.full((1, 4, 4), -0.1))
    assert pattern.pattern.grad is None


@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255, 0.1])
def test_what_is_found_survives_8_bits(epsilon):
    found = LearnedPattern((3, 5, 5), epsilon, seed=0).found()
    assert found.epsilon == epsilon
    levels = found.pattern * 255
    torch.testing.assert_close(levels, levels.round())
    images = to_uint8(noise((4, 3, 5, 5)))
    assert (linf(images, apply_trigger(found, images)) <= epsilon + 1e-6).all()


@pytest.fixture(scope="module")
def fitted():
    labels = torch.cat([torch.zeros(60), -torch.ones(20)]).long()
    tiny = DeepSAD(epochs=5, pretrain_epochs=0, batch_size=16, device="cpu")
    return tiny.fit(to_uint8(noise((80, 1, 28, 28))), labels)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [8 / 255, 0.1])
def test_a_pattern_against_a_detector_lowers_its_scores_and_leaves_it_alone(fitted, epsilon):
    images = to_uint8(noise((20, 1, 28, 28), seed=9))
    before = weights(fitted)
    gradients = [None if p.grad is None else p.grad.clone() for p in fitted.encoder_.parameters()]
    state, training = torch.get_rng_state(), fitted.encoder_.training
    found = optimize_against(fitted, images, epsilon=epsilon, steps=25, batch_size=16)
    assert found.epsilon == epsilon
    assert (linf(images, apply_trigger(found, images)) <= epsilon + 1e-6).all()
    scores = fitted.decision_function(images)
    assert fitted.decision_function(apply_trigger(found, images)).mean() < scores.mean()

    signs = Universal(epsilon, (noise((1, 28, 28)) - 0.5).sign() * math.floor(epsilon * 255) / 255)
    random = fitted.decision_function(apply_trigger(signs, images))
    assert fitted.decision_function(apply_trigger(found, images)).mean() < random.mean()

    assert torch.equal(weights(fitted), before)
    for parameter, gradient in zip(fitted.encoder_.parameters(), gradients):
        assert parameter.requires_grad
        assert gradient is parameter.grad is None or torch.equal(parameter.grad, gradient)
    assert fitted.encoder_.training == training
    assert torch.equal(torch.get_rng_state(), state)
    same = optimize_against(fitted, images, epsilon=epsilon, steps=25, batch_size=16)
    assert torch.equal(same.pattern, found.pattern)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        *(({"epsilon": v}, r"epsilon must lie in \(0, 1\]") for v in (0, -0.1, 8, math.nan)),
        ({"epsilon": 0.9 / 255}, "at least 1/255, one gray level"),
        *(({name: 0}, f"{name} must be an integer") for name in ("steps", "batch_size")),
    ],
)
def test_bad_parameters_of_the_search_are_refused(fitted, parameter, message):
    with pytest.raises(ValueError, match=message):
        optimize_against(fitted, noise((4, 1, 28, 28)), **parameter)


def test_the_search_needs_a_fitted_detector_and_images(fitted):
    with pytest.raises(RuntimeError, match="not fitted: call fit"):
        optimize_against(DeepSAD(), noise((4, 1, 28, 28)))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        optimize_against(fitted, noise((4, 28, 28)))
