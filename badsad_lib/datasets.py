"""Image datasets as plain tensors: uint8 images (N, C, H, W) and int64 class targets (N,).

``course`` is a small fixed subset that comes with the repository and needs no network.
``full`` is the published data set, read from files that are already there or downloaded by
torchvision. Nothing here knows which class is normal: that is the business of ``splits``.

Every file is read with a format's own few rules (idx, npz without pickle, and for CIFAR-10 an
unpickler that can build nothing but arrays), because data from elsewhere is not trusted code.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import pickle
import socket
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ._torchvision import import_torchvision

Arrays = dict[str, np.ndarray]

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

REPOSITORY_DATA = Path(__file__).resolve().parents[1] / "data"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

COURSE_FILES = {"fashion_mnist": "fashion_mnist_course.npz", "mnist": "mnist_course.npz"}
# content_sha256 of each file's arrays. The bytes of the file itself may differ where another
# zlib packed it; the arrays may not.
COURSE_SHA256 = {
    "fashion_mnist": "2cddf35a39c03ba8d4dbffcc80b671366746cd956132e24aaf1bfbf9068e3978",
    "mnist": "670e4753072d4aa4dc0b3815f58b352d91a478aa14becc98271d5b36fb0f1e97",
}

_TORCHVISION_FOLDERS = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
_IDX_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR_FOLDER = "cifar-10-batches-py"
_CIFAR_ARCHIVE = "cifar-10-python.tar.gz"
_CIFAR_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_CIFAR_TEST = "test_batch"
_NETWORK_TIMEOUT_S = 30.0


class DataNotFoundError(FileNotFoundError):
    """The files of a dataset are not here and could not be fetched."""


class DamagedDataError(RuntimeError):
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
        Folder of the data files, laid out as torchvision does. By default the environment
        variable ``BADSAD_DATA``, else the repository's ``data`` folder. The course subsets
        are also found in the latter when ``root`` does not hold them.
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
        A file is truncated, altered or malformed; the message names it.

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
    folder = default_root() if root is None else Path(root).expanduser()
    if subset == "course":
        if name not in COURSE_FILES:
            raise ValueError(
                f"{name} has no course subset, only {', '.join(COURSE_FILES)} have; "
                f'use load("{name}", subset="full")'
            )
        arrays = _load_course(name, folder)
    else:
        arrays = _load_full(name, folder, download)
    return _dataset(name, subset, arrays)


def default_root() -> Path:
    """Folder of the data files: ``BADSAD_DATA`` if set, else the repository's ``data``."""
    override = os.environ.get("BADSAD_DATA")
    return Path(override).expanduser() if override else REPOSITORY_DATA


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


def _load_course(name: str, root: Path) -> Arrays:
    file_name = COURSE_FILES[name]
    path = next((p for p in (root / file_name, REPOSITORY_DATA / file_name) if p.is_file()), None)
    if path is None:
        raise DataNotFoundError(
            f"the course subset of {name} comes with the repository as data/{file_name}, but "
            f"neither {root} nor {REPOSITORY_DATA} holds it. Point root= or the environment "
            "variable BADSAD_DATA at the repository's data folder, or rebuild the file with "
            "`python data/build.py`"
        )
    return _read_course(path, COURSE_SHA256[name])


def _read_course(path: Path, expected: str) -> Arrays:
    advice = (
        f"Restore it with `git checkout -- data/{path.name}`, or rebuild it with "
        "`python data/build.py`"
    )
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged archive can make zip, zlib and numpy raise anything
        raise DamagedDataError(f"{path} cannot be read: {error}. {advice}") from error
    found = content_sha256(arrays)
    if found != expected:
        raise DamagedDataError(
            f"the arrays in {path} have SHA-256 {found}, expected {expected}: the file is "
            f"damaged or was changed. {advice}"
        )
    return arrays


# --- the full datasets -------------------------------------------------------------------


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
        arrays = _find_idx(folder)
        if arrays is not None:
            return arrays
    return None


