"""The cosine transform by its definition; the detector of spectra on noise that smooth images lack.

What it shares with the other defenses on inputs is tested in ``test_inputs.py``.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import metrics
from badsad_lib.defenses import Frequency, dct
from tests.defenses.samples import tiny
from tests.samples import noise


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(2, 9))
def test_the_transform_keeps_lengths_and_puts_constants_first(channels, height, width):
    images = noise((2, channels, height, width))
    torch.testing.assert_close(dct(images).flatten(1).norm(dim=1), images.flatten(1).norm(dim=1))
    flat = dct(torch.ones(1, channels, height, width))
    assert (flat[..., 0, 0] - (height * width) ** 0.5).abs().max() < 1e-4
    flat[..., 0, 0] = 0
    assert flat.abs().max() < 1e-4


def test_a_wave_of_the_basis_is_one_coefficient():
    places = (torch.arange(8) + 0.5) * torch.pi / 8
    wave = torch.cos(3 * places).expand(1, 1, 8, 8)
    assert dct(wave).abs().argmax() == 3


def test_noise_on_smooth_images_is_found():
    smooth = torch.nn.functional.interpolate(noise((120, 1, 4, 4)), (28, 28), mode="bilinear")
    defense = Frequency().fit(tiny(), smooth[:80])
    noisy = (smooth[80:] + 0.1 * (noise((40, 1, 28, 28)) - 0.5)).clamp(0, 1)
    assert metrics.auroc(defense.suspicion(smooth[80:]), defense.suspicion(noisy)) >= 0.95
