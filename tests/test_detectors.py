"""Detectors of another make answer like our own, and files are opened as if they were hostile."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM
from torch import nn

from badsad_lib import DeepSAD, defenses, detectors, metrics
from badsad_lib.detectors import Access, Preprocessing, ScoringError, self_check, wrap
from badsad_lib.images import to_float
from badsad_lib.report import measure
from badsad_lib.triggers import Patch
from tests.defenses.samples import tiny
from tests.samples import a_training_set, noise

SHAPE = (1, 16, 16)


def normals(count=60, seed=0, shape=SHAPE):
    """Dim images: anomalies are bright ones."""
    return noise((count, *shape), seed) * 0.3


def odd(count=20, seed=9, shape=SHAPE):
    return 1 - noise((count, *shape), seed) * 0.3


def flat(images):
    return images.flatten(1).numpy()


class Brightness(nn.Module):
    """The mean, by way of a batch norm, which in training mode looks at the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x).mean(dim=(1, 2, 3))


class Autoencoder(nn.Module):
    """Scores by reconstruction error; it gives back nothing brighter than 0.3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.clamp(max=0.3)).square().flatten(1).mean(1)


# --- signs and layouts ---------------------------------------------------------------------------

SKLEARN = {
    "OneClassSVM": OneClassSVM(gamma="scale"),
    "IsolationForest": IsolationForest(n_estimators=20, random_state=0),
    "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
    "Pipeline": make_pipeline(PCA(4, random_state=0), OneClassSVM(gamma="scale")),
    "GaussianMixture": GaussianMixture(reg_covar=1e-2, random_state=0),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learns_sign_is_turned_and_its_pixels_are_flattened(name):
    model = SKLEARN[name].fit(flat(normals()))
    wrapped = wrap(model)
    assert wrapped.access is Access.SCORES
    assert wrapped.kind == "scikit-learn"
    ours = wrapped.decision_function(odd())
    theirs = getattr(model, "decision_function", model.score_samples)(flat(odd()))
    np.testing.assert_allclose(ours, -theirs, rtol=1e-6)
    assert metrics.auroc(wrapped.decision_function(normals(seed=1)), ours) > 0.95


def test_pyods_sign_stays():
    knn = pytest.importorskip("pyod.models.knn").KNN
    model = knn().fit(flat(normals()))
    wrapped = wrap(model)
    assert wrapped.kind == "PyOD"
    assert wrapped.threshold_ is None
    np.testing.assert_allclose(
        wrapped.decision_function(odd()), model.decision_function(flat(odd())), rtol=1e-6
    )
    check = self_check(wrapped, normals(seed=1), odd())
    assert check.problems == ()
    assert check.auroc == 1


def test_a_module_gives_its_score_or_the_distance_of_its_latent():
    images = normals()
    module = Brightness().train()
    wrapped = wrap(module)
    with torch.no_grad():
        expected = Brightness().eval()(images)
    np.testing.assert_allclose(wrapped.decision_function(images), expected, rtol=1e-5)
    assert module.training  # the original is left alone

    center = torch.full((256,), 0.1)
    latent = wrap(nn.Flatten(), center=center)
    expected = (images.flatten(1) - center).square().sum(1)
    np.testing.assert_allclose(latent.decision_function(images), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="as many numbers as a latent, got 3"):
        wrap(nn.Flatten(), center=[1, 2, 3]).decision_function(images)
    with pytest.raises(ValueError, match=r"center=\.\.\."):
        wrap(nn.Flatten()).decision_function(images)


def test_gradients_flow_through_preprocessing():
    wrapped = wrap(Autoencoder(), size=8, color="gray", scale=(0.1, 0.5))
    images = odd(2, shape=(3, 16, 16)).requires_grad_()
    wrapped.differentiable_scores(images).sum().backward()
    assert images.grad.abs().sum() > 0
    with pytest.raises(TypeError, match="gives only scores"):
        wrap(lambda x: x.mean((1, 2, 3))).differentiable_scores(images)


def test_a_deepsad_comes_back_as_it_is_unless_images_are_to_be_prepared():
    detector = tiny()
    assert wrap(detector) is detector
    assert detectors.access_of(detector) is Access.WEIGHTS
    large = noise((4, 3, 56, 56))
    wrapped = wrap(detector, size=28, color="gray")
    prepared = Preprocessing(color="gray", size=28)(large)
    np.testing.assert_allclose(
        wrapped.decision_function(large), detector.decision_function(prepared), rtol=1e-4
    )
    with pytest.raises(ValueError, match="not fitted"):
        wrap(DeepSAD())


def test_differentiable_scores_are_the_scores():
    images = noise((3, 1, 28, 28)).requires_grad_()
    scores = tiny().differentiable_scores(images)
    np.testing.assert_allclose(
        scores.detach(), tiny().decision_function(images.detach()), rtol=1e-4
    )
    scores.sum().backward()
    assert images.grad.abs().sum() > 0


def test_a_scale_of_other_channels_is_refused():
    wrapped = wrap(Autoencoder(), scale=([0.5, 0.4, 0.4], [0.2, 0.2, 0.2]))
    with pytest.raises(ScoringError, match="numbers for 3 channels, images have 1"):
        wrapped.decision_function(odd())
    wrapped.decision_function(odd(shape=(3, 16, 16)))


def test_preprocessing_scales_and_colors():
    gray = torch.full((1, 1, 4, 4), 0.5)
    assert Preprocessing(scale="255")(gray).max() == 127.5
    assert Preprocessing(scale=(0.25, 0.5))(gray).max() == 0.5
    assert Preprocessing(color="rgb")(gray).shape == (1, 3, 4, 4)
    white = torch.ones(1, 3, 4, 4)
    assert Preprocessing(color="gray", size=(2, 3))(white).shape == (1, 1, 2, 3)
    torch.testing.assert_close(Preprocessing(color="gray")(white), white[:, :1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be"),
        ({"color": "grey"}, "color must be"),
        ({"scale": "1"}, "scale must be"),
        ({"scale": (0, 0)}, "std above 0"),
        ({"sign": "up"}, "sign must be"),
        ({"center": [1.0]}, "center goes with modules"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        wrap(lambda x: x.mean((1, 2, 3)), **settings)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (OneClassSVM(), ValueError, "not fitted"),
        (LocalOutlierFactor().fit(flat(normals())), TypeError, "novelty=True"),
        (LogisticRegression().fit([[0.0], [1.0]], [0, 1]), TypeError, "not an outlier detector"),
        (3, TypeError, "no detector"),
    ],
)
def test_what_is_no_detector_is_refused(model, error, message):
    with pytest.raises(error, match=message):
        wrap(model)


# --- bad detectors get clear words ---------------------------------------------------------------


def test_a_wrong_input_size_is_said():
    wrapped = wrap(OneClassSVM().fit(flat(normals())))
    with pytest.raises(ValueError, match=r"fitted on 256 numbers .* 16x20 pixels have 320"):
        wrapped.decision_function(normals(shape=(1, 16, 20)))


def test_a_model_that_fails_is_said_to():
    with pytest.raises(ValueError, match=r"failed on images of shape \(1, 16, 16\): RuntimeError"):
        wrap(nn.Linear(3, 1)).decision_function(normals())


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(FloatingPointError, match="60 of 60 scores are NaN"):
        wrap(lambda x: x.mean((1, 2, 3)) * np.nan).decision_function(normals())


def test_more_than_one_number_an_image_is_refused():
    with pytest.raises(ValueError, match="one score an image"):
        wrap(lambda x: x.mean((2, 3)).repeat(2, 1)).decision_function(normals())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_module_of_another_precision_gets_images_of_its_own(dtype):
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 1))
    expected = wrap(model).decision_function(odd())
    found = wrap(model.to(dtype)).decision_function(odd())
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_what_is_wrapped_comes_back_as_it_is():
    wrapped = wrap(Autoencoder())
    assert wrap(wrapped) is wrapped
    for settings in ({"sign": "lower"}, {"scale": "255"}, {"center": [0.0]}, {"batch_size": 1}):
        with pytest.raises(ValueError, match="wrapped already"):
            wrap(wrapped, **settings)


DRAWS = np.random.default_rng(0)
BAD = {
    "are all 0 or 1, as labels are": lambda x: x.mean((1, 2, 3)) > 0.6,
    "same score": lambda x: np.zeros(len(x)),
    "draws at random": lambda x: DRAWS.random(len(x)),
    "depend on the other images": lambda x: x.mean((1, 2, 3)) - x.mean(),
    "sign looks inverted: AUROC 0.00": lambda x: -x.mean((1, 2, 3)),
}


@pytest.mark.parametrize("problem", BAD)
def test_a_wrap_that_is_wrong_is_said(problem):
    with pytest.raises(ValueError, match=problem):
        wrap(BAD[problem], normals=normals(), anomalies=odd())


def test_what_ranks_a_batch_is_usable_one_by_one():
    def ranks(x):
        return x.mean((1, 2, 3)) - np.mean(x, dtype=np.float32) * (len(x) > 1)

    with pytest.raises(ValueError, match="batch_size=1"):
        wrap(ranks, normals=normals(), anomalies=odd())
    wrap(ranks, batch_size=1, normals=normals(), anomalies=odd())


def test_a_wrap_that_is_right_passes_its_check():
    wrapped = wrap(BAD["sign looks inverted: AUROC 0.00"], sign="lower")
    check = self_check(wrapped, normals(), odd())
    assert check.problems == ()
    assert check.auroc == 1


# --- files ---------------------------------------------------------------------------------------


def test_torchscript_runs_code_and_is_asked_for(tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.script(Autoencoder()).save(path)
    with pytest.raises(ValueError, match="allow_code=True"):
        wrap(path)
    wrapped = wrap(path, allow_code=True)
    assert (wrapped.kind, wrapped.access) == ("TorchScript", Access.GRADIENTS)
    assert wrapped.digest_ != wrap(path, allow_code=True, sign="lower").digest_
    np.testing.assert_allclose(wrapped.decision_function(odd()), Autoencoder()(odd()), rtol=1e-6)


def test_a_python_file_of_ones_own_is_asked_for(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("detector = lambda x: x.mean((1, 2, 3))\nbad = 1 / 1\n")
    with pytest.raises(ValueError, match="allow_code=True"):
        wrap(f"{path}:detector")
    scores = wrap(f"{path}:detector", allow_code=True).decision_function(odd())
    np.testing.assert_allclose(scores, odd().mean((1, 2, 3)), rtol=1e-5)
    with pytest.raises(ValueError, match="defines no 'other'"):
        wrap(f"{path}:other", allow_code=True)
    path.write_text("1 / 0")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        wrap(f"{path}:detector", allow_code=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pkl", b"\x80", "pickle"),
        ("x.joblib", b"\x80", "pickle"),
        ("x.safetensors", b"\x80", "pickle"),
        ("x.h5", b"", "not known as a detector"),
        ("x.pt", b"\x80", "not TorchScript"),
    ],
)
def test_other_files_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        wrap(tmp_path / name, allow_code=True)
    with pytest.raises(FileNotFoundError, match="check the path"):
        wrap(tmp_path / f"no_{name}")


def test_a_file_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(detectors, "MOST_BYTES", 10)
    path = tmp_path / "x.pt"
    path.write_bytes(b"0" * 11)
    with pytest.raises(ValueError, match="has 11 bytes"):
        wrap(path, allow_code=True)


# --- ONNX ----------------------------------------------------------------------------------------


def onnx_model(path, *, output="scores", batch="n", external=False, shape=SHAPE):
    """The mean brightness of an image, plus a constant, as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    constant = onnx.numpy_helper.from_array(np.array([0.5], np.float32), "c")
    if external:
        onnx.external_data_helper.set_external_data(constant, "../../secret")
    axes = list(range(1, len(shape) + 1))
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Add", ["mean", "c"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", kind, [batch, *shape])],
        [helper.make_tensor_value_info(output, kind, [batch])],
        [constant],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("batch", ["n", 1, 7])
