"""DeepSAD: its pure functions, its training, its scores, its files."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from badsad_lib import DeepSAD, checkpoints
from badsad_lib.checkpoints import CheckpointError
from badsad_lib.deepsad import _batches, anomaly_score, deep_sad_loss, init_center, threshold_at
from badsad_lib.networks import make_encoder

SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
QUICK = {"epochs": 2, "pretrain_epochs": 1, "batch_size": 32, "device": "cpu"}


def blobs(n: int, shape=(1, 28, 28), *, row: int = 8, seed: int = 0) -> torch.Tensor:
    """Noisy uint8 images with a bright bar at ``row``: easy to tell apart by the row."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, *shape, generator=generator) * 60
    images[:, :, row : row + 6] += 150
    return images.to(torch.uint8)


@pytest.fixture(scope="module")
def task():
    images = torch.cat([blobs(160, row=8), blobs(16, row=16, seed=1)])
    labels = torch.cat([torch.zeros(160), -torch.ones(16)]).long()
    return images, labels


@pytest.fixture(scope="module")
def fitted(task):
    return DeepSAD(**QUICK, seed=0).fit(*task)


# --- the loss, the center, the score -------------------------------------------------------------

distances = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


@given(distances, st.data())
def test_loss_is_the_mean_of_its_three_cases(values, data):
    n = len(values)
    labels = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))
    eta = data.draw(st.floats(0.1, 10))
    expected = 0.0
    for d, label in zip(values, labels):
        expected += {0: d, 1: eta * d, -1: eta / d}[label]
    got = deep_sad_loss(torch.tensor(values, dtype=torch.float64), torch.tensor(labels), eta)
    assert float(got) == pytest.approx(expected / n, rel=2e-3, abs=1e-4)


def test_loss_pulls_normals_in_and_pushes_anomalies_out():
    for label, sign in ((0, 1), (1, 1), (-1, -1)):
        d = torch.tensor([2.0], requires_grad=True)
        deep_sad_loss(d, torch.tensor([label])).backward()
        assert math.copysign(1, float(d.grad)) == sign


