"""Spiking neurons over all steps of a sample, with gradients through time.

`multi_step` is the equation of `gossamer.compiler.neurons` (methods: Özdenizci & Legenstein 2024; Neftci et al. 2019).
IF and LIF, the ones that are trained, run as one autograd function whose backward pass is written out; every other
row of coefficients runs in a plain loop, which is also what the tests hold the written-out gradient against.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ..compiler import Neuron
from .rate_backpropagation import RateBackpropagation, pass_where_active
from .surrogates import SpikeDerivative, Surrogate


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A row of coefficients as tensors that broadcast to a population's shape; the rest is `like`'s.

    like: gives reset, comparator, update order, reset delay and bias target.
    detach_reset: True keeps the gradient from passing through the spike in the reset.
    population: whose neurons these are; a surrogate may depend on it.
    """

    threshold: Tensor
    leak: Tensor
    current_decay: Tensor
    v_init: Tensor
    like: Neuron
    detach_reset: bool = False
    population: str = ""

    @property
    def is_plain(self) -> bool:
        """True for IF and LIF: no synaptic current, the reset at once."""
        return not self.like.has_current and not self.like.reset_delay


def multi_step(
    current: Tensor, n_steps: int, row: Row, surrogate: SpikeDerivative, bias: Tensor | None = None
) -> Tensor:
    """Spikes of n_steps steps.

    Args:
        current: (T, batch, *shape) input current, bias included; or (1, batch, *shape), the same in every step.
        n_steps: T.
        row: The neuron's coefficients.
        surrogate: d spike / d v.
        bias: Added to the membrane in every step, for a neuron whose bias is not part of the current.
    Returns: (T, batch, *shape) zeros and ones.
    """
    if isinstance(surrogate, RateBackpropagation):
        with torch.no_grad():
            spikes = multi_step(current, n_steps, row, Surrogate(), bias)
        return pass_where_active(current, spikes)
    if row.is_plain:
        return cast(
            Tensor,
            LeakyIntegrateAndFire.apply(  # type: ignore[no-untyped-call]
                current if bias is None else current + bias, row.threshold, row, surrogate, n_steps
            ),
        )
    return step_by_step(current, n_steps, row, surrogate, bias)[0]


