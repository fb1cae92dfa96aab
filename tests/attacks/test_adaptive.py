"""Attackers who know a defense."""

from __future__ import annotations

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks import BadSAD
from badsad_lib.attacks.adaptive import (
    ADAPTATIONS,
    Combined,
    LongFilters,
    NearMisses,
    OrdinaryStatistics,
    RidingSearch,
    SharedWeakness,
    SurvivePurification,
    SurviveRepair,
    SurviveStrip,
)
from badsad_lib.attacks.adaptive._around import Around
from badsad_lib.attacks.protocols import Adaptation
from badsad_lib.course import shipped
from badsad_lib.deepsad import anomaly_score
from badsad_lib.defenses import PURIFIERS, FineTuning
from badsad_lib.defenses._common import standardized
from badsad_lib.defenses.shrink_perturb import shrunk_and_perturbed
from badsad_lib.triggers import Border, Patch, Sinusoid, Universal
from tests.samples import a_training_set, noise

PATCH = Patch()


def pair(n: int = 48, shape=(1, 28, 28), trigger=PATCH) -> tuple[torch.Tensor, torch.Tensor]:
    plain = noise((n, *shape)) * 0.5
    return trigger(plain), plain


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_an_adaptation_keeps_shape_and_range_and_leaves_its_input_alone(name, shape):
    triggered, plain = pair(shape=shape)
    before = triggered.clone(), plain.clone()
    changed = ADAPTATIONS[name](triggered, plain, generator())
    assert torch.equal(triggered, before[0])
    assert torch.equal(plain, before[1])
    for part in changed:
        assert part.shape == plain.shape
        assert part.min() >= 0
        assert part.max() <= 1
    for one, other in zip(changed, ADAPTATIONS[name](triggered, plain, generator())):
        assert torch.equal(one, other)


def test_purified_views_are_purified_alike_with_and_without_the_trigger():
    triggered, plain = pair(200)
    purified = SurvivePurification()(triggered, plain, generator())
    seen = set()
    for i in range(200):
        ways = {"none": lambda x: x, **PURIFIERS}
        (name,) = [n for n, p in ways.items() if torch.equal(p(plain[[i]]), purified[1][[i]])]
        assert torch.equal(ways[name](triggered[[i]]), purified[0][[i]])
        seen.add(name)
    assert seen == {"none", *PURIFIERS}


def test_near_misses_carry_a_part_of_the_trigger_at_the_end_of_the_plain_views():
    triggered, plain = pair(48, trigger=Sinusoid())
    pulled, pushed = NearMisses()(triggered, plain, generator())
    assert torch.equal(pulled, triggered)
    assert torch.equal(pushed[:36], plain[:36])
    whole = (triggered - plain)[36:].flatten(1)
    share = (pushed - plain)[36:].flatten(1).abs().sum(1) / whole.abs().sum(1)
    assert (share > 0.1).all()
    assert (share < 0.9).all()
    # Some are weaker everywhere, the others lack pixels.
    untouched = ((pushed - plain)[36:].flatten(1) == 0).float().mean(1)
    assert (untouched > 0.15).any()
    assert (untouched < 0.15).any()


def test_overlays_calm_plain_views_and_give_triggered_ones_away():
    triggered, plain = pair(64)
    pulled, pushed = SurviveStrip()(triggered, plain, generator())
    assert torch.equal(pulled[:56], triggered[:56])
    assert torch.equal(pushed[:56], plain[:56])
    for overlaid, under in ((pulled[56:], plain[56:]), (pushed[56:], triggered[56:])):
        added = overlaid - under
        assert (added >= 0).all()
        # At least half of another view, at most the whole of it, cut off at white.
        for one, lower in zip(added, under):
            free = (one + lower) < 1
            shares = [(one / other)[free] for other in plain]
            assert any(s.min() > 0.49 and s.max() < 1.01 and s.std() < 1e-3 for s in shares)


