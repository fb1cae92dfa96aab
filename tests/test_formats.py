"""Formats of data sets: read without trust, and never more than belongs there."""

import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import _formats
from badsad_lib._formats import FormatError
from tests.originals import cifar_batch, idx, random_images

BOMB = 200_000_000  # bytes, of zeros: a few hundred thousand when packed
LIMIT = 1_000_000


def peak_memory(call) -> int:
    """Bytes that a call that must be refused allocates at most."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"[0-9,]+ bytes"):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- no more than belongs there -----------------------------------------------------------


def test_a_bomb_of_gzip_is_not_unpacked(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(100):
            stream.write(bytes(BOMB // 100))
    assert path.stat().st_size < BOMB / 100
    assert peak_memory(lambda: _formats.read(path, LIMIT)) < 5 * LIMIT


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as stream:
        stream.truncate(BOMB)
    assert peak_memory(lambda: _formats.read(path, LIMIT)) < 5 * LIMIT


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_exactly_the_limit_is_read(tmp_path, packed):
    path = tmp_path / ("file.gz" if packed else "file")
    content = random_images(LIMIT).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert _formats.read(path, LIMIT) == content
    with pytest.raises(FormatError, match="holds more than 999,999 bytes"):
        _formats.read(path, LIMIT - 1)


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 8])
def test_a_bomb_of_npz_is_not_unpacked(tmp_path, members):
    path = tmp_path / "bomb.npz"
    zeros = np.zeros(BOMB // members, dtype=np.uint8)
    np.savez_compressed(path, **{f"a{i}": zeros for i in range(members)})
    del zeros
    assert path.stat().st_size < LIMIT
    assert peak_memory(lambda: _formats.npz(path, LIMIT)) < 5 * LIMIT


def test_an_npz_whose_directory_lies_about_sizes_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, a=np.zeros(LIMIT, dtype=np.uint8))
    with zipfile.ZipFile(path) as archive:
        [member] = archive.infolist()
    said, true = (number.to_bytes(4, "little") for number in (100, member.file_size))
    path.write_bytes(path.read_bytes().replace(true, said))
    with pytest.raises(FormatError):
        _formats.npz(path, 1000)


def tar(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_members_of_an_archive_are_found_by_their_names(tmp_path):
    path = tar(tmp_path / "x.tar.gz", a=b"A", other=b"x", b=b"B" * 9999)
    assert _formats.tar_members(path, ["b", "a"], 9999) == {"a": b"A", "b": b"B" * 9999}
    with pytest.raises(FormatError, match="it lacks c"):
        _formats.tar_members(path, ["a", "c"], 9999)
    with pytest.raises(FormatError, match="folder/b in it has 9,999 bytes, at most 9,998 belong"):
        _formats.tar_members(path, ["a", "b"], 9998)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wanted", "skipped"])
def test_a_bomb_of_tar_is_not_unpacked(tmp_path, name):
    path = tar(tmp_path / "bomb.tar.gz", **{name: bytes(BOMB)})
    assert path.stat().st_size < BOMB / 100
    assert peak_memory(lambda: _formats.tar_members(path, ["wanted"], LIMIT)) < 5 * LIMIT


def test_a_sparse_member_does_not_grow(tmp_path):
    """A header of GNU tar may announce any size for a file whose zeros are not stored."""
    info = tarfile.TarInfo("wanted")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = f"{BOMB:011o}\0".encode()  # the size with its zeros
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    path = tmp_path / "sparse.tar.gz"
    path.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    assert peak_memory(lambda: _formats.tar_members(path, ["wanted"], LIMIT)) < 5 * LIMIT


# --- idx ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (0, 28, 28)])
def test_idx_is_read_as_it_was_written(shape):
    array = random_images(*shape)
    content = idx(array)
    assert len(content) == _formats.idx_size(shape)
    assert np.array_equal(_formats.idx(content, len(shape)), array)


@given(st.binary(max_size=40))
def test_what_is_no_idx_is_refused(content):
    with pytest.raises(FormatError):
        _formats.idx(content + b"\1\2\3" * 20, 3)


# --- CIFAR-10 -----------------------------------------------------------------------------


def test_the_test_writes_batches_as_python_2_did():
    images, targets = random_images(2, 3, 32, 32), np.array([3, 9])
    content = cifar_batch(images, targets)
    batch = pickle.loads(content, encoding="bytes")
    assert batch[b"data"].dtype == np.uint8
    assert np.array_equal(batch[b"data"], images.reshape(2, 3072))
    assert batch[b"labels"] == [3, 9]
    assert b"cnumpy.core.multiarray\n_reconstruct" in content


@pytest.mark.parametrize("protocol", [None, 3, 4])
def test_batches_pickled_by_any_python_are_read(protocol):
    images, targets = random_images(4, 3, 32, 32), np.array([3, 9, 0, 1])
    content = cifar_batch(images, targets)
    if protocol:
        batch = {"data": images.reshape(4, -1), "labels": targets.tolist()}
        content = pickle.dumps(batch, protocol=protocol)
    read_images, read_targets = _formats.cifar_batch(content)
    assert np.array_equal(read_images, images)
    assert np.array_equal(read_targets, targets)
    assert read_targets.dtype == np.int64


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_batch_is_not_executed(tmp_path):
    trace = tmp_path / "executed"
    hostile = pickle.dumps({"data": Hostile(trace), "labels": []})
    with pytest.raises(FormatError, match=r"refused to load posix.mkdir|nt.mkdir"):
        _formats.cifar_batch(hostile)
    assert not trace.exists()
    pickle.loads(hostile)
    assert trace.exists(), "the batch must be one that harms a careless reader"


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": [1]},
        {"data": random_images(1, 3072)},
        {"data": random_images(1, 3072).astype(np.int16), "labels": [1]},
        {"data": np.asfortranarray(random_images(2, 3072)), "labels": [1, 2]},
        {"data": random_images(1, 3071), "labels": [1]},
        {"data": random_images(2, 3072), "labels": [1]},
        {"data": "text", "labels": [1]},
        {"data": random_images(1, 3072), "labels": ["cat"]},
        [],
    ],
)
def test_a_malformed_batch_is_refused(batch):
    with pytest.raises(FormatError):
        _formats.cifar_batch(pickle.dumps(batch, protocol=3))


@settings(max_examples=40)
@given(share=st.floats(0, 0.9999))
def test_a_truncated_batch_is_refused(share):
    content = cifar_batch(random_images(2, 3, 32, 32), np.array([1, 2]))
    with pytest.raises(FormatError):
        _formats.cifar_batch(content[: int(share * len(content))])
