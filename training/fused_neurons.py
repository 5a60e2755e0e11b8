"""Batch norm and spiking neurons as one operation on a CPU: `F.batch_norm` and then `multi_step`.

Of a layer's many passes over memory a few are left, and nothing but what arrives is kept for the backward pass.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..compiler import Array
from .neuron_kernels import CHUNKS, LANES, back, combine, fire, moments
from .neurons import Row
from .surrogates import SpikeDerivative, Surrogate

RESETS = {"zero": 0, "subtract": 1, "none": 2}


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm:
    """A batch norm's part in it: gamma, beta, running mean and variance, each (channels,).

    by_batch: normalise with the batch's statistics, instead of the running ones. momentum: by how much those move the
    running ones; 0 leaves them.
    """

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor
    eps: float
    momentum: float
    by_batch: bool


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
    return _is_channels_fastest(x) and all(c.numel() in (1, x.shape[2]) for c in coefficients)


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
        lanes = _Lanes(x, plan.row)
        arriving = _in_rows(x)
        ctx.statistics = None
        scale, shift = np.ones(lanes.n_channels), _channels(bias, lanes.n_channels)
        if gamma is not None and beta is not None and plan.norm is not None:
            mean, inverse = ctx.statistics = _statistics(arriving, plan.norm, lanes)
            scale = inverse * _channels(gamma, lanes.n_channels)
            shift = shift + (_channels(beta, lanes.n_channels) - mean * scale)
        ctx.scale, ctx.shift = lanes.spread(scale), lanes.spread(shift)
        spikes, out = _like(x, plan.n_steps)
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
        plan, lanes, arriving = ctx.plan, ctx.lanes, _in_rows(x)
        by_batch = plan.norm is not None and plan.norm.by_batch
        to_x, out = _like(x, len(x))
        n_sums = 3 if ctx.needs_input_grad[3] else 2
        sums = np.zeros((CHUNKS if by_batch or any(ctx.needs_input_grad[1:5]) else 0, n_sums, lanes.n))
        back(
            arriving, ctx.scale, ctx.shift, lanes.leak, lanes.v_init, lanes.threshold, lanes.fire_at, lanes.reset,
            np.float32(not plan.row.detach_reset), *_slope(plan.surrogate), _in_rows(_channels_fastest(grads[0])), to_x,
            lanes.spread(np.ones(lanes.n_channels)) if by_batch else ctx.scale, sums,
        )  # fmt: skip
        total, product, *to_threshold = lanes.by_channel(sums)
        to_gamma = total
        if ctx.statistics is not None:
            mean, inverse = ctx.statistics
            to_gamma = (product - mean * total) * inverse
            if by_batch:
                factor, n = inverse * _channels(gamma, lanes.n_channels), arriving.size // lanes.n_channels
                of_x = -factor * inverse * to_gamma / n
                constants = (factor, of_x, -factor * total / n - of_x * mean)
                combine(to_x, arriving, *(lanes.spread(c) for c in constants))
        found = (
            (to_gamma, gamma),
            (total, beta),
            (to_threshold[0] if to_threshold else total, threshold),
            (total, bias),
        )
        wanted = zip(found, ctx.needs_input_grad[1:5], strict=True)
        return (out, *(_gathered(values, like) if is_wanted else None for (values, like), is_wanted in wanted), None)


class _Lanes:
    """The neurons' coefficients, spread over as many channels as the kernels take at a time."""

    def __init__(self, x: Tensor, row: Row) -> None:
        self.n_channels = x.shape[2]
        per_step = x[0].numel()
        self.n = self.n_channels * max(1, min(LANES, per_step) // self.n_channels)
        like = row.like
        threshold = _channels(row.threshold, self.n_channels).astype(np.float32)
        fire_at = threshold if like.comparator == ">=" else np.nextafter(threshold, np.float32(np.inf))
        self.threshold, self.fire_at = self.spread(threshold), self.spread(fire_at)
        self.leak = self.spread(_channels(row.leak, self.n_channels))
        self.v_init = self.spread(_channels(row.v_init, self.n_channels))
        self.reset = RESETS[like.reset]

    def spread(self, channels: Array) -> Array:
        """(channels,) as (lanes,) float32."""
        return np.tile(channels.astype(np.float32), self.n // self.n_channels)

    def by_channel(self, sums: Array) -> Array:
        """(chunks, k, lanes) as (k, channels), added up in order."""
        total: Array = sums.sum(0).reshape(sums.shape[1], -1, self.n_channels).sum(1)
        return total


def _statistics(arriving: Array, norm: Norm, lanes: _Lanes) -> tuple[Array, Array]:
    """Mean and 1 / sqrt(variance + eps) by which to normalise, (channels,) float64; moves the running ones."""
    if not norm.by_batch:
        mean, variance = (tensor.detach().numpy().astype(np.float64) for tensor in (norm.mean, norm.variance))
        return mean, 1 / np.sqrt(variance + norm.eps)
    sums = np.zeros((CHUNKS, 2, lanes.n))
    moments(arriving, sums)
    n = arriving.size // lanes.n_channels
    mean, squares = lanes.by_channel(sums) / n
    variance = np.maximum(squares - mean * mean, 0)
    if norm.momentum:
        for running, now in ((norm.mean, mean), (norm.variance, variance * (n / max(n - 1, 1)))):
            running.mul_(1 - norm.momentum).add_(torch.from_numpy(now.astype(np.float32)), alpha=norm.momentum)
    return mean, 1 / np.sqrt(variance + norm.eps)


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


def _channels_fastest(x: Tensor) -> Tensor:
    """x itself if its channels lie side by side in memory, else a copy of which that is true."""
    return x if _is_channels_fastest(x) else x.movedim(2, -1).contiguous().movedim(-1, 2)


def _is_channels_fastest(x: Tensor) -> bool:
    return x.movedim(2, -1).is_contiguous()


def _in_rows(x: Tensor) -> Array:
    """(steps, batch, channels, ...) as (steps, n) in memory order, without a copy."""
    rows: Array = x.detach().movedim(2, -1).reshape(len(x), -1).numpy()
    return rows


def _like(x: Tensor, n_steps: int) -> tuple[Array, Tensor]:
    """A new signal of so many steps: (steps, n) and (steps, batch, channels, ...), the same memory."""
    batch, channels, *pixels = x.shape[1:]
    memory = torch.empty((n_steps, batch, *pixels, channels), dtype=x.dtype)
    rows: Array = memory.view(n_steps, -1).numpy()
    return rows, memory.movedim(-1, 2)


def _channels(coefficient: Tensor, n: int) -> Array:
    """(n,) float64 of one number, or of one for each channel."""
    values: Array = coefficient.detach().numpy().astype(np.float64).reshape(-1)
    return np.broadcast_to(values, (n,))


def _gathered(channels: Array, like: Tensor) -> Tensor:
    """A gradient by channel as one to a coefficient: one number, or one for each channel."""
    values = channels.sum() if like.numel() == 1 else channels
    return torch.tensor(values, dtype=like.dtype).reshape(like.shape)
