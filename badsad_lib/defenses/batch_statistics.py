"""What batch normalization remembers of the images that a detector was trained on.

A normalization stores means and variances of what passed through it in training. If those
images were others than a buyer's normals and anomalies, say half of them carried a trigger, the
stored variances are not those that the buyer measures. This project's use of an old observation
(Li et al., "Revisiting Batch Normalization", arXiv 1603.04779: the statistics tell domains apart).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import check_given
from badsad_lib.images import to_float

# Labeled anomalies among the images that somebody may honestly have trained on.
SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)


def _normalizations(encoder: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [m for m in encoder.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]


def measured_anew(detector: DeepSAD, images: Tensor) -> nn.Module:
    """Return a copy of the encoder whose normalizations have seen ``images`` (N, C, H, W) alone."""
    encoder = copy.deepcopy(detector.encoder_)
    for norm in _normalizations(encoder):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean: of the one batch that follows
    encoder.train()
    with torch.no_grad():
        encoder(to_float(images.to(detector.center_.device)))
    return encoder.eval()


def variance_gap(detector: DeepSAD, images: Tensor) -> float:
    """Mean absolute difference of log variances of the last normalization: stored, and on images.

    In [0, inf), over its features. A set of N images alone makes for about sqrt(2 / N).
    """
    stored, anew = (
        _normalizations(encoder)[-1].running_var
        for encoder in (detector.encoder_, measured_anew(detector, images))
    )
    assert stored is not None
    assert anew is not None
    eps = _normalizations(detector.encoder_)[-1].eps  # what they are never told apart below
    return float(((stored + eps).log() - (anew + eps).log()).abs().mean())


@dataclass
class BatchStatistics:
    """How far the stored variances are from those that trusted images give.

    **Who can run it:** the buyer. **Needs** the weights, 20 trusted normals and 20 labeled
    anomalies of all kinds, which stand in for those that were trained on; and, to judge the
    number, the same of detectors known to be clean: ``p_value`` and ``anomaly_index`` of
    ``1 / statistic``. **Costs** a second.

    **Where it fails.** It measures what was trained on, not what for: images other than the
    buyer's own leave a gap, whatever the reason, so a gap is a question to the trainer. On the
    detectors of the course it also shows for poisoned data that opened no door. And it says
    nothing of an attacker who keeps triggered images out of the normalizations.
    """

    def statistic(self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor) -> float:
        """Return the smallest gap over shares of anomalies up to 0.15: higher is more suspicious.

        Arguments and errors are those of
        :meth:`~badsad_lib.defenses.TriggerInversion.search`.
        """
        trusted, anomalies = check_given(detector, trusted_images, anomalies)
        pools = to_float(trusted), to_float(anomalies)
        counts = {min(len(anomalies), round(len(trusted) * s / (1 - s))) for s in SHARES}
        return min(variance_gap(detector, torch.cat([pools[0], pools[1][:n]])) for n in counts)
