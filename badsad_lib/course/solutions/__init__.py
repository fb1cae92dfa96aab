"""The book's own answers to exercises whose result the lesson goes on to use.

A lesson takes the reader's function, and while there is none, the one of the same name here
(:func:`yours`). One module a lesson, as for the checkers.
"""

from badsad_lib.course.solutions._yours import yours
from badsad_lib.course.solutions.anomaly_detection import calibrate, nearest_score
from badsad_lib.course.solutions.deepsad import batch_loss, is_alive
from badsad_lib.course.solutions.evaluation import headline, is_backdoor, triggered_auroc
from badsad_lib.course.solutions.latent_manipulation import alignment, concentration, contrast
from badsad_lib.course.solutions.naive_poisoning import measure_asr, poison_seen
from badsad_lib.course.solutions.triggers import audit, wave

__all__ = [
    "alignment",
    "audit",
    "batch_loss",
    "calibrate",
    "concentration",
    "contrast",
    "headline",
    "is_alive",
    "is_backdoor",
    "measure_asr",
    "nearest_score",
    "poison_seen",
    "triggered_auroc",
    "wave",
    "yours",
]
