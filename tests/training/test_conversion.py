"""Calibration and conversion."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from gossamer.compiler import Connection, Dense, Network, Population, gate
from gossamer.training import (
    MODELS,
    TorchNetwork,
    TrainingError,
    calibrate_thresholds,
    convnet,
    prune_by_magnitude,
    reestimate_batch_norm,
    to_spiking,
)
from gossamer.training.front_to_back import FrontToBack
from gossamer.training.packed_spikes import PackedSpikes


def a_chain(*weights, n=1000):
    """input (n,) -> relu (n,) -> ... -> readout, each neuron fed by one: weight times what comes before."""
    names = ["in", *(f"p{i}" for i in range(len(weights))), "out"]
    kinds = ["input", *["relu"] * len(weights), "readout"]
    return Network(
        name="chain",
        populations=tuple(Population(name=a, shape=(n,), kind=k) for a, k in zip(names, kinds, strict=True)),
        connections=tuple(
            Connection(source=a, target=b, maps=(Dense(weight=np.eye(n, dtype=np.float32) * w),))
            for a, b, w in zip(names, names[1:], [*weights, 1.0], strict=False)
        ),
        output="out",
        n_steps=1,
    )


def measured_from_the_input(network, batches, *, n_steps, percentile, scale, reset="zero", leak=1.0):
    """Each threshold from a run of its own that begins at the input, in float32 throughout."""
    names = [p.name for p in network.populations if p.kind == "relu"]
    thresholds = dict.fromkeys(names, 1.0)
    for name in [n for n in TorchNetwork(network).order if n in names]:
        model = TorchNetwork(to_spiking(network, thresholds, n_steps=n_steps, reset=reset, leak=leak)).eval()
        for norm in model.batch_norms():
            norm.statistics = "batch"
        largest = -np.inf
        for x in batches:
            with torch.no_grad():
                emitted = model(x, record=True)[1]
                emitted["input"] = x[None]  # a constant image counts once
                current = model.arriving(name, emitted, n_steps).current + dict(named(model))[name].bias
            largest = max(largest, float(np.percentile(current.numpy(), percentile)))
        thresholds[name] = largest
    return {name: scale * threshold for name, threshold in thresholds.items()}


def named(model):
    return [(p.like.name, p) for p in model.populations_in_order()]


def with_a_gate(network, after):
    """A population that spikes already, between `after` and what it feeds."""
    shape = network[after].shape
    return replace(
        network,
        populations=(*network.populations, Population(name="gate", shape=shape, neuron=gate(0.5))),
        connections=(
            *(replace(c, source="gate") if c.source == after else c for c in network.connections),
            Connection(source=after, target="gate", maps=()),
        ),
    )


NETWORKS = {
    "chain": lambda: an_ann(),
    "residual": lambda: MODELS["resnet20"]((1, 8, 8), 4, seed=0, mean=[0.5], std=[0.25], width=2),
    "running sum": lambda: MODELS["wrn16-4"]((1, 8, 8), 4, seed=0, mean=[0.5], std=[0.25], width=1),
    "deep running sum": lambda: MODELS["wrn28-4"]((1, 8, 8), 4, seed=0, mean=[0.5], std=[0.25], width=1),
    "with a gate": lambda: with_a_gate(an_ann(), "conv1"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("held", [0, 1 << 30])
def test_one_pass_gives_the_thresholds_of_runs_from_the_input_bit_for_bit(name, held, monkeypatch):
    monkeypatch.setattr("gossamer.training.front_to_back.HELD_BYTES", held)
    network, generator = NETWORKS[name](), torch.Generator().manual_seed(0)
    batches = [torch.rand(n, 1, 8, 8, generator=generator) for n in (6, 5)]
    options = {"n_steps": 7, "percentile": 99.0, "scale": 0.3, "reset": "subtract", "leak": 0.9}
    assert calibrate_thresholds(network, batches, **options) == measured_from_the_input(network, batches, **options)


def test_every_batch_passes_each_population_once(monkeypatch):
    """With currents kept; nothing is computed for the readout."""
    calls = Counter()
    arriving = TorchNetwork.arriving
    monkeypatch.setattr(
        TorchNetwork, "arriving", lambda self, name, *rest: (calls.update([name]), arriving(self, name, *rest))[1]
    )
    network = NETWORKS["residual"]()
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    calibrate_thresholds(network, [x] * 3, n_steps=7)
    assert calls == {p.name: 3 for p in network.populations if p.kind == "relu"}


def test_spikes_are_dropped_when_nobody_needs_them():
    network = NETWORKS["residual"]()
    names = {p.name for p in network.populations if p.kind == "relu"}
    model = TorchNetwork(to_spiking(network, dict.fromkeys(names, 1.0))).eval()
    run = FrontToBack(model, [torch.rand(2, 1, 8, 8)], 3, names)
    most = 0
    with torch.no_grad():
        for name in run.order:
            list(run.currents(name))
            run.fire(name)
            most = max(most, len(run.emitted))
    assert run.order[-1] == "block3.3b"
    assert most == 2, "the input of a block and its first activation"
    assert not run.emitted


@pytest.mark.parametrize(
    "spikes",
    [
        torch.rand(3, 2, 5) > 0.5,
        (torch.rand(4, 3, 2, 5, 7) > 0.5).float().permute(0, 1, 4, 2, 3),
        (torch.rand(2, 1, 3, 3) > 0.5).double().expand(2, 6, 3, 3),
        (torch.rand(4, 6) > 0.5).float()[1:, ::2],
    ],
)
def test_packed_spikes_unpack_to_what_they_were(spikes):
    again = PackedSpikes(spikes).unpack()
    assert torch.equal(again, spikes)
    assert again.dtype == spikes.dtype
    dense = spikes.numel() == spikes.untyped_storage().nbytes() // spikes.element_size()
    assert again.stride() == (spikes.stride() if dense else spikes.contiguous().stride())


def an_ann():
    return convnet((1, 8, 8), 4, seed=0, mean=[0.5], std=[0.25], channels=(4, "A"), hidden=(8,))


def test_the_first_threshold_is_the_percentile_of_a_known_distribution():
    x = torch.linspace(0, 1, 1000)[torch.randperm(1000, generator=torch.Generator().manual_seed(0))][None]
    thresholds = calibrate_thresholds(a_chain(2.0), [x], n_steps=3, percentile=90, scale=0.5)
    assert thresholds["p0"] == pytest.approx(0.5 * 2 * 0.9, abs=1e-6)


def test_the_largest_batch_decides():
    x = torch.linspace(0, 1, 1000)[None]
    thresholds = calibrate_thresholds(a_chain(1.0), [x, 3 * x, 2 * x], n_steps=2, percentile=50, scale=1.0)
    assert thresholds["p0"] == pytest.approx(1.5, abs=1e-6)


def test_a_threshold_is_set_from_the_spikes_of_the_one_before_at_full_scale():
    """p0 gets 1 in every step and has threshold 1: it spikes always, so p1 gets its weight, 5, in every step.

    If the first threshold were scaled by 0.1 or missing, or ReLU values were used, p1 would see other values for x = 2.
    """
    thresholds = calibrate_thresholds(
        a_chain(1.0, 5.0), [torch.full((1, 1000), 2.0)], n_steps=4, percentile=100, scale=0.1
    )
    assert thresholds == pytest.approx({"p0": 0.2, "p1": 0.5})


def test_calibration_uses_the_statistics_of_its_batches():
    network, x = an_ann(), [torch.rand(32, 1, 8, 8)]
    broken = TorchNetwork(network)
    for norm in broken.batch_norms():
        norm.mean.fill_(7.0)
        norm.variance.fill_(123.0)
    assert calibrate_thresholds(broken.to_network(), x, n_steps=5) == calibrate_thresholds(network, x, n_steps=5)


def test_a_dead_layer_is_refused():
    with pytest.raises(TrainingError, match=r"GSM-607.*p0"):
        calibrate_thresholds(a_chain(-1.0), [torch.ones(1, 1000)], n_steps=2)


def test_progress_covers_every_population_and_batch():
    told = []
    calibrate_thresholds(
        a_chain(1.0, 1.0), [torch.ones(1, 1000)] * 3, n_steps=2, progress=lambda *done: told.append(done)
    )
    assert told == [(i, 6) for i in range(1, 7)]


def test_conversion_keeps_weights_masks_and_shapes_and_changes_the_neurons():
    ann = prune_by_magnitude(an_ann(), 0.3)
    snn = to_spiking(ann, {"conv1": 0.4, "fc1": 0.7}, n_steps=8, leak=0.9)
    assert [p.kind for p in snn.populations] == ["input", "spiking", "spiking", "readout"]
    assert snn["conv1"].neuron.threshold == np.float32(0.4)
    assert snn["fc1"].neuron.leak == np.float32(0.9)
    assert snn["fc1"].neuron.reset == "zero"
    assert snn.n_steps == 8
    for a, b in zip(ann.connections, snn.connections, strict=True):
        assert a.maps == b.maps
    assert [p.kind for p in ann.populations] == ["input", "relu", "relu", "readout"], "its input is left alone"


def test_a_missing_threshold_or_nothing_to_convert_is_refused():
    with pytest.raises(TrainingError, match=r"GSM-608.*fc1"):
        to_spiking(an_ann(), {"conv1": 1.0})
    with pytest.raises(TrainingError, match=r"GSM-608.*no ReLU"):
        to_spiking(to_spiking(an_ann(), {"conv1": 1.0, "fc1": 1.0}), {})


def test_converted_and_reestimated_network_follows_the_artificial_one():
    """With many steps, a soft reset and thresholds at the largest activation, spike rates approach ReLU activations.

    Batch norm, whose statistics were those of the ANN, is estimated anew from the rates.
    """
    x = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ann = TorchNetwork(an_ann())
    reestimate_batch_norm(ann, [x])
    thresholds = calibrate_thresholds(ann.to_network(), [x], n_steps=50, percentile=99.9, scale=1.0, reset="subtract")
    snn = TorchNetwork(to_spiking(ann.to_network(), thresholds, n_steps=200, reset="subtract"))
    reestimate_batch_norm(snn, [x])
    with torch.no_grad():
        expected, found = ann.eval()(x), snn.eval()(x)
    correlation = torch.corrcoef(torch.stack([expected.flatten(), found.flatten()]))[0, 1]
    assert correlation > 0.95


def test_reestimated_statistics_are_the_mean_over_batches():
    model = TorchNetwork(an_ann()).eval()
    batches = [torch.rand(16, 1, 8, 8) * s for s in (0.3, 0.6, 1.0)]
    seen = []
    model.batch_norms()[0].register_forward_hook(lambda m, arguments, result: seen.append(arguments[0].mean((0, 2, 3))))
    reestimate_batch_norm(model, batches)
    torch.testing.assert_close(model.batch_norms()[0].mean, torch.stack(seen).mean(0))
    assert not model.training
    assert all(norm.momentum == 0.1 for norm in model.batch_norms())


def test_a_lower_percentile_lowers_thresholds():
    x = [torch.rand(64, 1, 8, 8)]
    high, low = (calibrate_thresholds(an_ann(), x, n_steps=10, percentile=p) for p in (99.7, 90.0))
    assert all(low[name] < high[name] for name in ("conv1", "fc1"))


def test_thresholds_can_be_trained_and_read_back():
    snn = to_spiking(an_ann(), {"conv1": 1.0, "fc1": 1.0}, n_steps=4)
    model = TorchNetwork(snn, train_thresholds=True).train()
    assert len(model.thresholds()) == 2
    model(torch.rand(8, 1, 8, 8)).square().sum().backward()
    assert all(t.grad is not None for t in model.thresholds())
    with torch.no_grad():
        model.thresholds()[0].fill_(-1.0)
    with pytest.raises(TrainingError, match=r"GSM-607.*conv1"):
        model.to_network()
    assert not TorchNetwork(snn).thresholds()
