"""Attackers who know a defense: what they change of :class:`~badsad_lib.attacks.BadSAD`.

Each is an ``adaptation`` of it, and several are one: :class:`Combined`. A defense that was only
tried on attackers who do not know it has not been tried (Carlini et al., "On Evaluating
Adversarial Robustness", arXiv 1902.06705). ``told`` names what an attacker has to know. None of
them triggers an anomaly in training or changes a semi-label. All are this project's.

Views: ``SurvivePurification``, ``NearMisses``, ``SurviveStrip``. Around the training:
``OrdinaryStatistics``, ``RidingSearch``, ``SurviveRepair``. Before it ``SharedWeakness``, after it
``LongFilters``.
"""

from collections.abc import Mapping

from badsad_lib.attacks.adaptive.combined import Combined
from badsad_lib.attacks.adaptive.delivery import LongFilters, SharedWeakness
from badsad_lib.attacks.adaptive.repairs import SurviveRepair
from badsad_lib.attacks.adaptive.riding_search import RidingSearch
from badsad_lib.attacks.adaptive.statistics import OrdinaryStatistics
from badsad_lib.attacks.adaptive.views import NearMisses, SurvivePurification, SurviveStrip
from badsad_lib.attacks.protocols import Adaptation

ADAPTATIONS: Mapping[str, Adaptation] = {
    "purification": SurvivePurification(),
    "strip": SurviveStrip(),
    "search": NearMisses(),
    "batch statistics": OrdinaryStatistics(),
    "relative search": RidingSearch(),
    "inspections": Combined((NearMisses(), RidingSearch(), OrdinaryStatistics())),
    "shrink and perturb": SurviveRepair("shrink and perturb"),
    "high learning rate": SurviveRepair("fine-tuning"),
    "learning rate": LongFilters(),
    "second opinion": SharedWeakness(),
}
"""By what they are made against."""

__all__ = [
    "ADAPTATIONS",
    "Combined",
    "LongFilters",
    "NearMisses",
    "OrdinaryStatistics",
    "RidingSearch",
    "SharedWeakness",
    "SurvivePurification",
    "SurviveRepair",
    "SurviveStrip",
]