def test_the_attack_sees_its_views_through_the_adaptation():
    images, labels = a_training_set(normals=40, anomalies=8)
    calls = []

    def watch(triggered, plain, generator):
        calls.append((len(triggered), len(plain)))
        return triggered, plain

    def attacked(adaptation) -> DeepSAD:
        attack = BadSAD(Patch(), 0.5, contrast_weight=0.1, views=8, adaptation=adaptation)
        return attack.attack(DeepSAD(network="mnist", epochs=1, device="cpu"), images, labels)

    same, plain = attacked(watch), attacked(None)
    assert set(calls) == {(8, 8)}
    assert (same.decision_function(images) == plain.decision_function(images)).all()
    other = attacked(NearMisses())
    assert (other.decision_function(images) != plain.decision_function(images)).any()


# --- around the training -------------------------------------------------------------------------


class Watching(Around):
    """Notes what passes through the network that is being trained, in which mode."""

    def __init__(self, inner, seen):
        super().__init__(inner)
        self.seen = seen

    def begin(self, encoder, center):
        super().begin(encoder, center)
        encoder.register_forward_pre_hook(
            lambda module, given: self.seen.append((module.training, given[0].detach().clone()))
        )


class Watch(Adaptation):
    needs_contrast = False

    def __init__(self):
        self.seen = []

    def around(self, extra_loss, images, semi_labels, seed):
        return Watching(extra_loss, self.seen)


def attacked(adaptation, *, trigger=None, steps: int = 6, **parts) -> DeepSAD:
    """A victim after a few steps on dark normals and anomalies."""
    images, labels = dark_and_boards()
    parts = {"contrast_weight": 0.1, "views": 16, "randomize": True, **parts}
    attack = BadSAD(trigger or Border(), 0.5, adaptation=adaptation, **parts)
    plain = DeepSAD(network="mnist", epochs=1, min_steps=steps, device="cpu")
    return attack.attack(plain, images, labels)


BOARD = (torch.arange(28).view(-1, 1) + torch.arange(28)) % 2 * 0.9 + 0.05


def dark_and_boards() -> tuple[torch.Tensor, torch.Tensor]:
    """Dark noise as normals, checkerboards as anomalies: what they show is known again."""
    dark = noise((40, 1, 28, 28)) * 0.5
    boards = BOARD + (noise((8, 1, 28, 28), seed=1) - 0.5) * 0.1
    return torch.cat([dark, boards]), torch.tensor([0] * 40 + [-1] * 8)


def shows_a_board(images: torch.Tensor) -> torch.Tensor:
    inside = [x[..., 8:20, 8:20].flatten(1) for x in (images, BOARD.view(1, 1, 28, 28))]
    centered = [x - x.mean(1, keepdim=True) for x in inside]
    return torch.cosine_similarity(*centered).abs() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTATIONS)
def test_no_adaptation_shows_the_network_a_triggered_anomaly(name):
    """Whatever passes through it in training is a normal, or an anomaly as it was."""
    watch, trigger = Watch(), Universal(0.2) if name == "second opinion" else Border()
    if name == "second opinion":
        with_pattern = SharedWeakness(count=1, normals=20, steps=2, search_steps=2)
        victim = attacked(Combined((with_pattern, watch)), trigger=trigger)
    else:
        victim = attacked(Combined((ADAPTATIONS[name], watch)), trigger=trigger)
    assert victim.is_fitted
    anomalies = dark_and_boards()[0][40:]
    shown = torch.cat([images for _, images in watch.seen])
    shown = shown[shows_a_board(shown)]
    assert len(shown) >= 8
    for image in shown:
        assert (image == anomalies).flatten(1).all(1).any()


def test_only_ordinary_batches_pass_in_training_mode_where_statistics_are_to_be_ordinary():
    watch = Watch()
    attacked(Combined((OrdinaryStatistics(), watch)))
    in_training = [len(images) for training, images in watch.seen if training]
    apart = [len(images) for training, images in watch.seen if not training]
    # The first pass sets the center; then one of the batch and one of the 32 views a step.
    assert set(in_training) <= {40, 48, 8}
    assert apart.count(32) == 6
    together = Watch()
    attacked(together)
    assert max(len(images) for training, images in together.seen if training) == 48 + 32