def test_loss_is_finite_on_top_of_the_center():
    d = torch.zeros(3, requires_grad=True)
    loss = deep_sad_loss(d, torch.tensor([-1, 0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(d.grad).all()


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_center_is_the_mean_kept_away_from_zero(n, dim, seed):
    latents = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * 0.3
    center, mean = init_center(latents), latents.mean(0)
    assert (center.abs() >= 0.1).all()
    far = mean.abs() >= 0.1
    torch.testing.assert_close(center[far], mean[far])
    assert torch.equal(center < 0, mean < 0)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_score_is_the_squared_distance(n, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    latents, center = torch.randn(n, dim, generator=generator), torch.randn(dim)
    expected = torch.cdist(latents, center[None]).squeeze(1) ** 2
    torch.testing.assert_close(anomaly_score(latents, center), expected, rtol=1e-3, atol=1e-5)


def test_threshold_lets_the_asked_share_pass():
    scores = np.arange(1000.0)
    assert np.mean(scores <= threshold_at(scores, 0.95)) == pytest.approx(0.95, abs=0.002)
    with pytest.raises(ValueError, match=r"quantile must lie in \(0, 1\), got 1"):
        threshold_at(scores, 1)
    with pytest.raises(ValueError, match="must not be empty"):
        threshold_at(np.array([]), 0.5)


# --- training ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_learns(task, fitted):
    test = torch.cat([blobs(50, row=8, seed=7), blobs(50, row=16, seed=8)])
    truth = np.r_[np.zeros(50), np.ones(50)]
    assert roc_auc_score(truth, fitted.decision_function(test)) > 0.95
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_training_changes_every_weight_tensor(fitted):
    for name, weight in fitted.encoder_.named_parameters():
        assert not torch.equal(weight, fitted.initial_state_[name]), name


def test_scores_are_not_constant_and_the_center_is_not_zero(task, fitted):
    assert fitted.decision_function(task[0]).std() > 0
    assert (fitted.center_.abs() >= 0.1 - 1e-6).all()


@pytest.mark.slow
def test_pretrained_weights_reach_the_detector(task):
    images, labels = task
    raw = DeepSAD(**{**QUICK, "pretrain_epochs": 0}, seed=0).fit(images, labels)
    warm = DeepSAD(**{**QUICK, "pretrain_epochs": 2}, seed=0).fit(images, labels)
    assert warm.history_["pretrain_loss"][1] < warm.history_["pretrain_loss"][0]
    for name, _ in raw.encoder_.named_parameters():
        assert not torch.equal(raw.initial_state_[name], warm.initial_state_[name]), name
    # Handing the pretrained weights over gives the very detector that pretraining gives.
    handed = DeepSAD(**{**QUICK, "pretrain_epochs": 2}, seed=0).fit(
        images, labels, initial_state=warm.initial_state_
    )
    assert handed.history_["pretrain_loss"] == []
    assert np.array_equal(handed.decision_function(images), warm.decision_function(images))


def test_a_trained_detector_is_trained_on_around_its_own_center(task, fitted):
    images, labels = task
    state = fitted.encoder_.state_dict()
    before = {k: v.clone() for k, v in state.items()}
    further = DeepSAD(**QUICK, seed=1).fit(
        images, labels, initial_state=state, center=fitted.center_
    )
    assert torch.equal(further.center_, fitted.center_)
    assert further.history_["loss"][0] < fitted.history_["loss"][0]  # not from the beginning
    assert all(torch.equal(v, fitted.encoder_.state_dict()[k]) for k, v in before.items())
    assert not np.array_equal(further.decision_function(images), fitted.decision_function(images))


def test_a_center_of_another_size_is_refused(task):
    with pytest.raises(ValueError, match=r"center must have shape \(\d+,\), got \(3,\)"):
        DeepSAD(**QUICK).fit(*task, center=torch.ones(3))


def test_a_refit_starts_afresh(task, fitted):
    again = DeepSAD(**QUICK, seed=0)
    again.fit(blobs(64, row=20, seed=3))
    again.calibrate(task[0])
    again.fit(*task)
    assert np.array_equal(again.decision_function(task[0]), fitted.decision_function(task[0]))
    assert again.threshold_ is None


def test_no_labels_is_deep_svdd(task):
    images = task[0]
    none = DeepSAD(**QUICK).fit(images)
    zeros = DeepSAD(**QUICK).fit(images, torch.zeros(len(images), dtype=torch.int64))
    assert np.array_equal(none.decision_function(images), zeros.decision_function(images))


def test_same_seed_same_bits_other_seed_other_result(task, fitted):
    images, labels = task
    same = DeepSAD(**QUICK, seed=0).fit(images, labels)
    other = DeepSAD(**QUICK, seed=1).fit(images, labels)
    assert np.array_equal(same.decision_function(images), fitted.decision_function(images))
    assert not np.array_equal(other.decision_function(images), fitted.decision_function(images))


def test_fitting_leaves_the_global_generator_and_the_data_alone(task):
    images, labels = task[0].float().div(255), task[1].clone()
    before = images.clone()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    DeepSAD(**QUICK).fit(images, labels)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(images, before)


@pytest.fixture
def with_threads():
    """Run a function with 1 and with 2 threads."""
    threads = torch.get_num_threads()

    def run(function):
        results = []
        for n in (1, 2):
            torch.set_num_threads(n)
            results.append(function())
        return results

    yield run
    torch.set_num_threads(threads)


def test_a_step_agrees_between_one_and_two_threads(task, with_threads):
    images, labels = task

    def gradient():
        torch.manual_seed(0)
        encoder = make_encoder("fashion_mnist")
        latents = encoder(images.float() / 255)
        deep_sad_loss(anomaly_score(latents, torch.full((64,), 0.1)), labels).backward()
        return torch.cat([p.grad.flatten() for p in encoder.parameters()])

    def weights():
        one_step = {"epochs": 1, "pretrain_epochs": 0, "batch_size": len(images)}
        encoder = DeepSAD(**one_step, device="cpu").fit(images, labels).encoder_
        return torch.cat([p.detach().flatten() for p in encoder.parameters()])

    one, two = with_threads(gradient)
    assert (one - two).norm() <= 1e-5 * one.norm()
    # Adam divides by the gradient's size: where that is nothing but rounding noise, so is the step.
    one, two = with_threads(weights)
    assert ((one - two).abs() <= 1e-5).float().mean() > 0.9999


@pytest.mark.slow
def test_the_result_agrees_between_one_and_two_threads(task, with_threads):
    test = torch.cat([blobs(50, row=8, seed=7), blobs(50, row=10, seed=8)])
    truth = np.r_[np.zeros(50), np.ones(50)]
    one, two = with_threads(
        lambda: roc_auc_score(truth, DeepSAD(**QUICK).fit(*task).decision_function(test))
    )
    assert one == pytest.approx(two, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("network", SHAPES)
def test_every_network_trains_scores_and_travels(network, tmp_path):
    shape = SHAPES[network]
    images = blobs(48, shape)
    detector = DeepSAD(**QUICK, network=network).fit(images)
    scores = detector.calibrate(images).decision_function(images)
    assert scores.shape == (48,)
    assert (scores >= 0).all()
    back = DeepSAD.load(detector.save(tmp_path / "d"), device="cpu")
    assert np.array_equal(back.decision_function(images), scores)
    assert back.threshold_ == detector.threshold_
    assert back.get_params() == detector.get_params()
    assert back.history_ == detector.history_


def test_a_note_about_the_detector_travels_with_it(fitted, tmp_path):
    assert fitted.about_ == {}
    assert DeepSAD.load(fitted.save(tmp_path / "plain")).about_ == {}
    note = {"data": "fashion_mnist", "known": [1, 2], "ratio": 0.05, "who": None}
    noted = DeepSAD.load(fitted.save(tmp_path / "noted", about=note))
    assert noted.about_ == note
    assert fitted.about_ == {}
    # Saved again it keeps its note, until another takes its place or a training ends what it said.
    assert DeepSAD.load(noted.save(tmp_path / "again")).about_ == note
    assert DeepSAD.load(noted.save(tmp_path / "other", about={})).about_ == {}
    assert noted.fit(blobs(32)).about_ == {}


def test_a_file_from_before_there_were_notes_loads_and_a_broken_note_is_refused(fitted, tmp_path):
    tensors, description = checkpoints.load(fitted.save(tmp_path / "new"))
    del description["about"]
    assert DeepSAD.load(checkpoints.save(tmp_path / "old", tensors, description)).about_ == {}
    path = checkpoints.save(tmp_path / "bad", tensors, description | {"about": 5})
    with pytest.raises(CheckpointError, match="does not describe a DeepSAD"):
        DeepSAD.load(path)


class _Recorder:
    """An extra loss that only watches and pulls its views to the center."""

    def __init__(self, views):
        self._views, self.steps, self.seen = views, [], []

    def views(self, step):
        self.steps.append(step)
        return self._views

    def __call__(self, latents, semi_labels, extra_latents, center):
        self.seen.append((len(latents), len(semi_labels), len(extra_latents)))
        if len(extra_latents) == 0:
            return latents.sum() * 0
        return 10 * anomaly_score(extra_latents, center).mean()


def test_an_extra_loss_joins_every_step(task, fitted):
    strangers = blobs(8, row=16, seed=5).float() / 255
    recorder = _Recorder(strangers)
    detector = DeepSAD(**QUICK, seed=0).fit(*task, extra_loss=recorder)
    per_epoch = math.ceil(len(task[0]) / 32)
    assert recorder.steps == list(range(2 * per_epoch))
    assert all(own == labels and extra == 8 for own, labels, extra in recorder.seen)
    assert detector.decision_function(strangers).mean() < fitted.decision_function(strangers).mean()


def test_an_extra_loss_without_views_and_weight_changes_nothing(task, fitted):
    detector = DeepSAD(**QUICK, seed=0).fit(*task, extra_loss=_Recorder(torch.empty(0, 1, 28, 28)))
    assert np.array_equal(detector.decision_function(task[0]), fitted.decision_function(task[0]))


# --- scoring and prediction ----------------------------------------------------------------------


def test_score_does_not_depend_on_the_batch_or_on_the_input_type(task, fitted):
    images = task[0]
    scores = fitted.decision_function(images)
    halves = [fitted.decision_function(images[:50]), fitted.decision_function(images[50:])]
    np.testing.assert_allclose(np.concatenate(halves), scores, rtol=1e-4)
    np.testing.assert_allclose(fitted.decision_function(images.float() / 255), scores, rtol=1e-4)
    np.testing.assert_allclose(fitted.decision_function(images.numpy()), scores, rtol=1e-4)
    latents = torch.from_numpy(fitted.encode(images))
    np.testing.assert_allclose(anomaly_score(latents, fitted.center_).numpy(), scores, rtol=1e-5)


def test_latents_before_and_after_training_differ(task, fitted):
    before, after = fitted.encode(task[0], initial=True), fitted.encode(task[0])
    assert before.shape == after.shape == (len(task[0]), 64)
    assert not np.allclose(before, after)


def test_predict_flags_what_lies_above_the_threshold(task, fitted):
    detector = DeepSAD(**QUICK, seed=0).fit(*task).calibrate(task[0], quantile=0.9)
    scores = detector.decision_function(task[0])
    assert np.array_equal(detector.predict(task[0]), (scores > detector.threshold_).astype(int))
    assert detector.predict(task[0]).mean() == pytest.approx(0.1, abs=0.02)


# --- bad input -----------------------------------------------------------------------------------

BAD_IMAGES = {
    "a list": ([[0.0]], TypeError, "tensor or numpy array"),
    "int64": (torch.zeros(4, 1, 28, 28, dtype=torch.int64), TypeError, "uint8"),
    "no channel axis": (torch.zeros(4, 28, 28), ValueError, r"\(N, C, H, W\)"),
    "empty": (torch.zeros(0, 1, 28, 28), ValueError, "empty"),
    "above one": (torch.full((4, 1, 28, 28), 255.0), ValueError, r"\[0, 1\]"),
    "below zero": (torch.full((4, 1, 28, 28), -0.5), ValueError, r"\[0, 1\]"),
    "NaN": (torch.full((4, 1, 28, 28), math.nan), ValueError, "NaN"),
    "too small": (torch.rand(4, 1, 15, 28), ValueError, "pixels"),
    "too large": (torch.rand(4, 1, 28, 257), ValueError, "pixels"),
    "colors last": (torch.rand(4, 28, 28, 3), ValueError, r"images\.permute\(0, 3, 1, 2\)"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused_in_training_and_scoring(case, fitted):
    images, error, message = BAD_IMAGES[case]
    with pytest.raises(error, match=message):
        DeepSAD(**QUICK).fit(images)
    with pytest.raises(error, match=message):
        fitted.decision_function(images)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 27, 28), "28x28 pixels, got 27x28"), ((3, 28, 28), r"1 channel\(s\), got 3")],
)
def test_a_fitted_detector_takes_only_images_of_its_own_shape(shape, message, fitted):
    images = torch.rand(4, *shape)
    with pytest.raises(ValueError, match=message):
        fitted.decision_function(images)
    with pytest.raises(ValueError, match=message):
        fitted.encode(images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1, 2, 0]), "got also"),
        (torch.tensor([0.5, 0, 0, 0]), "got also"),
        (torch.zeros(3), r"shape \(4,\)"),
        (torch.zeros(4, 1), r"shape \(4,\)"),
        (-torch.ones(4), "anomalies only"),
    ],
)
def test_bad_semi_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        DeepSAD(**QUICK).fit(blobs(4), labels)


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="at least 2 images"):
        DeepSAD(**QUICK).fit(blobs(1))


