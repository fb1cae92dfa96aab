"""Repair by attention distillation: look where a fine-tuned teacher looks.

Li et al., "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural Networks"
(ICLR 2021, arXiv 2101.05930, section 3): a copy is fine-tuned on trusted data, and the delivered
model then learns to spread its attention as that teacher does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from badsad_lib._rules import Count, Positive, Seed
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import tuned
from badsad_lib.defenses.fine_tuning import FineTuning
from badsad_lib.defenses.protocols import WeightRepair
from badsad_lib.networks import ConvBlock, Encoder


def attention(activations: Tensor) -> Tensor:
    """Attention map of activations (N, C, H, W): (N, H * W), each of length 1.

    Squares summed over the channels, then divided by the L2 norm (their section 3.2, p = 2).
    """
    return F.normalize(activations.float().square().sum(dim=1).flatten(1), dim=1)


class Teacher:
    """Distance of the attention to a teacher's, as an extra loss.

    An :class:`~badsad_lib.deepsad.ExtraLoss` without views of its own. It sees latents only, so
    within :meth:`listening` it overhears the encoder in training.
    """

    def __init__(self, encoder: Encoder, weight: float) -> None:
        self.blocks, self.shape, self.weight = encoder.blocks, encoder.arch.shape, weight
        self.heard: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take down what goes into and out of each convolution block in training."""
        here = get_ident()

        def note(block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            if isinstance(block, ConvBlock) and block.training and get_ident() == here:
                self.heard.append((inputs[0], output))

        # The detector makes its encoder itself, so there is none yet to hang a hook on. This one
        # hears every module of the process: what other threads train is none of its business.
        hook = register_module_forward_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def views(self, step: int) -> Tensor:
        """Return no images."""
        return torch.empty(0, *self.shape)

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """Mean squared distance between attention maps, summed over the blocks."""
        heard, self.heard = self.heard, []
        shown = heard[0][0]
        loss = torch.zeros((), device=center.device)
        for block, (_, output) in zip(self.blocks, heard, strict=True):
            with torch.no_grad():
                shown = block(shown)
            loss = loss + (attention(output) - attention(shown)).square().sum(dim=1).mean()
        return self.weight * loss


@dataclass
class AttentionDistillation(WeightRepair):
    """Fine-tune a copy, then train the detector to look where the copy looks.

    **Who can run it:** the buyer. **Needs** the weights, and what every
    :class:`~badsad_lib.defenses.WeightRepair` needs; no training data.
    **Costs** two fine-tunings and a half: teacher,
    student, and the teacher's look at each of the student's images.

    **Where it fails.** The teacher is seen on clean images only, and it is a fine-tuned copy: a
    backdoor that fine-tuning leaves alone is taught anew. Here the student came out no better than
    its teacher, for twice the time.

    Parameters
    ----------
    weight
        Of the distance between attention maps, in the loss. 1 was held against 10 and 100 on the
        validation images of a patch and a blend victim, normal class 0.
    steps, lr, seed
        As in :class:`~badsad_lib.defenses.FineTuning`, for the teacher and the student.
    """

    weight: Positive = 1.0
    steps: Count = 200
    lr: Positive = 3e-3
    seed: Seed = 0

    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        tuning = FineTuning(disturbed=False, steps=self.steps, lr=self.lr, seed=self.seed)
        fine_tuned = tuning._repaired(detector, trusted, anomalies)
        teacher = Teacher(fine_tuned.encoder_, self.weight)
        with teacher.listening():
            return tuned(
                detector,
                trusted,
                anomalies,
                steps=self.steps,
                lr=self.lr,
                seed=self.seed,
                extra_loss=teacher,
            )
