"""Gradients that do not go through time: by firing rates, and by the artificial network with the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import joined, refusal, small_convolutional

from gossamer.compiler import (
    BatchNorm,
    Connection,
    Dense,
    InputCoding,
    Network,
    Population,
    cuba,
    integrate_and_fire,
)
from gossamer.training import RateBackpropagation, TorchNetwork, TrainingError, as_artificial

RNG = np.random.default_rng(0)


def two_layers(neuron=None, n_steps=5, delay=0, **options):
    """input 6 -> spiking 8 -> readout 3, with a batch norm and a mask."""
    first, last = RNG.normal(0, 1, (8, 6)).astype(np.float32), RNG.normal(0, 1, (3, 8)).astype(np.float32)
    norm = BatchNorm(mean=RNG.normal(size=8), variance=RNG.uniform(0.5, 2, 8), gamma=np.ones(8), beta=np.full(8, 0.2))
    return Network(
        name="two",
        populations=(
            Population(name="in", shape=(6,), kind="input"),
            Population(name="hidden", shape=(8,), neuron=neuron or integrate_and_fire(0.7)),
            Population(name="out", shape=(3,), kind="readout"),
        ),
        connections=(
            Connection(source="in", target="hidden", maps=(Dense(weight=first), norm)),
            Connection(source="hidden", target="out", maps=(Dense(weight=last, mask=last > -1),), delay=delay),
        ),
        output="out",
        n_steps=n_steps,
        **options,
    )


@pytest.mark.parametrize("neuron", [None, cuba(0.9, 0.5, 0.7)])
def test_rate_backpropagation_is_the_chain_of_weights_where_neurons_fired(neuron):
    network = two_layers(neuron)
    plain = TorchNetwork(network).eval()
    model = TorchNetwork(network, surrogate=RateBackpropagation()).eval()
    x = torch.rand(7, 6, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    logits, emitted = model(x, record=True)
    assert torch.equal(logits, plain(x))
    first, norm = network.connections[0].maps
    last = network.connections[1].maps[0]
    into = torch.tensor(first.weight * (norm.gamma / np.sqrt(norm.variance + norm.eps))[:, None], dtype=torch.float32)
    out_of = torch.tensor(last.weight * last.mask)
    active = (emitted["hidden"].mean(0) > 0).float()
    assert 0 < active.mean() < 1
    for k in range(3):
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)
        torch.testing.assert_close(gradient, (out_of[k] * active) @ into)  # mean over T of T times the same


def test_rate_backpropagation_keeps_steps_apart():
    network = joined([Dense(weight=np.eye(2, dtype=np.float32))], (2,), (2,), n_steps=3)
    model = TorchNetwork(network, surrogate=RateBackpropagation())
    steps = torch.tensor([[[0.6, 0.1]], [[0.6, 0.1]], [[0.0, 0.1]]]).requires_grad_(True)
    _, emitted = model(steps, record=True)
    (gradient,) = torch.autograd.grad((emitted["p"] * torch.tensor([1.0, 10.0, 100.0])[:, None, None]).sum(), steps)
    assert gradient[:, 0].tolist() == [[1, 0], [10, 0], [100, 0]]  # the second never fired


def test_the_artificial_network_has_the_same_weights_and_relu():
    network = replace(two_layers(delay=1), coding=InputCoding(kind="phase"))
    twin = as_artificial(network)
    assert (twin.n_steps, twin.coding.kind) == (1, "direct")
    x = torch.rand(7, 6, generator=torch.Generator().manual_seed(0))
    first, norm = network.connections[0].maps
    last = network.connections[1].maps[0]
    hidden = (x.numpy() @ first.weight.T - norm.mean) / np.sqrt(norm.variance + norm.eps) * norm.gamma + norm.beta
    expected = np.maximum(hidden, 0) @ (last.weight * last.mask).T
    np.testing.assert_allclose(TorchNetwork(twin).eval()(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_convolutional_network_has_an_artificial_one_too():
    twin = as_artificial(small_convolutional())
    assert {p.kind for p in twin.populations} == {"input", "relu", "readout"}
    assert TorchNetwork(twin)(torch.rand(2, 3, 8, 8)).shape == (2, 10)


def test_networks_without_an_artificial_one_are_refused():
    events = replace(two_layers(), coding=InputCoding(kind="events"))
    refusal(lambda: as_artificial(events), "GSM-608", error=TrainingError)
