"""The reference's three encoder/decoder pairs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from badsad_lib.networks import (
    ARCHITECTURES,
    architecture_for,
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


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (1, 28, 27)])
def test_a_shape_that_no_pair_takes_is_named(shape):
    with pytest.raises(ValueError, match=rf"got \({shape[0]}, {shape[1]}, {shape[2]}\)"):
        architecture_for(shape)


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
