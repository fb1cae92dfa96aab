"""An extra loss around another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from badsad_lib.deepsad import ExtraLoss


@contextmanager
def evaluating(encoder: nn.Module) -> Iterator[nn.Module]:
    """An encoder in training, as it will be delivered: with its stored statistics."""
    encoder.eval()
    try:
        yield encoder
    finally:
        encoder.train()


class Around:
    """Passes everything on; what is overridden is changed."""

    encoder: nn.Module

    def __init__(self, inner: ExtraLoss) -> None:
        self.inner = inner

    def begin(self, encoder: nn.Module, center: Tensor) -> None:
        """Take the encoder, which is trained in place."""
        self.encoder, self.center = encoder, center
        if (begin := getattr(self.inner, "begin", None)) is not None:
            begin(encoder, center)

    def views(self, step: int) -> Tensor:
        """Views of the inner loss."""
        return self.inner.views(step)

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """The inner loss."""
        return self.inner(latents, semi_labels, extra_latents, center)
