"""The energy attack: counts that are the simulator's, images that stay in the ball and cost more than noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from agreement import in_canonical_form
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import small_convolutional
from strategies import networks, samples

from gossamer.compiler import InputCoding, canonicalize, compile_network, quantize
from gossamer.simulator import encode, simulate
from gossamer.training import (
    Dataset,
    TorchNetwork,
    TrainingError,
    convnet,
    energy_attack,
    evaluate_energy,
    fan_out,
    synaptic_ops,
)

EPS = 0.1


@pytest.fixture(scope="module")
def dataset():
    x = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8), np.uint8)
    y = np.arange(30, dtype=np.int64) % 10
    return Dataset(name="noise", x=x, y=y, n_classes=10, split="test", class_names=tuple("abcdefghij"))


def ops_of_each(model, x, network):
    """By torch's spikes and the graph's synapses."""
    with torch.no_grad():
        _, emitted = model.eval()(x, record=True)
    return synaptic_ops(emitted, fan_out(network))


@settings(max_examples=60)
@given(networks(layered=True), st.integers(0, 2**32 - 1))
def test_spikes_times_fan_out_are_the_synaptic_operations_of_the_simulator(network, seed):
    network = in_canonical_form(network)
    graph, x = compile_network(network), samples(network, seed)
    synapses = fan_out(graph)
    if not synapses:
        assert simulate(graph, x).total.synaptic_ops == 0
        return
    counted = [simulate(graph, x[i : i + 1], first_sample=i).total.synaptic_ops for i in range(len(x))]
    steps, _ = encode(x, network.coding, network.input.shape, network.n_steps)
    steps = torch.tensor(steps).reshape(len(x), network.n_steps, *network.input.shape).transpose(0, 1)
    assert ops_of_each(TorchNetwork(network), steps, graph).tolist() == counted


def test_integers_that_rounded_weights_away_have_fewer_synapses_and_the_same_counts():
    network = quantize(canonicalize(small_convolutional()), weight_bits=3)
    graph = compile_network(network)
    x = np.random.default_rng(1).random((5, 3, 8, 8), np.float32)
    counted = [simulate(graph, x[i : i + 1]).total.synaptic_ops for i in range(5)]
    assert ops_of_each(TorchNetwork(network), torch.from_numpy(x), graph).tolist() == counted
    assert sum(n.sum() for n in fan_out(graph).values()) < sum(n.sum() for n in fan_out(small_convolutional()).values())


@pytest.fixture(scope="module")
def report(dataset):
    return evaluate_energy(TorchNetwork(small_convolutional()), dataset, eps=EPS, n_steps=10, seed=3, batch_size=12)


def test_the_attack_costs_more_than_noise_and_no_image_less_than_before(report):
    assert report.factor > 1.1 * report.noise_factor
    assert report.factor > 1.1
    assert (report.attacked_ops >= report.clean_ops).all()


def test_it_stays_in_the_ball_and_in_the_range_of_pixels(report, dataset):
    for images in (report.attacked, report.noisy):
        assert np.abs(images - dataset.images()).max() <= EPS + 1e-6
        assert images.min() >= 0
        assert images.max() <= 1


def test_the_report_is_what_the_simulator_counts_on_its_images(report, dataset):
    graph = compile_network(small_convolutional())
    for images, ops in (
        (dataset.images(), report.clean_ops),
        (report.noisy, report.noise_ops),
        (report.attacked, report.attacked_ops),
    ):
        # Arbitrary weights: a sum that is rounded in another order may move a spike.
        assert simulate(graph, images).total.synaptic_ops == pytest.approx(ops.sum(), rel=1e-3)


def test_predictions_stay_unless_they_need_not(report, dataset):
    model = TorchNetwork(small_convolutional()).eval()
    with torch.no_grad():
        clean, attacked = (model(torch.from_numpy(x)).argmax(1) for x in (dataset.images(), report.attacked))
    assert torch.equal(clean, attacked)
    assert report.is_kept.all()
    free = evaluate_energy(model, dataset, eps=EPS, n_steps=10, seed=3, batch_size=12, keep_prediction=False)
    assert not free.is_kept.all()
    assert free.factor > report.factor


def test_a_seed_repeats_it_and_batches_tell_of_progress(report, dataset):
    told = []
    model = TorchNetwork(small_convolutional()).train()
    again = evaluate_energy(
        model, dataset, eps=EPS, n_steps=10, seed=3, batch_size=12, progress=lambda *done: told.append(done)
    )
    assert np.array_equal(again.attacked, report.attacked)
    assert np.array_equal(again.noisy, report.noisy)
    assert told == [(12, 30), (24, 30), (30, 30)]
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    other = evaluate_energy(model, dataset, eps=EPS, n_steps=10, seed=4, batch_size=12)
    assert not np.array_equal(other.noisy, report.noisy)


def test_the_gradient_is_that_of_the_count():
    """With weights that spikes do not reach, and one that they do: the fan-out weighs the surrogate's gradient."""
    model = TorchNetwork(small_convolutional()).eval()
    x = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    _, emitted = model(x, record=True)
    synapses = fan_out(model.network)
    ops = synaptic_ops(emitted, synapses)
    by_hand = sum((emitted[name].double() * n).sum((0, 2, 3, 4)) for name, n in synapses.items())
    assert torch.equal(ops, by_hand)
    assert torch.allclose(
        torch.autograd.grad(ops.sum(), x, retain_graph=True)[0], torch.autograd.grad(by_hand.sum(), x)[0]
    )


@pytest.mark.parametrize(
    ("network", "options", "what"),
    [
        (convnet((3, 8, 8), 10, seed=1, mean=[0.5] * 3, std=[0.3] * 3, channels=(4,)), {}, "no spikes to count"),
        (replace(small_convolutional(), coding=InputCoding(kind="phase")), {}, "no gradient reaches the pixels"),
        (small_convolutional(), {"eps": 2.0}, "eps"),
        (small_convolutional(), {"n_steps": 0}, "n_steps"),
    ],
)
def test_a_wrong_call_is_refused(network, options, what):
    x, y = torch.rand((2, 3, 8, 8)), torch.zeros(2, dtype=torch.long)
    with pytest.raises(TrainingError, match=what) as caught:
        energy_attack(TorchNetwork(network), x, y, **{"eps": 0.1, **options})
    assert caught.value.code == "GSM-608"
