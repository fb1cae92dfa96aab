"""The reference's three encoder/decoder pairs, and those of other sizes by its rules."""

import hashlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from badsad_lib.networks import (
    ARCHITECTURES,
    Architecture,
    architecture_by_rule,
    architecture_for,
    generator_of,
    layer,
    make_decoder,
    make_encoder,
    parameter_count,
)


@pytest.mark.parametrize(
    ("name", "parameters", "latent_dim"),
    [("mnist", 7_272, 32), ("fashion_mnist", 222_096, 64), ("cifar10", 520_544, 128)],
)
def test_encoders_have_the_reference_sizes(name, parameters, latent_dim):
    encoder = make_encoder(name)
    assert parameter_count(encoder) == parameters
    assert encoder(torch.rand(2, *ARCHITECTURES[name].shape)).shape == (2, latent_dim)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_decoders_mirror_their_encoders_into_the_unit_range(name):
    images = make_decoder(name)(torch.randn(5, ARCHITECTURES[name].latent_dim) * 10)
    assert images.shape == (5, *ARCHITECTURES[name].shape)
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_has_a_bias_or_a_learned_normalization(name):
    for network in (make_encoder(name), make_decoder(name)):
        for module in network.modules():
            assert getattr(module, "bias", None) is None
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.eps == 1e-4
                assert not module.affine


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pooling_first_computes_the_function_of_the_reference(name, training):
    torch.manual_seed(0)
    encoder = make_encoder(name)
    images = torch.rand(16, *ARCHITECTURES[name].shape)
    encoder(images)  # gives the running statistics something to hold
    encoder.train(training)

    x = images
    for block in encoder.blocks:
        x = block.conv(x)
        x = F.batch_norm(
            x, block.norm.running_mean.clone(), block.norm.running_var.clone(),
            training=training, eps=1e-4,
        )  # fmt: skip
        x = F.max_pool2d(F.leaky_relu(x, 0.01), 2)
    expected = encoder.head(x.flatten(1))
    torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-5)


def test_the_pair_is_chosen_by_shape_or_by_name():
    assert architecture_for((1, 28, 28)) == "fashion_mnist"
    assert architecture_for((1, 28, 28), "mnist") == "mnist"
    assert architecture_for((3, 32, 32)) == "cifar10"


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (1, 28, 27), (1, 257, 64)])
def test_a_shape_that_a_named_pair_does_not_take_is_named(shape):
    with pytest.raises(ValueError, match=rf"got \({shape[0]}, {shape[1]}, {shape[2]}\)"):
        architecture_for(shape, "mnist")


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((1, 15, 64), "enlarge or pad"),
        ((1, 64, 257), "smaller"),
        ((28, 28, 3), "colors last"),
        ((0, 64, 64), "16 to 256 pixels"),
    ],
)
def test_a_shape_that_none_takes_is_refused_with_advice(shape, advice):
    with pytest.raises(ValueError, match=advice):
        architecture_for(shape)


# --- any size -------------------------------------------------------------------------------------

sides = st.integers(16, 256)


def test_the_rule_gives_the_encoders_of_the_reference():
    for name in ("fashion_mnist", "cifar10"):
        ours, reference = architecture_by_rule(ARCHITECTURES[name].shape), ARCHITECTURES[name]
        for part in ("shape", "channels", "hidden", "latent_dim"):
            assert getattr(ours, part) == getattr(reference, part), (name, part)


@given(st.sampled_from([1, 2, 3, 4]), sides, sides)
def test_blocks_leave_a_map_of_four_to_seven_pixels_along_the_shorter_side(channels, height, width):
    arch = architecture_by_rule((channels, height, width))
    assert 4 <= min(arch.map_size) <= 7
    assert max(arch.channels) <= 128
    assert Architecture.from_description(json.loads(json.dumps(arch.describe()))) == arch


@pytest.mark.parametrize(
    "shape", [(1, 16, 16), (3, 64, 64), (1, 32, 32), (4, 50, 42), (2, 17, 256), (1, 255, 33)]
)
def test_networks_of_any_size_encode_and_decode(shape):
    arch = architecture_for(shape)
    encoder, decoder = make_encoder(arch).train(), make_decoder(arch).train()
    latents = encoder(torch.rand(2, *shape))
    assert latents.shape == (2, arch.latent_dim)
    images = decoder(latents)
    assert images.shape == (2, *shape)
    assert images.min() >= 0
    assert images.max() <= 1
    for network in (encoder, decoder):
        assert not any(getattr(module, "bias", None) is not None for module in network.modules())


@settings(max_examples=5)
@given(sides, sides)
def test_no_size_fails(height, width):
    arch = architecture_by_rule((1, height, width))
    latents = make_encoder(arch).eval()(torch.rand(1, 1, height, width))
    assert make_decoder(arch).eval()(latents).shape == (1, 1, height, width)


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("mnist", "7ebb24e9e184275d"),
        ("fashion_mnist", "a9318c0428730681"),
        ("cifar10", "113a64c721ec7512"),
    ],
)
def test_initial_weights_of_the_reference_pairs_are_those_of_before(name, sha256):
    """Shipped detectors and tables rest on them."""
    generator, digest = generator_of(7), hashlib.sha256()
    for network in (make_encoder(name, generator), make_decoder(name, generator)):
        for weights in network.parameters():
            digest.update(weights.detach().numpy().tobytes())
    assert digest.hexdigest().startswith(sha256)


GOOD = architecture_by_rule((3, 64, 64)).describe()


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 64]},
        {"shape": [3, 2, 64]},
        {"channels": []},
        {"channels": [4096] * 4},
        {"channels": [32, -1]},
        {"channels": "32"},
        {"hidden": [4096, 4096, 4096]},
        {"latent_dim": 1e9},
        {"latent_dim": None},
        {"decoder": [[128, 2], [1, 2]]},
        {"decoder": [1, 2]},
        {"decoder": []},
        {"code": "print()"},
    ],
)
def test_a_description_of_something_else_is_refused(change):
    with pytest.raises(ValueError):  # noqa: PT011 (of many rules)
        Architecture.from_description(GOOD | change)


@pytest.mark.parametrize("found", [None, 3, [], {}, "fashion_mnist"])
def test_what_is_no_description_is_refused(found):
    with pytest.raises(ValueError, match="does not describe a network"):
        Architecture.from_description(found)


def test_an_unknown_pair_is_named():
    with pytest.raises(ValueError, match="unknown network 'resnet'"):
        architecture_for((1, 28, 28), "resnet")


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_has_the_weights_that_torch_would_have_given_it(kind, bias):
    sizes = (6, 4) if kind is nn.Linear else (6, 4, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        expected = kind(*sizes, bias=bias)
    made = layer(kind, torch.Generator().manual_seed(11), *sizes, bias=bias)
    assert made.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(made.state_dict()[name], value), name


def test_a_seed_fixes_the_weights_and_a_generator_goes_on():
    def weights(encoder):
        return torch.cat([p.flatten() for p in encoder.parameters()])

    first, again = weights(make_encoder("mnist", 1)), weights(make_encoder("mnist", 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, weights(make_encoder("mnist", 2)))
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(weights(make_encoder("mnist", generator)), first)
    assert not torch.equal(weights(make_encoder("mnist", generator)), first)
