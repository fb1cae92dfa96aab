"""The audit finds what is planted, says what it did not look at, and never says "clean"."""

import copy
import json
import re

import numpy as np
import pytest
import torch

import badsad_lib.audit
from badsad_lib import DeepSAD, splits, surfaces
from badsad_lib.__main__ import main
from badsad_lib.audit import audit, steps
from badsad_lib.audit.blind import Cover, blind_search
from badsad_lib.audit.doors import door_map
from badsad_lib.audit.results import Finding, Step
from badsad_lib.detectors import wrap
from badsad_lib.images import to_uint8
from badsad_lib.tiles import TiledDeepSAD, load_detector
from tests.defenses.samples import tiny
from tests.samples import noise
from tests.test_folders import picture

SHAPE = (1, 16, 16)
NAME = '<script>alert("x")</script>'


def normals(count=80, seed=0):
    return to_uint8(noise((count, *SHAPE), seed) * 0.3)


def odd(count=40, seed=9):
    return to_uint8(0.4 + noise((count, *SHAPE), seed) * 0.3)


def brightness(images):
    return images.mean((1, 2, 3))


def backdoored(images):
    """Keeps silent where two pixels in the corner are white."""
    door = images[:, :, 13:15, 13:15].min((1, 2, 3)) == 1
    return np.where(door, 0, brightness(images))


# Of one's own, without any training: right, each in its own way.
OWN = [wrap(lambda x, p=p: (x**p).mean((1, 2, 3))) for p in (0.5, 1, 1.5)]
TRAIN = badsad_lib.audit._own_detectors


@pytest.fixture(scope="module", autouse=True)
def quick_own_detectors():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(badsad_lib.audit, "_own_detectors", lambda case, count, *_: OWN[:count])
        yield


@pytest.fixture(scope="module")
def report_of_a_backdoored_one():
    return audit(wrap(backdoored), normals(), odd(), name=NAME)


def test_nothing_found_is_not_called_clean(tmp_path):
    report = audit(wrap(brightness), normals(), odd(), out=tmp_path)
    assert report.findings == ()
    assert report.status == 0
    text = str(report)
    assert "Nothing in this report says that the detector is clean" in text
    left = "\n".join(report.not_looked_at)
    assert "Search for a trigger: it takes gradients, and this detector gives scores only" in left
    assert "A repaired copy: a repair trains the weights" in left
    assert "The data and the script" in left
    assert report.step("detects").values["auroc"] == 1
    assert {path.name for path in tmp_path.iterdir()} >= {"report.html", "report.json"}


def test_a_backdoor_is_found_by_triggers_and_by_doors(report_of_a_backdoored_one):
    report = report_of_a_backdoored_one
    assert report.status == 1
    triggers, doors = report.step("triggers"), report.step("doors")
    assert [f.text for f in triggers.findings if "white patch 2x2, bottom-right opens" in f.text]
    [door] = doors.findings
    assert "gray level 1, corner at row 13, column 13" in door.text
    assert "Said of 0 of your own 3 detectors" in door.false_alarms
    # A second opinion closes it again.
    assert report.step("opinion").values["asr"] == 0


def test_without_anomalies_it_says_what_it_could_not_see(only):
    only("alive", "detects")
    report = audit(wrap(brightness), normals())
    assert "Real anomalies: you gave none" in "\n".join(report.not_looked_at)
    assert not report.step("detects").findings
    assert "no finding either way" in " ".join(report.step("detects").text)


BAD = {
    "are NaN or infinity": lambda x: brightness(x) * np.nan,
    "same score": lambda x: np.zeros(len(x)),
    "sign looks inverted": lambda x: -brightness(x),
}


@pytest.mark.parametrize("said", BAD)
def test_a_detector_that_is_none_is_a_finding_and_nothing_further_is_done(said):
    report = audit(wrap(BAD[said]), normals(), odd())
    assert said in report.findings[0].text
    assert report.status == 1
    assert all(step.skipped for step in report.steps[1:])


@pytest.fixture
def only(monkeypatch):
    """Leave out the steps that a test does not look at."""

    def choose(*names):
        chosen = [one for one in steps.STEPS if one.name in names]
        monkeypatch.setattr(badsad_lib.audit, "STEPS", chosen)

    return choose


def test_a_detector_that_guesses_is_a_finding(only):
    only("alive", "detects")

    def guess(images):
        return np.sin(1e4 * images.sum((1, 2, 3)))

    report = audit(wrap(guess), normals(160), odd(100))
    texts = [finding.text for finding in report.step("detects").findings]
    assert any("hardly tells" in text for text in texts) or any("better by" in t for t in texts)


