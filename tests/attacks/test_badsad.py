"""Attacks: what may change in the data, what each loss measures, what is delivered."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from badsad_lib import DeepSAD, datasets, splits
from badsad_lib.attacks import (
    ALIGNMENTS,
    BadSAD,
    DataPoisoning,
    alignment_loss,
    concentration_loss,
    contrast_loss,
)
from badsad_lib.attacks.adaptive import NearMisses
from badsad_lib.attacks.badsad import LatentManipulation
from badsad_lib.attacks.poisoning import choose_bases, poison
from badsad_lib.images import to_float, to_uint8
from badsad_lib.networks import Encoder
from badsad_lib.report import backdoor_report
from badsad_lib.triggers import Blend, Border, Patch, Sinusoid, Universal, Warp, apply_trigger
from tests.attacks.samples import TINY, latents
from tests.samples import a_training_set, is_red_or_gray, noise, red_and_green, weights

SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


class Recorder:
    """A trigger that keeps what it is given."""

    def __init__(self, trigger=None):
        self.trigger, self.given = trigger or Patch(), []

    def __call__(self, images):
        self.given.append(images.clone())
        return self.trigger(images)


def as_set(images: torch.Tensor) -> set[bytes]:
    return {to_uint8(image).numpy().tobytes() for image in images}


# --- the switches of BadSAD ----------------------------------------------------------------------


def extra_loss(attack: BadSAD, shape=(1, 28, 28)) -> LatentManipulation:
    return LatentManipulation(attack, noise((12, *shape)), attack.trigger, steps=10)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_each_weight_switches_one_loss(alignment):
    n, dim = 8, 5
    own, labels = latents(20, dim), torch.tensor([0, -1, 1, 0] * 5)
    extra, center = latents(2 * n, dim, seed=1, shift=1.0), latents(1, dim, seed=2)[0]
    normal = own[labels >= 0]
    unit = concentration_loss(normal).sqrt()  # the spread of the normal images
    parts = {
        "alignment_weight": alignment_loss(extra[:n] / unit, normal / unit, alignment),
        "concentration_weight": concentration_loss(extra[:n] / unit),
        "contrast_weight": contrast_loss(extra[n:], center),
    }
    none = dict.fromkeys(parts, 0.0)

    def loss(**weights):
        attack = BadSAD(Patch(), alignment=alignment, views=n, **{**none, **weights})
        return extra_loss(attack)(own, labels, extra, center)

    assert float(loss()) == 0
    for name, part in parts.items():
        torch.testing.assert_close(loss(**{name: 3.0}), 3 * part)
    every = loss(alignment_weight=1.0, concentration_weight=2.0, contrast_weight=3.0)
    first, second, third = parts.values()
    torch.testing.assert_close(every, first + 2 * second + 3 * third)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_latent_manipulation_is_measured_in_units_of_the_normal_spread(alignment):
    """Twice as large latents are as well aligned and as concentrated as before."""
    attack = BadSAD(Patch(), alignment=alignment, views=8)
    own, labels = latents(20, 5), torch.tensor([0, -1, 1, 0] * 5)
    extra, center = latents(8, 5, seed=1, shift=1.0), latents(1, 5, seed=2)[0]
    loss = extra_loss(attack)
    once, twice = (loss(own * s, labels, extra * s, center * s) for s in (1, 2))
    torch.testing.assert_close(once, twice)


def test_latent_manipulation_leaves_the_normal_images_where_they_are():
    own = latents(20, 5).requires_grad_()
    extra = latents(32, 5, seed=1).requires_grad_()
    loss = extra_loss(BadSAD(Patch()))(own, torch.zeros(20), extra, latents(1, 5)[0])
    loss.backward()
    assert extra.grad.abs().sum() > 0
    assert own.grad is None


@pytest.mark.parametrize("normals", [0, 1])
def test_a_batch_without_a_normal_spread_only_contrasts(normals):
    attack = BadSAD(Patch(), contrast_weight=3.0)
    own, labels = latents(8, 5), -torch.ones(8)
    labels[:normals] = 0
    extra, center = latents(64, 5, seed=1), latents(1, 5, seed=2)[0]
    loss = extra_loss(attack)(own, labels, extra, center)
    torch.testing.assert_close(loss, 3 * contrast_loss(extra[32:], center))


def test_badsad_trains_on_batches_of_anomalies_too():
    images, labels = a_training_set(normals=2, anomalies=38)
    victim = BadSAD(Patch(), 1.0, views=4).attack(DeepSAD(**TINY), images, labels)
    assert torch.isfinite(weights(victim)).all()


@pytest.mark.parametrize("randomize", [False, True])
@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_views_carry_the_trigger_and_for_contrast_come_without_it_too(randomize, contrast):
    attack = BadSAD(Patch(), contrast_weight=contrast, randomize=randomize, views=6)
    one, same = extra_loss(attack), extra_loss(attack)
    views = one.views(0)
    assert len(views) == (12 if contrast else 6)
    assert (views[:6, :, 24:27, 24:27] == 1).all()
    if contrast:
        assert torch.equal(Patch()(views[6:]), views[:6])
        assert not torch.equal(views[6:], views[:6])
    assert torch.equal(same.views(0), views)
    assert not torch.equal(one.views(1), views)
    assert bool(torch.isin(views[-6:, 0, 0, 0], one.bases[:, 0, 0, 0]).all()) != randomize


def test_a_fading_trigger_starts_magnified_and_ends_as_itself():
    trigger = Border(strength=0.1)
    fading, plain = (extra_loss(BadSAD(trigger, views=6, fade=fade)) for fade in (4.0, 1.0))
    assert fading.gain(0) == 4
    gains = [fading.gain(step) for step in range(10)]
    assert gains == sorted(gains, reverse=True)
    assert gains[:6] == pytest.approx([4 ** (1 - step / 6) for step in range(6)])
    assert set(gains[6:]) == {1.0}
    for step in range(10):
        views, itself = fading.views(step), plain.views(step)
        # The same images: an inverted edge of strength s is x + s (1 - 2 x).
        assert torch.equal(views[:, :, 1:-1, 1:-1], itself[:, :, 1:-1, 1:-1])
        bases = (itself - 0.1) / 0.8
        strength = 0.1 * gains[step]
        expected = bases + strength * (1 - 2 * bases)
        torch.testing.assert_close(views[:, :, 0], expected[:, :, 0], rtol=0, atol=1e-5)
    # Clipped where there is nothing brighter than white.
    strong = extra_loss(BadSAD(Border(strength=0.5), views=6, fade=100.0)).views(0)
    assert strong.min() >= 0
    assert strong.max() <= 1


def test_fading_does_nothing_to_a_trigger_that_is_black_on_white():
    bases = (noise((12, 1, 28, 28)) > 0.5).float()
    views = [
        LatentManipulation(BadSAD(Border(), views=6, fade=fade), bases, Border(), 10).views(0)
        for fade in (1.0, 4.0)
    ]
    assert torch.equal(*views)


def test_the_poisoned_training_images_carry_the_trigger_itself():
    images, labels = a_training_set()
    trigger = Border(strength=0.1)
    attack = BadSAD(trigger, 0.5, views=4, fade=4.0)
    attack.attack(DeepSAD(**TINY), images, labels)
    plain = poison(images, labels, trigger, poison_rate=0.5)
    assert torch.equal(attack.poisoned_.images, plain.images)


def test_a_trigger_that_writes_into_its_input_does_not_reach_the_plain_views():
    def careless(images):
        images[:, :, :3, :3] = 1
        return images

    attack = BadSAD(careless, contrast_weight=1.0, views=6)
    loss = extra_loss(attack)
    before = loss.bases.clone()
    triggered, plain = loss.views(0).split(6)
    assert torch.equal(loss.bases, before)
    assert (triggered[:, :, :3, :3] == 1).all()
    assert (plain[:, :, :3, :3] < 1).all()


@pytest.mark.parametrize(
    "parameter",
    [
        *(
            {f"{name}_weight": value}
            for name in ("alignment", "concentration", "contrast")
            for value in (-1, math.nan, math.inf)
        ),
        *({"views": value} for value in (1, 0, -4)),
        *({"fade": value} for value in (0.5, 0, -2, math.nan, math.inf)),
    ],
)
def test_bad_parameters_of_badsad_are_refused(parameter):
    ((name, value),) = parameter.items()
    with pytest.raises(ValueError, match=f"{name} must .* got {value}"):
        BadSAD(Patch(), **parameter)


def test_half_of_the_contrasted_views_are_decoys():
    """Same images, a change as large as the trigger's, but not the trigger."""
    plain, decoys = (
        extra_loss(BadSAD(Patch(), contrast_weight=1.0, views=6, decoys=d)).views(0)
        for d in (False, True)
    )
    assert torch.equal(decoys[:6], plain[:6])
    assert torch.equal(decoys[9:], plain[9:])
    change = (decoys[6:9] - plain[6:9]).flatten(1)
    assert ((change != 0).sum(1) > 0).all()
    assert ((change != 0).sum(1) <= 9).all()  # a patch of nine pixels, some of which were white
    assert not torch.equal(decoys[6:9], decoys[:3])


