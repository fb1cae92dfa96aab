"""``python -m badsad_lib attack``: what is asked for, what is written, what is left behind."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badsad_lib import DeepSAD, checkpoints, datasets, plots, splits
from badsad_lib.__main__ import main
from badsad_lib._commands import attack as attack_command
from badsad_lib._commands import attack_figures
from badsad_lib.attacks import BadSAD, DataPoisoning
from badsad_lib.report import BackdoorReport, backdoor_report
from badsad_lib.triggers import Blend, Border, Patch, Sinusoid, Universal, Warp

pytestmark = pytest.mark.slow

BRIEF = {"epochs": 1, "pretrain_epochs": 0, "device": "cpu"}
QUICK = ["--data", "mnist", "--epochs", "1", "--pretrain-epochs", "0", "--device", "cpu"]
OPTIONS = ["--normal-class", "3", "--known-anomaly-classes", "5", "8", "--seed", "4",
           "--size", "4", "--poison-rate", "0.2", "--quantile", "0.9"]  # fmt: skip
RESULTS = {"clean.safetensors", "victim.safetensors", "report.json"}
FIGURES = {"triggered_pairs.png", "score_histogram.png", "asr_by_threshold.png"}


def attack(*argv: str, out: Path, umap: bool = False) -> int:
    return main(["attack", *QUICK, *argv, "--out", str(out), *([] if umap else ["--no-umap"])])


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the figures: they take seconds."""
    monkeypatch.setattr(attack_figures, "draw", lambda *_: {})


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, str]:
    """A folder that the command has written, and what it printed."""
    folder = tmp_path_factory.mktemp("attacks") / "three"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert attack(*OPTIONS, "--json", out=folder) == 0
    return folder, out.getvalue()


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text("utf-8"))


def as_report(values: dict[str, Any]) -> BackdoorReport:
    """Turn what JSON holds into the report again: it has neither NaN nor numbers as keys."""
    values = {name: math.nan if value is None else value for name, value in values.items()}
    return BackdoorReport(**values | {"asr_at": {float(q): v for q, v in values["asr_at"].items()}})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.slow
def test_detectors_report_and_figures_are_written_and_nothing_else(done):
    folder, _ = done
    assert names(folder) == RESULTS | FIGURES
    assert names(folder.parent) == {"three"}
    for name in FIGURES:
        pixels = np.asarray(Image.open(folder / name).convert("L"))
        assert min(pixels.shape) > 300, name
        assert pixels.std() > 10, name


