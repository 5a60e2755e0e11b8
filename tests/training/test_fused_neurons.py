"""Batch norm and neurons in one operation, held against PyTorch's batch norm and the neurons by themselves."""

import numba
import pytest
import torch
import torch.nn.functional as F

from gossamer.compiler import Neuron
from gossamer.training import Surrogate, TorchNetwork, convnet, to_spiking
from gossamer.training.fused_neurons import can_fuse, fused_neurons
from gossamer.training.lanes import Norm
from gossamer.training.neurons import Row, multi_step

STEPS, BATCH, CHANNELS = 5, 3, 4


def a_row(threshold, *, leak=1.0, detach_reset=False, v_init=0.1, **options):
    return Row(
        threshold=threshold,
        leak=torch.as_tensor(leak),
        current_decay=torch.tensor(0.0),
        v_init=torch.tensor(v_init),
        like=Neuron(**options),
        detach_reset=detach_reset,
    )


def channels_fastest(shape, generator):
    return torch.randn((*shape[:2], *shape[3:], shape[2]), generator=generator).movedim(-1, 2)


class Case:
    """Inputs, parameters and both ways to compute."""

    def __init__(self, generator, *, shape=(STEPS, BATCH, CHANNELS, 3, 2), mode="train", threshold=None, **row):
        by_channel = (CHANNELS, *[1] * (len(shape) - 3))
        self.x = channels_fastest(shape, generator).requires_grad_()
        self.gamma = (torch.rand(CHANNELS, generator=generator) + 0.5).requires_grad_()
        self.beta = torch.randn(CHANNELS, generator=generator).requires_grad_()
        self.bias = (0.1 * torch.randn(by_channel, generator=generator)).requires_grad_()
        self.threshold = (
            torch.rand(by_channel if threshold is None else threshold, generator=generator) + 0.5
        ).requires_grad_()
        self.mean, self.variance = (
            torch.randn(CHANNELS, generator=generator),
            torch.rand(CHANNELS, generator=generator) + 0.5,
        )
        self.mode, self.row = mode, a_row(self.threshold, **row)
        self.weight = torch.randn((STEPS, *shape[1:]), generator=generator)

    @property
    def parameters(self):
        return (self.x, self.gamma, self.beta, self.threshold, self.bias)

    def apart(self, surrogate):
        mean, variance = self.mean.clone(), self.variance.clone()
        flat = self.x.flatten(0, 1)
        if self.mode == "batch":
            y = F.batch_norm(flat, None, None, self.gamma, self.beta, True, 0.0, 1e-5)
        else:
            y = F.batch_norm(flat, mean, variance, self.gamma, self.beta, self.mode == "train", 0.1, 1e-5)
        current = y.unflatten(0, self.x.shape[:2]) + self.bias
        return multi_step(current, STEPS, self.row, surrogate), (mean, variance)

    def fused(self, surrogate):
        mean, variance = self.mean.clone(), self.variance.clone()
        norm = Norm(
            gamma=self.gamma, beta=self.beta, mean=mean, variance=variance, eps=1e-5,
            momentum=0.1 if self.mode == "train" else 0.0, by_batch=self.mode != "eval",
        )  # fmt: skip
        assert can_fuse(self.x, self.row, surrogate, self.bias)
        return fused_neurons(self.x, STEPS, self.row, surrogate, self.bias, norm), (mean, variance)


def agree(case, surrogate):
    expected, moved = case.apart(surrogate)
    found, also_moved = case.fused(surrogate)
    assert 0 < expected.mean() < 1
    assert torch.equal(found, expected)
    torch.testing.assert_close(also_moved, moved)
    wanted = torch.autograd.grad((expected * case.weight).sum(), case.parameters)
    gradients = torch.autograd.grad((found * case.weight).sum(), case.parameters)
    torch.testing.assert_close(gradients, wanted, atol=2e-5, rtol=1e-4)
    assert all(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("mode", ["train", "eval", "batch"])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("n_given", [1, STEPS])
def test_spikes_statistics_and_gradients_are_those_of_the_parts(mode, reset, detach_reset, n_given, generator):
    shape = (n_given, BATCH, CHANNELS, 3, 2)
    agree(Case(generator, shape=shape, mode=mode, reset=reset, detach_reset=detach_reset, leak=0.75), Surrogate())


@pytest.mark.parametrize("name", ["arctan", "exponential", "rectangular", "straight-through", "triangle"])
def test_every_surrogate(name, generator):
    agree(Case(generator, reset="subtract"), Surrogate(name=name, width=0.7, scale=1.5))


@pytest.mark.parametrize("threshold", [(), (1,), (CHANNELS, 1, 1)])
@pytest.mark.parametrize("comparator", [">=", ">"])
def test_one_threshold_or_one_for_each_channel(threshold, comparator, generator):
    agree(Case(generator, threshold=threshold, comparator=comparator), Surrogate())


@pytest.mark.parametrize("shape", [(STEPS, 7, CHANNELS), (1, 1000, CHANNELS), (STEPS, 40, CHANNELS, 9, 5)])
def test_dense_layers_and_more_neurons_than_are_taken_at_a_time(shape, generator):
    agree(Case(generator, shape=shape), Surrogate())


@pytest.mark.parametrize("comparator", [">=", ">"])
def test_the_comparator_decides_at_the_threshold(comparator):
    row = a_row(torch.tensor(1.0), comparator=comparator, v_init=0.0)
    spikes = fused_neurons(torch.ones(1, 1, 1), 1, row, Surrogate(), torch.tensor(0.0))
    assert spikes.item() == (comparator == ">=")


def test_results_do_not_depend_on_the_number_of_threads(generator):
    case = Case(generator, shape=(STEPS, 64, CHANNELS, 16, 16))
    results = []
    before = numba.get_num_threads()
    try:
        for n in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(n)
            spikes, moved = case.fused(Surrogate())
            results.append((spikes, *moved, *torch.autograd.grad((spikes * case.weight).sum(), case.parameters)))
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_what_it_cannot_do_goes_the_other_way(generator):
    x, row, zero = channels_fastest((STEPS, 2, CHANNELS, 3, 3), generator), a_row(torch.tensor(1.0)), torch.tensor(0.0)
    assert can_fuse(x, row, Surrogate(), zero)
    assert not can_fuse(x.contiguous(), row, Surrogate(), zero), "pixels fastest"
    assert not can_fuse(x.double(), row, Surrogate(), zero)
    assert not can_fuse(x, a_row(torch.ones(CHANNELS, 3, 3)), Surrogate(), zero), "a threshold for each neuron"
    assert not can_fuse(x, a_row(torch.tensor(1.0), reset_delay=True), Surrogate(), zero)


def test_a_network_learns_the_same_either_way(generator, monkeypatch):
    network = convnet((1, 8, 8), 3, seed=0, mean=[0.5], std=[0.5], channels=[4, "A", 8], hidden=[16])
    spiking = to_spiking(network, dict.fromkeys(("conv1", "conv2", "fc1"), 0.8), n_steps=STEPS)
    x = torch.rand((6, 1, 8, 8), generator=generator)
    y = torch.randint(0, 3, (6,), generator=generator)
    found = []
    for fuses in (True, False):
        if not fuses:
            monkeypatch.setattr("gossamer.training.torch_parts.can_fuse", lambda *_: False)
        model = TorchNetwork(spiking, train_thresholds=True)
        F.cross_entropy(model(x), y).backward()
        found.append({name: p.grad for name, p in model.named_parameters()} | dict(model.named_buffers()))
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], atol=1e-5, rtol=1e-3, msg=name)
