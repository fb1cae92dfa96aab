"""Datasets: the embedded subsets are exact, the full ones are read from anywhere or refused."""

import contextlib
import gzip
import hashlib
import importlib.util
import os
import pickle
import shutil
import tarfile
import tempfile
import threading
import types
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import _places, datasets
from badsad_lib._torchvision import import_torchvision
from badsad_lib.datasets import (
    CLASS_NAMES,
    COURSE_FILES,
    COURSE_SHA256,
    DamagedDataError,
    DataNotFoundError,
    Dataset,
    ImageSet,
    content_sha256,
    load,
)
from tests.originals import (
    CIFAR_BATCHES,
    IDX_FILES,
    cifar_batch,
    idx,
    random_images,
    write_cifar10,
    write_idx,
)

DATA = _places.DATA
DEBIAN = datasets.DEBIAN_FASHION_MNIST
SIZES = {"fashion_mnist": (2000, 400), "mnist": (400, 100)}
PUBLISHED = {name: getattr(datasets, name) for name in ("_IDX_SHAPES", "_IDX_SHA256", "_CIFAR_MD5")}


@pytest.fixture(autouse=True)
def no_debian_and_no_network(monkeypatch, tmp_path):
    """Neither what this machine has installed nor its network may decide a test."""
    monkeypatch.delenv("BADSAD_DATA", raising=False)
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "no-package")

    def no_network():
        raise URLError("no network in tests")

    monkeypatch.setattr(datasets, "import_torchvision", no_network)


@pytest.fixture(autouse=True)
def small_originals(monkeypatch, small_digests):
    """Take what `write_idx` and `write_cifar10` write for the published files."""
    for name, value in small_digests.items():
        monkeypatch.setattr(datasets, name, value)


