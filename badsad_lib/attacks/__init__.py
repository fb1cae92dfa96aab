"""Attacks on DeepSAD: clean-label poisoning, and BadSAD with its two phases.

Attackers who know a defense are in :mod:`badsad_lib.attacks.adaptive`, the one package here
that knows a defense.
"""

from badsad_lib.attacks.badsad import BadSAD
from badsad_lib.attacks.data_poisoning import DataPoisoning
from badsad_lib.attacks.losses import (
    ALIGNMENTS,
    alignment_loss,
    concentration_loss,
    contrast_loss,
)
from badsad_lib.attacks.protocols import Adaptation, Attack, ViewChange

__all__ = [
    "ALIGNMENTS",
    "Adaptation",
    "Attack",
    "BadSAD",
    "DataPoisoning",
    "ViewChange",
    "alignment_loss",
    "concentration_loss",
    "contrast_loss",
]
