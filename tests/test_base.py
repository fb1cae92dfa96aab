"""What detectors share: parameters, a representation that fits on a line, and a threshold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.detectors import wrap
from badsad_lib.tiles import TiledDeepSAD
from tests.samples import noise

KINDS = (DeepSAD, TiledDeepSAD)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_differs_from_the_defaults_is_shown(kind):
    assert repr(kind()) == f"{kind.__name__}() [not fitted]"
    assert repr(kind(lr=0.5, seed=3)) == f"{kind.__name__}(lr=0.5, seed=3) [not fitted]"


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_make_an_unfitted_copy(kind):
    detector = kind(lr=0.5, seed=3)
    assert kind(**detector.get_params()).get_params() == detector.get_params()
    with pytest.raises(ValueError, match="no parameter 'learning_rate'; choose one of"):
        detector.set_params(learning_rate=1, seed=4)
    with pytest.raises(ValueError, match="lr must be"):
        detector.set_params(seed=4, lr=-1)
    assert detector.set_params(seed=np.int64(5)).seed == 5
    assert detector.get_params()["lr"] == 0.5


def brightness(images):
    return images.mean((1, 2, 3))


DETECTORS = {"own": DeepSAD, "tiles": TiledDeepSAD, "wrapped": lambda: wrap(brightness)}


@pytest.mark.parametrize("make", DETECTORS)
def test_a_threshold_is_finite_and_forgets_its_quantile(make):
    detector = DETECTORS[make]()
    assert (detector.threshold_, detector.quantile_) == (None, None)
    detector.threshold_ = np.float32(0.5)
    assert type(detector.threshold_) is float
    detector.quantile_ = 0.95
    detector.threshold_ = None
    assert detector.quantile_ is None
    with pytest.raises(ValueError, match="threshold_ must be a finite number"):
        detector.threshold_ = np.nan


def test_above_the_threshold_is_an_anomaly():
    detector = wrap(brightness)
    images = noise((40, 1, 16, 16))
    with pytest.raises(RuntimeError, match="call calibrate"):
        detector.predict(images)
    detector.calibrate(images, 0.9)
    assert detector.quantile_ == 0.9
    scores = torch.from_numpy(detector.decision_function(images))
    found = detector.predict(images)
    assert found.dtype == np.int64
    assert np.array_equal(found, (scores > detector.threshold_).long())


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_not_fitted_says_so_first(kind):
    name = kind.__name__
    with pytest.raises(RuntimeError, match=f"this {name} is not fitted: call fit"):
        kind().predict(noise((2, 1, 32, 32)))
