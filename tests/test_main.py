"""The command line, and the README that shows it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import badsad_lib
from badsad_lib import DeepSAD, _places, datasets, metrics, splits
from badsad_lib.__main__ import main
from tests.originals import write_cifar10, write_idx

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--data", "mnist", "--epochs", "1", "--pretrain-epochs", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("detectors") / "three.safetensors"
    options = ["--normal-class", "3", "--known-anomaly-classes", "5", "8", "--pollution", "0.02"]
    assert main(["train", *QUICK, *options, "--seed", "4", "--out", str(path), "--json"]) == 0
    return path


def report_of(capsys, *argv: str) -> dict:
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- data -----------------------------------------------------------------------------------------


def test_data_lists_counts_and_that_the_checksum_held(capsys):
    assert main(["data", "--subset", "course"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"mnist +course +4,000 +1,000 +1x28x28 +embedded, SHA-256 verified", out)
    assert re.search(r"fashion_mnist +course +20,000 +4,000 ", out)
    assert "7=Sneaker" in out
    assert "cifar10" not in out


def test_data_says_what_is_not_here_and_that_it_can_be_fetched(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "_download", lambda *_: pytest.fail("nobody asked for it"))
    assert main(["data", "--name", "mnist"]) == 0
    assert main(["data", "--name", "cifar10"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"mnist +course +4,000", out)
    for name in ("mnist", "cifar10"):
        assert re.search(rf"{name} +full +- .*not here; --fetch downloads it", out)
    assert main(["data", "--name", "cifar10", "--subset", "course"]) == 2
    assert "error: cifar10 has no course subset" in capsys.readouterr().err


def test_fetching_without_a_network_tells_the_other_ways(capsys, monkeypatch, tmp_path):
    def no_network(*_):
        raise OSError("no network")

    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "_download", no_network)
    assert main(["data", "--name", "mnist", "--subset", "full", "--fetch"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the full mnist is not here")
    assert "ways to get it" in error


def test_a_damaged_file_is_an_error(capsys, monkeypatch, tmp_path):
    (tmp_path / "mnist_course.npz").write_bytes(b"not an archive")
    monkeypatch.setattr(_places, "SHIPPED", tmp_path)
    monkeypatch.setattr(_places, "DATA", tmp_path)
    assert main(["data", "--name", "mnist", "--subset", "course"]) == 2
    assert "mnist_course.npz cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist", "cifar10"])
def test_a_full_set_that_is_not_the_published_one_is_an_error(capsys, monkeypatch, tmp_path, name):
    for folder in ("FashionMNIST", "MNIST"):
        write_idx(tmp_path / folder / "raw")
    write_cifar10(tmp_path)
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    assert main(["data", "--name", name, "--subset", "full"]) == 2
    out, err = capsys.readouterr()
    assert "verified" not in out
    assert re.match(rf"error: {tmp_path}.* is damaged or not the original file", err)


def test_data_says_what_a_full_set_was_verified_by(capsys, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda *_, load=datasets.load, **__: load("mnist"))
    for name, digest in (("mnist", "SHA-256"), ("fashion_mnist", "SHA-256"), ("cifar10", "MD5")):
        assert main(["data", "--name", name, "--subset", "full"]) == 0
        assert f"here, {digest} verified\n" in capsys.readouterr().out


# --- train and evaluate ---------------------------------------------------------------------------


def test_train_reports_what_the_library_gives(trained, capsys):
    report = report_of(capsys, "evaluate", str(trained))
    split = splits.one_vs_rest(
        datasets.load("mnist"), 3, known_anomaly_classes=[5, 8], pollution=0.02, seed=4
    )
    parameters = {"epochs": 1, "pretrain_epochs": 0, "device": "cpu", "seed": 4}
    detector = DeepSAD(**parameters).fit(split.train_images, split.train_labels)
    detector.calibrate(split.val_images, 0.95)
    scores, anomaly = detector.decision_function(split.test_images), split.test_is_anomaly.numpy()
    assert report["threshold"] == detector.threshold_
    assert report["auroc"] == metrics.auroc(scores[~anomaly], scores[anomaly])
    assert report["detection_rate"] == detector.predict(split.test_images)[anomaly].mean()
    assert report["false_alarms"] == detector.predict(split.test_images)[~anomaly].mean()
    assert (report["test_normals"], report["test_anomalies"]) == (100, 900)


def test_saved_then_evaluated_is_the_same_report(tmp_path, capsys):
    path = tmp_path / "deeper" / "two.safetensors"
    told = report_of(capsys, "train", *QUICK, "--normal-class", "2", "--out", str(path))
    assert told.pop("training_seconds") > 0
    assert report_of(capsys, "evaluate", str(path), "--device", "cpu") == told


def test_the_record_of_the_split_travels_with_the_detector(trained):
    assert DeepSAD.load(trained).about_ == {
        "data": "mnist",
        "subset": "course",
        "normal_class": 3,
        "labeled_anomaly_ratio": 0.05,
        "known_anomaly_classes": [5, 8],
        "pollution": 0.02,
        "seed": 4,
    }


def test_every_option_of_the_training_arrives(tmp_path, capsys):
    path = tmp_path / "d.safetensors"
    options = {"--eta": 2.5, "--lr": 5e-4, "--seed": 7, "--pretrain-epochs": 1, "--epochs": 2}
    argv = [word for option, value in options.items() for word in (option, str(value))]
    report = report_of(
        capsys, "train", *QUICK, *argv, "--labeled-ratio", "0", "--quantile", "0.9",
        "--normal-class", "1", "--out", str(path),
    )  # fmt: skip
    detector = DeepSAD.load(path)
    for option, value in options.items():
        assert detector.get_params()[option.strip("-").replace("-", "_")] == value, option
    assert len(detector.history_["pretrain_loss"]) == 1
    assert detector.about_["labeled_anomaly_ratio"] == 0
    assert report["quantile"] == 0.9
    val_images = splits.one_vs_rest(
        datasets.load("mnist"), 1, labeled_anomaly_ratio=0, seed=7
    ).val_images
    assert detector.predict(val_images).mean() == pytest.approx(0.1, abs=0.011)


def test_evaluate_takes_another_quantile_or_another_class(trained, capsys):
    as_saved = report_of(capsys, "evaluate", str(trained))
    stricter = report_of(capsys, "evaluate", str(trained), "--quantile", "0.5")
    assert stricter["auroc"] == as_saved["auroc"]
    assert stricter["quantile"] == 0.5
    assert stricter["threshold"] < as_saved["threshold"]
    assert stricter["detection_rate"] > as_saved["detection_rate"]
    # 5 is a known anomaly of this detector: the record must not stand in the way.
    assert main(["evaluate", str(trained), "--normal-class", "5", "--json"]) == 0
    told = capsys.readouterr()
    assert "note: this detector was trained with normal class 3, not 5 (5)" in told.err
    other = json.loads(told.out)
    assert (other["normal_class"], other["threshold"]) == (5, as_saved["threshold"])
    assert other["auroc"] != as_saved["auroc"]


def test_a_detector_saved_by_the_library_can_be_evaluated_by_naming_its_data(tmp_path, capsys):
    images = datasets.load("mnist").test.images[:64]
    detector = DeepSAD(epochs=1, pretrain_epochs=0, device="cpu").fit(images)
    path = str(detector.save(tmp_path / "own"))
    named = ["--data", "mnist", "--subset", "course", "--normal-class", "0"]
    assert main(["evaluate", path, *named]) == 2
    assert "has no threshold" in capsys.readouterr().err
    assert main(["evaluate", path, *named, "--quantile", "0.9"]) == 2
    assert "does not record the split" in capsys.readouterr().err
    detector.calibrate(images).save(path)
    assert main(["evaluate", path]) == 2
    assert "does not record its data" in capsys.readouterr().err
    assert report_of(capsys, "evaluate", path, *named)["quantile"] == 0.95


def test_results_go_to_stdout_and_progress_to_stderr(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    assert main(["train", *QUICK, "--normal-class", "1", "--out", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "training: 100%" in err
    assert "epoch" not in out
    words = [line.split("  ")[0] for line in out.splitlines()]
    assert words == [
        "detector", "normal class", "AUROC", "threshold", "false alarms", "detection rate"
    ]  # fmt: skip
    assert f"detector        {path}\n" in out
    assert "normal class    1 (1) of mnist, course\n" in out


def test_a_class_can_be_given_by_name(trained, capsys):
    named = ["evaluate", str(trained), "--data", "fashion_mnist", "--normal-class"]
    assert report_of(capsys, *named, "Ankle boot")["normal_class"] == 9
    assert main([*named, "Boot"]) == 2
    assert "no class 'Boot'; choose from T-shirt/top, Trouser" in capsys.readouterr().err


@pytest.mark.slow
def test_threads_are_set(trained):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            assert main(["evaluate", str(trained), "--threads", str(threads)]) == 0
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


# --- errors ---------------------------------------------------------------------------------------

BAD_REQUESTS = {
    "no such class": (["--normal-class", "10"], r"normal_class must be in 0\.\.9.*got 10"),
    "ratio": (["--labeled-ratio", "1.5"], r"labeled_anomaly_ratio must lie in \[0, 1\), got 1.5"),
    "too many": (["--labeled-ratio", "0.99"], "needs 24750 anomalies, but there are"),
    "known is normal": (["--known-anomaly-classes", "0"], "contain the normal class 0"),
    "epochs": (["--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "seed": (["--seed", "-1"], "seed must be an integer of at least 0.*, got -1"),
    "no course subset": (["--data", "cifar10"], "cifar10 has no course subset"),
    "device": (["--device", "abacus"], "device 'abacus' cannot be used here"),
    "diverging": (["--lr", "1e30"], "training diverged in epoch 1"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_one_clear_line_and_writes_nothing(case, tmp_path, capsys):
    options, message = BAD_REQUESTS[case]
    assert main(["train", *QUICK, *options, "--out", str(tmp_path / "x.safetensors")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last)
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that must be missing")
def test_a_device_that_is_not_there_is_an_error(trained, capsys):
    assert main(["evaluate", str(trained), "--device", "cuda"]) == 2
    assert "error: device 'cuda' cannot be used here: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "SUBCOMMAND"),
        (["train", "--threads", "0"], "must be positive and at most"),
        (["attack", "--threads", "100000"], "must be positive and at most"),
        (["evaluate", "x", "--threads", "two"], "must be positive and at most"),
        (["attic"], "invalid choice"),
        (["train", "--data", "imagenet"], "invalid choice"),
        (["train", "--quantile", "95"], "must lie between 0 and 1, got 95"),
        (["train", "--quantile", "nan"], "must lie between 0 and 1, got nan"),
        (["train", "--out", "model.pt"], "must end in .safetensors, got model.pt"),
        (["train", "--epochs", "many"], "invalid int value"),
        (["evaluate"], "PATH"),
    ],
)
def test_wrong_arguments_end_with_status_2(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_an_existing_detector_is_overwritten_only_by_force(tmp_path, capsys, monkeypatch):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"precious")
    argv = ["train", *QUICK, "--out", str(path)]
    with monkeypatch.context() as patch:
        patch.setattr(DeepSAD, "fit", lambda *_: pytest.fail("refused too late"))
        assert main(argv) == 2
    assert "exists already; overwrite it with --force" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"
    assert main([*argv, "--force"]) == 0
    assert DeepSAD.load(path).about_["normal_class"] == 0


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(DeepSAD, "fit", lambda *_: pytest.fail("refused too late"))
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").touch()
    for out, message in (
        ("folder.safetensors", "is a folder"),
        ("file/x.safetensors", "cannot write into"),
    ):
        assert main(["train", *QUICK, "--out", str(tmp_path / out)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no detector at"),
        (b"", "may be truncated"),
        (b"\x80\x04\x95" + bytes(20), "looks like a pickle"),
    ],
)
def test_a_file_that_is_no_detector_is_refused(content, message, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main(["evaluate", str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err


def test_a_record_in_another_form_is_refused(trained, tmp_path, capsys):
    detector = DeepSAD.load(trained)
    good = detector.about_
    for change in ({"seed": "four"}, {"normal_class": [3]}, {"pollution": "much"}):
        path = str(detector.save(tmp_path / "x", about=good | change))
        assert main(["evaluate", path, "--quantile", "0.9"]) == 2, change
        assert "error: the detector does not record the split" in capsys.readouterr().err


@pytest.mark.parametrize("bug", [AttributeError, RuntimeError, ZeroDivisionError, AssertionError])
def test_a_bug_says_that_it_is_one_and_keeps_its_traceback(bug, capsys, monkeypatch):
    def buggy(*_, **__):
        raise bug("a typo")

    monkeypatch.setattr(datasets, "load", buggy)
    assert main(["data"]) == 1
    err = capsys.readouterr().err
    assert "in buggy" in err
    assert f"error: {bug.__name__}: a typo\nthis is a bug in badsad_lib" in err


def test_memory_that_runs_out_is_no_bug(capsys, monkeypatch):
    def greedy(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(datasets, "load", greedy)
    assert main(["data"]) == 2
    assert capsys.readouterr().err == "error: CUDA out of memory\n"


@pytest.mark.parametrize("switch", ["option", "environment"])
def test_a_switch_shows_where_a_mistake_was_found(switch, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("BADSAD_DEBUG", raising=False)
    command = ["evaluate", str(tmp_path / "x.safetensors")]
    assert main(command) == 2
    assert "Traceback" not in capsys.readouterr().err
    if switch == "option":
        command.append("--traceback")
    else:
        monkeypatch.setenv("BADSAD_DEBUG", "1")
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("error: no detector at")


# --- Ctrl-C ---------------------------------------------------------------------------------------


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_ctrl_c_in_training_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(DeepSAD, "fit", interrupt)
    assert main(["train", *QUICK, "--out", str(tmp_path / "x.safetensors")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_writing_keeps_the_old_file_whole(tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def half(path, content):
        write_bytes(path, content[: len(content) // 2])
        interrupt()

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"the old one")
    monkeypatch.setattr(Path, "write_bytes", half)
    assert main(["train", *QUICK, "--out", str(path), "--force"]) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_bytes() == b"the old one"


def test_sigterm_while_writing_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    write_bytes = Path.write_bytes

    def half(path, content):
        write_bytes(path, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Path, "write_bytes", half)
    assert main(["train", *QUICK, "--out", str(tmp_path / "x.safetensors")]) == 143
    assert capsys.readouterr().err.splitlines()[-1] == "terminated"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture
def _in_the_foreground():
    """In the background of a script Ctrl-C is ignored, also by what is started from there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_in_the_foreground")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_imports_ends_at_once_and_quietly(number, status, tmp_path):
    (tmp_path / "torch.py").write_text(
        "import os, time\n"
        f"try:\n    os.kill(os.getpid(), {int(number)})\n    time.sleep(30)\n"
        "except BaseException as error:\n    raise ImportError('half imported') from error\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "badsad_lib", "data"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == status
    assert run.stderr in ("interrupted\n", "terminated\n")
    assert run.stdout == ""


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "badsad_lib", "data"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"data set")
        process.stdout.close()
        err = process.stderr.read()
    assert err == b""
    assert process.returncode == 141


