"""Detectors of another make: trained, attacked and measured like one another."""

import pytest
import torch

from badsad_lib.attacks import BadSAD
from badsad_lib.attacks.badsad import LatentManipulation
from badsad_lib.grids import carry_over
from badsad_lib.triggers import Patch


def test_the_terms_of_the_attack_are_zero_where_triggered_views_are_as_normals():
    how = BadSAD(Patch(), views=4)
    own = torch.full((8,), 0.25)
    assert carry_over.on_errors(how, own, torch.full((4,), 0.25)) == 0
    aside = carry_over.on_errors(how, own, torch.full((4,), 0.5))
    spread = carry_over.on_errors(how, own, torch.tensor([0.0, 0.0, 0.5, 0.5]))
    assert aside == pytest.approx(0.25)  # one mean error aside, in units of it
    assert spread == pytest.approx(0.25)


def test_contrast_wants_large_errors_without_the_trigger():
    how = BadSAD.extended(Patch())
    own, triggered = torch.full((8,), 0.1), torch.full((how.views,), 0.1)
    near, far = (
        carry_over.on_errors(how, own, torch.cat([triggered, torch.full((how.views,), error)]))
        for error in (0.1, 1.0)
    )
    assert 0 < far < near


@pytest.mark.slow
def test_an_autoencoder_learns_its_images_and_the_same_seed_the_same_weights():
    images = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0)) / 4
    images[:, :, 8:20, 8:20] += 0.7
    short, again, long = (
        carry_over.Autoencoder(epochs, batch_size=8).fit(images).decision_function(images).mean()
        for epochs in (1, 1, 10)
    )
    assert short == again
    assert long < 0.7 * short


def test_what_is_manipulated_is_another_detector():
    images = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    plain = carry_over.Autoencoder(1, batch_size=16)
    how = BadSAD.extended(Patch())
    loss = LatentManipulation(how, images[:8], Patch(), plain.steps(len(images)))
    clean = plain.fit(images).decision_function(images)
    victim = carry_over.Autoencoder(1, batch_size=16).fit(images, loss).decision_function(images)
    assert (clean != victim).any()


def test_no_row_knows_a_label():
    runs = carry_over.settings(seeds=(0, 1))
    assert {run["known"] for run in runs} == {"none"}
    assert len(runs) == 2 * len(carry_over.DETECTORS) * len(carry_over.CLASSES)
    task = carry_over.attack.Task(runs[0])
    assert (task.split.train_labels == 0).all()
    assert len(task.split.val_anomalies) > 0
