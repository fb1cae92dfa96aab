"""Tiles: how images are cut, what is trained on, scores, heat maps, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from badsad_lib import detectors, metrics, splits, surfaces
from badsad_lib.attacks import BadSAD
from badsad_lib.checkpoints import CheckpointError
from badsad_lib.deepsad import DeepSAD
from badsad_lib.tiles import TILE, TiledDeepSAD, _Scorer, corners, cut, load_detector
from badsad_lib.triggers import Patch

SMALL = {"steps": 20, "normal_tiles": 200, "synthetic_tiles": 100, "batch_size": 32}


@pytest.fixture(scope="module")
def surface():
    return surfaces.load("brick", normals=40)


@pytest.fixture(scope="module")
def split(surface):
    return splits.from_surface(surface)


@pytest.fixture(scope="module")
def hasty(split):
    return TiledDeepSAD(**SMALL).fit(split.train_images).calibrate(split.val_images)


# --- cutting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "stride", "expected"),
    [(32, 8, [0]), (64, 8, [0, 8, 16, 24, 32]), (40, 6, [0, 6, 8]), (33, 32, [0, 1])],
)
def test_tiles_reach_the_end_of_every_side(length, stride, expected):
    assert corners(length, TILE, stride) == expected


def test_tiles_are_what_lies_there_row_by_row():
    images = torch.arange(2 * 3 * 40 * 64).reshape(2, 3, 40, 64)
    tiles = cut(images, TILE, 16)
    assert tiles.shape == (2, 2 * 3, 3, TILE, TILE)
    assert torch.equal(tiles[1, 4], images[1, :, 8:40, 16:48])


# --- training -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_defects_are_found_and_where_they_are(surface, split):
    detector = TiledDeepSAD(steps=250, normal_tiles=2000, synthetic_tiles=1000)
    detector.fit(split.train_images)
    scores = detector.decision_function(split.test_images)
    kind = surface.kind[split.test_index].numpy()
    assert metrics.auroc(scores[kind == 0], scores[kind > 0]) > 0.8

    spotted = split.test_normals[:20].clone()
    spotted[:, :, 40:54, 8:22] = 10
    heat = detector.heat_map(spotted)
    hottest = [np.unravel_index(one.argmax(), one.shape) for one in heat]
    near = [32 <= row < 64 and column < 32 for row, column in hottest]
    assert np.mean(near) > 0.8


def test_the_same_seed_gives_the_same_detector(split, hasty):
    again = TiledDeepSAD(**SMALL).fit(split.train_images)
    scores = again.decision_function(split.test_images[:4])
    assert np.array_equal(scores, hasty.decision_function(split.test_images[:4]))
    other = TiledDeepSAD(**SMALL, seed=1).fit(split.train_images)
    assert not np.array_equal(scores, other.decision_function(split.test_images[:4]))


def test_length_is_in_steps_and_no_batch_has_one_tile(split, monkeypatch):
    sizes = []
    original = DeepSAD._train

    def spy(self, encoder, center, pixels, *rest):
        encoder.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
        return original(self, encoder, center, pixels, *rest)

    monkeypatch.setattr(DeepSAD, "_train", spy)
    settings = {"normal_tiles": 32, "synthetic_tiles": 1, "batch_size": 2, "steps": 30}
    TiledDeepSAD(**settings).fit(split.train_images[:3])
    training = [n for n in sizes if n < 33]
    assert 30 <= len(training) <= 30 + 16
    assert min(training) >= 2


def test_what_was_painted_is_noted(hasty):
    noted = hasty.about_["synthetic_anomalies"]
    assert noted["kinds"] == ["paste", "line", "blot", "blur", "grain"]
    assert (noted["strength"], noted["seed"], noted["tiles"]) == (1.0, 0, 100)


def test_labeled_anomalies_are_set_aside_with_a_word(split, hasty):
    images = torch.cat([split.train_images, split.test_anomalies[:5]])
    labels = torch.tensor([0] * 40 + [-1] * 5)
    with pytest.warns(UserWarning, match="5 labeled anomalies are set aside"):
        found = TiledDeepSAD(**SMALL).fit(images, labels)
    some = split.test_images[:4]
    assert np.array_equal(found.decision_function(some), hasty.decision_function(some))


def test_an_attacker_may_train_in_its_place(split):
    attack = BadSAD.extended(Patch(), poison_rate=0.5)

    def train(unfitted, tiles, labels):
        return attack.attack(unfitted, tiles, labels)

    victim = TiledDeepSAD(**SMALL).fit(split.train_images, train=train)
    assert victim.deepsad_.is_fitted
    assert len(victim.decision_function(split.test_images[:3])) == 3


# --- scoring --------------------------------------------------------------------------------------


def test_a_score_is_the_mean_of_the_highest_tiles(split, hasty):
    some = split.test_images[:3]
    tiles = hasty.tile_scores(some)
    assert tiles.shape == (3, 5, 5)
    expected = np.sort(tiles.reshape(3, -1), axis=1)[:, -3:].mean(axis=1)
    assert np.allclose(hasty.decision_function(some), expected)
    one = hasty.deepsad_.decision_function(some[1:2, :, 8:40, 16:48])
    assert tiles[1, 1, 2] == pytest.approx(one[0], rel=1e-4)


def test_gradients_flow_to_the_same_scores(split, hasty):
    images = (split.test_images[:3].float() / 255).requires_grad_()
    scores = hasty.differentiable_scores(images)
    assert np.allclose(scores.detach(), hasty.decision_function(split.test_images[:3]), rtol=1e-4)
    scores.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_heat_map_has_the_size_of_its_image():
    surface = surfaces.load("cloth", size=100, normals=10)
    split = splits.from_surface(surface)
    detector = TiledDeepSAD(**SMALL).fit(split.train_images)
    assert detector.shape_ == (3, 100, 100)
    heat = detector.heat_map(split.test_images[:2])
    assert heat.shape == (2, 100, 100)
    tiles = detector.tile_scores(split.test_images[:2])
    assert tiles.shape == (2, 5, 5)  # 100 pixels become 64
    assert heat.min() >= tiles.min() * 0.999
    assert heat.max() <= tiles.max() * 1.001


def test_large_images_stay_large_where_that_is_asked_for():
    images = torch.rand(4, 1, 100, 70)
    detector = TiledDeepSAD(**SMALL, reduce_to=None).fit(images)
    assert detector.tile_scores(images).shape == (4, 10, 6)


def test_what_it_refuses(split, hasty):
    with pytest.raises(ValueError, match="tiles have 32x32 pixels, got images of 28x28"):
        TiledDeepSAD(**SMALL).fit(torch.rand(4, 1, 28, 28))
    with pytest.raises(RuntimeError, match=r"not fitted: call fit\(images, semi_labels\) before"):
        TiledDeepSAD().decision_function(split.test_images)
    with pytest.raises(ValueError, match="64"):
        hasty.decision_function(torch.rand(4, 1, 128, 128))
    with pytest.raises(ValueError, match="kinds must be some of"):
        TiledDeepSAD(kinds=("rust",))
    with pytest.raises(ValueError, match="no parameter 'tile'"):
        hasty.set_params(tile=3)
    with pytest.raises(RuntimeError, match="call calibrate"):
        TiledDeepSAD(**SMALL).fit(split.train_images).predict(split.test_images)


def test_parameters_can_be_read_and_set():
    detector = TiledDeepSAD().set_params(stride=4, highest=np.int64(2))
    assert (detector.get_params()["stride"], detector.highest) == (4, 2)
    assert repr(detector) == "TiledDeepSAD(stride=4, highest=2) [not fitted]"


# --- wherever a detector works --------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same(split, hasty, tmp_path):
    path = hasty.save(tmp_path / "tiles", about={"material": "brick"})
    some = split.test_images[:4]
    for loaded in (TiledDeepSAD.load(path), load_detector(path), detectors.wrap(path)):
        assert isinstance(loaded, TiledDeepSAD)
        assert np.array_equal(loaded.decision_function(some), hasty.decision_function(some))
        assert (loaded.threshold_, loaded.quantile_) == (hasty.threshold_, 0.95)
        assert loaded.about_["material"] == "brick"
        assert loaded.about_["synthetic_anomalies"]["seed"] == 0
        assert np.array_equal(loaded.predict(some), hasty.predict(some))


def test_files_of_the_two_kinds_are_not_mixed_up(hasty, tmp_path):
    tiles = hasty.save(tmp_path / "tiles")
    whole = hasty.deepsad_.save(tmp_path / "whole")
    with pytest.raises(CheckpointError, match="does not describe a DeepSAD"):
        DeepSAD.load(tiles)
    with pytest.raises(CheckpointError, match="detector of whole images"):
        TiledDeepSAD.load(whole)
    assert isinstance(load_detector(whole), DeepSAD)


def test_it_is_a_detector_like_others(split, hasty):
    assert detectors.access_of(hasty) is detectors.Access.GRADIENTS
    assert detectors.wrap(hasty) is hasty
    small = detectors.wrap(hasty, size=64)
    scores = small.decision_function(torch.rand(3, 1, 80, 80))
    assert scores.shape == (3,)
    assert not detectors.self_check(hasty, split.val_images[:20]).problems
    with pytest.raises(TypeError, match="needs a detector that gives its weights"):
        detectors.require(hasty, detectors.Access.WEIGHTS, "a repair")


# --- as ONNX --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 64, 64), {}),
        ((3, 100, 130), {"stride": 16}),
        ((1, 50, 33), {"highest": 99}),
        ((1, 90, 40), {"reduce_to": None, "stride": 5}),
    ],
)
def test_as_one_module_it_scores_the_same(shape, settings):
    images = torch.rand(6, *shape)
    detector = TiledDeepSAD(**SMALL, **settings).fit(images)
    with torch.no_grad():
        scores = _Scorer(detector).eval()(images)
    np.testing.assert_allclose(scores, detector.decision_function(images), rtol=1e-4)


@pytest.mark.slow
def test_exported_to_onnx_it_scores_the_same(tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    images = torch.rand(12, 3, 100, 130)
    detector = TiledDeepSAD(**SMALL).fit(images)
    path = detector.export_onnx(tmp_path / "tiles")
    assert [one.name for one in tmp_path.iterdir()] == ["tiles.onnx"]
    wrapped = detectors.wrap(path)
    assert wrapped.shape_ == (3, 100, 130)
    for count in (1, 12):
        np.testing.assert_allclose(
            wrapped.decision_function(images[:count]),
            detector.decision_function(images[:count]),
            rtol=1e-4,
        )


def test_what_is_not_fitted_or_broken_is_not_exported(split, tmp_path):
    with pytest.raises(RuntimeError, match="before export_onnx"):
        TiledDeepSAD().export_onnx(tmp_path / "x")
    broken = TiledDeepSAD(**SMALL).fit(split.train_images)
    broken.deepsad_.center_ = broken.deepsad_.center_ * torch.nan
    with pytest.raises(FloatingPointError, match="a broken detector is not exported"):
        broken.export_onnx(tmp_path / "x")
    assert not list(tmp_path.iterdir())
