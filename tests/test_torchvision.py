"""torchvision imports whether or not its compiled operators match the torch build."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from badsad_lib import _torchvision

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[1]


def test_torchvision_imports_and_operators_are_declared_only_where_its_own_are_missing():
    # An interpreter of its own: this one may have imported torchvision already.
    code = """
        import sys
        from badsad_lib import _torchvision, datasets, splits
        unwanted = {"torchvision", "matplotlib", "umap"} & set(sys.modules)
        assert not unwanted, f"importing the library imported {unwanted}"

        torchvision = _torchvision.import_torchvision()
        assert torchvision.datasets.FashionMNIST.resources
        assert _torchvision.import_torchvision() is torchvision

        builds_match = torchvision.extension._has_ops()
        assert bool(_torchvision._libraries) == (not builds_match)
        assert _torchvision.declare_missing_operators() == []
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_operators_that_exist_are_left_alone(monkeypatch):
    signature = "(Tensor a) -> Tensor"
    names = ("badsad_test_there", "badsad_test_missing")
    monkeypatch.setattr(_torchvision, "_SCHEMAS", {name: name + signature for name in names})
    monkeypatch.setattr(_torchvision, "_libraries", [])
    own = torch.library.Library("torchvision", "FRAGMENT")
    own.define(names[0] + signature)
    own.impl(names[0], lambda a: a + 1, "CPU")

    assert _torchvision.declare_missing_operators() == [names[1]]
    assert _torchvision.declare_missing_operators() == []
    assert torch.ops.torchvision.badsad_test_there(torch.ones(1)).item() == 2


def test_a_missing_torchvision_is_named(monkeypatch):
    monkeypatch.setattr(_torchvision, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(ImportError, match=r"torchvision is not installed.*belongs to torch"):
        _torchvision.import_torchvision()