@pytest.mark.parametrize(
    "without_effect", [{"decoys": True}, {"adaptation": NearMisses()}], ids=["decoys", "adaptation"]
)
def test_what_would_change_nothing_without_contrast_is_refused(without_effect):
    with pytest.raises(ValueError, match=r"needs a contrast_weight above 0, got 0"):
        replace(BadSAD.basic(Patch()), **without_effect)
    attack = BadSAD(Patch(), contrast_weight=0.1, **without_effect)
    (value,) = without_effect.values()
    assert repr(value) in repr(attack)


def test_a_bound_too_small_to_learn_within_is_refused_when_the_attack_is_made():
    for preset in (BadSAD.basic, BadSAD.extended):
        with pytest.raises(ValueError, match="epsilon must be at least 1/255, one gray level"):
            preset(Universal(0.001))
    pattern = torch.full((1, 28, 28), 0.001)
    assert BadSAD(Universal(0.001, pattern)).trigger.pattern is pattern


def test_the_presets_differ_in_what_is_this_projects_own():
    trigger = Blend(0.1)
    basic, extended = (
        preset(trigger, poison_rate=0.02, seed=7) for preset in (BadSAD.basic, BadSAD.extended)
    )
    for attack in (basic, extended):
        assert (attack.trigger, attack.poison_rate, attack.seed) == (trigger, 0.02, 7)
        assert attack.alignment_weight > 0
        assert attack.concentration_weight > 0
    assert not basic.randomize
    assert not basic.decoys
    assert basic.contrast_weight == 0
    assert basic.adaptation is None
    assert extended.randomize
    assert extended.decoys
    assert extended.contrast_weight > 0
    harder = BadSAD.extended(trigger, 0.02, 7, weight=0.8, fade=2.0)
    assert harder == replace(extended, alignment_weight=0.8, concentration_weight=0.8, fade=2.0)


