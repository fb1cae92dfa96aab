"""Surfaces: the shipped pictures, crops in disjoint regions, six kinds of defects."""

from __future__ import annotations

import hashlib
import importlib.util

import numpy as np
import pytest
import torch

from badsad_lib import _places, datasets, folders, splits, surfaces
from badsad_lib.surfaces import DEFECTS, KINDS, MATERIALS, NORMALS, REGIONS, UNLIKE

# SHA-256 of all images of seed 0 at 64 pixels: no machine, no version makes others.
IMAGES = {
    "brick": "8673fd7c820a2aec6e978859154081bae01ce50b9fd538cbd19a033678a59885",
    "gravel": "5f2e7c3bb6113683c8629d3b895268e4d4b16e1d07820155354c192e8866194a",
    "grass": "f46e1fd424e02be25cc19b570410dd150ff3913f1f3102c0b7e1a8bfe82e57f8",
    "cloth": "4dea9d44a297ec07ef393e605c3d4fe2ca45a7c2cd25fc166214e558f1adbda4",
}


@pytest.fixture(scope="module")
def brick():
    return surfaces.load("brick")


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("data_build", _places.DATA / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("material", MATERIALS)
def test_a_material_is_the_same_on_any_machine(material):
    surface = surfaces.load(material)
    assert surface.images.shape[1:] == ((3 if material == "cloth" else 1), 64, 64)
    assert surface.images.dtype == torch.uint8
    assert hashlib.sha256(surface.images.numpy().tobytes()).hexdigest() == IMAGES[material]


def test_a_crop_before_its_defect_differs_where_that_was_painted(brick):
    good = brick.where("test", 0)
    assert torch.equal(brick.undamaged(good), brick.images[good])
    for kind in range(1, len(KINDS)):
        places = brick.where("test", kind)
        changed = (brick.undamaged(places) != brick.images[places]).float().mean((1, 2, 3))
        assert changed.min() > 0
        assert changed.max() < 0.5


def test_every_part_has_what_it_promises(brick):
    for part in REGIONS:
        assert len(brick.where(part, 0)) == NORMALS[part]
        for kind in range(1, len(KINDS)):
            assert len(brick.where(part, kind)) == DEFECTS.get(part, 0)
    assert len(KINDS) == 7
    assert set(UNLIKE) < set(KINDS)


def test_no_pixel_is_in_two_parts():
    count = np.zeros((512, 512), int)
    for top, left, height, width in REGIONS.values():
        count[top : top + height, left : left + width] += 1
    assert (count == 1).all()


def test_normals_are_crops_of_their_region():
    surface = surfaces.load("brick", size=128)
    whole = torch.from_numpy(surfaces.picture("brick"))[..., 0]
    for part, (top, left, height, width) in REGIONS.items():
        region = whole[top : top + height, left : left + width]
        windows = region.unfold(0, 128, 1).unfold(1, 128, 1)
        image = surface.images[surface.where(part, 0)[0], 0]
        assert (windows == image).all(-1).all(-1).any()


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("material", ["gravel", "cloth"])
def test_every_defect_changes_a_part_of_its_image(material, size):
    whole = surfaces.picture(material)[:size, :size].astype(np.int64)
    for name, paint in surfaces._PAINT.items():
        for seed in range(20):
            image = whole.copy()
            paint(image, np.random.RandomState(seed))
            changed = (image != whole).any(-1).mean()
            assert 0.0005 < changed < 0.6, (name, seed, changed)


def test_seeds_differ_and_fewer_normals_are_the_first_of_many(brick):
    few, other = surfaces.load("brick", normals=20), surfaces.load("brick", seed=1)
    assert torch.equal(
        few.images[few.where("train", 0)], brick.images[brick.where("train", 0)][:20]
    )
    assert torch.equal(few.images[few.where("test")], brick.images[brick.where("test")])
    assert not torch.equal(other.images, brick.images)


def test_a_picture_is_a_copy():
    surfaces.picture("brick")[:] = 0
    assert surfaces.picture("brick").any()


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"material must be one of .*'wood'"):
        surfaces.load("wood")
    with pytest.raises(ValueError, match="size must be an integer of at least 32 and at most 128"):
        surfaces.load("brick", size=256)
    with pytest.raises(ValueError, match="material must be one of"):
        surfaces.picture("wood")