@pytest.mark.parametrize("method", ["decision_function", "encode", "predict", "calibrate"])
def test_nothing_scores_before_fitting(method):
    with pytest.raises(RuntimeError, match="call fit"):
        getattr(DeepSAD(), method)(blobs(2))


def test_nothing_is_saved_before_fitting_or_predicted_before_calibration(fitted, task, tmp_path):
    with pytest.raises(RuntimeError, match="call fit"):
        DeepSAD().save(tmp_path / "x")
    with pytest.raises(RuntimeError, match="calibrate"):
        fitted.predict(task[0])


@pytest.mark.parametrize(
    "parameter",
    [
        {"eta": 0},
        {"eta": math.nan},
        {"lr": -1e-3},
        {"epochs": 0},
        {"epochs": 2.5},
        {"batch_size": 1},
        {"pretrain_epochs": -1},
        {"weight_decay": -1},
        {"seed": -1},
        {"precision": "fp8"},
        {"network": "resnet"},
    ],
)
def test_bad_parameters_are_refused_at_the_door(parameter):
    (name,) = parameter
    with pytest.raises(ValueError, match=name.replace("_", "[_ ]")):
        DeepSAD(**parameter)


def test_a_failed_fit_keeps_the_fitted_detector(task):
    detector = DeepSAD(**QUICK, seed=0).fit(*task).calibrate(task[0])
    scores, threshold = detector.decision_function(task[0]), detector.threshold_
    with pytest.raises(ValueError, match="NaN"):
        detector.fit(torch.full((4, 1, 28, 28), math.nan))
    assert np.array_equal(detector.decision_function(task[0]), scores)
    assert detector.threshold_ == threshold


