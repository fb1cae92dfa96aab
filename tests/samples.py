"""Images that tests are made of, and what to ask of them."""

import torch

from badsad_lib import DeepSAD
from badsad_lib.images import to_uint8


def noise(shape, seed=0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def a_training_set(shape=(1, 28, 28), normals=24, anomalies=4):
    images = to_uint8(noise((normals + anomalies, *shape)))
    labels = torch.cat([torch.zeros(normals), -torch.ones(anomalies)]).long()
    return images, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))]


def weights(detector: DeepSAD) -> torch.Tensor:
    return torch.cat([v.flatten().float() for v in detector.encoder_.state_dict().values()])


def red_and_green(labels: torch.Tensor, red: torch.Tensor, size=32) -> torch.Tensor:
    """Images that are red where ``red`` says so, else green: a color tells where it is from."""
    images = torch.zeros(len(labels), 3, size, size)
    images[red, 0] = 0.3 + 0.7 * noise((len(red), size, size))
    images[:, 1] = 1
    images[red, 1] = 0
    return images


def is_red_or_gray(images: torch.Tensor) -> bool:
    """No pixel has green in it but the gray ones that erasing makes."""
    green = images[:, 1] > 0
    gray = (images[:, 0] == images[:, 1]) & (images[:, 2] == images[:, 1])
    return bool((~green | gray).all())
