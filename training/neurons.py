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
from .surrogates import Surrogate


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A row of coefficients as tensors that broadcast to a population's shape; the rest is `like`'s.

    like: gives reset, comparator, update order, reset delay and bias target.
    detach_reset: True keeps the gradient from passing through the spike in the reset.
    """

    threshold: Tensor
    leak: Tensor
    current_decay: Tensor
    v_init: Tensor
    like: Neuron
    detach_reset: bool = False

    @property
    def is_plain(self) -> bool:
        """True for IF and LIF: no synaptic current, the reset at once."""
        return not self.like.has_current and not self.like.reset_delay


def multi_step(current: Tensor, n_steps: int, row: Row, surrogate: Surrogate, bias: Tensor | None = None) -> Tensor:
    """Spikes of n_steps steps.

    Args:
        current: (T, batch, *shape) input current, bias included; or (1, batch, *shape), the same in every step.
        n_steps: T.
        row: The neuron's coefficients.
        surrogate: d spike / d v.
        bias: Added to the membrane in every step, for a neuron whose bias is not part of the current.
    Returns: (T, batch, *shape) zeros and ones.
    """
    if row.is_plain:
        return cast(
            Tensor,
            LeakyIntegrateAndFire.apply(  # type: ignore[no-untyped-call]
                current if bias is None else current + bias, row.threshold, row, surrogate, n_steps
            ),
        )
    return step_by_step(current, n_steps, row, surrogate, bias)[0]


def step_by_step(
    current: Tensor, n_steps: int, row: Row, surrogate: Surrogate, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `multi_step`, for every row of coefficients, as a plain loop that autograd unrolls.

    Returns: spikes and membranes after the reset, each (T, batch, *shape).
    """
    like = row.like
    v = row.v_init.expand(current.shape[1:])
    u = torch.zeros_like(current[0])
    fired = _fire(v, row, surrogate)
    spikes, membranes = [], []
    for t in range(n_steps):
        old_u = u
        u = row.current_decay * u + current[t % len(current)]
        v = row.leak * v + (old_u if like.update_order == "voltage-first" else u)
        if bias is not None:
            v = v + bias
        if like.reset_delay:
            v = _reset(v, fired, row)
        fired = _fire(v, row, surrogate)
        if not like.reset_delay:
            v = _reset(v, fired, row)
        spikes.append(fired)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


class LeakyIntegrateAndFire(torch.autograd.Function):
    """IF and LIF over T steps: v = leak v + I; s = v >= threshold; reset. See `multi_step`.

    Backward, from the last step to the first, with h = surrogate(v - threshold) and g the gradient that arrives:
        G_s = g_s + g_v ds(reset)      ds(reset) = -threshold | -v | 0   ("subtract" | "zero" | "none"; 0 if detached)
        g_I = G_s h + g_v (1 | 1 - s | 1),      g_v of the step before = leak g_I
    and to the threshold: -G_s h, and -s g_v where the reset subtracts it.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, threshold: Tensor, row: Row, surrogate: Surrogate, n_steps: int) -> Tensor:
        """(T, batch, *shape) spikes."""
        shape = (n_steps, *current.shape[1:])
        membrane, spikes = current.new_empty(shape), current.new_empty(shape)
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
        (grad_spikes,) = grads
        membrane, spikes, threshold = ctx.saved_tensors
        reset, through_reset = ctx.row.like.reset, not ctx.row.detach_reset
        slope = ctx.surrogate.derivative(membrane - threshold)
        n_steps = len(spikes)
        grad_current = torch.empty_like(spikes[:1] if ctx.is_static else spikes)
        grad_threshold = torch.zeros_like(spikes[0]) if ctx.needs_input_grad[1] else None
        grad_v: Tensor | None = None
        for t in reversed(range(n_steps)):
            grad_s = grad_spikes[t]
            if grad_v is not None and through_reset and reset != "none":
                grad_s = torch.addcmul(grad_s, membrane[t] if reset == "zero" else threshold, grad_v, value=-1)
            by_spike = grad_s * slope[t]
            if grad_threshold is not None:
                grad_threshold -= by_spike
                if grad_v is not None and reset == "subtract":
                    grad_threshold.addcmul_(spikes[t], grad_v, value=-1)
            if grad_v is not None:
                by_spike += torch.addcmul(grad_v, grad_v, spikes[t], value=-1) if reset == "zero" else grad_v
            grad_v = ctx.row.leak * by_spike if ctx.leaks else by_spike
            if not ctx.is_static:
                grad_current[t] = by_spike
            elif t == n_steps - 1:
                grad_current[0] = by_spike
            else:
                grad_current[0] += by_spike
        return grad_current, _sum_to(grad_threshold, threshold), None, None, None


class Spike(torch.autograd.Function):
    """One step's comparison, with a surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor, row: Row, surrogate: Surrogate) -> Tensor:
        """Zeros and ones of v's shape."""
        ctx.save_for_backward(v, threshold)
        ctx.surrogate = surrogate
        return (v >= threshold if row.like.comparator == ">=" else v > threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to v and to the threshold."""
        v, threshold = ctx.saved_tensors
        grad = grads[0] * ctx.surrogate.derivative(v - threshold)
        return grad, _sum_to(-grad, threshold), None, None


def _fire(v: Tensor, row: Row, surrogate: Surrogate) -> Tensor:
    return cast(Tensor, Spike.apply(v, row.threshold, row, surrogate))  # type: ignore[no-untyped-call]


def _reset(v: Tensor, fired: Tensor, row: Row) -> Tensor:
    if row.detach_reset:
        fired = fired.detach()
    if row.like.reset == "none":
        return v
    return v - fired * row.threshold if row.like.reset == "subtract" else v * (1 - fired)


def _sum_to(grad: Tensor | None, like: Tensor) -> Tensor | None:
    """`grad`, summed over the axes along which `like` was broadcast."""
    return None if grad is None else grad.sum_to_size(like.shape)