def test_bf16_is_refused_where_it_would_be_emulated_and_close_where_not(task, fitted):
    from badsad_lib.deepsad import bf16_is_fast

    detector = DeepSAD(**QUICK, precision="bf16")
    if not bf16_is_fast(torch.device("cpu")):
        with pytest.raises(ValueError, match="bf16"):
            detector.fit(*task)
    else:
        scores = detector.fit(*task).decision_function(task[0])
        assert np.corrcoef(scores, fitted.decision_function(task[0]))[0, 1] > 0.9


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = checkpoints.save(tmp_path / "x", {"center": torch.ones(64)}, {"params": {"depth": 3}})
    with pytest.raises(CheckpointError, match="does not describe a DeepSAD"):
        DeepSAD.load(path)


# --- numbers of every kind -----------------------------------------------------------------------


def test_numpy_scalars_become_plain_numbers_and_are_saved(tmp_path):
    detector = DeepSAD(
        eta=np.float32(0.5),
        epochs=np.int64(1),
        lr=np.float64(1e-3),
        batch_size=np.int32(16),
        weight_decay=np.float64(0),
        min_steps=np.array(2),
        seed=np.arange(5)[3],
        device=torch.device("cpu"),
        progress=np.bool_(False),
    )
    plain = DeepSAD(
        eta=0.5, epochs=1, lr=1e-3, batch_size=16, weight_decay=0.0, min_steps=2, seed=3,
        device="cpu",
    )  # fmt: skip
    assert repr(detector) == repr(plain)
    assert {type(v) for v in detector.get_params().values()} <= {int, float, str, bool}
    path = detector.fit(blobs(32)).save(tmp_path / "d")
    assert DeepSAD.load(path, device=torch.device("cpu")).get_params() == plain.get_params()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "3"),
        ("seed", 2**31),
        ("seed", 1.0),
        ("seed", True),
        ("weight_decay", math.nan),
        ("pretrain_weight_decay", math.inf),
        ("epochs", "3"),
        ("lr", "1e-3"),
        ("lr", None),
        ("eta", True),
        ("min_steps", -1),
        ("device", "gpu"),
        ("device", 1.5),
        ("progress", "no"),
        ("precision", None),
        ("network", None),
    ],
)
def test_a_refused_parameter_is_told_with_name_and_value(name, value):
    with pytest.raises(ValueError, match=rf"{name}.*{value!r}"):
        DeepSAD(**{name: value})


