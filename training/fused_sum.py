"""A residual join on a CPU: the sum of two branches, past their batch norms and times factors, in one operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..compiler import Array
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
from .neuron_kernels import CHUNKS, combine, products


@dataclass(frozen=True, eq=False, kw_only=True)
class Branch:
    """What has come so far, (T or 1, batch, channels, ...), and what it has yet to pass: a norm, then a factor.

    factor: one number, or one for each channel; None is 1.
    """

    x: Tensor
    norm: Norm | None
    factor: Tensor | None


def can_sum(branches: Sequence[Branch]) -> bool:
    """True if `fused_sum` can do it: two of the same shape, float32 on a CPU, channels fastest."""
    if len(branches) != 2 or branches[0].x.shape != branches[1].x.shape:
        return False
    xs, factors = [b.x for b in branches], [b.factor for b in branches if b.factor is not None]
    plain = all(x.device.type == "cpu" and x.dtype == torch.float32 and is_channels_fastest(x) for x in xs)
    return plain and all(f.numel() in (1, xs[0].shape[2]) for f in factors)


def fused_sum(branches: Sequence[Branch]) -> Tensor:
    """factor0 norm0(x0) + factor1 norm1(x1), of the branches' shape; see `can_sum`."""
    tensors: list[Tensor | None] = []
    for branch in branches:
        norm = branch.norm
        tensors += [branch.x, *((None, None) if norm is None else (norm.gamma, norm.beta)), branch.factor]
    return cast(Tensor, FusedSum.apply([b.norm for b in branches], *tensors))  # type: ignore[no-untyped-call]


class FusedSum(torch.autograd.Function):
    """See `fused_sum`."""

    @staticmethod
    def forward(ctx: Any, norms: Sequence[Norm | None], *tensors: Tensor | None) -> Tensor:
        """tensors: x, gamma, beta and factor of each branch."""
        xs = [x for x in tensors[::4] if x is not None]
        lanes = Lanes(xs[0])
        ctx.norms, ctx.statistics = norms, []
        scales, shift = [], np.zeros(lanes.n_channels)
        for norm, x, factor in zip(norms, xs, tensors[3::4], strict=True):
            scale = _factor(factor, lanes)
            statistics = None
            if norm is not None:
                mean, inverse = statistics = statistics_of(in_rows(x), norm, lanes)
                shift = shift + scale * channels_of(norm.beta, lanes.n_channels)
                scale = scale * inverse * channels_of(norm.gamma, lanes.n_channels)
                shift = shift - scale * mean
            ctx.statistics.append(statistics)
            scales.append(lanes.spread(scale))
        rows, out = signal_like(xs[0], len(xs[0]))
        combine(rows, in_rows(xs[0]), in_rows(xs[1]), scales[0], scales[1], lanes.spread(shift))
        ctx.save_for_backward(*tensors)
        ctx.lanes = lanes
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """To x, gamma, beta and factor of each branch."""
        tensors, lanes, wanted = ctx.saved_tensors, ctx.lanes, ctx.needs_input_grad[1:]
        to_sum = channels_fastest(grads[0])
        gradient, rows = in_rows(to_sum), [in_rows(x) for x in tensors[::4]]
        total, *with_x = (np.zeros(lanes.n_channels),) * 3
        is_by_batch = [norm is not None and norm.by_batch for norm in ctx.norms]
        if any(is_by_batch) or any(w for i, w in enumerate(wanted) if i % 4):
            sums = np.zeros((CHUNKS, 3, lanes.n))
            products(gradient, rows[0], rows[1], sums)
            total, *with_x = lanes.by_channel(sums)
        found: list[Tensor | None] = []
        for i, (norm, statistics) in enumerate(zip(ctx.norms, ctx.statistics, strict=True)):
            at = slice(4 * i, 4 * i + 4)
            (x, gamma, beta, factor), (to_x, *to_parameters) = tensors[at], wanted[at]
            scale, product = _factor(factor, lanes), with_x[i]
            if norm is None:
                by_channel = torch.from_numpy(scale.astype(np.float32)).view(-1, *[1] * (x.ndim - 3))
                found.append(to_sum * by_channel if to_x else None)
                of_parameters = (total, total, product)
            else:
                mean, inverse = statistics
                slope, n = channels_of(gamma, lanes.n_channels), rows[i].size // lanes.n_channels
                to_gamma, (a, b, c) = norm_gradients(
                    scale * total, scale * product, statistics, slope, n, by_batch=norm.by_batch
                )
                out: Tensor | None = None
                if to_x:
                    to_row, out = signal_like(x, len(x))
                    combine(to_row, gradient, rows[i], lanes.spread(a * scale), lanes.spread(b), lanes.spread(c))
                found.append(out)
                shifted = channels_of(beta, lanes.n_channels) * total
                of_parameters = (to_gamma, scale * total, slope * (product - mean * total) * inverse + shifted)
            for values, like, is_wanted in zip(of_parameters, (gamma, beta, factor), to_parameters, strict=True):
                found.append(gathered(values, like) if is_wanted else None)
        return (None, *found)


def _factor(factor: Tensor | None, lanes: Lanes) -> Array:
    """(channels,) float64."""
    return np.ones(lanes.n_channels) if factor is None else channels_of(factor, lanes.n_channels)