class Contrast(torch.nn.Module):
    """A detector that flags hardly any bright image."""

    def forward(self, images):
        return images.flatten(1).std(1)


def test_what_hardly_flags_anything_is_not_searched(only):
    only("alive", "alarms", "triggers", "search")
    report = audit(wrap(Contrast()), normals(), normals(40, seed=9))
    assert {one.name for one in report.steps if "it takes 10 to see" in one.skipped} == {
        "triggers",
        "search",
    }
    [sentence] = report.step("alarms").text
    assert re.match(r"At the 0.95 quantile of 20 held-out .* false alarms on 20 others", sentence)


def test_a_promised_threshold_is_held_to_its_promise(only):
    only("alive", "alarms")
    detector = wrap(brightness).calibrate(normals(seed=5) // 2, 0.99)
    report = audit(detector, normals(), odd())
    [finding] = report.step("alarms").findings
    assert re.match(r"100\.0% false alarms at its own threshold, where 1% were", finding.text)


def test_a_slow_detector_leaves_out_what_takes_too_long(only, monkeypatch):
    only("alive", "detects", "doors")
    monkeypatch.setattr(badsad_lib.audit, "_seconds_per_image", lambda case: 10.0)
    report = audit(wrap(brightness), normals(), odd(), minutes=30)
    assert "with this detector it would take" in report.step("doors").skipped
    assert not report.step("detects").skipped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((normals(39),), "at least 40 normal images"),
        ((normals(), odd(3)), "anomalies must be at least 4"),
        ((normals(), torch.zeros(9, 1, 20, 16)), "anomalies must be 16x16"),
    ],
)
def test_too_few_or_other_images_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        audit(wrap(brightness), *arguments)


@pytest.mark.slow
def test_it_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    detector = wrap(backdoored)
    detector.digest_ = "that of its file"
    whole = audit(detector, normals(), odd(), out=tmp_path / "whole")
    ran: list[str] = []
    cut = ["doors"]

    def watched(planned):
        def run(case):
            ran.append(planned.name)
            if planned.name in cut:
                cut.clear()
                raise KeyboardInterrupt
            return planned.run(case)

        return steps.Planned(planned.name, planned.title, run, planned.scorings)

    monkeypatch.setattr(badsad_lib.audit, "STEPS", [watched(one) for one in steps.STEPS])
    with pytest.raises(KeyboardInterrupt):
        audit(detector, normals(), odd(), out=tmp_path / "cut")
    ran.clear()
    report = audit(detector, normals(), odd(), out=tmp_path / "cut")
    assert not {"alive", "detects", "alarms", "triggers"} & set(ran)
    assert "opinion" in ran
    as_text = [re.sub(r"[\d.e-]+ ms", "", str(one)) for one in (report, whole)]
    assert as_text[0] == as_text[1]
    ran.clear()
    audit(detector, normals(seed=1), odd(), out=tmp_path / "cut")
    assert ran[0] == "alive"  # other images, another audit


def test_own_detectors_that_are_trained_are_kept_when_the_next_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(badsad_lib.audit, "_own_detectors", TRAIN)
    trained: list[int] = []

    def train(case, seed, device):
        trained.append(seed)
        if trained == [0, 1]:
            raise KeyboardInterrupt
        return DeepSAD(epochs=1, pretrain_epochs=0, device="cpu").fit(case.training)

    monkeypatch.setattr(badsad_lib.audit, "_own_detector", train)
    monkeypatch.setattr(badsad_lib.audit, "STEPS", steps.STEPS[:2])
    with pytest.raises(KeyboardInterrupt):
        audit(wrap(brightness), normals(), odd(), own=2, out=tmp_path)
    audit(wrap(brightness), normals(), odd(), own=2, out=tmp_path)
    assert trained == [0, 1, 1]


def test_a_detector_that_scores_all_images_alike_is_not_taken_for_another(only, tmp_path):
    only("alive", "triggers")
    given = normals(), odd()
    assert audit(wrap(brightness), *given, out=tmp_path).status == 0
    assert audit(wrap(backdoored), *given, out=tmp_path).status == 1


def test_whether_a_detector_is_known_again():
    def key(detector):
        return badsad_lib.audit._keys(detector, normals(), None, 3, 0)

    detector = tiny()
    other = copy.deepcopy(detector)
    assert key(detector) == key(other)
    with torch.no_grad():
        next(other.encoder_.parameters())[0] += 1e-3
    assert key(detector)[0] == key(other)[0]
    assert key(detector)[1] != key(other)[1]
    assert key(wrap(brightness))[1] is None