def test_the_largest_seed_works():
    DeepSAD(**QUICK, seed=2**31 - 1, network="mnist").fit(blobs(8))


# --- scikit-learn's conventions ------------------------------------------------------------------


def test_parameters_are_those_of_the_constructor(task, fitted):
    from sklearn.base import clone

    detector = DeepSAD(**QUICK)
    detector.note = 3
    assert "note" not in detector.get_params()
    assert DeepSAD(**detector.get_params()).get_params() == detector.get_params(deep=False)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not copy.is_fitted


def test_parameters_are_set_all_or_none_and_checked():
    detector = DeepSAD()
    assert detector.set_params(lr=np.float64(0.01), epochs=3) is detector
    assert (detector.lr, detector.epochs) == (0.01, 3)
    with pytest.raises(ValueError, match="lr must be"):
        detector.set_params(epochs=5, lr=-1)
    with pytest.raises(ValueError, match="no parameter 'depth'"):
        detector.set_params(depth=3)
    assert (detector.lr, detector.epochs) == (0.01, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [lambda t: t, lambda t: t.numpy()])
def test_a_grid_search_scores_and_refits_as_one_would_by_hand(task, kind):
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    (images, labels), folds = task, StratifiedKFold(2)
    search = GridSearchCV(
        DeepSAD(**QUICK, network="mnist"), {"lr": [1e-9, 3e-3]}, cv=folds, error_score="raise"
    ).fit(kind(images), kind(labels))

    def mean_auroc(lr):
        areas = []
        for train, test in folds.split(np.zeros(len(labels)), labels.numpy()):
            detector = DeepSAD(**QUICK, network="mnist", lr=lr).fit(images[train], labels[train])
            scores = detector.decision_function(images[test])
            areas.append(roc_auc_score(labels[test].numpy() == -1, scores))
        return np.mean(areas)

    expected = [mean_auroc(lr) for lr in (1e-9, 3e-3)]
    assert search.cv_results_["mean_test_score"].tolist() == pytest.approx(expected)
    again = DeepSAD(**QUICK, network="mnist", **search.best_params_).fit(images, labels)
    assert np.array_equal(search.decision_function(images), again.decision_function(images))


