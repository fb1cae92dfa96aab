"""The detectors that come with the course are what their recipes say, and score what they say."""

import pytest

from badsad_lib.attacks import BadSAD
from badsad_lib.course import shipped
from badsad_lib.deepsad import DeepSAD
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Blend, Border, Patch
from tools import detectors


def test_every_recipe_has_its_file_and_every_file_its_recipe():
    folder = shipped.path("clean").parent
    files = {file.stem for file in folder.glob("*.safetensors")}
    assert files == {*shipped.RECIPES, shipped.TILES}
    for name in shipped.RECIPES:
        assert shipped.path(name).stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped.RECIPES)
def test_a_detector_was_made_as_its_recipe_says(name):
    detector = shipped.load(name)
    assert detector.about_["recipe"] == repr(shipped.RECIPES[name])
    assert detector.get_params() == DeepSAD(seed=0).get_params()
    assert detector.about_["normal_class"] == shipped.split().normal_class


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped.RECIPES)
def test_a_detector_scores_what_its_note_says(name):
    detector = shipped.load(name)
    measured = detectors.scores(name, detector)
    assert measured["auroc"] == pytest.approx(detector.about_["auroc"], abs=1e-3)
    assert measured["asr"] == pytest.approx(detector.about_["asr"], abs=5e-3)
    flagged = detector.predict(shipped.split().val_images).mean()
    assert flagged == pytest.approx(1 - detectors.QUANTILE, abs=0.01)


def test_the_detector_of_tiles_scores_what_its_note_says():
    detector = shipped.tiles()
    assert detector.get_params() == TiledDeepSAD(seed=0).get_params()
    assert detectors.tiles_auroc(detector) == pytest.approx(detector.about_["auroc"], abs=1e-3)
    assert detector.about_["auroc"] >= 0.9
    assert detector.quantile_ == detectors.QUANTILE


def test_the_preset_works_on_a_border_and_neither_poisoned_data_nor_alignment_alone():
    assert shipped.RECIPES["basic"] == BadSAD.basic(Border())
    asr = {name: shipped.load(name).about_["asr"] for name in shipped.RECIPES}
    auroc = {name: shipped.load(name).about_["auroc"] for name in shipped.RECIPES}
    assert asr["basic"] >= 0.85
    assert auroc["clean"] - auroc["basic"] <= 0.01
    for name in ("border_data_only", "border_alignment", "both"):
        assert asr[name] <= 0.5


def test_a_victim_knows_its_trigger():
    assert shipped.trigger("extended") == Patch()
    assert shipped.trigger("sham") == Blend(alpha=0.2)
    assert shipped.trigger("basic") == Border()
    with pytest.raises(ValueError, match="was not attacked"):
        shipped.trigger("clean")


@pytest.mark.parametrize("ask", [shipped.load, shipped.path, shipped.trigger, shipped.train])
def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(ask):
    with pytest.raises(ValueError, match=r"no detector 'exended'.*'extended'"):
        ask("exended")


def test_a_table_of_results_is_read_and_a_missing_one_named():
    assert {"normal_class", "auroc"} <= set(shipped.results("detector").columns)
    with pytest.raises(FileNotFoundError, match=r"no table 'atack'.*'detector'"):
        shipped.results("atack")
