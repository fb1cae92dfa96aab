"""The book's own answers to exercises whose result the lesson goes on to use.

A lesson takes the reader's function, and while there is none, the one of the same name here
(:func:`yours`). One module a lesson, as for the checkers.
"""

from badsad_lib.course.solutions._yours import yours
from badsad_lib.course.solutions.anomaly_detection import calibrate, nearest_score

__all__ = ["calibrate", "nearest_score", "yours"]