def test_training_scores_and_labels_are_there(task):
    images, labels = task
    detector = DeepSAD(**QUICK, seed=0).fit(images, labels)
    scores = detector.decision_function(images)
    assert np.array_equal(detector.decision_scores_, scores)
    tau = np.quantile(scores[labels.numpy() == 0], 0.95)
    assert np.array_equal(detector.labels_, (scores > tau).astype(int))
    detector.calibrate(images, 0.5)
    assert np.array_equal(detector.labels_, detector.predict(images))


def test_pyod_takes_it_for_one_of_its_own(task):
    evaluate = pytest.importorskip("pyod.utils.data").evaluate_print
    images, labels = task
    detector = DeepSAD(**QUICK).fit(images, labels)
    truth = (labels < 0).numpy()
    evaluate("DeepSAD", truth, detector.decision_scores_)
    for name in ("decision_scores_", "labels_", "threshold_"):
        assert getattr(detector.calibrate(images), name) is not None
    assert detector.decision_scores_.shape == detector.labels_.shape == (len(images),)
    assert set(detector.labels_) <= {0, 1}
    assert roc_auc_score(truth, detector.decision_function(images)) > 0.9


# --- fails closed --------------------------------------------------------------------------------


def broken(detector, name, value):
    """A copy of a detector with one number of its state replaced."""
    import copy

    new = copy.deepcopy(detector)
    with torch.no_grad():
        state = new.encoder_.state_dict() | {"center": new.center_}
        state[name].view(-1)[0] = value
    return new


FAULTS = [
    ("blocks.0.conv.weight", math.nan),
    ("blocks.0.norm.running_mean", math.inf),
    ("blocks.0.norm.running_var", -1.0),
    ("head.0.weight", -math.inf),
    ("center", math.nan),
]