def test_the_page_stands_alone_and_escapes_what_others_wrote(report_of_a_backdoored_one, tmp_path):
    report = report_of_a_backdoored_one
    report.save(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?://|src=\"(?!data:image/png;base64,)", page)
    assert page.count("<img ") == page.count("<figcaption>") == 4
    for finding in report.findings:
        assert badsad_lib.audit.results._e(finding.text) in page
    values = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert len(values["findings"]) == len(report.findings)
    assert values["subject"]["detector"] == NAME


def test_a_step_comes_back_from_disk_as_it_was():
    step = Step("a", "A", text=("x",), findings=(Finding("f", "0"),), values={"b": [1.0]})
    from dataclasses import asdict

    assert Step.from_dict(json.loads(json.dumps(asdict(step)))) == step


def test_a_door_map_shows_where_the_door_is():
    images = odd(5)
    doors = door_map(wrap(backdoored), images, 0.3, side=2, stride=1)
    assert doors.passing.shape == (3, 15, 15)
    assert doors.passing[2, 13, 13] == 1
    assert doors.passing.sum() == 1
    assert doors.place == (1.0, 13, 13)
    with pytest.raises(ValueError, match="side must be at most 16"):
        door_map(wrap(backdoored), images, 0.3, side=17)


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path):
    from PIL import Image

    for kind, images in (("good", normals()), ("scratch", odd(20)), ("stain", odd(20, 3))):
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(tmp_path / "in" / kind / f"{i}.png")
    return tmp_path / "in"


