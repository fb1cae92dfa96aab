"""Image datasets as plain tensors: uint8 images (N, C, H, W) and int64 class targets (N,).

``course`` is a small fixed subset that ships with the library and needs no network.
``full`` is the published data set, read from files that are already there or downloaded by
torchvision. Both are what they say, value for value, or they are refused: every file is held
against the digest of its published content. Nothing here knows which class is normal: that is
the business of ``splits``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from badsad_lib import _formats, _places
from badsad_lib._formats import Arrays, FormatError
from badsad_lib._torchvision import import_torchvision

NAMES = ("fashion_mnist", "mnist", "cifar10")
SUBSETS = ("course", "full")

CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "mnist": tuple("0123456789"),
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
}

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

COURSE_FILES = {"fashion_mnist": "fashion_mnist_course.npz", "mnist": "mnist_course.npz"}
# content_sha256 of each file's arrays. The bytes of the file itself may differ where another
# zlib packed it; the arrays may not.
COURSE_SHA256 = {
    "fashion_mnist": "2cddf35a39c03ba8d4dbffcc80b671366746cd956132e24aaf1bfbf9068e3978",
    "mnist": "670e4753072d4aa4dc0b3815f58b352d91a478aa14becc98271d5b36fb0f1e97",
}
_COURSE_LIMIT = 32 * 2**20  # bytes of the arrays of one course file, at most

_TORCHVISION_FOLDERS = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
_IDX_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
# Of the four files in that order, unpacked, since the same content lies about in many packings:
# Debian's have other gzip headers than the published ones, and some copies are not packed at all.
_IDX_SHA256 = {
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
_CIFAR_FOLDER = "cifar-10-batches-py"
_CIFAR_ARCHIVE = "cifar-10-python.tar.gz"
# Of the pickled batches as published. Only MD5 sums are: torchvision has the same.
_CIFAR_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_CIFAR_LIMIT = 32 * 2**20  # bytes of a batch, at most: 10,000 images and their file names
_NETWORK_TIMEOUT_S = 30.0

VERIFIED_BY = {"fashion_mnist": "SHA-256", "mnist": "SHA-256", "cifar10": "MD5"}
"""Which digest the content of each full data set is held against."""


class DataNotFoundError(FileNotFoundError):
    """The files of a dataset are not here and could not be fetched."""


class DamagedDataError(OSError):
    """A data file is truncated, altered, or not in the format its name promises."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and their class targets.

    Attributes
    ----------
    images
        uint8 (N, C, H, W), 0..255.
    targets
        int64 (N,): an index into the dataset's ``class_names``.

    Raises
    ------
    ValueError
        Another dtype or shape.
    """

    images: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                "images must be uint8 of shape (N, C, H, W), "
                f"got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.targets.dtype != torch.int64 or self.targets.shape != self.images.shape[:1]:
            raise ValueError(
                f"targets must be int64 of shape ({len(self.images)},), one per image, "
                f"got {self.targets.dtype} {tuple(self.targets.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"ImageSet({len(self)} images of shape {tuple(self.images.shape[1:])})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with named classes.

    Attributes
    ----------
    name, subset
        What :func:`load` was asked for.
    train, test
        Images of one shape (C, H, W).
    class_names
        One name per target value.

    Raises
    ------
    ValueError
        Train and test images differ in shape, or a target has no name.
    """

    name: str
    subset: str
    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                "train and test images must have one shape, got "
                f"{tuple(self.train.images.shape[1:])} and {tuple(self.test.images.shape[1:])}"
            )
        for part, image_set in (("train", self.train), ("test", self.test)):
            targets = image_set.targets
            if len(targets) and not 0 <= targets.min() <= targets.max() < len(self.class_names):
                raise ValueError(
                    f"{part} targets must be in 0..{len(self.class_names) - 1}, one of "
                    f"{len(self.class_names)} classes, "
                    f"got {int(targets.min())}..{int(targets.max())}"
                )