def test_an_onnx_file_is_run_whatever_its_batch(batch, tmp_path):
    wrapped = wrap(onnx_model(tmp_path / "x.onnx", batch=batch))
    assert wrapped.shape_ == SHAPE
    assert wrapped.access is Access.SCORES
    np.testing.assert_allclose(
        wrapped.decision_function(odd()), odd().mean((1, 2, 3)) + 0.5, rtol=1e-5
    )
    with pytest.raises(ValueError, match="16x16 pixels"):
        wrapped.decision_function(odd(shape=(1, 20, 16)))


def onnx_text(path, text):
    """An ONNX file of a graph in ONNX's own notation."""
    pytest.importorskip("onnxruntime")
    parser = pytest.importorskip("onnx.parser")
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> {text}')
    path.write_bytes(model.SerializeToString())
    return path


MEAN = "scores = ReduceMean <axes = [1, 2, 3], keepdims = 0> (images)"


def test_an_onnx_file_of_bytes_gets_bytes(tmp_path):
    path = onnx_text(
        tmp_path / "x.ONNX",
        "g (uint8[n, 1, 16, 16] pixels) => (float[n] scores) "
        f"{{ images = Cast <to = 1> (pixels) {MEAN} }}",
    )
    for scale in ("unit", "255"):
        wrapped = wrap(path, scale=scale)
        assert wrapped.shape_ == SHAPE
        np.testing.assert_allclose(
            wrapped.decision_function(odd()), odd().mean((1, 2, 3)) * 255, atol=0.1
        )
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        wrap(path, scale=(0.5, 0.5))