@pytest.mark.parametrize(("name", "value"), FAULTS)
def test_a_broken_detector_is_neither_saved_nor_loaded(fitted, tmp_path, name, value):
    victim = broken(fitted, name, value)
    with pytest.raises(FloatingPointError, match=f"not saved: .*{name}"):
        victim.save(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    tensors, description = checkpoints.load(fitted.save(tmp_path / "whole"))
    key = name if name == "center" else f"encoder.{name}"
    tensors[key].view(-1)[0] = value
    path = checkpoints.save(tmp_path / "broken", tensors, description)
    with pytest.raises(CheckpointError, match=name):
        DeepSAD.load(path)


@pytest.mark.parametrize(
    ("name", "value"), [f for f in FAULTS if f[0] != "blocks.0.norm.running_var"]
)
def test_a_broken_detector_does_not_score(fitted, task, name, value):
    victim = broken(fitted, name, value)
    for ask in (victim.decision_function, victim.calibrate):
        with pytest.raises(FloatingPointError, match="this detector is broken"):
            ask(task[0])


@pytest.mark.parametrize(
    "change",
    [{"threshold": 1e999}, {"quantile": 1.5}, {"quantile": "x"}, {"threshold": "high"}],
)
def test_a_threshold_that_is_none_is_not_loaded(fitted, task, tmp_path, change):
    path = fitted.save(tmp_path / "whole")
    tensors, description = checkpoints.load(path)
    text = json.dumps(description | change).replace("Infinity", "1e999")
    flat = {k: v.contiguous() for k, v in tensors.items()}
    header = {
        "format": checkpoints.FORMAT,
        "version": str(checkpoints.VERSION),
        "description": text,
        "sha256": checkpoints._digest(flat, text),
    }
    path.write_bytes(checkpoints.serialize(flat, metadata=header))
    with pytest.raises(CheckpointError, match="does not describe a DeepSAD"):
        DeepSAD.load(path)


@pytest.mark.parametrize("shape", [(3,), (64, 1), (1,)])
def test_a_center_of_another_shape_is_not_loaded(fitted, tmp_path, shape):
    tensors, description = checkpoints.load(fitted.save(tmp_path / "whole"))
    path = checkpoints.save(tmp_path / "d", tensors | {"center": torch.ones(shape)}, description)
    with pytest.raises(CheckpointError, match="center has shape"):
        DeepSAD.load(path)


class _LastStep:
    """An extra loss that is infinite in one step."""

    def __init__(self, step):
        self.step, self.now = step, 0

    def views(self, step):
        self.now = step
        return torch.empty(0, 1, 28, 28)

    def __call__(self, latents, semi_labels, extra_latents, center):
        return latents.sum() * (math.inf if self.now == self.step else 0.0)


def test_a_training_that_diverges_in_its_last_step_leaves_nothing(task):
    detector = DeepSAD(**QUICK)
    last = 2 * math.ceil(len(task[0]) / 32) - 1
    with pytest.raises(FloatingPointError, match=r"training diverged in its last steps.*lr="):
        detector.fit(*task, extra_loss=_LastStep(last))
    assert not detector.is_fitted


def test_a_pretraining_that_diverges_leaves_nothing(task):
    with pytest.raises(FloatingPointError, match=r"pretraining diverged.*pretrain_lr="):
        DeepSAD(**{**QUICK, "pretrain_epochs": 3}, pretrain_lr=1e30).pretrain(task[0])


def test_training_does_not_start_from_what_is_broken(task, fitted):
    state = {k: v.clone() for k, v in fitted.initial_state_.items()}
    with pytest.raises(ValueError, match="cannot start: center"):
        DeepSAD(**QUICK).fit(*task, center=torch.full((64,), math.nan))
    state["head.0.weight"][0, 0] = math.nan
    with pytest.raises(ValueError, match="cannot start from this initial state: head"):
        DeepSAD(**QUICK).fit(*task, initial_state=state)


# --- threshold and quantile, names of files ------------------------------------------------------


def test_threshold_and_quantile_belong_together(task, tmp_path):
    detector = DeepSAD(**QUICK).fit(*task)
    assert (detector.threshold_, detector.quantile_) == (None, None)
    detector.calibrate(task[0], np.float64(0.9))
    assert DeepSAD.load(detector.save(tmp_path / "d")).quantile_ == detector.quantile_ == 0.9
    detector.threshold_ = 3.0
    assert detector.quantile_ is None
    with pytest.raises(ValueError, match="threshold_ must be a finite number"):
        detector.threshold_ = math.nan
    assert detector.calibrate(task[0]).fit(*task).quantile_ is None


def test_the_name_that_saved_loads_and_a_folder_is_no_file(fitted, tmp_path):
    fitted.save(tmp_path / "mydet")
    assert np.array_equal(DeepSAD.load(tmp_path / "mydet").center_, fitted.center_)
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file in it: .*detector"):
        fitted.save(tmp_path)


# --- few images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 33])
def test_no_batch_holds_one_image(n):
    detector = DeepSAD(**{**QUICK, "batch_size": 2}, network="mnist").fit(blobs(n))
    assert len(detector.history_["loss"]) == 2
    generator = torch.Generator().manual_seed(0)
    assert {len(batch) for batch in _batches(n, 2, generator)} <= {2, 3}


def test_one_image_is_too_few_to_pretrain_on():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        DeepSAD(**QUICK).pretrain(blobs(1))


def test_few_steps_are_warned_about_and_min_steps_adds_epochs(recwarn):
    images = blobs(40)
    detector = DeepSAD(network="mnist", device="cpu", epochs=12)
    with pytest.warns(UserWarning, match=r"40 images .* 12 training steps.*min_steps=300"):
        detector.fit(images)
    recorder = _Recorder(torch.empty(0, 1, 28, 28))
    longer = DeepSAD(network="mnist", device="cpu", epochs=12, min_steps=30)
    longer.fit(images, extra_loss=recorder)
    assert recorder.steps == list(range(30))
    assert len(longer.history_["loss"]) == 30
    # Enough is enough: the numbers of an ordinary training are what they were.
    assert DeepSAD(min_steps=20)._train_epochs(1550) == 30


@pytest.mark.slow
def test_importing_the_library_stays_light():
    import subprocess
    import sys

    code = (
        "import sys, badsad_lib, badsad_lib.datasets, badsad_lib.metrics;"
        "heavy = {'torchvision', 'umap', 'matplotlib', 'seaborn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("level", [0, 255])
def test_blank_images_are_refused(level):
    images = torch.full((30, 1, 28, 28), level, dtype=torch.uint8)
    with pytest.raises(ValueError, match="images that differ, got the same picture 30 times"):
        DeepSAD(epochs=1).fit(images)


def test_a_detector_that_has_collapsed_is_said():
    images = blobs(30)
    blind = {k: torch.zeros_like(v) for k, v in DeepSAD().pretrain(images).items()}
    with pytest.warns(UserWarning, match="has collapsed"):
        DeepSAD(epochs=1).fit(images, initial_state=blind)


# --- any size -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 24, 30), pytest.param((3, 64, 64), marks=pytest.mark.slow)])
def test_it_trains_scores_and_is_saved_on_images_of_any_size(shape, tmp_path):
    images = torch.cat([blobs(40, shape), blobs(8, shape, row=16, seed=1)])
    labels = torch.cat([torch.zeros(40), -torch.ones(8)]).long()
    detector = DeepSAD(**{**QUICK, "epochs": 8, "batch_size": 16}).fit(images, labels)
    fresh = torch.cat([blobs(20, shape, seed=2), blobs(20, shape, row=16, seed=3)])
    scores = detector.decision_function(fresh)
    assert roc_auc_score(np.repeat([0, 1], 20), scores) > 0.95
    assert detector.shape_ == shape
    detector.calibrate(fresh[:20])

    loaded = DeepSAD.load(detector.save(tmp_path / "x"), device="cpu")
    assert loaded.network_ == detector.network_
    assert loaded.threshold_ == detector.threshold_
    np.testing.assert_array_equal(loaded.decision_function(fresh), scores)
    with pytest.raises(ValueError, match=f"{shape[1]}x{shape[2]} pixels"):
        loaded.decision_function(torch.zeros(2, shape[0], 31, 33))


def test_a_file_that_describes_another_network_is_refused(tmp_path):
    detector = DeepSAD(**{**QUICK, "pretrain_epochs": 0}).fit(blobs(20, (1, 16, 20)))
    tensors, description = checkpoints.load(detector.save(tmp_path / "x"))
    for change in ({"shape": [1, 32, 32]}, {"channels": [4096] * 3}, {"latent_dim": 8}, {"x": 1}):
        network = description["network"] | change
        path = checkpoints.save(tmp_path / "y", tensors, description | {"network": network})
        with pytest.raises(CheckpointError, match="does not describe"):
            DeepSAD.load(path)


@given(st.integers(2, 300), st.integers(2, 64))
def test_batch_normalization_never_sees_one_image(n, batch_size):
    batches = list(_batches(n, batch_size, torch.Generator().manual_seed(0)))
    assert min(map(len, batches)) >= 2
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