def load(
    name: str,
    subset: str = "course",
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Load a dataset into memory.

    Parameters
    ----------
    name
        ``"fashion_mnist"``, ``"mnist"`` (1x28x28) or ``"cifar10"`` (3x32x32).
    subset
        ``"course"``: the embedded subset, 2,000 + 400 (train + test) images a class of
        Fashion-MNIST, 400 + 100 of MNIST; CIFAR-10 has none. ``"full"``: the published data.
    root
        Folder of the full data sets, laid out as torchvision does. By default the environment
        variable ``BADSAD_DATA``, else the ``data`` folder of the clone, else, where the library
        was installed without one, ``badsad`` in ``XDG_DATA_HOME`` or ``~/.local/share``. The
        course subsets ship with the library and are not looked for there.
    download
        Whether torchvision may download a full dataset into ``root`` when it is neither
        there nor, for Fashion-MNIST, installed by Debian's package.

    Returns
    -------
    Dataset
        Fresh tensors at each call: changing them in place changes nobody else's.

    Raises
    ------
    ValueError
        Unknown name or subset.
    DataNotFoundError
        No files and no download; the message names the ways to get them.
    DamagedDataError
        A file is truncated or altered, or not the published one; the message names it.

    Notes
    -----
    Fashion-MNIST: Xiao, Rasul, Vollgraf, arXiv 1708.07747. MNIST: LeCun, Bottou, Bengio,
    Haffner, Proc. IEEE 86(11), 1998. CIFAR-10: Krizhevsky, technical report, University of
    Toronto, 2009. Licenses: ``data/README.md``.
    """
    if name not in NAMES:
        raise ValueError(f"unknown dataset {name!r}; choose one of {', '.join(NAMES)}")
    if subset not in SUBSETS:
        raise ValueError(f"unknown subset {subset!r}; choose one of {', '.join(SUBSETS)}")
    if subset == "course":
        if name not in COURSE_FILES:
            raise ValueError(
                f"{name} has no course subset, only {', '.join(COURSE_FILES)} have; "
                f'use load("{name}", subset="full")'
            )
        arrays = _load_course(name)
    else:
        arrays = _load_full(name, _root(root), download)
    return _dataset(name, subset, arrays)


def content_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the names, dtypes, shapes and values of arrays, in the order of names.

    Unlike the hash of a file it does not depend on how the arrays were packed.
    """
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _dataset(name: str, subset: str, arrays: Arrays) -> Dataset:
    def image_set(part: str) -> ImageSet:
        images = torch.from_numpy(arrays[f"{part}_images"])
        return ImageSet(
            images=images[:, None] if images.ndim == 3 else images,
            targets=torch.from_numpy(arrays[f"{part}_targets"].astype(np.int64)),
        )

    return Dataset(name, subset, image_set("train"), image_set("test"), CLASS_NAMES[name])


# --- the embedded course subsets ---------------------------------------------------------


def _load_course(name: str) -> Arrays:
    return shipped_arrays(COURSE_FILES[name], COURSE_SHA256[name], f"course subset of {name}")


def shipped_arrays(file: str, sha256: str, what: str) -> Arrays:
    """Return the arrays of an npz file that ships with the library.

    Parameters
    ----------
    file
        Its name in ``data``.
    sha256
        :func:`content_sha256` of its arrays.
    what
        What it holds, for messages.

    Raises
    ------
    DataNotFoundError, DamagedDataError
        It is not there; it has other arrays.
    """
    path = _places.DATA / file
    advice = f"{_places.how_to_restore(path)}"
    if not path.is_file():
        raise DataNotFoundError(
            f"the {what} ships with the library, but {path} is not there: {advice}"
        )
    try:
        arrays = _formats.npz(path, _COURSE_LIMIT)
    except FormatError as error:
        raise DamagedDataError(f"{path} cannot be read: {error}. To mend it, {advice}") from error
    found = content_sha256(arrays)
    if found != sha256:
        raise DamagedDataError(
            f"the arrays in {path} have SHA-256 {found}, expected {sha256}: the file "
            f"is damaged or was changed. To mend it, {advice}"
        )
    return arrays


# --- the full datasets -------------------------------------------------------------------


def _root(root: str | os.PathLike[str] | None) -> Path:
    if root is not None:
        return Path(root).expanduser()
    try:
        return _places.fetched()
    except OSError as error:
        raise DataNotFoundError(str(error)) from error


def _load_full(name: str, root: Path, download: bool) -> Arrays:
    arrays = _find_full(name, root)
    if arrays is not None:
        return arrays
    reason = "download=False"
    if download:
        try:
            _download(name, root)
        except (ImportError, OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
        else:
            arrays = _find_full(name, root)
            if arrays is not None:
                return arrays
            reason = f"torchvision left no files in {root}"
    raise DataNotFoundError(_how_to_get(name, root, reason))


def _find_full(name: str, root: Path) -> Arrays | None:
    if name == "cifar10":
        return _find_cifar10(root)
    folders = [root / _TORCHVISION_FOLDERS[name] / "raw"]
    if name == "fashion_mnist":
        folders.append(DEBIAN_FASHION_MNIST)
    for folder in folders:
        arrays = _find_idx(name, folder)
        if arrays is not None:
            return arrays
    return None


def _how_to_get(name: str, root: Path, reason: str) -> str:
    if name == "cifar10":
        by_hand = f"put {_CIFAR_ARCHIVE}, or the folder {_CIFAR_FOLDER} out of it, into {root}"
    else:
        files = ", ".join(f"{stem}.gz" for stem in _IDX_SHAPES)
        by_hand = (
            f"put the four original files ({files}; packed or unpacked) "
            f"into {root / _TORCHVISION_FOLDERS[name] / 'raw'}"
        )
    ways = [
        f"let torchvision download it into {root}: call load with download=True where there is "
        "a network; root=, or the environment variable BADSAD_DATA, names another folder",
        by_hand,
    ]
    if name == "fashion_mnist":
        ways.append("on Debian and its relatives: apt install dataset-fashion-mnist")
    lines = [f"the full {name} is not here, and was not downloaded ({reason})."]
    lines.append(f"There are {'three' if len(ways) == 3 else 'two'} ways to get it:")
    lines += [f"  {number}. {way}" for number, way in enumerate(ways, start=1)]
    if name in COURSE_FILES:
        lines.append(f'The course subset needs none of them: load("{name}")')
    return "\n".join(lines)


def _download(name: str, root: Path) -> None:
    """Let torchvision download into a folder of its own, then move whole files into place."""
    torchvision = import_torchvision()
    root.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary,
        _network_timeout(_NETWORK_TIMEOUT_S),
    ):
        if name == "cifar10":
            # Its own loader would unpickle whatever it unpacked; the archive is all we want.
            cifar10 = torchvision.datasets.CIFAR10
            torchvision.datasets.utils.download_url(
                cifar10.url, temporary, filename=_CIFAR_ARCHIVE, md5=cifar10.tgz_md5
            )
            Path(temporary, _CIFAR_ARCHIVE).replace(root / _CIFAR_ARCHIVE)
        else:
            layout = Path(_TORCHVISION_FOLDERS[name], "raw")
            getattr(torchvision.datasets, _TORCHVISION_FOLDERS[name])(temporary, download=True)
            (root / layout).mkdir(parents=True, exist_ok=True)
            for stem in _IDX_SHAPES:
                Path(temporary, layout, stem).replace(root / layout / stem)


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Give connections a time limit: torchvision sets none and would wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# --- published files ---------------------------------------------------------------------


def _find_idx(name: str, folder: Path) -> Arrays | None:
    """Arrays of the four idx files in ``folder``; None unless all four are there."""
    paths = []
    for stem in _IDX_SHAPES:
        found = [p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()]
        if not found:
            return None
        paths.append(found[0])
    keys = ("train_images", "train_targets", "test_images", "test_targets")
    published = zip(paths, _IDX_SHAPES.values(), _IDX_SHA256[name])
    return {key: _read_idx(*file) for key, file in zip(keys, published)}


def _read_idx(path: Path, shape: tuple[int, ...], sha256: str) -> np.ndarray:
    try:
        content = _formats.read(path, _formats.idx_size(shape))
        array = _formats.idx(content, len(shape))
    except FormatError as error:
        raise _damaged(path, str(error)) from error
    if array.shape != shape:
        raise _damaged(path, f"its values have shape {array.shape}, the published ones {shape}")
    _check_digest(path, hashlib.sha256(content).hexdigest(), sha256, "SHA-256")
    return array


def _find_cifar10(root: Path) -> Arrays | None:
    """Arrays of the six batches in the unpacked folder, else in the archive, else None."""
    folder, archive = root / _CIFAR_FOLDER, root / _CIFAR_ARCHIVE
    if all((folder / name).is_file() for name in _CIFAR_MD5):
        batches = [_read_cifar(folder / name, name) for name in _CIFAR_MD5]
    elif archive.is_file():
        try:
            contents = _formats.tar_members(archive, [*_CIFAR_MD5], _CIFAR_LIMIT)
        except FormatError as error:
            raise _damaged(archive, str(error)) from error
        batches = [_cifar_batch(contents[name], archive / name, name) for name in _CIFAR_MD5]
    else:
        return None
    *train, test = batches
    return {
        "train_images": np.concatenate([images for images, _ in train]),
        "train_targets": np.concatenate([targets for _, targets in train]),
        "test_images": test[0],
        "test_targets": test[1],
    }


def _read_cifar(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = _formats.read(path, _CIFAR_LIMIT)
    except FormatError as error:
        raise _damaged(path, str(error)) from error
    return _cifar_batch(content, path, name)


def _cifar_batch(content: bytes, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    # The digest first: no pickle but the published ones is even looked at.
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    _check_digest(path, digest, _CIFAR_MD5[name], "MD5")
    try:
        return _formats.cifar_batch(content)
    except FormatError as error:
        raise _damaged(path, str(error)) from error


def _check_digest(path: Path, found: str, expected: str, kind: str) -> None:
    if found != expected:
        raise _damaged(path, f"its content has {kind} {found}, the published one {expected}")


def _damaged(path: Path, problem: str) -> DamagedDataError:
    return DamagedDataError(
        f"{path} is damaged or not the original file ({problem}). Delete it and load again, "
        "or put the original in its place"
    )
