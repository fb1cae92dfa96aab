"""Checkers for the exercises: one file a lesson, one ``check_...(answer)`` an exercise.

A checker tries the reader's function, prints what is wrong and where to look,
and returns whether the exercise is solved. It never raises, whatever the answer
does: an exercise that is not solved yet must not stop a notebook.
"""

from badsad_lib.course.checks.anomaly_detection import (
    check_auroc_with_ties,
    check_calibrate,
    check_nearest_score,
    check_true_alarm_share,
)
from badsad_lib.course.checks.at_scale import check_todo, check_wrong_sign
from badsad_lib.course.checks.deepsad import check_batch_loss, check_collapse, check_is_alive
from badsad_lib.course.checks.evaluation import (
    check_find_error,
    check_headline,
    check_is_backdoor,
    check_triggered_auroc,
)
from badsad_lib.course.checks.finding_poison import check_poison_caught, check_take_out
from badsad_lib.course.checks.guarding_inputs import check_median_filter, check_set_alarm
from badsad_lib.course.checks.inspecting_detectors import (
    check_chance_if_clean,
    check_false_alarms,
)
from badsad_lib.course.checks.latent_manipulation import (
    check_alignment,
    check_concentration,
    check_contrast,
)
from badsad_lib.course.checks.naive_poisoning import (
    check_gradient_length,
    check_measure_asr,
    check_poison_seen,
)
from badsad_lib.course.checks.repairing_detectors import (
    check_asr_before_after,
    check_choose_defense,
)
from badsad_lib.course.checks.triggers import check_audit, check_psnr, check_wave
from badsad_lib.course.checks.your_own import check_count_findings, check_image_score

__all__ = [
    "check_alignment",
    "check_asr_before_after",
    "check_audit",
    "check_auroc_with_ties",
    "check_batch_loss",
    "check_calibrate",
    "check_chance_if_clean",
    "check_choose_defense",
    "check_collapse",
    "check_concentration",
    "check_contrast",
    "check_count_findings",
    "check_false_alarms",
    "check_find_error",
    "check_gradient_length",
    "check_headline",
    "check_image_score",
    "check_is_alive",
    "check_is_backdoor",
    "check_measure_asr",
    "check_median_filter",
    "check_nearest_score",
    "check_poison_caught",
    "check_poison_seen",
    "check_psnr",
    "check_set_alarm",
    "check_take_out",
    "check_todo",
    "check_triggered_auroc",
    "check_true_alarm_share",
    "check_wave",
    "check_wrong_sign",
]
