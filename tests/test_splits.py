"""One-vs-rest splits: disjoint parts, exact counts, one seed one split."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from badsad_lib.datasets import Dataset, ImageSet
from badsad_lib.splits import Split, conflicts, one_vs_rest

NAMES = ("ant", "bee", "cat", "dog", "elk")
TRAIN_PARTS = (
    "train_index",
    "val_index",
    "val_anomaly_index",
    "trusted_index",
    "trusted_anomaly_index",
)


def dataset(train_targets, test_targets=(0, 1)) -> Dataset:
    """Every image spells its own position, so that a mix-up shows."""

    def image_set(targets, first):
        numbers = torch.arange(first, first + len(targets))
        images = torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8)
        return ImageSet(images.reshape(-1, 1, 1, 2), torch.tensor(targets, dtype=torch.int64))

    names = NAMES[: max(max(train_targets), max(test_targets)) + 1]
    return Dataset(
        "toys", "course", image_set(train_targets, 0), image_set(test_targets, 9000), names
    )


def evenly(*counts: int) -> Dataset:
    """Counts of each class in training; three test images a class."""
    train = np.repeat(np.arange(len(counts)), counts)
    return dataset(
        np.random.RandomState(0).permutation(train).tolist(),
        np.repeat(np.arange(len(counts)), 3).tolist(),
    )


@st.composite
def arguments(draw):
    """Random data and arguments, possible or not."""
    counts = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    order = np.random.RandomState(draw(st.integers(0, 99)))
    targets = order.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    data = dataset(targets, draw(st.permutations(range(len(counts)))))
    normal = draw(st.integers(0, len(counts) - 1))
    others = [c for c in range(len(counts)) if c != normal]
    size = st.none() | st.integers(0, 12)
    return data, {
        "normal_class": normal,
        "labeled_anomaly_ratio": draw(st.floats(0, 0.6)),
        "known_anomaly_classes": draw(st.none() | st.lists(st.sampled_from(others), min_size=1)),
        "pollution": draw(st.floats(0, 0.6)),
        "val_size": draw(size),
        "trusted_size": draw(size),
        "val_anomaly_size": draw(size),
        "trusted_anomaly_size": draw(size),
        "seed": draw(st.integers(0, 2**31 - 1)),
    }


def attempt(data: Dataset, kwargs: dict) -> Split:
    """Return the split, or leave the example out when the arguments ask for the impossible."""
    try:
        return one_vs_rest(data, **kwargs)
    except ValueError:
        assume(False)
        raise


@given(arguments())
def test_no_image_is_in_two_parts(case):
    split = attempt(*case)
    indices = torch.cat([getattr(split, part) for part in TRAIN_PARTS])
    assert len(indices.unique()) == len(indices)


@settings(max_examples=30)
@given(arguments())
def test_images_are_those_of_their_index(case):
    data, _ = case
    split = attempt(*case)
    for images, index, source in (
        (split.train_images, split.train_index, data.train),
        (split.val_images, split.val_index, data.train),
        (split.val_anomalies, split.val_anomaly_index, data.train),
        (split.trusted_images, split.trusted_index, data.train),
        (split.trusted_anomalies, split.trusted_anomaly_index, data.train),
        (split.test_images, split.test_index, data.test),
    ):
        assert images.dtype == torch.uint8
        assert index.dtype == torch.int64
        assert images.shape == (len(index), 1, 1, 2)
        assert torch.equal(images, source.images[index])


@settings(max_examples=30)
@given(arguments())
def test_every_part_holds_what_its_name_says(case):
    data, kwargs = case
    split = attempt(*case)
    normal, targets = kwargs["normal_class"], data.train.targets
    known = kwargs["known_anomaly_classes"]
    assert (targets[split.val_index] == normal).all()
    assert (targets[split.trusted_index] == normal).all()
    assert (targets[split.val_anomaly_index] != normal).all()
    assert (targets[split.trusted_anomaly_index] != normal).all()
    labeled = split.train_labels == -1
    assert split.train_labels.dtype == torch.int64
    assert set(split.train_labels.tolist()) <= {-1, 0}
    assert set(targets[split.train_index[labeled]].tolist()) <= (
        set(range(len(data.class_names))) - {normal} if known is None else set(known)
    )
    assert torch.equal(split.train_is_anomaly, targets[split.train_index] != normal)
    assert torch.equal(split.test_index, torch.arange(len(data.test)))
    assert torch.equal(split.test_is_anomaly, data.test.targets != normal)


@settings(max_examples=30)
@given(arguments())
def test_the_named_parts_make_up_training_and_test_set(case):
    split = attempt(*case)
    labeled = split.train_index[split.train_labels == -1]
    assert torch.equal(split.labeled_anomalies, case[0].train.images[labeled])
    assert torch.equal(split.test_normals, split.test_images[~split.test_is_anomaly])
    assert torch.equal(split.test_anomalies, split.test_images[split.test_is_anomaly])


def test_the_defenders_anomalies_move_nothing_else():
    data = evenly(400, 900, 900)
    some, none = (one_vs_rest(data, 0, trusted_anomaly_size=n, seed=2) for n in (60, 0))
    assert (len(some.trusted_anomalies), len(none.trusted_anomalies)) == (60, 0)
    for part in ("train_index", "val_index", "val_anomaly_index", "trusted_index"):
        assert torch.equal(getattr(some, part), getattr(none, part))
    with pytest.raises(ValueError, match=r"trusted_anomaly_size=1800 needs 1800 anomalies"):
        one_vs_rest(data, 0, trusted_anomaly_size=1800)


@settings(max_examples=30)
@given(arguments())
def test_every_normal_that_is_not_held_out_is_trained_on(case):
    data, kwargs = case
    split = attempt(*case)
    normals = int((data.train.targets == kwargs["normal_class"]).sum())
    trained = int((~split.train_is_anomaly).sum())
    assert trained + len(split.val_index) + len(split.trusted_index) == normals


@settings(max_examples=30)
@given(arguments())
def test_ratio_is_of_the_training_set_and_pollution_of_its_unlabeled_part(case):
    _, kwargs = case
    split = attempt(*case)
    unlabeled = split.train_labels == 0
    n_labeled = int((~unlabeled).sum())
    n_pollution = int((unlabeled & split.train_is_anomaly).sum())
    # No whole number of images comes closer to the share that was asked for.
    assert abs(n_labeled - kwargs["labeled_anomaly_ratio"] * len(unlabeled)) <= 0.5 + 1e-9
    assert abs(n_pollution - kwargs["pollution"] * int(unlabeled.sum())) <= 0.5 + 1e-9


@settings(max_examples=30)
@given(arguments())
def test_held_out_sizes_are_those_asked_for(case):
    data, kwargs = case
    split = attempt(*case)
    for part in ("val", "trusted", "val_anomaly"):
        if kwargs[f"{part}_size"] is not None:
            assert len(getattr(split, f"{part}_index")) == kwargs[f"{part}_size"]
    if kwargs["val_anomaly_size"] is None:
        used = int(split.train_is_anomaly.sum())
        left = int((data.train.targets != kwargs["normal_class"]).sum()) - used
        assert len(split.val_anomaly_index) == min(len(split.val_index), left)


@given(arguments())
def test_only_the_impossible_is_refused(case):
    data, kwargs = case
    for size in ("val_size", "trusted_size", "val_anomaly_size", "trusted_anomaly_size"):
        kwargs[size] = kwargs[size] or 0  # what the defaults are is tested below
    targets = data.train.targets.numpy()
    known = kwargs["known_anomaly_classes"]
    n_normals = int((targets == kwargs["normal_class"]).sum())
    n_anomalies = len(targets) - n_normals
    n_known = n_anomalies if known is None else int(np.isin(targets, known).sum())

    ratio, pollution = kwargs["labeled_anomaly_ratio"], kwargs["pollution"]
    trained = n_normals - kwargs["val_size"] - kwargs["trusted_size"]
    polluting = round(trained * pollution / (1 - pollution))
    labeled = round((trained + polluting) * ratio / (1 - ratio))
    possible = (
        trained > 0
        and labeled <= n_known
        and labeled + polluting + kwargs["val_anomaly_size"] + kwargs["trusted_anomaly_size"]
        <= n_anomalies
    )
    if possible:
        assert len(one_vs_rest(data, **kwargs).train_index) == trained + polluting + labeled
    else:
        with pytest.raises(ValueError, match=r"\d"):
            one_vs_rest(data, **kwargs)


@settings(max_examples=30)
@given(arguments())
def test_labeled_anomalies_are_spread_evenly_over_the_known_classes(case):
    data, kwargs = case
    split = attempt(*case)
    targets = data.train.targets
    known = kwargs["known_anomaly_classes"]
    if known is None:
        known = [c for c in range(len(data.class_names)) if c != kwargs["normal_class"]]
    drawn = torch.bincount(targets[split.train_index[split.train_labels == -1]], minlength=5)
    for c in set(known):
        exhausted = drawn[c] == (targets == c).sum()
        assert exhausted or drawn[c] >= drawn.max() - 1


@settings(max_examples=30)
@given(arguments())
def test_the_same_arguments_give_the_same_split(case):
    data, kwargs = case
    first, second = attempt(*case), one_vs_rest(data, **kwargs)
    for part in (*TRAIN_PARTS, "train_labels"):
        assert torch.equal(getattr(first, part), getattr(second, part))


@settings(max_examples=30)
@given(arguments(), st.floats(0, 0.3), st.floats(0, 0.3))
def test_ratios_do_not_move_the_held_out_normals(case, ratio, pollution):
    data, kwargs = case
    split = attempt(*case)
    other = attempt(data, kwargs | {"labeled_anomaly_ratio": ratio, "pollution": pollution})
    assert torch.equal(split.val_index, other.val_index)
    assert torch.equal(split.trusted_index, other.trusted_index)


@settings(max_examples=30)
@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 99))
def test_a_higher_ratio_only_adds_labeled_anomalies(one, another, seed):
    low, high = (
        {i for i, label in zip(s.train_index.tolist(), s.train_labels.tolist()) if label == -1}
        for s in (
            one_vs_rest(evenly(30, 30, 30, 30), 0, labeled_anomaly_ratio=ratio, seed=seed)
            for ratio in sorted((one, another))
        )
    )
    assert low <= high


@settings(max_examples=30)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 99))
def test_the_size_of_one_held_out_part_does_not_move_the_other(val_size, other_size, seed):
    data = evenly(60, 60)
    first = one_vs_rest(data, 0, val_size=val_size, trusted_size=10, seed=seed)
    second = one_vs_rest(data, 0, val_size=other_size, trusted_size=10, seed=seed)
    assert torch.equal(first.trusted_index, second.trusted_index)
    shorter = min(val_size, other_size)
    assert torch.equal(first.val_index[:shorter], second.val_index[:shorter])


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_seeds_differ(one, another):
    assume(one != another)
    data = evenly(100, 100, 100)
    first, second = (
        one_vs_rest(data, 0, pollution=0.2, labeled_anomaly_ratio=0.2, seed=seed)
        for seed in (one, another)
    )
    for part in TRAIN_PARTS:
        assert set(getattr(first, part).tolist()) != set(getattr(second, part).tolist())


def test_a_position_in_the_training_set_tells_nothing():
    data = evenly(400, 400)
    halves = []
    for seed in range(10):
        split = one_vs_rest(data, 0, labeled_anomaly_ratio=0.3, pollution=0.2, seed=seed)
        half = len(split.train_labels) // 2
        halves.append((split.train_labels[:half] == -1).float().mean().item())
        # Neither in the order of the source nor sorted by what the images are.
        assert split.train_index.diff().sign().sum().abs() < 60
        assert split.train_is_anomaly.int().diff().abs().sum() > 60
    assert np.mean(halves) == pytest.approx(0.3, abs=0.03)


def test_a_split_is_the_same_forever():
    """Shipped detectors were calibrated on these images; a change must be deliberate."""
    split = one_vs_rest(evenly(50, 50, 50), 1, pollution=0.1, labeled_anomaly_ratio=0.1, seed=7)

    def digest(*parts):
        data = (getattr(split, part).numpy().astype("<i8").tobytes() for part in parts)
        return hashlib.sha256(b"".join(data)).hexdigest()

    assert digest("train_index", "val_index", "val_anomaly_index", "trusted_index") == (
        "088e5739fcced4a06e6ee0cd43dd2356ba7745754621f1a0363e1d937cfccf14"
    )
    assert len(split.trusted_anomaly_index) == 3
    assert digest("trusted_anomaly_index") == (
        "eb81038da5903516c799f4786b68673c26185bc59499d9e598a59567caccef2c"
    )


@pytest.mark.parametrize(
    ("n", "val", "trusted"),
    [(6000, 900, 500), (2000, 300, 150), (400, 100, 50), (4000, 600, 325), (9000, 900, 500)],
)
def test_default_held_out_sizes(n, val, trusted):
    split = one_vs_rest(evenly(n, 2000), 0)
    assert len(split.val_index) == len(split.val_anomaly_index) == val
    assert len(split.trusted_index) == trusted


@pytest.mark.parametrize(
    ("n", "anomalies"), [(6000, 270), (2000, 80), (400, 25), (9000, 270), (40, 2)]
)
def test_a_defender_holds_anomalies_of_its_own(n, anomalies):
    assert len(one_vs_rest(evenly(n, 2000), 0).trusted_anomalies) == anomalies


@pytest.mark.parametrize("n", range(1, 30))
def test_defaults_work_for_any_size_of_class(n):
    split = one_vs_rest(evenly(n, 1), 0)
    assert int((split.train_labels == 0).sum()) >= 1


def test_parts_may_be_empty():
    split = one_vs_rest(
        evenly(9, 9), 0, labeled_anomaly_ratio=0, val_size=0, trusted_size=0, val_anomaly_size=0
    )
    for images in (split.val_images, split.trusted_images, split.val_anomalies):
        assert images.shape == (0, 1, 1, 2)
    assert split.train_images.shape == (9, 1, 1, 2)
    assert split.train_labels.tolist() == [0] * 9


def test_the_split_shares_no_memory_with_the_data():
    data = evenly(20, 20)
    before = data.train.images.clone(), data.test.images.clone()
    split = one_vs_rest(data, 0)
    for images in (split.train_images, split.val_images, split.trusted_images, split.test_images):
        images.fill_(77)
    assert torch.equal(data.train.images, before[0])
    assert torch.equal(data.test.images, before[1])


def test_classes_go_by_number_or_by_name():
    data = evenly(20, 20, 20)
    by_number = one_vs_rest(data, 1, known_anomaly_classes=[2], labeled_anomaly_ratio=0.2)
    for normal, known in (
        ("bee", ["cat"]),
        ("bee", "cat"),
        (np.int64(1), 2),
        (1, np.array([2, 2])),
        (torch.tensor(1), {"cat", 2}),
    ):
        by_name = one_vs_rest(data, normal, known_anomaly_classes=known, labeled_anomaly_ratio=0.2)
        assert (by_name.normal_class, by_name.class_name) == (1, "bee")
        assert torch.equal(by_name.train_index, by_number.train_index)


def test_known_classes_restrict_only_the_labeled_anomalies():
    split = one_vs_rest(
        data := evenly(60, 60, 60, 60),
        0,
        known_anomaly_classes=[2],
        labeled_anomaly_ratio=0.2,
        pollution=0.3,
        val_anomaly_size=40,
    )
    targets, labeled = data.train.targets, split.train_labels == -1
    polluting = split.train_is_anomaly & ~labeled
    assert set(targets[split.train_index[labeled]].tolist()) == {2}
    assert set(targets[split.train_index[polluting]].tolist()) == {1, 2, 3}
    assert set(targets[split.val_anomaly_index].tolist()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"normal_class": 3}, r"normal_class must be in 0\.\.2.*of toys, got 3"),
        ({"normal_class": -1}, r"normal_class must be in 0\.\.2.*got -1"),
        ({"normal_class": True}, r"normal_class must be in 0\.\.2.*got True"),
        ({"normal_class": 0.0}, r"normal_class must be in 0\.\.2.*got 0.0"),
        ({"normal_class": "dog"}, r"toys has no class 'dog'; choose from ant, bee, cat"),
        ({"known_anomaly_classes": [1, 5]}, r"known_anomaly_classes must be in 0\.\.2.*got 5"),
        ({"known_anomaly_classes": [0, 1]}, r"\[0, 1\] contain the normal class 0 \(ant\)"),
        ({"known_anomaly_classes": []}, r"needs 1 anomalies, but there are 0 in .*classes \[\]"),
        ({"labeled_anomaly_ratio": 1.0}, r"labeled_anomaly_ratio must lie in \[0, 1\), got 1.0"),
        ({"labeled_anomaly_ratio": -0.1}, r"labeled_anomaly_ratio must lie in \[0, 1\), got -0.1"),
        ({"labeled_anomaly_ratio": float("nan")}, r"labeled_anomaly_ratio .*got nan"),
        ({"pollution": 1.5}, r"pollution must lie in \[0, 1\), got 1.5"),
        ({"pollution": float("nan")}, r"pollution .*got nan"),
        ({"val_size": -1}, r"val_size must be an integer of at least 0.* got -1"),
        ({"trusted_size": -2}, r"trusted_size must be an integer of at least 0.* got -2"),
        ({"val_anomaly_size": -3}, r"val_anomaly_size must be an integer of at least 0.* got -3"),
        ({"seed": -4}, r"seed must be an integer of at least 0.* got -4"),
        ({"val_size": 15, "trusted_size": 5}, r"val_size=15 and trusted_size=5 .* has 20 training"),
        (
            {"labeled_anomaly_ratio": 0.5, "known_anomaly_classes": [1], "val_size": 0,
             "trusted_size": 0},
            r"labeled_anomaly_ratio=0.5 beside 20 unlabeled images needs 20 anomalies, but there "
            r"are 10 in the known anomaly classes \[1\]",
        ),
        (
            {"pollution": 0.75, "val_size": 0, "trusted_size": 0},
            r"labeled_anomaly_ratio=0.05 beside 80|pollution=0.75 beside 20 training normals "
            r"needs 60 anomalies, but there are 16 after 4 labeled ones",
        ),
        (
            {"val_anomaly_size": 20},
            r"val_anomaly_size=20 needs 20 anomalies, but there are 19 after 1 labeled ones",
        ),
    ],
)  # fmt: skip
def test_impossible_requests_name_the_numbers(kwargs, message):
    with pytest.raises(ValueError, match=message):
        one_vs_rest(evenly(20, 10, 10), **({"normal_class": 0} | kwargs))


def test_a_class_without_training_images_cannot_be_normal():
    data = dataset([0, 0, 2, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="has no training images"):
        one_vs_rest(data, 1)


def test_counts_are_integers_not_floats():
    with pytest.raises(ValueError, match=r"val_size must be an integer of at least 0, got 2\.5"):
        one_vs_rest(evenly(20, 10), 0, val_size=2.5)


def test_describe_counts_every_part():
    split = one_vs_rest(
        evenly(400, 1200), "ant", pollution=0.1, labeled_anomaly_ratio=0.2, val_anomaly_size=30,
        seed=3,
    )  # fmt: skip
    assert split.counts() == {
        "training normals": 250,
        "labeled anomalies": 70,
        "pollution (unlabeled anomalies)": 28,
        "validation normals": 100,
        "validation anomalies": 30,
        "trusted normals": 50,
        "trusted anomalies": 25,
        "test normals": 3,
        "test anomalies": 3,
    }
    lines = split.describe().splitlines()
    assert lines[0] == "normal class 0 (ant), seed 3"
    assert [int(line.split()[-1]) for line in lines[1:]] == list(split.counts().values())
    assert len({len(line) for line in lines[1:]}) == 1
    assert repr(split) == (
        "Split(normal_class=0 (ant), seed=3, train=348, val=100, val_anomalies=30, trusted=50, "
        "test=6)"
    )


def test_a_class_without_training_images_is_named():
    data = evenly(20, 0, 20)
    with pytest.raises(ValueError, match=r"normal class 1 \(bee\) has no training images in toys"):
        one_vs_rest(data, 1)
    with pytest.raises(ValueError, match=r"known anomaly class 1 \(bee\) has no training images"):
        one_vs_rest(data, 0, known_anomaly_classes=[1, 2])


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({}, []),
        ({"data": "toys", "normal_class": 0}, []),
        ({"normal_class": "ant", "seed": 5, "note": "x"}, []),
        ({"normal_class": 1}, ["trained with normal class 1, not 0 (ant)"]),
        ({"normal_class": "bee"}, ["trained with normal class bee, not 0 (ant)"]),
        (
            {"data": "mnist", "subset": "full"},
            ["trained on data 'mnist', not 'toys'", "trained on subset 'full', not 'course'"],
        ),
    ],
)
def test_what_a_detector_notes_is_held_against_the_split(about, found):
    data = dataclasses.replace(evenly(400, 1200), name="toys", subset="course")
    assert conflicts(about, one_vs_rest(data, "ant")) == found
