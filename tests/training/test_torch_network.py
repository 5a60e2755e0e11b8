"""TorchNetwork executes every acyclic network as the reference does, and gives its parameters back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import small_convolutional
from strategies import networks, samples

from gossamer.compiler import (
    CompileError,
    Connection,
    Dense,
    InputCoding,
    Network,
    Population,
    canonicalize,
    integrate_and_fire,
    quantize,
    topological_order,
)
from gossamer.simulator import encode, run_reference
from gossamer.training import TorchNetwork, TrainingError, convnet


def an_ann(seed=0):
    """A convolutional network whose batch norm is not the identity."""
    network = convnet((2, 8, 8), 5, seed=seed, mean=[0.3, 0.5], std=[0.2, 0.4], channels=(4, "A", 6), hidden=(7,))
    model = TorchNetwork(network).train()
    with torch.no_grad():
        for norm in model.batch_norms():
            norm.gamma.uniform_(0.5, 1.5)
            norm.beta.uniform_(-0.5, 0.5)
        model(torch.rand(50, 2, 8, 8))
    return model.to_network()


def run(network, x):
    with torch.no_grad():
        return TorchNetwork(network).eval()(torch.as_tensor(x))


def is_acyclic(network):
    try:
        topological_order(network.populations, network.connections, all_links=True)
    except CompileError:
        return False
    return True


def steps_for(network, x):
    """What the input population emits, time first, as `TorchNetwork` takes it; values where it encodes them itself."""
    if network.coding.kind not in ("rate", "events"):
        return torch.as_tensor(x)
    steps, _ = encode(x, network.coding, network.input.shape, network.n_steps)
    return torch.tensor(steps.reshape(len(x), network.n_steps, *network.input.shape)).transpose(0, 1)


def assert_as_reference(network, x):
    trace = run_reference(network, x)
    with torch.no_grad():
        logits, spikes = TorchNetwork(network).eval()(steps_for(network, x), record=True)
    for name, emitted in spikes.items():
        expected = trace.spikes[name]
        np.testing.assert_array_equal(emitted.numpy().swapaxes(0, 1).reshape(expected.shape), expected, err_msg=name)
    np.testing.assert_allclose(logits.numpy(), trace.logits, rtol=1e-6)


@settings(max_examples=120)
@given(networks(), st.integers(0, 2**32 - 1))
def test_torch_agrees_with_the_reference_spike_for_spike(network, seed):
    assume(is_acyclic(network))
    assert_as_reference(network, samples(network, seed))


@settings(max_examples=80)
@given(networks(), st.integers(0, 2**32 - 1))
def test_torch_agrees_with_the_reference_in_integers(network, seed):
    assume(is_acyclic(network))
    try:
        network = quantize(canonicalize(network), weight_bits=8)
    except CompileError:
        assume(False)
    assert_as_reference(network, samples(network, seed))


def test_integer_state_wraps_and_clips_as_the_reference_does():
    def population(name, neuron):
        return Population(name=name, shape=(1,), neuron=neuron)

    row = {"leak": np.int32(4000), "current_decay": np.int32(4000), "v_init": np.int32(0), "reset": "none"}
    neuron = replace(integrate_and_fire(), threshold=np.int32(131071), **row)
    network = Network(
        name="large",
        populations=(
            Population(name="in", shape=(1,), kind="input", bias=np.int32(0)),
            replace(population("up", neuron), bias=np.int32(0)),
            replace(population("down", neuron), bias=np.int32(0)),
        ),
        connections=(
            Connection(source="in", target="up", maps=(Dense(weight=np.array([[127]], np.int16)),)),
            Connection(source="in", target="down", maps=(Dense(weight=np.array([[-127]], np.int16)),)),
        ),
        output="up",
        n_steps=40,
        arithmetic="int",
    )
    assert_as_reference(network, np.ones((1, 1), np.float32))
    assert run_reference(network, np.ones((1, 1), np.float32)).spikes["up"].any()


def test_a_network_survives_the_way_through_torch():
    network = an_ann()
    x = torch.rand(9, 2, 8, 8)
    model = TorchNetwork(network).eval()
    again = TorchNetwork(model.to_network()).eval()
    with torch.no_grad():
        assert torch.equal(model(x), again(x))
    for before, after in zip(network.connections, model.to_network().connections, strict=True):
        for a, b in zip(before.maps, after.maps, strict=True):
            for field in ("weight", "bias", "mean", "variance", "gamma", "beta", "scale"):
                np.testing.assert_array_equal(getattr(a, field, 0), getattr(b, field, 0))


def test_what_training_changes_arrives_in_the_network():
    network = replace(small_convolutional(), populations=tuple(
        replace(p, bias=np.full(p.shape[:1], 0.5, np.float32)) if p.kind == "spiking" else p
        for p in small_convolutional().populations
    ))  # fmt: skip
    model = TorchNetwork(network, train_thresholds=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
    changed = model.to_network()
    np.testing.assert_array_equal(changed["conv1"].bias.ravel(), [0.75] * 4)
    assert changed["conv1"].neuron.threshold == 1.25
    np.testing.assert_allclose(
        changed.connections[0].maps[1].weight, network.connections[0].maps[1].weight + 0.25, rtol=1e-6
    )
    assert not np.allclose(run(changed, torch.rand(4, 3, 8, 8)), run(network, torch.rand(4, 3, 8, 8)))


@pytest.mark.parametrize("network", [an_ann(), an_ann(seed=1)], ids=["ann-0", "ann-1"])
def test_compiling_does_not_change_the_logits(network):
    x = torch.rand(20, 2, 8, 8)
    torch.testing.assert_close(run(canonicalize(network), x), run(network, x), atol=1e-4, rtol=1e-4)


def test_compiling_does_not_change_the_spikes_of_a_spiking_network():
    network, x = small_convolutional(), torch.rand(20, 3, 8, 8)
    with torch.no_grad():
        _, spikes = TorchNetwork(network).eval()(x, record=True)
        _, compiled = TorchNetwork(canonicalize(network)).eval()(x, record=True)
    different = sum(int((spikes[n] != compiled[n]).sum()) for n in ("conv1", "conv2"))
    total = sum(spikes[n].numel() for n in ("conv1", "conv2"))
    assert spikes["conv2"].any()
    assert different / total < 1e-3, "rounding alone may move a spike"


def test_a_constant_image_is_the_same_as_its_steps():
    network, x = small_convolutional(), torch.rand(5, 3, 8, 8)
    steps = x.expand(network.n_steps, *x.shape).contiguous()
    torch.testing.assert_close(run(network, x), run(network, steps))


def test_the_number_of_steps_can_be_chosen():
    model, x = TorchNetwork(small_convolutional()).eval(), torch.rand(2, 3, 8, 8)
    _, spikes = model(x, n_steps=3, record=True)
    assert spikes["conv1"].shape == (3, 2, 4, 8, 8)
    torch.testing.assert_close(spikes["conv1"], model(x, n_steps=8, record=True)[1]["conv1"][:3])


def test_gradients_reach_the_pixels():
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    TorchNetwork(small_convolutional()).eval()(x).square().sum().backward()
    assert (x.grad != 0).any()


def test_batch_norm_shares_its_statistics_over_steps():
    network = small_convolutional()
    model = TorchNetwork(network).train()
    norm = model.batch_norms()[0]
    seen = []
    convolution = next(iter(model.weight_maps().values()))
    convolution.register_forward_hook(lambda module, arguments, result: seen.append(result))
    steps = torch.rand(network.n_steps, 5, 3, 8, 8)
    mean_before = norm.mean.clone()
    model(steps)
    assert len(seen) == 1
    assert seen[0].shape[0] == network.n_steps * 5
    torch.testing.assert_close(norm.mean, 0.9 * mean_before + 0.1 * seen[0].mean((0, 2, 3)))


def test_a_masked_weight_has_no_effect_and_is_stored_as_zero():
    weight, mask = np.array([[1.0, 5.0]], np.float32), np.array([[True, False]])
    network = Network(
        name="masked",
        populations=(
            Population(name="in", shape=(2,), kind="input"),
            Population(name="out", shape=(1,), kind="readout"),
        ),
        connections=(Connection(source="in", target="out", maps=(Dense(weight=weight, mask=mask),)),),
        output="out",
        n_steps=1,
    )
    model = TorchNetwork(network)
    logits = model(torch.tensor([[2.0, 3.0]]))
    assert logits.item() == 2.0
    logits.sum().backward()
    assert model.weight_maps()["out"].weight.grad.tolist() == [[2.0, 0.0]]
    assert model.to_network().connections[0].maps[0].weight.tolist() == [[1.0, 0.0]]


def test_a_cycle_is_refused():
    network = small_convolutional()
    back = Connection(source="conv2", target="conv2", maps=(), delay=1)
    with pytest.raises(TrainingError, match=r"GSM-608.*cycle"):
        TorchNetwork(replace(network, connections=(*network.connections, back)))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 8, 8), (7, 2, 3, 8, 7)])
def test_samples_of_the_wrong_shape_are_refused(shape):
    with pytest.raises(TrainingError, match="GSM-608"):
        TorchNetwork(small_convolutional())(torch.zeros(shape))


def test_rate_coding_needs_its_steps():
    network = replace(small_convolutional(), coding=InputCoding(kind="rate"))
    with pytest.raises(TrainingError, match=r"GSM-608.*encode"):
        TorchNetwork(network)(torch.zeros(2, 3, 8, 8))
    assert TorchNetwork(network).eval()(torch.ones(8, 2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("fuses", [True, False])
@pytest.mark.parametrize("trains", [True, False])
def test_the_gradient_of_a_picture_alone_is_that_of_the_same_among_others(fuses, trains, monkeypatch, generator):
    """Strides of a batch of one are ambiguous, and PyTorch's batch norm has confused them."""
    if not fuses:
        monkeypatch.setattr("gossamer.training.torch_parts.can_fuse", lambda *_: False)
    model = TorchNetwork(small_convolutional()).train(trains)
    alone = torch.rand((1, 3, 8, 8), generator=generator)
    gradients = []
    for x in (alone, alone.repeat(2, 1, 1, 1)):  # twice the same has the same mean and variance
        x.requires_grad_()
        model(x)[:, 1].sum().backward()
        gradients.append(x.grad[:1])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    assert gradients[0].abs().sum() > 0
