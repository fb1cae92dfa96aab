"""Files that are refused, and files that come back whole."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from badsad_lib import checkpoints
from badsad_lib.checkpoints import CheckpointError


@pytest.fixture
def saved(tmp_path):
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2, 3])}
    return checkpoints.save(tmp_path / "detector", tensors, {"eta": 1.0, "name": "x"})


def test_what_was_saved_comes_back(saved):
    assert saved.suffix == ".safetensors"
    tensors, description = checkpoints.load(saved)
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3))
    assert torch.equal(tensors["b"], torch.tensor([1, 2, 3]))
    assert description == {"eta": 1.0, "name": "x"}


def test_saving_leaves_no_partial_file(saved):
    assert [p.name for p in saved.parent.iterdir()] == ["detector.safetensors"]


def test_a_failed_save_keeps_the_old_file(saved, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    before = saved.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(saved, {"a": torch.zeros(2)}, {})
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        checkpoints.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_unread(tmp_path, zipped):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="pickle"):
        checkpoints.load(path)


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    for keep in range(0, len(whole), 7):
        saved.write_bytes(whole[:keep])
        with pytest.raises(CheckpointError):
            checkpoints.load(saved)


def test_a_flipped_bit_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for position in range(8, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        if _padding_only(whole, bytes(damaged)):
            continue
        saved.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError):
            checkpoints.load(saved)


def _padding_only(whole: bytes, damaged: bytes) -> bool:
    """Whether the two files say the same: a header may be padded, its keys are ordered freely."""
    size = int.from_bytes(whole[:8], "little")
    try:
        same = json.loads(whole[8 : 8 + size]) == json.loads(damaged[8 : 8 + size])
    except ValueError:
        return False
    return same and whole[8 + size :] == damaged[8 + size :]


def test_another_version_is_named(saved, monkeypatch):
    monkeypatch.setattr(checkpoints, "VERSION", 2)
    with pytest.raises(CheckpointError, match=r"version 1, this library reads 2"):
        checkpoints.load(saved)


def test_safetensors_of_other_programs_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="holds no badsad-detector"):
        checkpoints.load(path)