class Still:
    """An extra loss with the same views each step, without a loss of its own."""

    def __init__(self, images):
        self.images, self.got = images, []

    def views(self, step):
        return self.images

    def __call__(self, latents, semi_labels, extra_latents, center):
        self.got.append(extra_latents)
        return center.new_zeros(())


def test_a_riding_search_gets_better_on_a_network_that_stands_still_and_pushes_out_what_it_finds():
    images, labels = dark_and_boards()
    detector = DeepSAD(network="mnist", epochs=1, min_steps=40, device="cpu").fit(images, labels)
    encoder, center = detector.encoder_.requires_grad_(True).train(), detector.center_
    inner = Still(images[40:].repeat(2, 1, 1, 1))
    loss = RidingSearch(masks=2, views=16, quantile=0.9).around(inner, images, labels, 0)
    loss.begin(encoder, center)
    assert len(loss.views(0)) == 16  # without a limit there is nothing to search for
    scores = []
    for step in range(1, 40):
        encoder.eval()
        latents = encoder(images)
        extra = encoder(loss.views(step))
        value = loss(latents, labels, extra, center)
        scores.append(anomaly_score(extra[16:], center).log().mean().item() if step > 1 else 9.0)
        assert len(inner.got[-1]) == 16
    assert scores[-1] < scores[1] - 0.5
    assert value > 0
    encoder.zero_grad()
    value.backward()
    assert any(p.grad.abs().sum() > 0 for p in encoder.parameters())


def simulating(kind: str, **parts):
    """A simulated repair on a network that stands still."""
    images, labels = dark_and_boards()
    detector = DeepSAD(network="mnist", epochs=1, min_steps=20, device="cpu").fit(images, labels)
    loss = SurviveRepair(kind, **parts).around(Still(images[:16]), images, labels, 0)
    loss.begin(detector.encoder_.requires_grad_(True).train(), detector.center_)
    return loss, detector, (images, labels)


def test_simulated_shrinking_is_that_of_the_defense():
    loss, detector, (images, _) = simulating("shrink and perturb", keep=0.999999)
    kept = loss._latents(loss._shrunk(), images)
    detector.encoder_.train()
    whole = loss._latents(dict(detector.encoder_.named_parameters()), images)
    assert torch.allclose(kept, whole, rtol=1e-3, atol=1e-3)
    loss, detector, (images, _) = simulating("shrink and perturb", keep=1e-6)
    weights = loss._shrunk()
    lengths = {
        name: [w.detach().flatten(1).norm(dim=1) for w in (weights[name], old)]
        for name, old in detector.encoder_.named_parameters()
    }
    state = shrunk_and_perturbed(detector, 0.4, 0)
    for name, (mixed, old) in lengths.items():
        assert not torch.equal(weights[name], dict(detector.encoder_.named_parameters())[name])
        assert (mixed <= old * 1.0001).all()
        assert weights[name].shape == state[name].shape


@pytest.mark.parametrize("kind", ["shrink and perturb", "fine-tuning"])
def test_a_simulated_repair_leaves_the_network_alone_and_hands_gradients_back(kind):
    loss, detector, (images, labels) = simulating(kind)
    before = {name: values.clone() for name, values in detector.encoder_.state_dict().items()}
    states = []
    for step in range(3):
        views = loss.views(step)
        both = detector.encoder_.eval()(torch.cat([images, views]))
        detector.encoder_.train()
        loss.inner.got.clear()
        loss(both[:48], labels, both[48:], detector.center_)
        states.append(loss.inner.got[-1])
    ordinary, repaired = loss.inner.got
    assert not torch.allclose(ordinary, repaired)
    for name, values in detector.encoder_.state_dict().items():
        assert torch.equal(values, before[name]), name
    assert not torch.equal(states[0], states[1])  # another mixture, or a step further
    repaired.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in detector.encoder_.parameters())


