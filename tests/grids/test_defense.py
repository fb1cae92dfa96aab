"""Tables of the defenses: each defense meets each detector once."""

from __future__ import annotations

import pytest

from badsad_lib.experiments import run_key
from badsad_lib.grids import attack, defense


@pytest.mark.parametrize("table", defense.DEFENSES)
def test_every_defense_meets_every_detector(table):
    runs = defense.settings(table, seeds=2, classes=(3, 5))
    victims = defense.COMBINED if table == "guards" else defense.VICTIMS
    victims = [v for v in victims if table != "data" or v["method"] != "clean"]
    assert len(runs) == 2 * 2 * len(victims) * len(defense.DEFENSES[table])
    assert len({run_key(setting) for setting in runs}) == len(runs)


def test_a_victim_is_the_one_of_the_attack_tables():
    """Same settings, same file of kept detectors."""
    (of_attack,) = [
        s
        for s in attack.settings("main", subset="course", classes=(1,))
        if (s["trigger"], s["poison_rate"]) == ("patch", 0.1)
    ]
    of_defense = next(
        s
        for s in defense.settings("model", seeds=1, classes=(1,))
        if (s["method"], s["trigger"], s["adaptation"]) == ("extended", "patch", "none")
    )
    assert all(of_defense[name] == value for name, value in of_attack.items())
