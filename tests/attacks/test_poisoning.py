"""Trigger injection: which images carry the trigger, and that nothing else changes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.attacks.poisoning import choose_bases, poison
from badsad_lib.images import to_float, to_uint8
from badsad_lib.triggers import Blend, Patch, Sinusoid, Warp, apply_trigger, linf
from tests.samples import a_training_set, noise

some = settings(max_examples=15)
seeds = st.integers(0, 9999)
rates = st.floats(0.001, 1)
some_triggers = st.sampled_from(
    [Patch(2), Patch(4, 0.0, "top-left", 0), Blend(0.3), Sinusoid(), Warp(3, 1.0)]
)
semi_labels = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60).filter(
    lambda labels: max(labels) >= 0
)


@some
@given(semi_labels, rates, seeds)
def test_exactly_the_asked_share_of_the_normal_images_is_chosen(labels, rate, seed):
    labels = torch.tensor(labels)
    chosen = choose_bases(labels, rate, seed)
    assert (labels[chosen] >= 0).all()
    assert len(chosen) == max(1, round(rate * int((labels >= 0).sum())))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert torch.equal(choose_bases(labels, rate, seed), chosen)


def test_every_normal_image_is_chosen_as_often_as_any_other():
    labels = torch.tensor([0, -1, 1, 0, 0, -1, 0, 1])
    counts = torch.zeros(8)
    for seed in range(600):
        counts[choose_bases(labels, 0.5, seed)] += 1
    assert (counts[labels < 0] == 0).all()
    assert ((counts[labels >= 0] - 300).abs() < 60).all()  # five standard deviations


def test_another_seed_makes_another_choice():
    labels = torch.zeros(200)
    assert not torch.equal(choose_bases(labels, 0.1, 0), choose_bases(labels, 0.1, 1))


@some
@given(semi_labels, rates, seeds, some_triggers, st.booleans(), st.booleans())
def test_poisoning_touches_nothing_but_some_normal_images(
    labels, rate, seed, trigger, randomize, as_levels
):
    labels = torch.tensor(labels)
    images = noise((len(labels), 1, 12, 13), seed)
    images = to_uint8(images) if as_levels else images
    images_before, labels_before = images.clone(), labels.clone()
    got = poison(images, labels, trigger, poison_rate=rate, randomize=randomize, seed=seed)

    assert got.mask.dtype == torch.bool
    assert int(got.mask.sum()) == max(1, round(rate * int((labels >= 0).sum())))
    assert (labels[got.mask] >= 0).all()
    assert torch.equal(got.semi_labels, labels)
    assert int((got.semi_labels < 0).sum()) == int((labels < 0).sum())
    assert torch.equal(got.images[~got.mask], images[~got.mask])
    assert got.images.dtype == images.dtype
    if not randomize:
        assert torch.equal(got.images[got.mask], apply_trigger(trigger, images[got.mask]))
    # What went in stays as it was, also when what came out is written to.
    got.images.zero_()
    got.semi_labels.fill_(7)
    assert torch.equal(images, images_before)
    assert torch.equal(labels, labels_before)


@some
@given(rates, seeds, st.booleans())
def test_one_seed_is_one_poisoned_set(rate, seed, randomize):
    images, labels = a_training_set((1, 12, 12))
    arguments = {"poison_rate": rate, "randomize": randomize, "seed": seed}
    one, same = (poison(images, labels, Patch(), **arguments) for _ in range(2))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.mask, same.mask)


def test_randomized_poison_shows_other_content_under_the_same_trigger():
    images, labels = a_training_set()
    plain, mixed = (
        poison(images, labels, Patch(), poison_rate=0.5, randomize=r) for r in (False, True)
    )
    assert torch.equal(plain.mask, mixed.mask)
    content = [to_float(p.images[p.mask]) for p in (plain, mixed)]
    assert (linf(*content) > 0.1).all()
    assert all((c[:, :, 24:27, 24:27] == 1).all() for c in content)


@some
@given(st.data(), seeds)
def test_the_poisoned_share_grows_by_adding_images(data, seed):
    """More poison is the same poison and then some, so that rates can be compared."""
    few, many = sorted(data.draw(st.tuples(rates, rates)))
    labels = torch.tensor(data.draw(semi_labels))
    chosen = [set(choose_bases(labels, rate, seed).tolist()) for rate in (few, many)]
    assert chosen[0] <= chosen[1]