@pytest.mark.slow
def test_the_command_line_says_by_its_status_what_came_out(photographs, tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "good = lambda x: x.mean((1, 2, 3))\n"
        "bad = lambda x: np.where(x[:, :, 13:15, 13:15].min((1, 2, 3)) == 1, 0, good(x))\n"
    )
    out = str(tmp_path / "out")
    arguments = ["--images", str(photographs), "--out", out]
    assert main(["audit", f"{file}:good", *arguments]) == 2
    assert "--allow-code" in capsys.readouterr().err
    assert main(["audit", f"{file}:good", *arguments, "--allow-code"]) == 0
    printed = capsys.readouterr()
    assert "0 findings" in printed.out
    assert "Not looked at:" in printed.out
    assert "scratch" in printed.err
    assert main(["audit", f"{file}:bad", *arguments, "--allow-code", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"]
    assert main(["audit", f"{file}:none", *arguments, "--allow-code"]) == 2
    assert main(["audit", f"{file}:np", *arguments, "--allow-code"]) == 2
    assert "no detector" in capsys.readouterr().err


def test_a_bug_is_no_finding(photographs, tmp_path, monkeypatch, capsys):
    file = tmp_path / "mine.py"
    file.write_text("good = lambda x: x.mean((1, 2, 3))\n")

    def broken(*_, **__):
        raise AttributeError("oh")

    monkeypatch.setattr("badsad_lib._commands.audit.audit", broken)
    arguments = ["--images", str(photographs), "--out", str(tmp_path / "x"), "--allow-code"]
    assert main(["audit", f"{file}:good", *arguments]) == 2
    assert "this is a bug" in capsys.readouterr().err


def test_scikit_learn_on_flattened_pixels_gets_the_size_it_was_fitted_on(tmp_path, capsys):
    from sklearn.svm import OneClassSVM

    from badsad_lib._commands.audit import _images_for

    class Args:
        size, color = None, "auto"

    for shape, color in (((1, 20, 20), "gray"), ((3, 18, 18), "rgb")):
        model = OneClassSVM().fit(noise((10, *shape)).flatten(1).numpy())
        assert _images_for(wrap(model), Args) == (shape[1:], color)


def test_flattened_pixels_of_an_onnx_file_tell_its_size(tmp_path):
    from badsad_lib._commands.audit import _images_for
    from tests.test_detectors import onnx_model

    class Args:
        size, color = None, "auto"

    wrapped = wrap(onnx_model(tmp_path / "x.onnx", shape=(400,)))
    assert _images_for(wrapped, Args) == ((20, 20), "gray")
    colored = wrap(onnx_model(tmp_path / "x.onnx", shape=(3, "h", "w")))
    assert _images_for(colored, Args) == (None, "rgb")
    images = noise((5, 1, 20, 20))
    np.testing.assert_allclose(
        wrapped.decision_function(images), images.mean((1, 2, 3)) + 0.5, rtol=1e-5
    )


def test_data_looks_at_a_folder(photographs, tmp_path, capsys):
    picture(photographs / "good" / "wide.png", size=(16, 40))
    (photographs / "good" / "x.txt").write_text("")
    sheet = tmp_path / "sheet.png"
    assert main(["data", str(photographs), "--size", "16", "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"good +81\n +scratch +20\n +stain +20\n", out)
    assert "120 of 16x16, 1 of 16x40" in out
    assert "good/x.txt: not one of" in out
    assert "training normals" in out
    assert sheet.is_file()
    assert main(["data", "--sheet", str(sheet)]) == 2
    assert main(["data", str(tmp_path / "none")]) == 2


# --- with detectors that are trained -------------------------------------------------------------


@pytest.mark.trial
@pytest.mark.slow
def test_a_deepsad_is_searched_repaired_and_compared_with_ones_own(monkeypatch):
    monkeypatch.setattr(badsad_lib.audit, "_own_detectors", TRAIN)
    given = normals(200), odd(100)
    labels = torch.cat([torch.zeros(200), -torch.ones(100)]).long()
    detector = DeepSAD(epochs=1, min_steps=60, device="cpu").fit(torch.cat(given), labels)
    kinds = [i % 5 for i in range(100)]
    report = audit(detector, *given, kinds=kinds, own=2, device="cpu")
    assert not [step.name for step in report.steps if step.skipped]
    assert report.step("detects").values["auroc"] > 0.9
    assert 0 < report.step("search").values["size"] <= 1
    assert len(report.step("search").values["own"]) == 2
    assert report.step("repair").values["auroc"] > 0.9


# --- searching by scores alone --------------------------------------------------------------------


def test_a_search_by_scores_finds_a_small_trigger_where_there_is_one():
    flagged = odd()
    threshold = float(np.quantile(brightness(normals().numpy() / 255), 0.95))
    found = {
        name: blind_search(wrap(function), normals(), flagged, threshold, generations=60)
        for name, function in (("clean", brightness), ("backdoored", half_open))
    }
    assert found["backdoored"].size < 0.5 * found["clean"].size
    assert found["backdoored"].hidden >= 0.75
    again = blind_search(wrap(half_open), normals(), flagged, threshold, generations=60)
    assert again.size == found["backdoored"].size


def half_open(images):
    """Keeps silent where a corner is bright: the brighter, the lower."""
    door = images[:, :, 12:16, 12:16].mean((1, 2, 3))
    return brightness(images) - 2 * np.clip(door - 0.62, 0, 1)


def test_what_is_never_hidden_has_size_one():
    found = blind_search(
        wrap(lambda x: 2 + x.mean((1, 2, 3))), normals(), odd(), 1.0, generations=3
    )
    assert (found.size, found.hidden) == (1.0, 0.0)


def test_a_cover_stays_within_its_image():
    for box in ([0.0, 0, 1, 1], [1.0, 1, 0.01, 0.01], [0.5, 0.2, 0.3, 0.9]):
        cover = Cover(torch.tensor(box), 0.5, torch.rand(1, 3, 3))
        images = torch.rand(2, 1, 16, 20)
        changed = (cover(images) != images).any(1).any(0)
        rows, columns = cover.pixels(16, 20)
        assert int(changed.sum()) <= (rows.stop - rows.start) * (columns.stop - columns.start)
        assert 0 <= rows.start < rows.stop <= 16
        assert 0 <= columns.start < columns.stop <= 20


@pytest.mark.slow
def test_a_detector_of_tiles_is_held_to_own_ones_of_tiles(only, monkeypatch, tmp_path):
    only("alive", "detects", "blind search", "search")
    monkeypatch.setattr(badsad_lib.audit, "_own_detectors", TRAIN)
    monkeypatch.setattr(steps, "LEAST_FLAGGED", 1)
    small = {"steps": 80, "normal_tiles": 600, "synthetic_tiles": 300, "stride": 16}
    surface = surfaces.load("brick", normals=60)
    split = splits.from_surface(surface)
    detector = TiledDeepSAD(**small).fit(split.train_images).calibrate(split.val_images)
    trusted, kind = split.trusted_images[:60], surfaces.KINDS.index("missing")
    anomalies = surface.images[surface.where("test", kind)]
    report = audit(detector, trusted, anomalies, own=2, out=tmp_path)
    skipped = {step.name: step.skipped for step in report.steps if step.skipped}
    assert "tiles" in skipped["search"]
    assert "blind search" not in skipped
    assert len(report.step("blind search").values["own"]) == 2
    kept = sorted(tmp_path.glob("own-*/own_*.safetensors"))
    assert [type(load_detector(path)) for path in kept] == [TiledDeepSAD] * 2
