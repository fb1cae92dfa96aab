"""What ships is found whatever the settings; what is fetched never goes among the packages."""

from pathlib import Path

import pytest

from badsad_lib import _places, datasets
from badsad_lib.course import shipped


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("BADSAD_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_badsad_data_hides_nothing_that_ships(tmp_path, monkeypatch):
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    assert len(datasets.load("mnist").train) == 4000
    assert shipped.load("clean").about_["normal_class"] == 0
    assert len(shipped.results("detector"))


def test_fetched_data_goes_where_badsad_data_says(tmp_path, monkeypatch):
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    assert _places.fetched() == tmp_path
    monkeypatch.setenv("BADSAD_DATA", "~/images")
    assert _places.fetched() == Path.home() / "images"


def test_without_it_a_clone_keeps_fetched_data_beside_its_own():
    assert _places.fetched() == Path(__file__).resolve().parents[1] / "data"


def test_without_a_clone_it_goes_to_a_folder_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setattr(_places, "IN_CLONE", False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _places.fetched() == tmp_path / ".local" / "share" / "badsad"
    with pytest.raises(datasets.DataNotFoundError, match=rf"{tmp_path}.*BADSAD_DATA"):
        datasets.load("mnist", "full", download=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert _places.fetched() == tmp_path / "data" / "badsad"


def test_without_a_home_the_message_says_what_to_set(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(_places, "IN_CLONE", False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(datasets.DataNotFoundError, match="set BADSAD_DATA to a folder"):
        datasets.load("mnist", "full", download=False)
    assert len(datasets.load("mnist").train) == 4000
