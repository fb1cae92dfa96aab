"""The API reference names every public module, and no other."""

from __future__ import annotations

import pkgutil
import re

import badsad_lib
from tools.lessons import ROOT


def test_every_public_module_has_its_section() -> None:
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\.\. automodule:: badsad_lib\.([\w.]+)$", page, re.MULTILINE)
    assert len(documented) == len(set(documented))
    public = [m.name for m in pkgutil.iter_modules(badsad_lib.__path__) if m.name[0] != "_"]
    # A package may be documented by the modules in it.
    assert {name.partition(".")[0] for name in documented} == set(public)
