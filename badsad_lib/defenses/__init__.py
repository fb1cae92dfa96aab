"""Defenses: find the poison, find the backdoor, repair the detector.

None needs class logits, which a detector does not have. None is told the poison rate, the
trigger or its place, and none imports an attack. Who can run which follows from who holds
what. Under outsourced training the trainer holds the (poisoned) data; the buyer holds the
detector, some trusted normals and perhaps labeled anomalies.

**On training data** (:class:`~badsad_lib.defenses.DataDefense`), for the trainer who
took data from elsewhere: ``suspicion(detector, images)`` ranks the images trained on as normal,
higher being more suspicious. ``ActivationClustering``, ``SpectralSignatures``, ``GramData``.

**On inputs** (:class:`~badsad_lib.defenses.InputDefense`), for the buyer:
``fit(detector, trusted_images, anomalies)``, then ``suspicion(images)``, and ``flags(images)`` at
a stated rate of false alarms. ``GramInputs``, ``Strip``, ``Purification``,
``Frequency``, ``Reconstruction``, and ``Witness``, which ranks training images as well.

**On the model**, for the buyer: ``statistic(detector, trusted_images, anomalies)``, to be held
against the same on detectors known to be clean: ``p_value`` and ``anomaly_index``, and
``left_out`` for their false alarms. ``TriggerInversion``, ``RelativeInversion``,
``BatchStatistics``.

**Repair** (:class:`~badsad_lib.defenses.Repair`), for the buyer:
``repair(detector, trusted_images, anomalies)`` returns a new, ordinary detector. Recompute its
threshold before use. ``ShrinkPerturb``, ``FineTuning``, ``FinePruning``,
``AttentionDistillation``, ``Unlearning`` train the delivered weights on, and refuse to with few
anomalies or few kinds of them (:class:`~badsad_lib.defenses.WeightRepair`).

**Instead**, for the buyer: ``TrainYourOwn``, the baseline of every repair, takes nothing over
from the delivered detector. ``SecondOpinion`` asks both, and is what is left with few anomalies.
``references`` and ``synthetic_anomalies`` are what they and the inspections are made of.

A defense that finds nothing has not shown that there is nothing.
"""

from badsad_lib.defenses.activation_clustering import ActivationClustering
from badsad_lib.defenses.attention_distillation import AttentionDistillation
from badsad_lib.defenses.batch_statistics import BatchStatistics
from badsad_lib.defenses.disturbances import disturb
from badsad_lib.defenses.fine_pruning import FinePruning
from badsad_lib.defenses.fine_tuning import FineTuning
from badsad_lib.defenses.frequency import Frequency, dct
from badsad_lib.defenses.gram import GramData, GramInputs, gram_features
from badsad_lib.defenses.inversion import (
    InvertedTrigger,
    RelativeInversion,
    TriggerInversion,
    anomaly_index,
    left_out,
    p_value,
    relative_size,
)
from badsad_lib.defenses.own import TrainYourOwn, references
from badsad_lib.defenses.protocols import DataDefense, InputDefense, Repair, WeightRepair
from badsad_lib.defenses.purification import PURIFIERS, Purification
from badsad_lib.defenses.reconstruction import Reconstruction
from badsad_lib.defenses.second_opinion import SecondOpinion
from badsad_lib.defenses.shrink_perturb import ShrinkPerturb
from badsad_lib.defenses.spectral_signatures import SpectralSignatures, spectral_scores
from badsad_lib.defenses.strip import Strip
from badsad_lib.defenses.synthetic import synthetic_anomalies
from badsad_lib.defenses.unlearning import Unlearning
from badsad_lib.defenses.witness import Witness

__all__ = [
    "PURIFIERS",
    "ActivationClustering",
    "AttentionDistillation",
    "BatchStatistics",
    "DataDefense",
    "FinePruning",
    "FineTuning",
    "Frequency",
    "GramData",
    "GramInputs",
    "InputDefense",
    "InvertedTrigger",
    "Purification",
    "Reconstruction",
    "RelativeInversion",
    "Repair",
    "SecondOpinion",
    "ShrinkPerturb",
    "SpectralSignatures",
    "Strip",
    "TrainYourOwn",
    "TriggerInversion",
    "Unlearning",
    "WeightRepair",
    "Witness",
    "anomaly_index",
    "dct",
    "disturb",
    "gram_features",
    "left_out",
    "p_value",
    "references",
    "relative_size",
    "spectral_scores",
    "synthetic_anomalies",
]