@pytest.fixture(scope="module")
def small_digests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    arrays = write_idx(folder, packed=False)
    write_cifar10(folder)
    sha256 = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in IDX_FILES]
    return {
        "_IDX_SHAPES": {name: array.shape for name, array in arrays.items()},
        "_IDX_SHA256": {"fashion_mnist": sha256, "mnist": sha256},
        "_CIFAR_MD5": {name: md5(folder / "cifar-10-batches-py" / name) for name in CIFAR_BATCHES},
    }


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def real_originals(monkeypatch, small_originals):
    for name, value in PUBLISHED.items():
        monkeypatch.setattr(datasets, name, value)


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("data_build", DATA / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the course subsets -------------------------------------------------------------------


@pytest.mark.parametrize("name", COURSE_FILES)
def test_course_subset_has_the_promised_images(name):
    data = load(name)
    assert (data.name, data.subset) == (name, "course")
    assert len(data.class_names) == 10
    for image_set, size in zip((data.train, data.test), SIZES[name]):
        assert image_set.images.shape == (10 * size, 1, 28, 28)
        assert image_set.images.dtype == torch.uint8
        assert image_set.targets.dtype == torch.int64
        assert torch.bincount(image_set.targets).tolist() == [size] * 10
        # Gray levels as published, not scaled.
        assert (int(image_set.images.min()), int(image_set.images.max())) == (0, 255)


@pytest.mark.parametrize("name", COURSE_FILES)
def test_no_course_image_appears_twice(name):
    data = load(name)
    images = torch.cat([data.train.images, data.test.images]).numpy()
    assert len({image.tobytes() for image in images}) == len(images)


def test_course_mean_is_near_the_published_one():
    # Mean pixel of the published training sets: 0.2860 and 0.1307.
    for name, mean in (("fashion_mnist", 0.2860), ("mnist", 0.1307)):
        assert load(name).train.images.float().mean().item() / 255 == pytest.approx(mean, abs=2e-3)


def test_changing_loaded_images_changes_nobody_elses():
    first = load("mnist")
    first.train.images.zero_()
    assert load("mnist").train.images.any()


@pytest.mark.parametrize("name", COURSE_FILES)
def test_course_file_is_the_committed_one(name, build):
    digest = hashlib.sha256((DATA / COURSE_FILES[name]).read_bytes()).hexdigest()
    assert build.committed_checksums()[COURSE_FILES[name]] == digest
    readme = (DATA / "README.md").read_text()
    assert f"`{COURSE_FILES[name]}` | `{digest}`" in readme
    assert COURSE_SHA256[name] in readme


@pytest.mark.parametrize("name", COURSE_FILES)
def test_course_file_loads_without_pickle(name):
    with np.load(DATA / COURSE_FILES[name], allow_pickle=False) as archive:
        kinds = {key: archive[key].dtype.str for key in archive.files}
    assert kinds == {
        f"{part}_{key}": kind
        for part in ("train", "test")
        for key, kind in (("images", "|u1"), ("targets", "|u1"), ("index", "<i4"))
    }


def test_course_subset_is_found_whatever_the_root(tmp_path, monkeypatch):
    (tmp_path / COURSE_FILES["mnist"]).write_bytes(b"not what ships")
    assert len(load("mnist", root=tmp_path).train) == 4000
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    assert len(load("mnist").train) == 4000


@pytest.mark.parametrize(
    ("in_clone", "advice"), [(True, r"git checkout -- data/mnist"), (False, "install badsad-lib")]
)
def test_course_subset_nowhere(tmp_path, monkeypatch, in_clone, advice):
    monkeypatch.setattr(_places, "IN_CLONE", in_clone)
    monkeypatch.setattr(_places, "SHIPPED", tmp_path)
    monkeypatch.setattr(_places, "DATA", tmp_path / "data")
    with pytest.raises(DataNotFoundError, match=rf"data/mnist_course.npz is not there.*{advice}"):
        load("mnist", root=tmp_path)


def small_course(folder: Path, monkeypatch, build) -> tuple[Path, dict[str, np.ndarray]]:
    arrays = {
        f"{part}_{key}": value
        for part in ("train", "test")
        for key, value in (
            ("images", random_images(10, 28, 28)),
            ("targets", np.arange(10, dtype=np.uint8)),
        )
    }
    monkeypatch.setitem(COURSE_SHA256, "mnist", content_sha256(arrays))
    monkeypatch.setattr(_places, "SHIPPED", folder)
    monkeypatch.setattr(_places, "DATA", folder / "data")
    path = folder / "data" / COURSE_FILES["mnist"]
    path.parent.mkdir()
    path.write_bytes(build.pack(arrays))
    return path, arrays


def test_one_changed_pixel_is_noticed(tmp_path, monkeypatch, build):
    path, arrays = small_course(tmp_path, monkeypatch, build)
    assert len(load("mnist").train) == 10
    arrays["train_images"][3, 2, 1] ^= 1
    path.write_bytes(build.pack(arrays))
    with pytest.raises(
        DamagedDataError, match=r"SHA-256 \w+, expected \w+.*git checkout -- data/mnist"
    ):
        load("mnist")


def test_another_packing_of_the_same_arrays_is_accepted(tmp_path, monkeypatch, build):
    path, arrays = small_course(tmp_path, monkeypatch, build)
    before = path.read_bytes()
    np.savez(path, **arrays)
    assert path.read_bytes() != before
    images = load("mnist").train.images
    assert np.array_equal(images[:, 0].numpy(), arrays["train_images"])


def test_a_pickle_in_the_archive_is_refused(tmp_path, monkeypatch, build):
    path, arrays = small_course(tmp_path, monkeypatch, build)
    np.savez(path, **arrays, extra=np.array([{"code": 1}], dtype=object))
    with pytest.raises(DamagedDataError, match="allow_pickle"):
        load("mnist")


def test_no_damage_to_a_course_file_goes_unnoticed(monkeypatch, build):
    with tempfile.TemporaryDirectory() as folder:
        path, arrays = small_course(Path(folder), monkeypatch, build)
        whole = path.read_bytes()

        @settings(max_examples=80)
        @given(st.integers(0, len(whole) - 1), st.integers(0, 7), st.booleans())
        def damage(position, bit, truncate):
            broken = bytearray(whole)
            broken[position] ^= 1 << bit
            path.write_bytes(broken[:position] if truncate else broken)
            # Some bytes mean nothing, a file's date for one. Then the images must be whole.
            with contextlib.suppress(DamagedDataError):
                images = load("mnist").train.images[:, 0].numpy()
                assert np.array_equal(images, arrays["train_images"])
                assert not truncate

        damage()


# --- rebuilding them ----------------------------------------------------------------------


def check_rebuilt(build, name, root, to):
    """A rebuilt file has the same arrays, and with the usual zlib the same bytes."""
    path = build.build(name, to=to, root=root)
    assert list(to.iterdir()) == [path]
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    assert content_sha256(arrays) == COURSE_SHA256[name]
    if "ng" in build.zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip("the arrays are the same; zlib-ng packs them into other bytes")
    assert path.read_bytes() == (DATA / COURSE_FILES[name]).read_bytes()


def test_mnist_rebuilds_bit_for_bit(build, tmp_path):
    check_rebuilt(build, "mnist", DATA, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("real_originals")
def test_fashion_mnist_rebuilds_bit_for_bit(build, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", DEBIAN)
    try:
        load("fashion_mnist", "full", root=DATA)
    except DataNotFoundError:
        pytest.skip("needs the originals: apt install dataset-fashion-mnist, or download them")
    check_rebuilt(build, "fashion_mnist", DATA, tmp_path)


def test_build_command(build, tmp_path, capsys):
    assert build.main(["mnist", "--to", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "0.8 MB, the same " in out
    assert [path.name for path in tmp_path.iterdir()] == ["mnist_course.npz"]


def test_build_refuses_other_originals(build, tmp_path, capsys):
    write_idx(tmp_path / "FashionMNIST" / "raw")
    to = tmp_path / "to"
    assert build.main(["fashion_mnist", "--from", str(tmp_path), "--to", str(to)]) == 1
    assert "class 0 has 2 images, 2000 are needed" in capsys.readouterr().err
    assert not to.exists()


def test_build_refuses_arrays_with_another_hash(build, tmp_path, monkeypatch):
    monkeypatch.setitem(COURSE_SHA256, "mnist", "0" * 64)
    with pytest.raises(ValueError, match=r"came out with .* expected 000.*Nothing was written"):
        build.build("mnist", to=tmp_path)
    assert not list(tmp_path.iterdir())


def test_build_knows_its_datasets(build, capsys):
    with pytest.raises(SystemExit, match="2"):
        build.main(["cifar10"])
    assert "unknown dataset cifar10; choose from fashion_mnist, mnist" in capsys.readouterr().err


def test_an_interrupted_write_leaves_the_old_file(build, tmp_path, monkeypatch):
    path = tmp_path / "file"
    build.write_atomically(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=40)
@given(
    st.lists(st.integers(4, 9), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 2),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_the_choice_depends_on_nothing_but_the_pixels(build, counts, first, second, random):
    targets = np.repeat(np.arange(len(counts)), counts)
    images = random_images(len(targets), 2, 2)
    order = list(range(len(targets)))
    random.shuffle(order)
    parts = build.choose(images, targets, first, second)
    shuffled = build.choose(images[order], targets[order], first, second)
    for part, moved, size in zip(parts, shuffled, (first, second)):
        assert {i.tobytes() for i in images[part]} == {i.tobytes() for i in images[order][moved]}
        assert np.bincount(targets[part], minlength=len(counts)).tolist() == [size] * len(counts)
        assert (np.diff(part) > 0).all()
    assert not set(parts[0].tolist()) & set(parts[1].tolist())


def test_packing_does_not_look_at_the_clock(build, monkeypatch):
    arrays = {"b": np.arange(5, dtype=np.int32), "a": np.zeros((2, 3), dtype=np.uint8)}
    before = build.pack(arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 0, 0, 0, 0, 0, 0))
    assert build.pack(dict(reversed(arrays.items()))) == before


def test_content_hash_sees_name_shape_dtype_and_values():
    zeros = np.zeros(4, dtype=np.uint8)
    variants = [
        {"a": zeros},
        {"b": zeros},
        {"a": zeros.reshape(2, 2)},
        {"a": zeros.astype(np.int8)},
        {"a": zeros + 1},
        {"a": zeros, "b": zeros},
    ]
    assert len({content_sha256(arrays) for arrays in variants}) == len(variants)
    strided = np.arange(8, dtype=np.uint8)[::2]
    assert content_sha256({"a": strided}) == content_sha256({"a": strided.copy()})


# --- full Fashion-MNIST and MNIST ---------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("mnist", "MNIST")]
)
def test_full_is_read_from_torchvisions_layout(tmp_path, name, folder, packed):
    arrays = write_idx(tmp_path / folder / "raw", packed=packed)
    data = load(name, "full", root=tmp_path)
    assert (data.subset, data.class_names) == ("full", CLASS_NAMES[name])
    assert data.train.images.shape == (20, 1, 28, 28)
    assert np.array_equal(data.train.images[:, 0].numpy(), arrays["train-images-idx3-ubyte"])
    assert np.array_equal(data.train.targets.numpy(), arrays["train-labels-idx1-ubyte"])
    assert np.array_equal(data.test.images[:, 0].numpy(), arrays["t10k-images-idx3-ubyte"])
    assert np.array_equal(data.test.targets.numpy(), arrays["t10k-labels-idx1-ubyte"])


def test_full_fashion_mnist_is_read_from_debians_package(tmp_path, monkeypatch):
    write_idx(tmp_path / "package")
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "package")
    assert len(load("fashion_mnist", "full", root=tmp_path).train) == 20
    with pytest.raises(DataNotFoundError):
        load("mnist", "full", root=tmp_path)


def test_files_in_root_come_before_debians(tmp_path, monkeypatch):
    write_idx(tmp_path / "package", n_train=30)
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "package")
    with pytest.raises(DamagedDataError, match="package"):
        load("fashion_mnist", "full", root=tmp_path)
    write_idx(tmp_path / "FashionMNIST" / "raw")
    assert len(load("fashion_mnist", "full", root=tmp_path).train) == 20


def test_root_may_come_from_the_environment(tmp_path, monkeypatch):
    write_idx(tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    assert len(load("mnist", "full").train) == 20


@pytest.mark.parametrize("missing", IDX_FILES)
def test_three_of_four_files_are_not_a_dataset(tmp_path, missing):
    write_idx(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / f"{missing}.gz").unlink()
    with pytest.raises(DataNotFoundError, match=missing):
        load("mnist", "full", root=tmp_path, download=False)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", [0, 3, 11, 0.5, 0.999])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_file_is_refused(tmp_path, name, keep, packed):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder, packed=packed)
    path = folder / (f"{name}.gz" if packed else name)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(DamagedDataError, match=rf"{name}.* is damaged.*Delete it and load again"):
        load("mnist", "full", root=tmp_path)


CHANGED = {
    "fewer": (
        np.zeros((19, 28, 28)),
        r"its values have shape \(19, 28, 28\), the publis.*\(20, 28",
    ),
    "more": (np.zeros((21, 28, 28)), r"it holds more than 15,696 bytes"),
    "5x7 pixels": (np.zeros((20, 5, 7)), r"shape \(20, 5, 7\), the published ones \(20, 28, 28\)"),
    "no images": (np.arange(20), "not an idx file of 3-dimensional"),
    "other images": (np.zeros((20, 28, 28)), r"its content has SHA-256 \w{64}, the published one"),
    "another pixel": (random_images(20, 28, 28) ^ (np.arange(784).reshape(28, 28) == 99), "SHA"),
}


@pytest.mark.parametrize("case", CHANGED)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("mnist", "MNIST")]
)
def test_anything_but_the_published_images_is_refused(tmp_path, case, packed, name, folder):
    array, message = CHANGED[case]
    raw = tmp_path / folder / "raw"
    write_idx(raw, packed=packed)
    path = raw / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    with pytest.raises(DamagedDataError, match=message) as caught:
        load(name, "full", root=tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.arange(9), r"shape \(9,\), the published ones \(20,\)"),
        ("t10k-labels-idx1-ubyte", np.full(10, 10), "SHA-256"),
        ("t10k-images-idx3-ubyte", random_images(10, 28, 28), "SHA-256"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, name, array, message):
    folder = tmp_path / "MNIST" / "raw"
    write_idx(folder)
    (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    with pytest.raises(DamagedDataError, match=message):
        load("mnist", "full", root=tmp_path)


def test_one_published_set_is_not_taken_for_the_other(tmp_path, monkeypatch):
    digests = dict(datasets._IDX_SHA256, mnist=PUBLISHED["_IDX_SHA256"]["mnist"])
    monkeypatch.setattr(datasets, "_IDX_SHA256", digests)
    for folder in ("FashionMNIST", "MNIST"):
        write_idx(tmp_path / folder / "raw")
    assert len(load("fashion_mnist", "full", root=tmp_path).train) == 20
    with pytest.raises(DamagedDataError, match=r"MNIST.raw.train-images.*ba891046e6505d7a"):
        load("mnist", "full", root=tmp_path)


@pytest.mark.usefixtures("real_originals")
def test_debians_files_have_the_published_content(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", DEBIAN)
    if not DEBIAN.is_dir():
        pytest.skip("needs the package: apt install dataset-fashion-mnist")
    data = load("fashion_mnist", "full", root=tmp_path, download=False)
    assert torch.bincount(data.train.targets).tolist() == [6000] * 10
    assert torch.bincount(data.test.targets).tolist() == [1000] * 10


def test_the_digests_of_the_originals_are_those_that_the_readme_states():
    readme = (DATA / "README.md").read_text()
    for name in ("fashion_mnist", "mnist"):
        for file, digest in zip(IDX_FILES, PUBLISHED["_IDX_SHA256"][name], strict=True):
            assert f"`{file}` | `{digest}`" in readme


# --- full CIFAR-10 ------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [False, True])
def test_cifar10_is_read_from_the_folder_and_from_the_archive(tmp_path, archive):
    batches = write_cifar10(tmp_path, archive=archive)
    before = sorted(tmp_path.rglob("*"))
    data = load("cifar10", "full", root=tmp_path)
    assert data.train.images.shape == (50, 3, 32, 32)
    assert data.test.images.shape == (10, 3, 32, 32)
    assert data.train.images.dtype == torch.uint8
    for i, name in enumerate(CIFAR_BATCHES[:5]):
        images, targets = batches[name]
        assert np.array_equal(data.train.images[10 * i : 10 * i + 10].numpy(), images)
        assert np.array_equal(data.train.targets[10 * i : 10 * i + 10].numpy(), targets)
    assert np.array_equal(data.test.images.numpy(), batches["test_batch"][0])
    assert data.class_names[3] == "cat"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_digests_of_cifar10_are_torchvisions():
    cifar10 = import_torchvision().datasets.CIFAR10
    assert dict([*cifar10.train_list, *cifar10.test_list]) == PUBLISHED["_CIFAR_MD5"]


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("changed", ["fewer", "pixels", "labels", "Python 3"])
def test_anything_but_the_published_batches_is_refused(tmp_path, changed, archive):
    images, targets = write_cifar10(tmp_path)["data_batch_4"]
    content = {
        "fewer": cifar_batch(images[:-1], targets[:-1]),
        "pixels": cifar_batch(255 - images, targets),
        "labels": cifar_batch(images, targets[::-1].copy()),
        "Python 3": pickle.dumps({"data": images.reshape(10, -1), "labels": targets.tolist()}),
    }[changed]
    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_4").write_bytes(content)
    if archive:
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
            tar.add(folder, arcname=folder.name)
        shutil.rmtree(folder)
    with pytest.raises(
        DamagedDataError, match=r"data_batch_4.*content has MD5 \w{32}, the publish"
    ):
        load("cifar10", "full", root=tmp_path)


def test_cifar10_has_no_course_subset():
    with pytest.raises(ValueError, match=r'cifar10 has no course subset.*subset="full"'):
        load("cifar10")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("disguised", [False, True])
def test_a_hostile_batch_is_not_executed(tmp_path, monkeypatch, disguised):
    write_cifar10(tmp_path)
    trace = tmp_path / "executed"
    hostile = pickle.dumps({"data": Hostile(trace), "labels": []})
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(hostile)
    if disguised:  # MD5 is not beyond forging: with the right sum it is still not executed
        digests = datasets._CIFAR_MD5 | {"data_batch_2": md5(path)}
        monkeypatch.setattr(datasets, "_CIFAR_MD5", digests)
    reason = "refused to load (posix|nt).mkdir" if disguised else "content has MD5"
    with pytest.raises(DamagedDataError, match=rf"data_batch_2.*{reason}"):
        load("cifar10", "full", root=tmp_path)
    assert not trace.exists()
    pickle.loads(hostile)
    assert trace.exists(), "the batch must be one that harms a careless reader"


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path, share):
    write_cifar10(tmp_path, archive=True)
    path = tmp_path / "cifar-10-python.tar.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamagedDataError, match=r"cifar-10-python.tar.gz.* is damaged"):
        load("cifar10", "full", root=tmp_path)


def test_an_archive_that_lacks_a_batch_is_refused(tmp_path):
    write_cifar10(tmp_path)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name in CIFAR_BATCHES[1:]:
            tar.add(tmp_path / "cifar-10-batches-py" / name)
    shutil.rmtree(tmp_path / "cifar-10-batches-py")
    with pytest.raises(DamagedDataError, match="it lacks data_batch_1"):
        load("cifar10", "full", root=tmp_path)


def test_a_half_unpacked_folder_gives_way_to_the_archive(tmp_path):
    write_cifar10(tmp_path, archive=True)
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"half")
    assert len(load("cifar10", "full", root=tmp_path).train) == 50


# --- nothing here, and downloads ----------------------------------------------------------


def test_no_files_and_no_network_names_the_three_ways(tmp_path):
    with pytest.raises(DataNotFoundError) as caught:
        load("fashion_mnist", "full", root=tmp_path / "new")
    message = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert "no network in tests" in message
    assert "three ways" in message
    assert "1. let torchvision download it" in message
    assert f"2. put the four original files ({IDX_FILES[0]}.gz" in message
    assert str(tmp_path / "new" / "FashionMNIST" / "raw") in message
    assert "3. on Debian and its relatives: apt install dataset-fashion-mnist" in message
    assert 'load("fashion_mnist")' in message


@pytest.mark.parametrize(
    ("name", "where"), [("mnist", "MNIST"), ("cifar10", "cifar-10-python.tar.gz")]
)
def test_elsewhere_two_ways_apply(tmp_path, name, where):
    with pytest.raises(DataNotFoundError) as caught:
        load(name, "full", root=tmp_path)
    message = str(caught.value)
    assert "two ways" in message
    assert where in message
    assert "apt install" not in message


def test_download_false_does_not_try(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_download", lambda *_: pytest.fail("tried to download"))
    with pytest.raises(DataNotFoundError, match="download=False"):
        load("mnist", "full", root=tmp_path, download=False)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Let the real torchvision download small files from a server of this machine."""
    torchvision = import_torchvision()
    folder = tmp_path / "published"
    write_idx(folder)
    write_cifar10(folder, archive=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("MNIST", "FashionMNIST"):
        source = getattr(torchvision.datasets, name)
        resources = [(f"{stem}.gz", md5(folder / f"{stem}.gz")) for stem in IDX_FILES]
        monkeypatch.setattr(source, "mirrors", [address])
        monkeypatch.setattr(source, "resources", resources)
    archive = "cifar-10-python.tar.gz"
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", address + archive)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(folder / archive))
    monkeypatch.setattr(datasets, "import_torchvision", lambda: torchvision)
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield torchvision.datasets
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "n_train"), [("fashion_mnist", 20), ("mnist", 20), ("cifar10", 50)]
)
@pytest.mark.usefixtures("published")
def test_torchvision_downloads_once(tmp_path, monkeypatch, name, n_train):
    root = tmp_path / "root"
    assert len(load(name, "full", root=root).train) == n_train
    assert not list(root.glob(".download-*"))
    monkeypatch.setattr(datasets, "_download", lambda *_: pytest.fail("downloaded twice"))
    assert len(load(name, "full", root=root).train) == n_train


@pytest.mark.parametrize("name", datasets.NAMES)
def test_a_download_with_the_wrong_checksum_is_not_kept(tmp_path, monkeypatch, published, name):
    for source in (published.MNIST, published.FashionMNIST):
        altered = [*source.resources[:-1], (source.resources[-1][0], "0" * 32)]
        monkeypatch.setattr(source, "resources", altered)
    monkeypatch.setattr(published.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataNotFoundError, match="corrupted"):
        load(name, "full", root=tmp_path / "root")
    assert not list((tmp_path / "root").rglob("*"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ConnectionResetError])
@pytest.mark.parametrize("name", datasets.NAMES)
def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch, name, error):
    def half(root, *_, **__):
        write_idx(Path(root, "FashionMNIST", "raw"), packed=False)
        write_idx(Path(root, "MNIST", "raw"), packed=False)
        Path(root, "cifar-10-python.tar.gz").write_bytes(b"half")
        raise error("cut off")

    source = types.SimpleNamespace(
        FashionMNIST=half,
        MNIST=half,
        CIFAR10=types.SimpleNamespace(url="", tgz_md5=""),
        utils=types.SimpleNamespace(download_url=lambda url, root, **_: half(root)),
    )
    fake = types.SimpleNamespace(datasets=source)
    monkeypatch.setattr(datasets, "import_torchvision", lambda: fake)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else DataNotFoundError
    with pytest.raises(expected, match="cut off"):
        load(name, "full", root=tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_what_a_killed_download_left_is_not_taken_for_data(tmp_path):
    left = tmp_path / ".download-killed"
    write_idx(left / "MNIST" / "raw", packed=False)
    write_cifar10(left)
    for name in ("mnist", "cifar10"):
        with pytest.raises(DataNotFoundError):
            load(name, "full", root=tmp_path)


def test_connections_have_a_time_limit_only_while_downloading(tmp_path, monkeypatch):
    seen = []

    def download(root, **_):
        seen.append(datasets.socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    fake = types.SimpleNamespace(datasets=types.SimpleNamespace(MNIST=download))
    monkeypatch.setattr(datasets, "import_torchvision", lambda: fake)
    before = datasets.socket.getdefaulttimeout()
    with pytest.raises(DataNotFoundError, match="timed out"):
        load("mnist", "full", root=tmp_path)
    assert seen == [30.0]
    assert datasets.socket.getdefaulttimeout() == before


# --- names and containers -----------------------------------------------------------------


def test_unknown_names_list_the_choices():
    with pytest.raises(ValueError, match="'svhn'; choose one of fashion_mnist, mnist, cifar10"):
        load("svhn")
    with pytest.raises(ValueError, match="'all'; choose one of course, full"):
        load("mnist", "all")


def test_image_sets_are_checked():
    images, targets = torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.tensor([0, 1])
    assert len(ImageSet(images, targets)) == 2
    with pytest.raises(ValueError, match=r"uint8 of shape \(N, C, H, W\), got torch.float32"):
        ImageSet(images.float(), targets)
    with pytest.raises(ValueError, match=r"got torch.uint8 \(2, 3, 3\)"):
        ImageSet(images[:, 0], targets)
    with pytest.raises(ValueError, match=r"int64 of shape \(2,\), one per image"):
        ImageSet(images, targets[:1])
    with pytest.raises(ValueError, match=r"got torch\.int32"):
        ImageSet(images, targets.int())


def test_datasets_are_checked():
    small = ImageSet(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.tensor([0, 1]))
    large = ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    assert Dataset("toys", "course", small, small, ("a", "b")).test is small
    with pytest.raises(ValueError, match="one shape"):
        Dataset("toys", "course", small, large, ("a", "b"))
    with pytest.raises(ValueError, match=r"train targets must be in 0\.\.0.*got 0\.\.1"):
        Dataset("toys", "course", small, small, ("a",))


def test_image_sets_print_short():
    assert repr(load("mnist").train) == "ImageSet(4000 images of shape (1, 28, 28))"
