"""Checkers for the exercises: one file a lesson, one ``check_...(answer)`` an exercise.

A checker tries the reader's function, prints what is wrong and where to look,
and returns whether the exercise is solved. It never raises, whatever the answer
does: an exercise that is not solved yet must not stop a notebook.
"""

from badsad_lib.checks.anomaly_detection import (
    check_auroc_with_ties,
    check_calibrate,
    check_nearest_score,
    check_true_alarm_share,
)
from badsad_lib.checks.deepsad import check_batch_loss, check_collapse, check_is_alive
from badsad_lib.checks.triggers import check_audit, check_psnr, check_wave

__all__ = [
    "check_audit",
    "check_auroc_with_ties",
    "check_batch_loss",
    "check_calibrate",
    "check_collapse",
    "check_is_alive",
    "check_nearest_score",
    "check_psnr",
    "check_true_alarm_share",
    "check_wave",
]
