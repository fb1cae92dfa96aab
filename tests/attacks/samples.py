"""What tests of attacks are made of."""

import torch

TINY = {"epochs": 1, "pretrain_epochs": 0, "batch_size": 16, "device": "cpu"}


def latents(n, dim, seed=0, shift=0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64) + shift