def test_flattened_pixels_of_another_number_are_refused_by_an_onnx_file_as_well(tmp_path):
    with pytest.raises(ScoringError, match=r"fitted on 400 numbers an image, images of 1 .* 256"):
        wrap(onnx_model(tmp_path / "x.onnx", shape=(400,))).decision_function(odd())


def test_an_onnx_file_that_fixes_some_sides_says_which(tmp_path):
    wrapped = wrap(onnx_model(tmp_path / "x.onnx", shape=(3, "h", 16)))
    assert (wrapped.shape_, wrapped.channels_) == (None, 3)
    with pytest.raises(ScoringError, match=r"takes images of 3xanyx16 .*, got 1x16x16"):
        wrapped.decision_function(odd())


def test_of_several_outputs_that_of_one_number_an_image_holds_the_scores(tmp_path):
    text = (
        "g (float[n, 1, 16, 16] images) => (float[n, 16] latent, float[n] scores) "
        "{{ latent = ReduceMean <axes = [1, 2], keepdims = 0> (images) {} }}"
    )
    path = onnx_text(tmp_path / "x.onnx", text.format(MEAN))
    mean = odd().mean((1, 2, 3))
    np.testing.assert_allclose(wrap(path).decision_function(odd()), mean, rtol=1e-5)
    distance = odd().mean((1, 2)).square().sum(1)
    found = wrap(path, center=[0.0] * 16).decision_function(odd())
    np.testing.assert_allclose(found, distance, rtol=1e-5)
    with pytest.raises(ScoringError, match=r"choose another output of \['latent', 'scores'\]"):
        wrap(path, output="latent").decision_function(odd())


