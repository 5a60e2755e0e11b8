"""Batch norm and spiking neurons as one operation on a CPU: `F.batch_norm` and then `multi_step`.

Of a layer's many passes over memory a few are left, and nothing but what arrives is kept for the backward pass.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .lanes import (
    Lanes,
    Norm,
    channels_fastest,
    channels_of,
    gathered,
    in_rows,
    is_channels_fastest,
    norm_gradients,
    signal_like,
    statistics_of,
)
from .neuron_kernels import CHUNKS, back, combine, fire
from .neurons import Row
from .surrogates import SpikeDerivative, Surrogate

RESETS = {"zero": 0, "subtract": 1, "none": 2}


@dataclass(frozen=True, eq=False, kw_only=True)
class _Plan:
    n_steps: int
    row: Row
    surrogate: Surrogate
    norm: Norm | None


def can_fuse(x: Tensor, row: Row, surrogate: SpikeDerivative, bias: Tensor) -> bool:
    """True if `fused_neurons` can do it: float32 on a CPU, channels fastest, IF or LIF with coefficients by channel."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or type(surrogate) is not Surrogate or not row.is_plain:
        return False
    coefficients = (row.threshold, row.leak, row.v_init, bias)
    return is_channels_fastest(x) and all(c.numel() in (1, x.shape[2]) for c in coefficients)


def fused_neurons(
    x: Tensor, n_steps: int, row: Row, surrogate: Surrogate, bias: Tensor, norm: Norm | None = None
) -> Tensor:
    """Spikes of a population; as `multi_step` behind a batch norm.

    Args:
        x: (T, batch, channels, ...) what arrives; or (1, batch, channels, ...), the same in every step.
        n_steps: T.
        row: The neurons; see `can_fuse`.
        surrogate: d spike / d v.
        bias: Of the population, added after the norm.
        norm: Comes first; steps and samples share its statistics.
    Returns: (T, batch, channels, ...) zeros and ones.
    """
    gamma, beta = (None, None) if norm is None else (norm.gamma, norm.beta)
    plan = _Plan(n_steps=n_steps, row=row, surrogate=surrogate, norm=norm)
    return cast(Tensor, FusedNeurons.apply(x, gamma, beta, row.threshold, bias, plan))  # type: ignore[no-untyped-call]


class FusedNeurons(torch.autograd.Function):
    """See `fused_neurons`. The gradient is that of `LeakyIntegrateAndFire`, through that of batch norm."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor | None, beta: Tensor | None, threshold: Tensor, bias: Tensor, plan: _Plan
    ) -> Tensor:
        """(T, batch, channels, ...) spikes."""
        lanes = _NeuronLanes(x, plan.row)
        arriving = in_rows(x)
        ctx.statistics = None
        scale, shift = np.ones(lanes.n_channels), channels_of(bias, lanes.n_channels)
        if gamma is not None and beta is not None and plan.norm is not None:
            mean, inverse = ctx.statistics = statistics_of(arriving, plan.norm, lanes)
            scale = inverse * channels_of(gamma, lanes.n_channels)
            shift = shift + (channels_of(beta, lanes.n_channels) - mean * scale)
        ctx.scale, ctx.shift = lanes.spread(scale), lanes.spread(shift)
        spikes, out = signal_like(x, plan.n_steps)
        fire(
            arriving,
            ctx.scale,
            ctx.shift,
            lanes.leak,
            lanes.v_init,
            lanes.threshold,
            lanes.fire_at,
            lanes.reset,
            spikes,
        )
        ctx.save_for_backward(x, gamma, beta, threshold, bias)
        ctx.plan, ctx.lanes = plan, lanes
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to x, gamma, beta, the threshold and the bias."""
        x, gamma, beta, threshold, bias = ctx.saved_tensors
        plan, lanes, arriving = ctx.plan, ctx.lanes, in_rows(x)
        by_batch = plan.norm is not None and plan.norm.by_batch
        to_x, out = signal_like(x, len(x))
        n_sums = 3 if ctx.needs_input_grad[3] else 2
        sums = np.zeros((CHUNKS if by_batch or any(ctx.needs_input_grad[1:5]) else 0, n_sums, lanes.n))
        back(
            arriving, ctx.scale, ctx.shift, lanes.leak, lanes.v_init, lanes.threshold, lanes.fire_at, lanes.reset,
            np.float32(not plan.row.detach_reset), *_slope(plan.surrogate), in_rows(channels_fastest(grads[0])), to_x,
            lanes.spread(np.ones(lanes.n_channels)) if by_batch else ctx.scale, sums,
        )  # fmt: skip
        total, product, *to_threshold = lanes.by_channel(sums)
        to_gamma = total
        if ctx.statistics is not None:
            n = arriving.size // lanes.n_channels
            to_gamma, coefficients = norm_gradients(
                total, product, ctx.statistics, channels_of(gamma, lanes.n_channels), n, by_batch=by_batch
            )
            if by_batch:
                combine(to_x, to_x, arriving, *(lanes.spread(c) for c in coefficients))
        found = (
            (to_gamma, gamma),
            (total, beta),
            (to_threshold[0] if to_threshold else total, threshold),
            (total, bias),
        )
        wanted = zip(found, ctx.needs_input_grad[1:5], strict=True)
        return (out, *(gathered(values, like) if is_wanted else None for (values, like), is_wanted in wanted), None)


class _NeuronLanes(Lanes):
    """The neurons' coefficients, spread."""

    def __init__(self, x: Tensor, row: Row) -> None:
        super().__init__(x)
        like = row.like
        threshold = channels_of(row.threshold, self.n_channels).astype(np.float32)
        fire_at = threshold if like.comparator == ">=" else np.nextafter(threshold, np.float32(np.inf))
        self.threshold, self.fire_at = self.spread(threshold), self.spread(fire_at)
        self.leak = self.spread(channels_of(row.leak, self.n_channels))
        self.v_init = self.spread(channels_of(row.v_init, self.n_channels))
        self.reset = RESETS[like.reset]


def _slope(surrogate: Surrogate) -> tuple[int, np.float32, np.float32]:
    """A surrogate as the kernels know it: kind, width and factor."""
    width, scale = surrogate.width, surrogate.scale
    kind, at, factor = {
        "triangle": (0, width, scale / width**2),
        "arctan": (1, np.pi / width, scale / width),
        "rectangular": (2, width / 2, scale / width),
        "exponential": (3, 1 / width, scale),
        "straight-through": (4, width, scale),
    }[surrogate.name]
    return kind, np.float32(at), np.float32(factor)
