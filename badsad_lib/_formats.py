"""The file formats of data sets, each read with its own few rules.

Files from elsewhere are neither trusted code nor trusted to be as small as they look: no pickle
runs anything, and every function says how many bytes it unpacks at most.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

Arrays = dict[str, np.ndarray]

_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)


class FormatError(ValueError):
    """A file is not in the format that its name promises, or holds more than that can."""


def read(path: Path, limit: int) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``.

    Raises
    ------
    FormatError
        It is truncated or altered, or has more than ``limit`` bytes, unpacked.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(limit + 1)
    except _BROKEN as error:
        raise FormatError(str(error)) from error
    if len(content) > limit:
        raise FormatError(f"it holds more than {limit:,} bytes, the most that this file can have")
    return content


def idx(content: bytes, ndim: int) -> np.ndarray:
    """Return the uint8 array of an idx file: magic number, big-endian sizes, then the values.

    Raises
    ------
    FormatError
        It is anything but ``ndim``-dimensional unsigned bytes, or too short, or too long.
    """
    header = 4 + 4 * ndim
    if len(content) < header or content[:4] != bytes([0, 0, 8, ndim]):
        raise FormatError(f"it is not an idx file of {ndim}-dimensional unsigned bytes")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise FormatError(
            f"its header announces {math.prod(shape)} values, it has {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def idx_size(shape: Sequence[int]) -> int:
    """Return the bytes of an idx file of unsigned bytes."""
    return 4 + 4 * len(shape) + math.prod(shape)


def npz(path: Path, limit: int) -> Arrays:
    """Return the arrays of an npz file, without pickle.

    Raises
    ------
    FormatError
        It is damaged, holds pickled objects, or more than ``limit`` bytes, unpacked.
    """
    content = read(path, limit)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # No member yields more than the size that is announced for it.
            size = sum(member.file_size for member in archive.infolist())
        if size > limit:
            raise FormatError(f"it unpacks to {size:,} bytes, at most {limit:,} belong there")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except Exception as error:  # a damaged archive can make zip, zlib and numpy raise anything
        raise FormatError(str(error) or type(error).__name__) from error


def tar_members(path: Path, names: Sequence[str], limit: int) -> dict[str, bytes]:
    """Return the contents of those members of a .tar.gz that have one of these file names.

    Nothing is written to disk. Folders inside the archive do not matter.

    Raises
    ------
    FormatError
        It is damaged, lacks one of the names, has a member of these names of more than ``limit``
        bytes, or unpacks to more than one ``limit`` beyond what all of them may have.
    """
    contents = {}
    try:
        with (
            _LimitedGzip(path, limit * (len(names) + 1)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            for member in archive:
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if name in names and member.isreg() else None
                if content is None:
                    continue
                if member.size > limit:
                    raise FormatError(
                        f"{member.name} in it has {member.size:,} bytes, "
                        f"at most {limit:,} belong there"
                    )
                contents[name] = content.read()
    except (tarfile.TarError, *_BROKEN) as error:
        raise FormatError(str(error)) from error
    if missing := [name for name in names if name not in contents]:
        raise FormatError(f"it lacks {', '.join(missing)}")
    return contents


class _LimitedGzip(gzip.GzipFile):
    """Unpacks no more than ``limit`` bytes."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path)
        self.limit = limit

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.limit:
            raise FormatError(f"it unpacks to more than {self.limit:,} bytes")
        return content


def cifar_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 3, 32, 32) and int64 targets (N,) of a pickled batch of CIFAR-10.

    Nothing in the pickle is executed.

    Raises
    ------
    FormatError
        It is damaged, hostile, or something else.
    """
    try:
        batch = _ArraysOnlyUnpickler(io.BytesIO(content), encoding="latin1").load()
        images = batch["data"].uint8().reshape(-1, 3, 32, 32)
        targets = np.array(batch["labels"], dtype=np.int64)
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise FormatError(f"{type(error).__name__}: {error}") from error
    if targets.shape != images.shape[:1]:
        raise FormatError(f"{len(images)} images but {targets.size} labels")
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