def test_the_file_is_the_committed_one(build):
    digest = hashlib.sha256((_places.DATA / surfaces.FILE).read_bytes()).hexdigest()
    assert build.committed_checksums()[surfaces.FILE] == digest
    readme = (_places.DATA / "README.md").read_text()
    assert f"`{surfaces.FILE}` | `{digest}`" in readme
    assert surfaces.SHA256 in readme


def test_the_cloth_rebuilds_bit_for_bit(build):
    assert np.array_equal(build.woven(), surfaces.picture("cloth"))


def test_the_photographs_rebuild_bit_for_bit(build, tmp_path):
    pytest.importorskip("skimage", reason="needs the originals: pip install scikit-image")
    path = build.build("surfaces", to=tmp_path)
    if "ng" not in build.zlib.ZLIB_RUNTIME_VERSION:
        assert path.read_bytes() == (_places.DATA / surfaces.FILE).read_bytes()


def test_without_the_originals_it_says_what_to_install(build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    assert build.main(["surfaces", "--to", str(tmp_path)]) == 1
    assert "pip install scikit-image" in capsys.readouterr().err


def test_a_damaged_file_is_noticed(tmp_path, monkeypatch, build):
    monkeypatch.setattr(_places, "DATA", tmp_path)
    monkeypatch.setattr(_places, "how_to_restore", lambda path: "restore it")
    with pytest.raises(datasets.DataNotFoundError, match="pictures of surfaces ships"):
        datasets.shipped_arrays(surfaces.FILE, surfaces.SHA256, "pictures of surfaces")
    other = {"brick": np.zeros((2, 2), np.uint8)}
    (tmp_path / surfaces.FILE).write_bytes(build.pack(other))
    with pytest.raises(datasets.DamagedDataError, match="is damaged or was changed"):
        datasets.shipped_arrays(surfaces.FILE, surfaces.SHA256, "pictures of surfaces")


# --- splits ---------------------------------------------------------------------------------------


def test_a_split_has_all_parts_and_no_image_twice(brick):
    split = splits.from_surface(brick, labeled=12)
    assert split.counts() == {
        "training normals": 300,
        "labeled anomalies": 12,
        "pollution (unlabeled anomalies)": 0,
        "validation normals": 100,
        "validation anomalies": 30,
        "trusted normals": 100,
        "trusted anomalies": 60,
        "test normals": 100,
        "test anomalies": 180,
    }
    parts = ("train", "val", "val_anomaly", "trusted", "trusted_anomaly", "test")
    index = torch.cat([getattr(split, f"{part}_index") for part in parts])
    assert len(index.unique()) == len(index)
    labeled = brick.kind[split.train_index[split.train_labels == -1]]
    assert torch.bincount(labeled, minlength=7).tolist() == [0, 2, 2, 2, 2, 2, 2]
    assert torch.equal(brick.kind[split.test_index] > 0, split.test_is_anomaly)
    assert (split.data, split.subset, split.class_name) == ("brick", "surfaces", "brick")


def test_a_split_of_one_known_kind(brick):
    split = splits.from_surface(brick, labeled=5, known_kinds=["stain"])
    kinds = brick.kind[split.train_index[split.train_labels == -1]]
    assert kinds.tolist() == [KINDS.index("stain")] * 5
    with pytest.raises(ValueError, match="labeled=6 needs 6 anomalies, but there are 5"):
        splits.from_surface(brick, labeled=6, known_kinds=["stain"])
    with pytest.raises(ValueError, match="no kind of defect 'dent'"):
        splits.from_surface(brick, known_kinds=["dent"])


def test_saved_as_a_folder_it_is_read_like_any_other(tmp_path):
    surface = surfaces.load("cloth", size=32, normals=12)
    root = surface.save(tmp_path / "cloth")
    folder = folders.load(root)
    assert folder.shape_text == "3x32x32"
    assert folder.counts()["train/good"] == 12
    assert folder.counts()["test/print"] == 30
    assert torch.equal(folder.images[:12], surface.images[surface.where("train", 0)])