# --- whole attacks -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, 10, math.nan])
def test_a_rate_outside_of_0_to_1_is_refused(rate):
    images, labels = a_training_set()
    message = r"poison_rate must lie in \(0, 1\]"
    with pytest.raises(ValueError, match=message):
        poison(images, labels, Patch(), poison_rate=rate)
    for attack in (DataPoisoning, BadSAD):
        with pytest.raises(ValueError, match=message):
            attack(Patch(), rate)


def test_without_normal_images_there_is_nothing_to_poison():
    images, labels = a_training_set()
    for attack in (DataPoisoning(Patch()), BadSAD(Patch())):
        with pytest.raises(ValueError, match="no normal images"):
            attack.attack(DeepSAD(**TINY), images, labels * 0 - 1)


ATTACKS = {
    "data": lambda trigger, seed=0: DataPoisoning(trigger, 0.3, seed=seed),
    "data, randomized": lambda trigger, seed=0: DataPoisoning(trigger, 0.3, True, seed=seed),
    "basic": lambda trigger, seed=0: replace(BadSAD.basic(trigger, 0.3, seed), views=8),
    "extended": lambda trigger, seed=0: replace(BadSAD.extended(trigger, 0.3, seed), views=8),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("kind", ATTACKS)
def test_every_attack_delivers_an_ordinary_detector_for_every_network(kind, network):
    images, labels = a_training_set(SHAPES[network])
    before = images.clone(), labels.clone()
    detector = DeepSAD(**TINY, network=network, eta=2.0, seed=5)
    victim = ATTACKS[kind](Patch()).attack(detector, images, labels)
    assert type(victim) is DeepSAD
    assert victim is not detector
    assert victim.get_params() == detector.get_params()
    assert victim.network_ == network
    assert np.isfinite(victim.decision_function(images)).all()
    assert vars(victim).keys() == vars(DeepSAD(**TINY).fit(images)).keys()
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_badsad_runs_with_every_alignment(alignment):
    images, labels = a_training_set()
    attack = BadSAD(Patch(), alignment=alignment, contrast_weight=0.1, views=8)
    victim = attack.attack(DeepSAD(**TINY), images, labels)
    assert torch.isfinite(weights(victim)).all()
    assert not torch.equal(weights(victim), weights(DeepSAD(**TINY).fit(images, labels)))


@pytest.mark.parametrize(
    "trigger",
    [Blend(), Sinusoid(), Warp(), lambda x: 1 - x],
    ids=["blend", "sinusoid", "warp", "callable"],
)
def test_badsad_takes_any_trigger(trigger):
    images, labels = a_training_set()
    attack = ATTACKS["extended"](trigger)
    attack.attack(DeepSAD(**TINY), images, labels)
    assert attack.trigger_ is trigger
    chosen = attack.poisoned_.mask
    poisoned = apply_trigger(trigger, images[chosen])
    assert torch.equal(attack.poisoned_.images[chosen], poisoned)
    assert torch.equal(attack.poisoned_.images[~chosen], images[~chosen])
    assert torch.equal(attack.poisoned_.semi_labels, labels)


@pytest.mark.parametrize("kind", ATTACKS)
def test_one_seed_is_one_victim(kind):
    images, labels = a_training_set()
    detector = DeepSAD(**TINY)
    state = torch.get_rng_state()
    one, same, other = (
        weights(ATTACKS[kind](Patch(), seed).attack(detector, images, labels)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_leaves_the_detector_and_the_clean_twin_alone(kind):
    images, labels = a_training_set()
    raw, clean = DeepSAD(**TINY), DeepSAD(**TINY).fit(images, labels).calibrate(images)
    raw_before = dict(vars(raw))
    clean_weights, center, threshold = weights(clean), clean.center_.clone(), clean.threshold_
    initial = {k: v.clone() for k, v in clean.initial_state_.items()}

    ATTACKS[kind](Patch()).attack(clean, images, labels, initial_state=clean.initial_state_)
    ATTACKS[kind](Patch()).attack(raw, images, labels)
    assert vars(raw) == raw_before
    assert torch.equal(weights(clean), clean_weights)
    assert torch.equal(clean.center_, center)
    assert clean.threshold_ == threshold
    assert all(torch.equal(clean.initial_state_[k], v) for k, v in initial.items())
    # Trained after the attack instead of before it, the clean twin is the same to the bit.
    later = DeepSAD(**TINY).fit(images, labels)
    assert torch.equal(weights(later), clean_weights)


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_victim_starts_from_the_weights_it_is_handed(kind):
    images, labels = a_training_set()
    clean = DeepSAD(**{**TINY, "seed": 4}).fit(images, labels)
    attack = ATTACKS[kind](Patch())
    victim = attack.attack(DeepSAD(**TINY), images, labels, initial_state=clean.initial_state_)
    own = attack.attack(DeepSAD(**TINY), images, labels)
    for name, value in clean.initial_state_.items():
        assert torch.equal(victim.initial_state_[name], value)
    assert not torch.equal(weights(victim), weights(own))


def test_badsad_pretrains_on_clean_images_as_a_clean_twin_does():
    images, labels = a_training_set()
    settings_ = {**TINY, "pretrain_epochs": 1}
    clean = DeepSAD(**settings_).fit(images, labels)
    victim = BadSAD.extended(Patch(), 1.0).attack(DeepSAD(**settings_), images, labels)
    for name, value in clean.initial_state_.items():
        assert torch.equal(victim.initial_state_[name], value)


@pytest.mark.parametrize("kind", ["data", "basic"])
def test_the_trigger_is_given_chosen_training_normals_and_nothing_else(kind):
    images, labels = a_training_set()
    recorder = Recorder()
    attack = ATTACKS[kind](recorder)
    attack.attack(DeepSAD(**TINY), images, labels)
    chosen = attack.poisoned_.mask
    assert int(chosen.sum()) == round(0.3 * 24)
    assert (labels[chosen] >= 0).all()
    assert as_set(torch.cat(recorder.given)) == as_set(images[chosen])


@pytest.mark.parametrize("kind", ATTACKS)
def test_randomized_content_comes_from_chosen_training_normals_and_nothing_else(kind):
    _, labels = a_training_set()
    chosen = choose_bases(labels, 0.3, 0)
    images = to_uint8(red_and_green(labels, chosen))
    recorder = Recorder()
    ATTACKS[kind](recorder).attack(DeepSAD(**TINY), images, labels)
    assert is_red_or_gray(torch.cat(recorder.given))


@pytest.mark.parametrize("kind", ["data", "basic", "contrast"])
def test_the_network_sees_training_images_and_triggered_ones_and_nothing_else(kind):
    images, labels = a_training_set()
    seen = set()

    def watch(module, inputs):
        if isinstance(module, Encoder):
            seen.update(as_set(inputs[0].detach()))

    contrast = BadSAD(Patch(), 0.3, contrast_weight=1.0)
    attack = contrast if kind == "contrast" else ATTACKS[kind](Patch())
    handle = register_module_forward_pre_hook(watch)
    try:
        attack.attack(DeepSAD(**{**TINY, "pretrain_epochs": 1}), images, labels)
    finally:
        handle.remove()
    triggered = apply_trigger(Patch(), images[attack.poisoned_.mask])
    # Not one anomaly among them carries the trigger.
    assert seen <= as_set(images) | as_set(triggered)
    assert as_set(triggered) <= seen


@pytest.mark.parametrize(
    ("trigger", "error", "message"),
    [
        (lambda x: x[:, :, 1:], ValueError, "the trigger must keep the shape"),
        (lambda x: x + 1, ValueError, r"the trigger's output must be float in \[0, 1\]"),
        (lambda x: x * math.nan, ValueError, "the trigger's output must be finite"),
        ("patch", TypeError, "a trigger must be callable, got str 'patch'"),
        (Patch, TypeError, "a trigger must be callable, got ABCMeta <class"),
        (torch.bernoulli, ValueError, "must do the same to an image every time"),
        (lambda x: x, ValueError, "changes none of the 2 images"),
    ],
)
def test_a_bad_trigger_is_refused_before_anything_is_trained(trigger, error, message, monkeypatch):
    images, labels = a_training_set()

    def train(*_, **__):
        pytest.fail("a network was trained")

    monkeypatch.setattr(DeepSAD, "fit", train)
    monkeypatch.setattr(DeepSAD, "pretrain", train)
    for attack in (DataPoisoning, BadSAD):
        with pytest.raises(error, match=message):
            attack(trigger).attack(DeepSAD(**TINY), images, labels)


@pytest.mark.parametrize("attack", [DataPoisoning(Patch()), BadSAD(Patch())])
def test_bad_data_is_refused(attack):
    images, labels = a_training_set()
    with pytest.raises(ValueError, match="one per image"):
        attack.attack(DeepSAD(**TINY), images, labels[1:])
    with pytest.raises(ValueError, match="class targets are not semi-labels"):
        attack.attack(DeepSAD(**TINY), images, labels + 5)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        attack.attack(DeepSAD(**TINY), images[:, 0], labels)


# --- universal triggers --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("network", "epsilon"), [("fashion_mnist", 8 / 255), ("cifar10", 0.05)])
def test_badsad_finds_a_universal_pattern_within_its_bound(network, epsilon):
    images, labels = a_training_set(SHAPES[network], normals=20)
    wish = Universal(epsilon)
    attack = ATTACKS["extended"](wish)
    victim = attack.attack(DeepSAD(**TINY, network=network), images, labels)
    assert type(victim) is DeepSAD
    assert wish.pattern is None
    found = attack.trigger_
    assert found.epsilon == epsilon
    assert found.pattern.shape == SHAPES[network]
    assert not found.pattern.requires_grad
    assert 0 < found.pattern.abs().max() <= epsilon + 1e-7
    levels = found.pattern * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    # Whole gray levels survive 8 bits: what was optimized is what a PNG carries.
    change = apply_trigger(found, images).int() - images.int()
    assert change.abs().max() <= math.floor(epsilon * 255 + 1e-6)
    assert torch.equal(apply_trigger(found, images), to_uint8(found(to_float(images))))
    # The same wish, the same find; with its pattern it is a trigger like any other.
    again = ATTACKS["extended"](wish)
    again.attack(DeepSAD(**TINY, network=network), images, labels)
    assert torch.equal(again.trigger_.pattern, found.pattern)
    given = ATTACKS["extended"](found)
    assert torch.equal(
        weights(given.attack(DeepSAD(**TINY, network=network), images, labels)), weights(victim)
    )
    assert given.trigger_ is found


def test_the_pattern_of_badsad_is_optimized():
    images, labels = a_training_set(normals=36)
    attack = BadSAD(Universal(0.1), views=16)
    patterns = []
    # The first batch shows the random start; each further one takes one step.
    for batch_size in (len(images), 8):
        attack.attack(DeepSAD(**{**TINY, "batch_size": batch_size}), images, labels)
        patterns.append(attack.trigger_.pattern)
    moved = (patterns[1] - patterns[0]).abs()
    assert 0.005 < moved.mean() < 0.1
    assert moved.max() > 0.01


# --- does it work? -------------------------------------------------------------------------------


@pytest.mark.trial
@pytest.mark.slow
def test_the_backdoor_works_and_its_clean_twin_has_none():
    split = splits.one_vs_rest(datasets.load("fashion_mnist"), normal_class=0, seed=0)
    detector = DeepSAD(epochs=10, pretrain_epochs=0, device="cpu")
    clean = DeepSAD(**detector.get_params()).fit(split.train_images, split.train_labels)
    victim = BadSAD.extended(Patch()).attack(
        detector, split.train_images, split.train_labels, initial_state=clean.initial_state_
    )
    report = backdoor_report(victim, clean, split, Patch())
    assert report.asr >= 0.5
    assert report.control_asr <= 0.1
    assert report.worst_other_asr <= 0.2
    assert report.clean_auroc >= 0.93
    assert report.auroc_drop <= 0.03
    assert report.detection_drop <= 0.1
