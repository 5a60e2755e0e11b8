"""Neurons by torch.compile against the loop, whose gradient test_neurons.py judges."""

import shutil

import pytest
import torch

from gossamer.compiler import Neuron
from gossamer.training import Surrogate, TorchNetwork, convnet, to_spiking
from gossamer.training import torch_parts as parts_module
from gossamer.training.compiled_neurons import can_compile, compiled_neurons
from gossamer.training.neurons import Row, multi_step

STEPS = 4
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),  # of torch's own, when it is first imported
]


def a_row(threshold, **options):
    detach_reset = options.pop("detach_reset", False)
    return Row(
        threshold=threshold, leak=torch.tensor(0.75), current_decay=torch.tensor(0.0), v_init=torch.tensor(0.1),
        like=Neuron(**options), detach_reset=detach_reset,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "n_given"),
    [({"reset": "zero"}, STEPS), ({"reset": "subtract", "comparator": ">"}, 1), ({"detach_reset": True}, STEPS)],
    ids=["zero", "subtract, static", "detached"],
)
def test_compiled_neurons_are_the_loop(options, n_given, generator):
    torch.compiler.reset()
    threshold = (torch.rand((4, 1, 1), generator=generator) + 0.5).requires_grad_()
    current = torch.randn((n_given, 3, 4, 2, 3), generator=generator).requires_grad_()
    weight = torch.randn((STEPS, 3, 4, 2, 3), generator=generator)
    row, surrogate = a_row(threshold, **options), Surrogate(scale=0.5)
    assert can_compile(current, row)
    loop, compiled = multi_step(current, STEPS, row, surrogate), compiled_neurons(current, STEPS, row, surrogate)
    assert 0 < loop.mean() < 1
    torch.testing.assert_close(compiled, loop, rtol=0, atol=0)
    expected, found = (
        torch.autograd.grad((spikes * weight).sum(), (current, threshold)) for spikes in (loop, compiled)
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_neurons_that_differ_within_a_channel_or_keep_a_current_are_not_compiled():
    current = torch.zeros((STEPS, 2, 4, 2, 2))
    assert not can_compile(current, a_row(torch.ones(4, 2, 2)))
    assert not can_compile(current.double(), a_row(torch.ones(())))
    assert not can_compile(current, a_row(torch.ones(()), current_decay=0.5))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_network_compiles_the_neurons_that_are_not_fused(is_compiled, monkeypatch, generator):
    network = convnet((1, 6, 6), 3, seed=0, channels=(4,), hidden=(5,), mean=[0.3], std=[0.3])
    spiking = to_spiking(network, {p.name: 0.5 for p in network.populations if p.kind == "relu"}, n_steps=2)
    seen = []

    def spy(current, n_steps, row, surrogate):
        seen.append(row.population)
        return multi_step(current, n_steps, row, surrogate)

    monkeypatch.setattr(parts_module, "compiled_neurons", spy)
    model, x = TorchNetwork(spiking, compile_neurons=is_compiled).eval(), torch.rand((2, 1, 6, 6), generator=generator)
    with torch.no_grad():
        fused = model(x)
        assert not seen, "on a CPU our own kernels come first"
        monkeypatch.setattr(parts_module, "can_fuse", lambda *arguments: False)
        torch.testing.assert_close(model(x), fused)
    assert seen == (["conv1", "fc1"] if is_compiled else [])
