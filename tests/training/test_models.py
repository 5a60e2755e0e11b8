"""Model builders: the layers they promise, in the order they promise."""

import numpy as np
import pytest
import torch

from gossamer.compiler import AveragePool2d, BatchNorm, CompileError, Conv2d, Dense, Scale, canonicalize
from gossamer.training import MODELS, TorchNetwork, convnet, mlp

OPTIONS = {"seed": 0, "mean": [0.5] * 3, "std": [0.25] * 3}


def kinds(network):
    return [[type(m) for m in c.maps] for c in network.connections]


def test_a_convnet_normalises_convolves_and_pools_after_the_activation():
    network = convnet((3, 8, 8), 10, channels=(4, 6, "A", 8), hidden=(16,), **OPTIONS)
    assert kinds(network) == [
        [Scale, Conv2d, BatchNorm],
        [Conv2d, BatchNorm],
        [AveragePool2d, Conv2d, BatchNorm],
        [Dense, BatchNorm],
        [Dense],
    ]
    assert [(p.name, p.shape, p.kind) for p in network.populations] == [
        ("input", (3, 8, 8), "input"),
        ("conv1", (4, 8, 8), "relu"),
        ("conv2", (6, 8, 8), "relu"),
        ("conv3", (8, 4, 4), "relu"),
        ("fc1", (16,), "relu"),
        ("logits", (10,), "readout"),
    ]


def test_normalisation_takes_mean_and_deviation_from_pixels():
    network = mlp((2, 2, 2), 3, seed=0, mean=[0.2, 0.6], std=[0.1, 0.5])
    x = torch.rand(2, 2, 2, 2)
    scale = TorchNetwork(network).connections[0].maps()[0]
    expected = (x - torch.tensor([0.2, 0.6])[:, None, None]) / torch.tensor([0.1, 0.5])[:, None, None]
    torch.testing.assert_close(scale(x), expected)


@pytest.mark.parametrize(
    ("name", "n_convolutions", "dense"),
    [("vgg5", 3, [(1024, 8192), (10, 1024)]), ("vgg11", 8, [(4096, 8192), (4096, 4096), (10, 4096)])],
)
def test_a_vgg_has_its_layers(name, n_convolutions, dense):
    network = MODELS[name]((3, 32, 32), 10, **OPTIONS)
    maps = [m for c in network.connections for m in c.maps]
    assert sum(isinstance(m, Conv2d) for m in maps) == n_convolutions
    assert [m.weight.shape for m in maps if isinstance(m, Dense)] == dense


def layout(network):
    """Channels of convolutions, "n" for batch norm, "A" and "G" for 2x2 and global pooling, (n,) for dense layers."""
    words = []
    for m in (m for c in network.connections for m in c.maps):
        if isinstance(m, Conv2d):
            assert m.weight.shape[2:] == (3, 3)
            assert (m.stride, m.padding, m.bias) == ((1, 1), (1, 1), None)
            words.append(m.weight.shape[0])
        elif isinstance(m, AveragePool2d):
            words.append("A" if m.kernel == m.stride == (2, 2) else "G")
        elif isinstance(m, Dense):
            words.append((m.weight.shape[0],))
            assert (m.bias is None) == (m.weight.shape[0] == 4096)
        elif isinstance(m, BatchNorm):
            words.append("n")
    return words


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("vgg11", 32, "64n A 128n 256n A 512n 512n 512n A 512n 512n (4096,) (4096,) (7,)"),
        ("vgg11-tin", 64, "64n A 128n A 256n 256n A 512n 512n A 512n 512n G (4096,) (7,)"),
        ("vgg16", 32, "64n 64n A 128n 128n A 256n 256n 256n A 512n 512n 512n A 512n 512n 512n A (4096,) (4096,) (7,)"),
    ],
)
def test_a_vgg_is_laid_out_as_its_source(name, size, expected):
    """Özdenizci & Legenstein's: batch norm after convolutions and not after dense layers; no bias but the readout's."""
    network = MODELS[name]((3, size, size), 7, **OPTIONS)
    assert "".join(map(str, layout(network))) == expected.replace(" ", "")
    assert network.incoming("fc1")[0].maps[-1].weight.shape[1] == {"vgg11": 8192}.get(name, 512)


@pytest.mark.parametrize(
    ("name", "n_channels", "size"),
    [("vgg5", 1, 28), ("vgg11", 1, 32), ("vgg11-tin", 1, 32), ("vgg16", 1, 32), ("vgg16", 3, 64)],
)
def test_a_vgg_takes_pictures_of_several_sizes(name, n_channels, size):
    network = MODELS[name]((n_channels, size, size), 7, seed=0, mean=[0.5] * n_channels, std=[0.25] * n_channels)
    assert network["logits"].shape == (7,)


def test_a_picture_too_small_for_its_poolings_is_refused():
    with pytest.raises(CompileError, match="GSM-201"):
        MODELS["vgg16"]((3, 28, 28), 7, **OPTIONS)
    with pytest.raises(CompileError, match="GSM-201"):
        MODELS["resnet20"]((3,), 7, **OPTIONS)


def test_vgg16_has_thirteen_convolutions_and_five_poolings():
    network = MODELS["vgg16"]((3, 32, 32), 100, **OPTIONS)
    maps = [m for c in network.connections for m in c.maps]
    assert [m.weight.shape[0] for m in maps if isinstance(m, Conv2d)] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert sum(isinstance(m, AveragePool2d) for m in maps) == 5
    assert [m.weight.shape for m in maps if isinstance(m, Dense)] == [(4096, 512), (4096, 4096), (100, 4096)]


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_a_model_is_a_function_of_its_seed(name):
    a, b, c = (MODELS[name]((3, 8, 8), 5, **{**OPTIONS, "seed": seed}) for seed in (1, 1, 2))
    weights = [np.concatenate([m.weight.ravel() for x in n.connections for m in x.maps if hasattr(m, "weight")])
               for n in (a, b, c)]  # fmt: skip
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_activations_neither_vanish_nor_explode():
    network = convnet((3, 16, 16), 10, channels=(32,) * 6, hidden=(), batch_norm=False, **OPTIONS)
    _, emitted = TorchNetwork(network)(torch.rand(20, 3, 16, 16), record=True)
    assert 0.3 < emitted["conv6"].std() / emitted["conv1"].std() < 3


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_a_model_compiles_to_canonical_form(name):
    network = canonicalize(MODELS[name]((3, 8, 8), 5, **OPTIONS))
    assert all(len(c.maps) <= 2 for c in network.connections)