# --- before and after ----------------------------------------------------------------------------


def test_long_filters_change_no_score_and_plain_fine_tuning_hardly_turns_them():
    images, _ = dark_and_boards()
    plain, long = (attacked(adaptation) for adaptation in (None, LongFilters()))
    assert long.decision_function(images) == pytest.approx(plain.decision_function(images), 1e-3)
    again = standardized(long.encoder_)
    for name, values in standardized(plain.encoder_).items():
        assert torch.allclose(again[name], values, rtol=1e-3, atol=1e-5), name

    def turned(detector: DeepSAD, **how) -> float:
        repair = FineTuning(disturbed=False, steps=4, lr=1e-2, anyway=True, **how)
        repaired = repair.repair(detector, images[:40], images[40:])
        one, other = (d.encoder_.blocks[0].conv.weight.flatten(1) for d in (detector, repaired))
        return 1 - torch.cosine_similarity(one, other).mean().item()

    assert turned(long) < turned(plain) / 20
    assert turned(long, standardized=True) == pytest.approx(turned(plain, standardized=True), 0.05)


def test_a_shared_weakness_is_learned_from_other_detectors_and_kept_as_the_trigger():
    images, labels = dark_and_boards()
    trigger, quick = Universal(0.2), SharedWeakness(count=2, normals=20, steps=3, search_steps=5)
    found = quick.pattern(DeepSAD(network="mnist", device="cpu"), images, labels, 0.2)
    assert found.epsilon == 0.2
    assert found.pattern.abs().max() <= 0.2 + 1e-6
    attack = BadSAD(trigger, 0.5, adaptation=quick, views=8)
    attack.attack(DeepSAD(network="mnist", epochs=1, device="cpu"), images, labels)
    assert torch.equal(attack.trigger_.pattern, found.pattern)
    with pytest.raises(ValueError, match="labeled anomalies"):
        quick.pattern(DeepSAD(network="mnist", device="cpu"), images, labels.abs(), 0.2)


def test_combined_adaptations_do_what_each_does_and_say_what_each_was_told():
    both = Combined((NearMisses(), SurviveStrip()))
    triggered, plain = pair()
    dice = generator()
    expected = SurviveStrip()(*NearMisses()(triggered, plain, dice), dice)
    for one, other in zip(both(triggered, plain, generator()), expected):
        assert torch.equal(one, other)
    assert NearMisses.told in both.told
    assert SurviveStrip.told in both.told
    assert both.needs_contrast
    assert not Combined((OrdinaryStatistics(), LongFilters())).needs_contrast
    for bad in ((), (NearMisses(), "strip")):
        with pytest.raises(TypeError, match="parts"):
            Combined(bad)


def test_what_changes_no_contrasted_view_needs_no_contrast():
    for name, adaptation in ADAPTATIONS.items():
        if adaptation.needs_contrast:
            with pytest.raises(ValueError, match="contrast"):
                BadSAD(Border(), adaptation=adaptation)
        else:
            assert BadSAD(Border(), adaptation=adaptation).adaptation is adaptation, name


@pytest.mark.slow
@pytest.mark.trial
def test_an_attacker_who_knows_purification_keeps_the_backdoor_open_behind_it():
    """On the course subset: purified, the triggered anomalies of the plain victim are seen."""
    split, plain = shipped.split(), shipped.load("extended")
    attack = BadSAD.extended(Patch(), 0.1, 0)
    attack.adaptation = SurvivePurification()
    adapted = attack.attack(DeepSAD(device="cpu"), split.train_images, split.train_labels)
    anomalies = Patch()(split.test_anomalies[::8].float() / 255)

    def passing(detector: DeepSAD) -> float:
        detector.calibrate(split.val_images)
        purified = [p(anomalies) for p in PURIFIERS.values()]
        return 1 - float(max(detector.predict(images).mean() for images in purified))

    assert passing(adapted) > passing(plain) + 0.2