@pytest.mark.slow
def test_as_json_the_report_on_stdout_is_the_file(done):
    folder, printed = done
    assert printed == (folder / "report.json").read_text("utf-8")
    json.loads(printed, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert told(folder)["report"]["sham_asr"] is None


@pytest.mark.slow
def test_for_people_the_report_on_stdout_is_the_file_too(done, tmp_path, capsys, no_figures):
    assert attack(*OPTIONS, out=tmp_path / "again") == 0
    out = capsys.readouterr().out
    assert told(tmp_path / "again")["report"] == told(done[0])["report"]
    assert out.endswith(f"\n{as_report(told(done[0])['report'])}\n")
    assert out.splitlines()[:4] == [
        f"folder                    {tmp_path / 'again'}",
        "normal class              3 (3) of mnist, course",
        "method                    extended, poison rate 0.2",
        "trigger                   patch, size 4",
    ]


@pytest.mark.slow
def test_the_report_is_what_the_library_gives(done):
    split = splits.one_vs_rest(datasets.load("mnist"), 3, known_anomaly_classes=[5, 8], seed=4)
    clean = DeepSAD(**BRIEF, seed=4).fit(split.train_images, split.train_labels)
    victim = BadSAD.extended(Patch(4), 0.2, seed=4).attack(
        DeepSAD(**BRIEF, seed=4), split.train_images, split.train_labels
    )
    report = backdoor_report(victim, clean, split, Patch(4), quantile=0.9)
    assert str(as_report(told(done[0])["report"])) == str(report)


@pytest.mark.slow
def test_both_detectors_load_and_re_score_to_the_report(done):
    folder, _ = done
    clean, victim = (DeepSAD.load(folder / f"{name}.safetensors") for name in ("clean", "victim"))
    about = victim.about_
    split = splits.one_vs_rest(
        datasets.load(about["data"], about["subset"]),
        about["normal_class"],
        known_anomaly_classes=about["known_anomaly_classes"],
        seed=about["seed"],
    )
    assert about["trigger"] == {"name": "patch", "size": 4}
    trigger = Patch(about["trigger"]["size"])
    report = backdoor_report(victim, clean, split, trigger, quantile=about["quantile"])
    assert str(as_report(told(folder)["report"])) == str(report)
    assert victim.threshold_ == report.threshold


@pytest.mark.slow
def test_evaluate_works_on_what_attack_saved(done, capsys):
    folder, _ = done
    report = told(folder)["report"]
    for name, area in (("victim", report["auroc"]), ("clean", report["clean_auroc"])):
        assert main(["evaluate", str(folder / f"{name}.safetensors"), "--json"]) == 0
        evaluated = json.loads(capsys.readouterr().out)
        assert evaluated["auroc"] == area
        assert evaluated["quantile"] == 0.9
    assert main(["evaluate", str(folder / "victim.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["detection_rate"] == report["detection_rate"]


@pytest.mark.slow
def test_the_record_tells_which_detector_is_which_and_how_it_was_made(done):
    folder, _ = done
    ordinary = {
        "data": "mnist",
        "subset": "course",
        "normal_class": 3,
        "labeled_anomaly_ratio": 0.05,
        "known_anomaly_classes": [5, 8],
        "pollution": 0.0,
        "seed": 4,
    }
    attacked = {
        "quantile": 0.9,
        "method": "extended",
        "trigger": {"name": "patch", "size": 4},
        "poison_rate": 0.2,
    }
    clean, victim = (DeepSAD.load(folder / f"{name}.safetensors") for name in ("clean", "victim"))
    assert clean.about_ == {**ordinary, "role": "clean twin"}
    assert victim.about_ == {**ordinary, **attacked, "role": "victim"}
    document = told(folder)
    assert document["settings"] == {**ordinary, **attacked}
    assert {"epochs": 1, "device": "cpu"}.items() <= document["detector"].items()
    assert all(seconds > 0 for seconds in document["seconds"].values())
    assert set(document["seconds"]) == {"clean", "victim"}
    assert "torch" in document["versions"]


def test_each_training_says_what_it_is(tmp_path, capsys, no_figures):
    assert attack("--method", "data-only", out=tmp_path / "x") == 0
    out, err = capsys.readouterr()
    assert re.search(r"^clean twin\n[^\n]*training: 100%[^\n]*\nvictim\n[^\n]*training: 100%", err)
    assert "epoch" not in out
    assert "method                    data-only, poison rate 0.1\n" in out


@pytest.mark.slow
def test_the_maps_show_four_groups_and_the_center_for_both_detectors(tmp_path, monkeypatch):
    mapped, drawn = [], {}

    def coordinates(latents):
        mapped.append(latents)
        return latents[:, :2]

    def latent_maps(maps, groups, draw=plots.latent_maps):
        drawn.update(maps=maps, groups=groups)
        return draw(maps, groups)

    monkeypatch.setattr(plots, "umap_coordinates", coordinates)
    monkeypatch.setattr(plots, "latent_maps", latent_maps)
    assert attack(out=tmp_path / "x", umap=True) == 0
    assert names(tmp_path / "x") == RESULTS | FIGURES | {"latent_maps.png"}
    assert list(drawn["maps"]) == ["clean twin", "victim"]
    # 250 images are left to train on, and a tenth of them is poisoned.
    assert {name: drawn["groups"].count(name) for name in drawn["groups"]} == {
        "normal": 100,
        "poisoned normal": 25,
        "anomaly": 300,
        "triggered anomaly": 300,
        "center": 1,
    }
    for name, latents in zip(("clean", "victim"), mapped, strict=True):
        detector = DeepSAD.load(tmp_path / "x" / f"{name}.safetensors")
        assert np.array_equal(latents[-1], detector.center_.numpy())
        split = splits.one_vs_rest(datasets.load("mnist"), 0)
        normals = detector.encode(split.test_normals)
        assert np.allclose(latents[:100], normals, atol=1e-5)


@pytest.mark.trial
@pytest.mark.slow
def test_a_learned_pattern_is_saved_and_re_scores_to_the_report(tmp_path, capsys, no_figures):
    folder = tmp_path / "x"
    options = ["--epochs", "3", "--trigger", "universal", "--epsilon", "16/255"]
    assert attack(*options, out=folder) == 0
    out, err = capsys.readouterr()
    assert names(folder) == RESULTS | {"trigger.safetensors"}
    assert len(re.findall(r"training: 100%[^\n]*\n", err)) == 3
    assert "victim, trained twice" in err

    tensors, about = checkpoints.load(folder / "trigger.safetensors")
    trigger = Universal(about["epsilon"], tensors["pattern"])
    victim, clean = (DeepSAD.load(folder / f"{name}.safetensors") for name in ("victim", "clean"))
    assert victim.about_["trigger"] == {"name": "universal", "epsilon": 16 / 255}
    split = splits.one_vs_rest(datasets.load("mnist"), 0)
    report = backdoor_report(victim, clean, split, trigger)
    document = told(folder)
    assert str(as_report(document["report"])) == str(report)
    # The same bound spent on a clean detector is the control of a learned trigger.
    without_backdoor = document["perturbation_asr"]
    assert 0 <= without_backdoor <= 1
    assert f"same bound, clean twin    ASR {without_backdoor:.3f}" in out


@pytest.mark.slow
def test_without_known_anomalies_none_is_learned_against_the_clean_twin(
    tmp_path, capsys, no_figures
):
    assert attack("--trigger", "universal", "--labeled-ratio", "0", out=tmp_path / "x") == 0
    assert told(tmp_path / "x")["perturbation_asr"] is None
    assert "same bound" not in capsys.readouterr().out


# --- what is asked for ----------------------------------------------------------------------------


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return a function that starts an attack and, in place of training, returns it."""

    def fit(detector, *_):
        detector.initial_state_ = {}
        return detector

    def start(*argv: str) -> tuple[Any, DeepSAD]:
        caught = []
        for kind in (BadSAD, DataPoisoning):
            monkeypatch.setattr(kind, "attack", lambda *a, **_: (caught.append(a), interrupt()))
        assert attack(*argv, out=tmp_path / "x") == 130
        assert not (tmp_path / "x").exists()
        [(attack_, detector, *_)] = caught
        return attack_, detector

    monkeypatch.setattr(DeepSAD, "fit", fit)
    return start


TRIGGERS = {
    "patch": (Patch(), ["--size", "5"], Patch(5)),
    "border": (Border(), ["--width", "2"], Border(2)),
    "faint-border": (Border(strength=0.25), ["--width", "2"], Border(2, 0.25)),
    "blend": (Blend(), ["--alpha", "0.1"], Blend(0.1)),
    "rings": (Blend(pattern="rings"), ["--alpha", "3/10"], Blend(0.3, "rings")),
    "sinusoid": (Sinusoid(), ["--amplitude", "40/255"], Sinusoid(40 / 255)),
    "warp": (Warp(), ["--strength", "0.8"], Warp(strength=0.8)),
    "universal": (Universal(), ["--epsilon", "16/255"], Universal(16 / 255)),
}


@pytest.mark.parametrize("name", TRIGGERS)
def test_each_trigger_is_the_library_s_and_takes_its_parameter(name, asked):
    default, option, changed = TRIGGERS[name]
    assert asked("--trigger", name)[0] == BadSAD.extended(default)
    assert asked("--trigger", name, *option)[0] == BadSAD.extended(changed)


def test_each_method_is_the_library_s_and_takes_rate_and_seed(asked):
    options = ["--poison-rate", "0.3", "--seed", "7", "--method"]
    assert asked(*options, "extended")[0] == BadSAD.extended(Patch(), 0.3, 7)
    assert asked(*options, "basic")[0] == BadSAD.basic(Border(), 0.3, 7)
    assert asked(*options, "basic", "--trigger", "patch")[0] == BadSAD.basic(Patch(), 0.3, 7)
    assert asked(*options, "data-only")[0] == DataPoisoning(Patch(), 0.3, seed=7)


def test_every_option_of_the_training_arrives(asked):
    options = {"--eta": 2.5, "--lr": 5e-4, "--seed": 7, "--pretrain-epochs": 1, "--epochs": 2}
    argv = [word for option, value in options.items() for word in (option, str(value))]
    _, detector = asked(*argv)
    expected = {option.strip("-").replace("-", "_"): value for option, value in options.items()}
    assert expected.items() <= detector.get_params().items()


def test_the_defaults_in_the_help_are_the_library_s(capsys):
    with pytest.raises(SystemExit):
        main(["attack", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option, default in {
        "size": Patch().size,
        "alpha": Blend().alpha,
        "amplitude": f"{Sinusoid().amplitude * 255:g}/255",
        "strength": Warp().strength,
        "epsilon": f"{Universal().epsilon * 255:g}/255",
        "poison-rate": BadSAD(Patch()).poison_rate,
    }.items():
        assert re.search(rf" --{option} [A-Z]+ [^(]*\(default: {default}\)", text), option


# --- errors ---------------------------------------------------------------------------------------

BAD_REQUESTS = {
    "rate 0": (["--poison-rate", "0"], r"poison_rate must lie in \(0, 1\], got 0"),
    "rate above 1": (["--poison-rate", "1.5"], r"poison_rate must lie in \(0, 1\], got 1.5"),
    "rate nan": (["--poison-rate", "nan"], r"poison_rate must lie in \(0, 1\], got nan"),
    "no patch": (["--size", "0"], "size must be an integer of at least 1, got 0"),
    "patch too large": (["--size", "28"], "a patch of 28 pixels .* does not fit into 28 pixels"),
    "alpha": (["--trigger", "blend", "--alpha", "2"], r"alpha must lie in \(0, 1\], got 2"),
    "amplitude": (["--trigger", "sinusoid", "--amplitude", "nan"], "amplitude must lie in"),
    "strength": (["--trigger", "warp", "--strength", "-1"], "strength must be a finite number"),
    "epsilon": (["--trigger", "universal", "--epsilon", "0/255"], "epsilon must lie in"),
    "epsilon below a gray level": (
        ["--trigger", "universal", "--epsilon", "0.001"],
        "epsilon must be at least 1/255, one gray level",
    ),
    "other parameter": (
        ["--trigger", "blend", "--size", "3"],
        "--size does not belong to --trigger blend, which takes --alpha",
    ),
    "two parameters": (
        ["--size", "3", "--epsilon", "0.1"],
        "--epsilon does not belong to --trigger patch, which takes --size",
    ),
    "learned from data": (
        ["--trigger", "universal", "--method", "data-only"],
        "--trigger universal is learned in training",
    ),
    "no such class": (["--normal-class", "10"], r"normal_class must be in 0\.\.9.*got 10"),
    "ratio": (["--labeled-ratio", "1.5"], r"labeled_anomaly_ratio must lie in \[0, 1\), got 1.5"),
    "epochs": (["--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "seed": (["--seed", "-1"], "seed must be an integer of at least 0.*, got -1"),
    "device": (["--device", "abacus"], "device 'abacus' cannot be used here"),
}


def one_clear_line(capsys, message: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last)
    assert "Traceback" not in err


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused_before_training_in_one_clear_line(
    case, tmp_path, capsys, monkeypatch
):
    options, message = BAD_REQUESTS[case]
    monkeypatch.setattr(DeepSAD, "fit", lambda *_: pytest.fail("refused too late"))
    assert attack(*options, out=tmp_path / "x") == 2
    one_clear_line(capsys, message)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_diverges_writes_nothing(tmp_path, capsys):
    assert attack("--lr", "1e30", out=tmp_path / "x") == 2
    one_clear_line(capsys, "training diverged in epoch 1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--trigger", "sticker"], "invalid choice"),
        (["--method", "magic"], "invalid choice"),
        (["--size", "3.5"], "invalid int value"),
        (["--alpha", "1/0"], "must be a number or a fraction such as 8/255, got 1/0"),
        (["--epsilon", "much"], "must be a number or a fraction such as 8/255, got much"),
        (["--quantile", "95"], "must lie between 0 and 1, got 95"),
    ],
)
def test_wrong_arguments_end_with_status_2(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["attack", *argv])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(DeepSAD, "fit", lambda *_: pytest.fail("refused too late"))
    (tmp_path / "file").touch()
    for out, message in (("file", "is a file; name a folder"), ("file/x", "cannot write into")):
        assert attack(out=tmp_path / out) == 2
        one_clear_line(capsys, message)


def test_an_earlier_attack_is_overwritten_only_by_force(tmp_path, capsys, monkeypatch, no_figures):
    old = {"report.json", "trigger.safetensors", "score_histogram.png", "latent_maps.png"}
    for name in (*old, "notes.txt"):
        (tmp_path / name).write_bytes(b"precious")
    with monkeypatch.context() as patch:
        patch.setattr(DeepSAD, "fit", lambda *_: pytest.fail("refused too late"))
        assert attack(out=tmp_path) == 2
    one_clear_line(capsys, "exists already; overwrite it with --force")
    assert all((tmp_path / name).read_bytes() == b"precious" for name in old)

    assert attack("--force", out=tmp_path) == 0
    # Of the earlier attack nothing is left that the new one could be mistaken to have written.
    assert names(tmp_path) == RESULTS | {"notes.txt"}
    assert told(tmp_path)["settings"]["data"] == "mnist"
    assert (tmp_path / "notes.txt").read_bytes() == b"precious"


# --- Ctrl-C ---------------------------------------------------------------------------------------

MOMENTS = {
    "training the clean twin": (DeepSAD, "fit"),
    "training the victim": (BadSAD, "attack"),
    "measuring": (attack_command, "backdoor_report"),
    "writing": (checkpoints, "save"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_nothing_behind(moment, tmp_path, capsys, monkeypatch, no_figures):
    monkeypatch.setattr(*MOMENTS[moment], interrupt)
    assert attack(out=tmp_path / "deeper" / "x") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_writing_keeps_the_old_files_whole(tmp_path, monkeypatch, no_figures):
    write_text = Path.write_text

    def half(path, text, **options):
        write_text(path, text[: len(text) // 2], **options)
        interrupt()

    (tmp_path / "report.json").write_text("the old one")
    monkeypatch.setattr(Path, "write_text", half)
    assert attack("--force", out=tmp_path) == 130
    assert names(tmp_path) == {"report.json"}
    assert (tmp_path / "report.json").read_text("utf-8") == "the old one"


# --- figures that fail ----------------------------------------------------------------------------


def cannot_draw() -> None:
    raise RuntimeError("cannot cache function: no locator available")


def test_a_figure_that_fails_costs_nothing_that_was_measured(tmp_path, capsys, monkeypatch):
    def drawings(*arguments, draw=attack_figures.draw):
        return draw(*arguments) | {"score_histogram.png": cannot_draw}

    monkeypatch.setattr(attack_figures, "draw", drawings)
    assert attack("--json", out=tmp_path / "x") == 2
    out, err = capsys.readouterr()
    assert names(tmp_path / "x") == RESULTS | FIGURES - {"score_histogram.png"}
    assert out == (tmp_path / "x" / "report.json").read_text("utf-8")
    for name in ("clean", "victim"):
        DeepSAD.load(tmp_path / "x" / f"{name}.safetensors")
    last = err.splitlines()[-1]
    assert last.startswith(f"error: both detectors and the report are in {tmp_path / 'x'}, but")
    assert "(score_histogram.png: RuntimeError('cannot cache function: no locator" in last


@pytest.mark.parametrize("trouble", [cannot_draw, interrupt])
def test_when_no_figure_can_be_drawn_the_results_are_there(tmp_path, monkeypatch, trouble):
    """Of another attack's figures none is left beside them."""
    (tmp_path / "latent_maps.png").write_bytes(b"old")
    monkeypatch.setattr(attack_figures, "draw", lambda *_: {"latent_maps.png": trouble})
    assert attack("--force", out=tmp_path) == (130 if trouble is interrupt else 2)
    assert names(tmp_path) == RESULTS
    assert told(tmp_path)["settings"]["data"] == "mnist"