def step_by_step(
    current: Tensor, n_steps: int, row: Row, surrogate: SpikeDerivative, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `multi_step`, for every row of coefficients, as a plain loop that autograd unrolls.

    Returns: spikes and membranes after the reset, each (T, batch, *shape).
    """
    like = row.like
    v = row.v_init.expand(current.shape[1:])
    u = torch.zeros_like(current[0])
    fired = _fire(v, row, surrogate, 0)
    spikes, membranes = [], []
    for t in range(n_steps):
        old_u = u
        u = row.current_decay * u + current[t % len(current)]
        v = row.leak * v + (old_u if like.update_order == "voltage-first" else u)
        if bias is not None:
            v = v + bias
        if like.reset_delay:
            v = _reset(v, fired, row)
        fired = _fire(v, row, surrogate, t)
        if not like.reset_delay:
            v = _reset(v, fired, row)
        spikes.append(fired)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


class LeakyIntegrateAndFire(torch.autograd.Function):
    """IF and LIF over T steps: v = leak v + I; s = v >= threshold; reset. See `multi_step`.

    Backward, from the last step to the first, with h = surrogate(v - threshold), g_s the gradient that arrives and
    g_I[T] = 0 (v is the membrane before the reset):
        g_I[t] = g_s[t] h[t] + K[t] leak g_I[t + 1]
        K = 1 - threshold h ("subtract") | 1 - s - v h ("zero") | 1 ("none"); detached: 1 | 1 - s | 1
    and to the threshold, see `_to_threshold`.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, threshold: Tensor, row: Row, surrogate: SpikeDerivative, n_steps: int
    ) -> Tensor:
        """(T, batch, *shape) spikes."""
        one_step = torch.empty_like(current[0])  # in the memory order of what arrives
        shape, strides = (n_steps, *one_step.shape), (one_step.numel(), *one_step.stride())
        membrane, spikes = (current.new_empty_strided(shape, strides) for _ in range(2))
        compare = torch.ge if row.like.comparator == ">=" else torch.gt
        v = row.v_init
        leaks = bool((row.leak != 1).any())
        for t in range(n_steps):
            torch.add(current[t % len(current)], row.leak * v if leaks else v, out=membrane[t])
            compare(membrane[t], threshold, out=spikes[t])
            if row.like.reset == "zero":
                v = torch.addcmul(membrane[t], membrane[t], spikes[t], value=-1)
            elif row.like.reset == "subtract":
                v = torch.addcmul(membrane[t], threshold, spikes[t], value=-1)
            else:
                v = membrane[t]
        ctx.save_for_backward(membrane, spikes, threshold)
        ctx.row, ctx.surrogate, ctx.is_static, ctx.leaks = row, surrogate, len(current) == 1, leaks
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to the current, (T or 1, batch, *shape), and to the threshold."""
        membrane, spikes, threshold = ctx.saved_tensors
        row: Row = ctx.row
        grad = torch.empty_like(spikes)
        grad_threshold = torch.zeros_like(threshold) if ctx.needs_input_grad[1] else None
        grad_v: Tensor | None = None  # to the membrane after the reset
        for t in reversed(range(len(spikes))):  # a step at a time: its arrays stay in the cache
            v, s, grad_s = membrane[t], spikes[t], grads[0][t]
            slope = ctx.surrogate.derivative(v - threshold, row.population, t)
            torch.mul(grad_s, slope, out=grad[t])
            if grad_v is not None:
                through = _through_reset(v, s, slope, threshold, row)
                _ = grad[t].add_(grad_v) if through is None else grad[t].addcmul_(through, grad_v)
            if grad_threshold is not None:
                grad_threshold += _to_threshold(grad_s, grad_v, v, s, slope, threshold, row)
            grad_v = row.leak * grad[t] if ctx.leaks else grad[t]
        return grad.sum(0, keepdim=True) if ctx.is_static else grad, grad_threshold, None, None, None


def _through_reset(v: Tensor, s: Tensor, slope: Tensor, threshold: Tensor, row: Row) -> Tensor | None:
    """d (v after the reset) / d (v before it), K above; None where it is 1 everywhere."""
    if row.like.reset == "zero":
        return (s if row.detach_reset else torch.addcmul(s, v, slope)).neg().add_(1)
    if row.like.reset == "subtract" and not row.detach_reset:
        return (threshold * slope).neg_().add_(1)
    return None


def _to_threshold(
    grad_s: Tensor, grad_v: Tensor | None, v: Tensor, s: Tensor, slope: Tensor, threshold: Tensor, row: Row
) -> Tensor:
    """-h times the gradient to s, through the reset too, and -s grad_v where the reset subtracts the threshold."""
    if grad_v is None:
        return -(grad_s * slope).sum_to_size(threshold.shape)
    if row.like.reset != "none" and not row.detach_reset:
        grad_s = grad_s - (v if row.like.reset == "zero" else threshold) * grad_v
    total = grad_s * slope
    if row.like.reset == "subtract":
        total = total + s * grad_v
    return -total.sum_to_size(threshold.shape)


class Spike(torch.autograd.Function):
    """One step's comparison, with a surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor, row: Row, surrogate: SpikeDerivative, t: int) -> Tensor:
        """Zeros and ones of v's shape."""
        ctx.save_for_backward(v, threshold)
        ctx.surrogate, ctx.population, ctx.t = surrogate, row.population, t
        return (v >= threshold if row.like.comparator == ">=" else v > threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to v and to the threshold."""
        v, threshold = ctx.saved_tensors
        grad = grads[0] * ctx.surrogate.derivative(v - threshold, ctx.population, ctx.t)
        return grad, (-grad).sum_to_size(threshold.shape), None, None, None


def _fire(v: Tensor, row: Row, surrogate: SpikeDerivative, t: int) -> Tensor:
    return cast(Tensor, Spike.apply(v, row.threshold, row, surrogate, t))  # type: ignore[no-untyped-call]


def _reset(v: Tensor, fired: Tensor, row: Row) -> Tensor:
    if row.detach_reset:
        fired = fired.detach()
    if row.like.reset == "none":
        return v
    return v - fired * row.threshold if row.like.reset == "subtract" else v * (1 - fired)
