"""The neuron over all steps: its spikes and its written-out gradient against a plain loop under autograd."""

import pytest
import torch

from gossamer.compiler import Neuron
from gossamer.training import Surrogate
from gossamer.training.neurons import Row, multi_step, step_by_step

STEPS = 6


def a_row(threshold, *, leak=1.0, current_decay=0.0, detach_reset=False, **options):
    return Row(
        threshold=threshold,
        leak=torch.tensor(leak),
        current_decay=torch.tensor(current_decay),
        v_init=torch.tensor(0.1),
        like=Neuron(current_decay=current_decay, **options),
        detach_reset=detach_reset,
    )


def unrolled(current, row, surrogate):
    """IF and LIF written once more, with the surrogate as (s - h v).detach() + h v."""
    spikes, v = [], row.v_init.expand(current.shape[1:])
    for t in range(STEPS):
        v = row.leak * v + current[t % len(current)]
        u = v - row.threshold
        slope = surrogate.derivative(u.detach())
        fired = (u >= 0 if row.like.comparator == ">=" else u > 0).float()
        s = fired + slope * u - (slope * u).detach()
        spikes.append(s)
        in_reset = s.detach() if row.detach_reset else s
        if row.like.reset == "zero":
            v = v * (1 - in_reset)
        elif row.like.reset == "subtract":
            v = v - in_reset * row.threshold
    return torch.stack(spikes)


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("leak", [1.0, 0.75])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("threshold_shape", [(), (4, 1, 1), (4, 2, 2)])
@pytest.mark.parametrize("n_given", [1, STEPS])
def test_the_written_gradient_is_that_of_the_unrolled_loop(
    reset, leak, detach_reset, threshold_shape, n_given, generator
):
    threshold = (torch.rand(threshold_shape, generator=generator) + 0.5).requires_grad_()
    current = torch.randn((n_given, 3, 4, 2, 2), generator=generator).requires_grad_()
    weight = torch.randn((STEPS, 3, 4, 2, 2), generator=generator)
    row, surrogate = a_row(threshold, leak=leak, detach_reset=detach_reset, reset=reset), Surrogate()
    expected, found = unrolled(current, row, surrogate), multi_step(current, STEPS, row, surrogate)
    assert 0 < found.mean() < 1
    torch.testing.assert_close(found, expected)
    expected_gradient = torch.autograd.grad((expected * weight).sum(), (current, threshold))
    gradient = torch.autograd.grad((found * weight).sum(), (current, threshold))
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-4)
    assert all(g.abs().sum() > 0 for g in gradient)


@pytest.mark.parametrize("name", ["arctan", "exponential", "rectangular", "straight-through"])
def test_every_surrogate_goes_through_the_same_backward_pass(name, generator):
    current = torch.randn((STEPS, 5, 7), generator=generator).requires_grad_()
    row, surrogate = a_row(torch.tensor(1.0), leak=0.5, reset="subtract"), Surrogate(name=name, width=0.7)
    (found,) = torch.autograd.grad(multi_step(current, STEPS, row, surrogate).square().sum(), current)
    (expected,) = torch.autograd.grad(unrolled(current, row, surrogate).square().sum(), current)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_gradient_does_not_depend_on_the_memory_order_of_the_current(reset, generator):
    plain = torch.randn((STEPS, 3, 4, 5, 5), generator=generator)
    pixels_first = plain.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    gradients = []
    for current in (plain.requires_grad_(), pixels_first.requires_grad_()):
        spikes = multi_step(current, STEPS, a_row(torch.tensor(0.8), reset=reset), Surrogate())
        gradients.append(torch.autograd.grad(spikes.square().sum(), current)[0])
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("comparator", [">=", ">"])
def test_the_comparator_decides_at_the_threshold(comparator):
    row = Row(
        threshold=torch.tensor(1.0),
        leak=torch.tensor(1.0),
        current_decay=torch.tensor(0.0),
        v_init=torch.tensor(0.0),
        like=Neuron(comparator=comparator),
    )
    assert multi_step(torch.ones(1, 1, 1), 1, row, Surrogate()).item() == (comparator == ">=")


def test_a_neuron_with_synaptic_current_is_differentiable(generator):
    current = torch.randn((STEPS, 3, 4), generator=generator).requires_grad_()
    row = a_row(torch.tensor(0.5), leak=0.5, current_decay=0.5, reset="zero")
    spikes, _ = step_by_step(current, STEPS, row, Surrogate())
    (gradient,) = torch.autograd.grad(spikes[-1].sum(), current)
    assert torch.equal(multi_step(current, STEPS, row, Surrogate()), spikes)
    assert (gradient[0] != 0).any(), "what arrives first still acts in the last step"
