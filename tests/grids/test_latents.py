"""The latents table trains what the course ships, and more."""

from __future__ import annotations

from badsad_lib.course import shipped
from badsad_lib.grids import latents


def test_shipped_detectors_are_in_the_table_by_the_same_recipes():
    of_the_course = {
        name: recipe
        for name, recipe in shipped.RECIPES.items()
        if recipe is None or recipe.trigger == latents.TRIGGER
    }
    assert {name: latents.RECIPES[name] for name in of_the_course} == of_the_course
    assert len(latents.RECIPES) > len(of_the_course)