@pytest.mark.usefixtures("_in_the_foreground")
@pytest.mark.slow
@pytest.mark.parametrize("subcommand", ["train", "attack"])
def test_a_real_ctrl_c(subcommand, tmp_path):
    command = [sys.executable, "-m", "badsad_lib", subcommand, *QUICK, "--epochs", "1000000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        seen = b""
        while b"epoch/s" not in seen and (more := process.stderr.read1(4096)):
            seen += more
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, seen + err
    assert out == b""
    # No line break before it if the signal arrives while the bar is drawn for the first time.
    assert err.endswith(b"interrupted\n")
    assert list(tmp_path.iterdir()) == []


# --- help -----------------------------------------------------------------------------------------


def help_of(subcommand: str, capsys) -> dict[str, str]:
    """Return the help text of each option, and of the example."""
    with pytest.raises(SystemExit) as stop:
        main([subcommand, "--help"])
    assert stop.value.code == 0
    _, *entries = re.split(r"\n(?=  --|Example)", capsys.readouterr().out)
    return {entry.split()[0]: " ".join(entry.split()) for entry in entries}


@pytest.mark.parametrize("subcommand", ["data", "train", "attack", "evaluate"])
def test_help_explains_every_option_gives_defaults_and_an_example(subcommand, capsys):
    texts = help_of(subcommand, capsys)
    assert texts.pop("Example:").startswith(f"Example: python -m badsad_lib {subcommand} ")
    assert len(texts) >= 3
    for option, text in texts.items():
        switch = option in ("--all", "--fetch", "--force", "--json", "--no-umap", "--traceback")
        assert switch or "(default: " in text, text


@pytest.mark.parametrize("subcommand", ["train", "attack"])
def test_the_defaults_of_training_are_those_of_the_library(subcommand, capsys):
    texts = help_of(subcommand, capsys)
    for name in ("epochs", "pretrain_epochs", "eta", "lr", "precision", "seed"):
        text, default = texts[f"--{name.replace('_', '-')}"], DeepSAD().get_params()[name]
        assert f"(default: {default})" in text


@pytest.mark.slow
def test_as_a_program(tmp_path):
    """One run in a process of its own: the module starts, from any folder."""
    run = subprocess.run(
        [sys.executable, "-m", "badsad_lib", "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == f"badsad_lib {badsad_lib.__version__}\n"


# --- the README -----------------------------------------------------------------------------------

README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


def console() -> list[tuple[list[str], str]]:
    """Return the arguments of each `python -m badsad_lib` shown, and the output shown under it."""
    runs = []
    for entry in "".join(blocks("console")).split("$ ")[1:]:
        command, _, output = entry.partition("\n")
        program, argv = command.split(" -m badsad_lib ")
        assert program == ".venv/bin/python"
        runs.append((shlex.split(argv), output))
    return runs


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))]


