"""The book's own answers to exercises whose result the lesson goes on to use.

A lesson takes the reader's function, and while there is none, the one of the same name here
(:func:`yours`). One module a lesson, as for the checkers.
"""

from badsad_lib.course.solutions._yours import yours
from badsad_lib.course.solutions.anomaly_detection import calibrate, nearest_score
from badsad_lib.course.solutions.at_scale import todo, wrong_sign
from badsad_lib.course.solutions.deepsad import batch_loss, is_alive
from badsad_lib.course.solutions.evaluation import headline, is_backdoor, triggered_auroc
from badsad_lib.course.solutions.finding_poison import poison_caught, take_out
from badsad_lib.course.solutions.guarding_inputs import median_filter, set_alarm
from badsad_lib.course.solutions.inspecting_detectors import chance_if_clean, false_alarms
from badsad_lib.course.solutions.latent_manipulation import alignment, concentration, contrast
from badsad_lib.course.solutions.naive_poisoning import measure_asr, poison_seen
from badsad_lib.course.solutions.repairing_detectors import asr_before_after, choose_defense
from badsad_lib.course.solutions.triggers import audit, wave
from badsad_lib.course.solutions.your_own import image_score

__all__ = [
    "alignment",
    "asr_before_after",
    "audit",
    "batch_loss",
    "calibrate",
    "chance_if_clean",
    "choose_defense",
    "concentration",
    "contrast",
    "false_alarms",
    "headline",
    "image_score",
    "is_alive",
    "is_backdoor",
    "measure_asr",
    "median_filter",
    "nearest_score",
    "poison_caught",
    "poison_seen",
    "set_alarm",
    "take_out",
    "todo",
    "triggered_auroc",
    "wave",
    "wrong_sign",
    "yours",
]
