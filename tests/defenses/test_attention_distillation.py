"""Attention maps by their definition, and what their distance costs."""

from threading import Thread

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.defenses.attention_distillation import Teacher, attention
from badsad_lib.networks import Encoder, make_encoder
from tests.defenses.samples import tiny, trusted
from tests.samples import noise


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_attention_is_where_the_squares_are(images, channels, seed):
    activations = noise((images, channels, 3, 4), seed) * 2 - 1
    squares = sum(activations[:, c] ** 2 for c in range(channels)).flatten(1)
    maps = attention(activations)
    torch.testing.assert_close(maps, squares / squares.norm(dim=1, keepdim=True))
    torch.testing.assert_close(attention(-3 * activations), maps)


def overhear(teacher: Teacher, encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
    """Loss of a step in which ``encoder`` sees ``images``."""
    with teacher.listening():
        latents = encoder(images)
    return teacher(latents, torch.zeros(0), latents, torch.zeros(1))


def test_the_loss_is_the_distance_between_the_maps():
    own, other = make_encoder("mnist").train(), tiny().encoder_
    images = trusted()
    loss = overhear(Teacher(other, weight=3.0), own, images)
    expected, mine, theirs = 0.0, images, images
    for block, teaching in zip(own.blocks, other.blocks):
        mine, theirs = block(mine), teaching(theirs)
        expected += 3 * (attention(mine) - attention(theirs)).square().sum(1).mean()
    torch.testing.assert_close(loss, expected)
    other.zero_grad()
    loss.backward()
    assert all(block.conv.weight.grad.abs().sum() > 0 for block in own.blocks)
    assert all(block.conv.weight.grad is None for block in other.blocks)


def test_the_teacher_does_not_hear_itself_and_stops_when_told():
    teacher, encoder = Teacher(tiny().encoder_, weight=1.0), make_encoder("mnist").train()
    with teacher.listening():
        tiny().decision_function(trusted())
    encoder(trusted())
    assert teacher.heard == []
    assert len(teacher.views(0)) == 0


def test_the_teacher_does_not_hear_what_another_thread_trains():
    teacher, encoder = Teacher(tiny().encoder_, weight=1.0), make_encoder("mnist").train()
    with teacher.listening():
        other = Thread(target=encoder, args=(trusted(),))
        other.start()
        other.join()
    assert teacher.heard == []
    with teacher.listening():
        encoder(trusted())
    assert len(teacher.heard) == len(encoder.blocks)