def without_numbers(text: str) -> str:
    return re.sub(r"[\d.,]+", "#", text)


def tolerance(line: str) -> dict[str, float]:
    """How far a line may be from the README: the last digits differ between processors."""
    if "threshold" in line:  # the least steady of all
        return {"rel": 0.5}
    if line.startswith("AUROC"):
        return {"abs": 0.02}
    return {"abs": 4 if "%" in line else 0.3 if "by quantile" in line else 0.1}


@pytest.mark.trial("README.md")
@pytest.mark.slow
def test_the_readme_shows_what_the_commands_print(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = console()
    assert [argv[0] for argv, _ in runs] == ["data", "train", "evaluate", "attack"]
    for argv, shown in runs:
        assert main(argv) == 0
        printed = capsys.readouterr().out.strip().splitlines()
        for line, promised in zip(printed, shown.strip().splitlines(), strict=True):
            assert without_numbers(line).split() == without_numbers(promised).split()
            assert numbers(line) == pytest.approx(numbers(promised), **tolerance(line)), line


def test_the_readme_lists_the_targets_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.M)
    listed = re.findall(r"^\| `make ([a-z-]+)` \|", README.read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(set(targets) - {"help", "setup"})


def test_what_the_readme_points_to_is_there():
    text = README.read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [link for link in links if not link.startswith("https://")]
    assert len(local) >= 5
    for link in local:
        assert (ROOT / link).exists(), link
