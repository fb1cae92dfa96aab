"""The latents table trains what the course ships, and more."""

from __future__ import annotations

from badsad_lib.course import shipped
from badsad_lib.grids import latents


def test_shipped_detectors_are_in_the_table_by_the_same_recipes():
    both = latents.RECIPES.keys() & shipped.RECIPES.keys()
    assert {"clean", "data_only", "alignment", "concentration", "both", "extended"} <= both
    assert {name: latents.RECIPES[name] for name in both} == {
        name: shipped.RECIPES[name] for name in both
    }
    assert len(latents.RECIPES) > len(both)