def test_an_onnx_file_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    path = onnx_text(
        tmp_path / "x.onnx",
        "g (float[n, 1, 16, 16] images) => (float[n] scores) "
        f"<int64 times = {{{2**62}}}, bool yes = {{1}}> {{ "
        f"{MEAN.replace('scores', 'mean')} "
        "scores = Loop (times, yes, mean) <body = again "
        "(int64 i, bool go, float[m] x) => (bool on, float[m] y) "
        "{ on = Identity (go) y = Add (x, x) }> }",
    )
    monkeypatch.setattr(detectors, "MOST_SECONDS", 0.01)
    with pytest.raises(ScoringError, match=r"stopped after 0\.2 s"):
        wrap(path).decision_function(odd(20))


def test_an_onnx_file_cannot_allocate_all_memory(tmp_path):
    path = onnx_text(
        tmp_path / "x.onnx",
        "g (float[n, 1, 16, 16] images) => (float[n] scores) "
        f"<int64[1] many = {{{2**34}}}> {{ "
        f"{MEAN.replace('scores', 'mean')} huge = ConstantOfShape (many) "
        "zero = ReduceMax <keepdims = 0> (huge) scores = Add (mean, zero) }",
    )
    with pytest.raises(ScoringError, match="batch_size"):
        wrap(path).decision_function(odd())