def _how_to_get(name: str, root: Path, reason: str) -> str:
    if name == "cifar10":
        by_hand = f"put {_CIFAR_ARCHIVE}, or the folder {_CIFAR_FOLDER} out of it, into {root}"
    else:
        files = ", ".join(f"{stem}.gz" for stem in _IDX_STEMS)
        by_hand = (
            f"put the four original files ({files}; packed or unpacked) "
            f"into {root / _TORCHVISION_FOLDERS[name] / 'raw'}"
        )
    ways = [
        f"let torchvision download it into {root}: call load with download=True where there is "
        "a network",
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
            for stem in _IDX_STEMS:
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


# --- idx files (MNIST, Fashion-MNIST) ----------------------------------------------------


def _find_idx(folder: Path) -> Arrays | None:
    """Arrays of the four idx files in ``folder``; None unless all four are there."""
    paths = []
    for stem in _IDX_STEMS:
        found = [p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()]
        if not found:
            return None
        paths.append(found[0])
    arrays = {
        "train_images": _read_idx(paths[0], ndim=3),
        "train_targets": _read_idx(paths[1], ndim=1),
        "test_images": _read_idx(paths[2], ndim=3),
        "test_targets": _read_idx(paths[3], ndim=1),
    }
    _check_pairs(arrays, folder)
    return arrays


def _read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read unsigned bytes from an idx file: magic number, big-endian sizes, then the values."""
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    header = 4 + 4 * ndim
    if len(content) < header or content[:4] != bytes([0, 0, 8, ndim]):
        raise _damaged(path, f"it is not an idx file of {ndim}-dimensional unsigned bytes")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise _damaged(
            path, f"its header announces {math.prod(shape)} values, it has {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


# --- CIFAR-10 ----------------------------------------------------------------------------


def _find_cifar10(root: Path) -> Arrays | None:
    """Arrays of the six batches in the unpacked folder, else in the archive, else None."""
    wanted = (*_CIFAR_TRAIN, _CIFAR_TEST)
    folder, archive = root / _CIFAR_FOLDER, root / _CIFAR_ARCHIVE
    if all((folder / batch).is_file() for batch in wanted):
        where = folder
        batches = {b: _read_cifar_batch((folder / b).read_bytes(), folder / b) for b in wanted}
    elif archive.is_file():
        where = archive
        batches = _read_cifar_archive(archive, wanted)
    else:
        return None
    train = [batches[batch] for batch in _CIFAR_TRAIN]
    arrays = {
        "train_images": np.concatenate([images for images, _ in train]),
        "train_targets": np.concatenate([targets for _, targets in train]),
        "test_images": batches[_CIFAR_TEST][0],
        "test_targets": batches[_CIFAR_TEST][1],
    }
    _check_pairs(arrays, where)
    return arrays


def _read_cifar_archive(
    path: Path, wanted: tuple[str, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the batches straight out of the archive: nothing of it is written to disk."""
    batches = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                stream = archive.extractfile(member) if name in wanted else None
                if stream is not None:
                    batches[name] = _read_cifar_batch(stream.read(), path / member.name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from error
    missing = [name for name in wanted if name not in batches]
    if missing:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    return batches


def _read_cifar_batch(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and targets (N,) of one pickled batch, executing nothing in it."""
    try:
        batch = _ArraysOnlyUnpickler(io.BytesIO(content), encoding="latin1").load()
        images = batch["data"].uint8().reshape(-1, 3, 32, 32)
        targets = np.array(batch["labels"], dtype=np.int64)
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return images, targets


class _PickledDtype:
    """Stand-in for ``numpy.dtype`` in a pickle: remembers its name."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass


class _PickledArray:
    """Stand-in for a numpy array in a pickle: remembers shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def uint8(self) -> np.ndarray:
        """Return the array, which must be of unsigned bytes in C order."""
        _, shape, dtype, is_fortran, content = self.state
        if dtype.name not in ("u1", "|u1") or is_fortran:
            raise ValueError(f"expected unsigned bytes in C order, got dtype {dtype.name}")
        # Python 2 strings arrive as str, one character a byte.
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, np.uint8).reshape(shape).copy()


class _ArraysOnlyUnpickler(pickle.Unpickler):
    """Unpickler that knows four names, all harmless: a pickle may otherwise run any code."""

    _stand_ins: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._stand_ins:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}: not array data")
        return self._stand_ins[module, name]


# --- shared by the formats ---------------------------------------------------------------


def _check_pairs(arrays: Arrays, where: Path) -> None:
    for part in ("train", "test"):
        images, targets = arrays[f"{part}_images"], arrays[f"{part}_targets"]
        if len(images) != len(targets):
            raise _damaged(where, f"{len(images)} {part} images but {len(targets)} labels")
        if targets.size and not 0 <= targets.min() <= targets.max() <= 9:
            raise _damaged(where, f"{part} labels {targets.min()}..{targets.max()}, not in 0..9")


def _damaged(path: Path, problem: str) -> DamagedDataError:
    return DamagedDataError(
        f"{path} is damaged or not the original file ({problem}). Delete it and load again, "
        "or put the original in its place"
    )
