"""Bad folders and bad detectors end the command line in clear words, by its status, and in no file.

Status 2 says that nothing could be examined: then there is no traceback and nothing is left behind.
A detector that scores but is none, a constant one say, is a finding: 1, and a report.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from badsad_lib.__main__ import main
from badsad_lib.audit import audit
from badsad_lib.detectors import ScoringError, wrap
from tests.audit.test_audit import brightness, normals, odd
from tests.test_detectors import onnx_model
from tests.test_folders import bomb, plain

SHAPE = (1, 16, 16)
MINE = """
import sys
import numpy as np
import torch

def mean(x): return x.mean((1, 2, 3))
def constant(x): return np.zeros(len(x))
def nan(x): return mean(x) * np.nan
def inverted(x): return -mean(x)
def random(x): return np.random.default_rng().random(len(x))
def raises(x): raise KeyError("weights")
def exits(x): sys.exit(0)
def rows(x): return np.zeros((len(x), 7))
def short(x): return mean(x)[1:]
def nothing(x): return None
def words(x): return ["odd"] * len(x)
def ragged(x): return [[1], [2, 3]] * len(x)
def imaginary(x): return mean(x) * 1j
def table(x): return {"score": mean(x)}
def column(x): return torch.from_numpy(mean(x)[:, None])
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Good photographs, and bad folders."""
    root = tmp_path_factory.mktemp("folders")
    for kind, images in (("good", normals()), ("dent", odd(20))):
        (root / "photographs" / kind).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(root / "photographs" / kind / f"{i}.png")
    (root / "empty").mkdir()
    plain(root / "one", normals=1, kinds=())
    plain(root / "few", normals=39, kinds=())
    plain(root / "anomalies", normals=0)
    plain(root / "nested" / "bottles", normals=4)
    for name in ("broken", "huge", "bare"):
        (root / name / "good").mkdir(parents=True)
    (root / "broken" / "good" / "0.png").write_bytes(b"\x89PNG")
    bomb(root / "huge" / "good" / "0.png")
    (root / "bare" / "good" / "picture").write_bytes(b"")
    (root / "linked").mkdir()
    (root / "linked" / "good").symlink_to(root / "photographs" / "good")
    return root


@pytest.fixture
def run(tmp_path, folders, capsys):
    """Run ``audit``; returns status, what was said, and what was left in the folder of reports."""

    def go(detector, *more, images="photographs"):
        out = tmp_path / "out"
        status = main(
            ["audit", detector, "--images", str(folders / images), "--out", str(out), *more]
        )
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert "this is a bug" not in printed.err
        left = sorted(path.name for path in out.iterdir()) if out.exists() else []
        return status, printed.out + printed.err, left

    return go


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


BAD_FOLDERS = {
    "none": "no folder",
    "empty": "it is empty. Put some of .png",
    "one": "at least 40 normal images of your own, got 1",
    "few": "at least 40 normal images of your own, got 39",
    "anomalies": "Found scratch; call it one of good",
    "nested": "Found bottles; call it one of good",
    "broken": "1 file skipped, for example good/0.png: broken",
    "huge": "10000x10000 pixels are more than 64,000,000: make it smaller",
    "bare": "no extension, expected one of .png",
    "linked": "for example good: a link",
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_bad_folder_ends_both_commands_with_what_to_do(name, run, mine, folders, capsys):
    status, said, left = run(mine("mean"), "--allow-code", images=name)
    assert (status, left) == (2, [])
    assert BAD_FOLDERS[name] in said
    # `data` shows what there is, be it one image.
    assert main(["data", str(folders / name)]) == (0 if name in ("one", "few") else 2)
    printed = capsys.readouterr()
    assert (BAD_FOLDERS[name] if name not in ("one", "few") else "images") in (
        printed.err + printed.out.replace("1 image ", "1 images ")
    )


NO_DETECTORS = {
    "raises": "failed on images of shape (1, 16, 16): KeyError: 'weights'",
    "exits": "failed on images of shape (1, 16, 16): SystemExit",
    "rows": "one score an image, got shape (2, 7) for 2 images",
    "short": "one score an image, got shape (1,) for 2 images",
    "nothing": "one score an image, (N,) real numbers, got NoneType",
    "words": "real numbers, got list of <U3",
    "ragged": "real numbers, got list",
    "imaginary": "real numbers, got ndarray of complex",
    "table": "real numbers, got dict",
    "missing": "defines no 'missing'",
}


@pytest.mark.parametrize("name", NO_DETECTORS)
def test_what_gives_no_scores_cannot_be_audited(name, run, mine):
    status, said, left = run(mine(name), "--allow-code")
    assert (status, left) == (2, [])
    assert NO_DETECTORS[name] in said


FINDINGS = {
    "constant": "it gives all",
    "nan": "20 of 20 scores are NaN or infinity",
    "inverted": "the sign looks inverted: AUROC 0.00; wrap it with the other one",
    "random": "the same images get other scores when asked again",
}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_scores_but_is_no_detector_is_a_finding(name, run, mine):
    status, said, left = run(mine(name), "--allow-code")
    assert status == 1
    assert f"FINDING: {FINDINGS[name]}" in said
    assert left == ["report.html", "report.json"]
    assert "see the first step" in said


def test_scores_may_come_as_a_column_or_as_a_tensor(tmp_path, mine):
    column = wrap(mine("column"), allow_code=True).decision_function(odd())
    np.testing.assert_allclose(column, odd().float().mean((1, 2, 3)) / 255, rtol=1e-5)


FILES = {
    "x.pkl": (pickle.dumps(1), "is a pickle, which runs any code"),
    "x.joblib": (pickle.dumps(1), "my_detector.py:NAME with --allow-code"),
    "x.safetensors": (pickle.dumps(1), "looks like a pickle"),
    "cut.safetensors": (b"\x10\x00", "may be truncated: fetch it again"),
    "x.pt": (pickle.dumps(1), "--allow-code"),
    "x.h5": (b"\x89HDF", "not known as a detector: expected .safetensors, .onnx"),
    "x": (b"", "not known as a detector"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_none_or_run_code_are_refused(name, run, tmp_path):
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    status, said, left = run(str(tmp_path / name))
    assert (status, left) == (2, [])
    assert message in said


def test_a_folder_and_a_name_that_is_none_are_no_detectors(run, tmp_path):
    status, said, left = run(str(tmp_path))
    assert (status, left) == (2, [])
    assert "is a folder; name the file" in said
    status, said, _ = run(str(tmp_path / "none.onnx"))
    assert status == 2
    assert "no detector at" in said


def test_images_of_another_size_are_refused_at_once():
    from sklearn.svm import OneClassSVM

    model = OneClassSVM(gamma="scale").fit(torch.rand(40, 20 * 20).numpy())
    with pytest.raises(ScoringError, match=r"fitted on 400 numbers an image, .* have 256"):
        audit(wrap(model), normals(), odd())


def test_a_detector_that_would_never_be_done_is_told_before_it_begins(run, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\ndef slow(x):\n    time.sleep(0.05 * len(x))\n    return x.mean((1, 2, 3))\n"
    )
    status, said, left = run(f"{tmp_path / 'slow.py'}:slow", "--allow-code", "--minutes", "0.1")
    assert (status, left) == (2, [])
    assert "beyond the limit of 0.1 for all. Allow more (minutes=..., --minutes)" in said


@pytest.mark.parametrize("broken", ["nan", "raises"])
def test_one_that_breaks_on_what_a_step_does_to_images_is_a_finding(broken, monkeypatch, tmp_path):
    """An anomaly that a line cannot score is one that nobody sees."""
    import badsad_lib.audit
    from badsad_lib.audit import steps

    few = [one for one in steps.STEPS if one.name in ("alive", "detects", "triggers")]
    monkeypatch.setattr(badsad_lib.audit, "STEPS", few)
    own = [wrap(lambda x, p=p: (x**p).mean((1, 2, 3))) for p in (0.5, 1, 1.5)]
    monkeypatch.setattr(badsad_lib.audit, "_own_detectors", lambda *_: own)

    def fragile(x):
        marked = x[:, :, 13:15, 13:15].min((1, 2, 3)) == 1
        if broken == "raises" and marked.any():
            raise MemoryError
        return np.where(marked, np.nan, brightness(x))

    report = audit(wrap(fragile), normals(), odd(), out=tmp_path)
    [finding] = report.step("triggers").findings
    assert "It fails on images of this step" in finding.text
    assert report.status == 1
    assert (tmp_path / "report.html").is_file()


# --- ONNX -----------------------------------------------------------------------------------------


def model(path, inputs, outputs, *, kind="FLOAT", shape=SHAPE):
    """An ONNX file of the mean of its first input, with outputs of a kind."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, types = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("ReduceMean", [inputs[0]], ["mean"], axes=[1, 2, 3], keepdims=0)]
    for name in outputs:
        to = types.FLOAT if name == "scores" else getattr(types, kind)
        nodes.append(helper.make_node("Cast", ["mean"], [name], to=to))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, types.FLOAT, ["n", *shape]) for name in inputs],
        [
            helper.make_tensor_value_info(
                name, types.FLOAT if name == "scores" else getattr(types, kind), ["n"]
            )
            for name in outputs
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def external(path):
    onnx_model(path, external=True)


def cut(path):
    content = onnx_model(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


BAD_ONNX = {
    "external data": (external, "keeps weights in other files"),
    "cut off": (cut, "is not an ONNX file, or was cut off"),
    "empty": (lambda path: path.write_bytes(b""), "holds no graph"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "is not an ONNX file"),
    "two inputs": (
        lambda path: model(path, ["images", "mask"], ["scores"]),
        "must have one input of images, (N, C, H, W) or flattened, got {'images'",
    ),
    "labels only": (
        lambda path: model(path, ["images"], ["label"], kind="INT64"),
        "must have an output of floats, the scores, got {'label': 'tensor(int64)'}",
    ),
    "words": (
        lambda path: model(path, ["images"], ["label"], kind="STRING"),
        "got {'label': 'tensor(string)'}",
    ),
    "channels last": (
        lambda path: model(path, ["images"], ["scores"], shape=(16, 16, 1)),
        "takes images of 16x16x1, read as channels, height and width",
    ),
    "larger than networks": (
        lambda path: model(path, ["images"], ["scores"], shape=(1, 300, 400)),
        "x.onnx', size=(300, 400)), and audit my_detector.py:detector",
    ),
}


@pytest.mark.parametrize("name", BAD_ONNX)
def test_bad_onnx_files_are_refused(name, run, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, message = BAD_ONNX[name]
    make(tmp_path / "x.onnx")
    status, said, left = run(str(tmp_path / "x.onnx"))
    assert (status, left) == (2, [])
    assert message in said


def test_of_several_outputs_the_scores_are_taken_or_named(run, tmp_path):
    path = model(tmp_path / "x.onnx", ["images"], ["label", "scores"], kind="INT64")
    expected = odd().float().mean((1, 2, 3)) / 255
    for settings in ({}, {"output": "scores"}):
        found = wrap(path, **settings).decision_function(odd())
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    status, said, left = run(str(path), "--output", "label")
    assert (status, left) == (2, [])
    assert "choose one of ['scores']" in said
    status, said, _ = run(str(path), "--output", "logits")
    assert status == 2
    assert "has no output 'logits'; choose one of ['label', 'scores']" in said