def test_an_onnx_file_that_refers_to_others_is_refused(tmp_path):
    with pytest.raises(ValueError, match="other files"):
        wrap(onnx_model(tmp_path / "x.onnx", external=True))


def test_what_is_no_onnx_file_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x00 this is no protobuf")
    with pytest.raises(ValueError, match="not an ONNX file"):
        wrap(path)
    with pytest.raises(ValueError, match="no output 'latent'"):
        wrap(onnx_model(path), output="latent")


@pytest.mark.slow
def test_a_deepsad_exported_to_onnx_scores_the_same(tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    images, labels = a_training_set((3, 20, 24), normals=40, anomalies=8)
    detector = DeepSAD(epochs=1, device="cpu").fit(images, labels)
    with warnings.catch_warnings(action="error"):
        path = detector.export_onnx(tmp_path / "mine")
    assert path.suffix == ".onnx"
    assert [one.name for one in tmp_path.iterdir()] == ["mine.onnx"]
    wrapped = wrap(path)
    assert wrapped.shape_ == detector.shape_
    for count in (1, 48):
        np.testing.assert_allclose(
            wrapped.decision_function(images[:count]),
            detector.decision_function(images[:count]),
            rtol=1e-4,
        )


def test_without_its_package_a_file_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "x.onnx").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"badsad-lib\[audit\]"):
        wrap(tmp_path / "x.onnx")
    with pytest.raises(ImportError, match=r"badsad-lib\[audit\]"):
        tiny().export_onnx(tmp_path / "y")


# --- defenses and reports ------------------------------------------------------------------------

GUARDS = (
    defenses.Purification(),
    defenses.Frequency(copies=1),
    defenses.Strip(overlays=4),
    defenses.Reconstruction(steps=3),
    defenses.Witness(),
)
MAKES = {
    "scikit-learn": lambda: wrap(OneClassSVM(gamma="scale").fit(flat(normals()))),
    "TorchScript": lambda: wrap(torch.jit.script(Autoencoder())),
}


@pytest.mark.parametrize(
    ("guard", "make"),
    [*((guard, "scikit-learn") for guard in GUARDS), (GUARDS[2], "TorchScript")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_guards_work_with_scores_alone(guard, make):
    detector = MAKES[make]().calibrate(normals(seed=1), 0.95)
    guard.fit(detector, normals(50, seed=2), odd())
    flags = guard.flags(normals(50, seed=3))
    assert flags.mean() < 0.4
    assert np.isfinite(guard.suspicion(odd())).all()


def test_a_defense_says_what_access_it_lacks():
    detector = MAKES["scikit-learn"]()
    with pytest.raises(TypeError, match=r"GramInputs needs .* its weights.* gives only scores"):
        defenses.GramInputs().fit(detector, normals())
    for repair in (defenses.FineTuning(), defenses.FinePruning(), defenses.Unlearning()):
        with pytest.raises(TypeError, match="weights"):
            repair.repair(detector, normals(), odd())
    with pytest.raises(TypeError, match=r"TriggerInversion needs .* gradients.* only scores"):
        defenses.TriggerInversion().search(detector, normals(), odd())
    with pytest.raises(TypeError, match=r"detectors\.wrap"):
        defenses.Purification().fit(OneClassSVM(), normals())


def test_a_trigger_is_searched_by_the_gradients_of_any_detector():
    # The mean of an image falls below the threshold once most of it is covered, no sooner.
    found = defenses.TriggerInversion(steps=100).search(wrap(Brightness()), normals(), odd())
    assert found.hidden == 1
    assert 0.5 < found.size < 0.95


def test_a_report_is_made_of_scores_alone():
    from badsad_lib import datasets, splits

    split = splits.one_vs_rest(datasets.load("mnist"), 0)
    some = to_float(split.train_images[split.train_labels == 0][:80])
    rates = measure(wrap(OneClassSVM(gamma="scale").fit(flat(some))), split, Patch())
    assert rates.auroc > 0.9
    assert rates.asr < 0.2
