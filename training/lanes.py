"""Signals as kernels see them: rows of channels side by side in memory. And what a batch norm has to do with one."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..compiler import Array
from .neuron_kernels import CHUNKS, LANES, moments


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


class Lanes:
    """As many channels as kernels take at a time: (channels,) coefficients spread over them, and sums by channel."""

    def __init__(self, x: Tensor) -> None:
        self.n_channels = x.shape[2]
        self.n = self.n_channels * max(1, min(LANES, x[0].numel()) // self.n_channels)

    def spread(self, channels: Array) -> Array:
        """(channels,) as (lanes,) float32."""
        return np.tile(channels.astype(np.float32), self.n // self.n_channels)

    def by_channel(self, sums: Array) -> Array:
        """(chunks, k, lanes) as (k, channels), added up in order."""
        total: Array = sums.sum(0).reshape(sums.shape[1], -1, self.n_channels).sum(1)
        return total


def statistics_of(arriving: Array, norm: Norm, lanes: Lanes) -> tuple[Array, Array]:
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


def norm_gradients(
    total: Array, product: Array, statistics: tuple[Array, Array], gamma: Array, n: int, *, by_batch: bool
) -> tuple[Array, tuple[Array, Array, Array]]:
    """The gradient to gamma, and (a, b, c) of the gradient to x, which is a g + b x + c.

    Args:
        total, product: (channels,) sums of g, the gradient to what the norm returns, and of g x.
        statistics: Mean and 1 / deviation by which it normalised.
        gamma: (channels,).
        n: Values in a channel.
        by_batch: The statistics were the batch's, and so depend on x.
    """
    mean, inverse = statistics
    to_gamma = (product - mean * total) * inverse
    factor = inverse * gamma
    of_x = -factor * inverse * to_gamma / n if by_batch else np.zeros_like(factor)
    constant = -factor * total / n - of_x * mean if by_batch else np.zeros_like(factor)
    return to_gamma, (factor, of_x, constant)


def channels_fastest(x: Tensor) -> Tensor:
    """x itself if its channels lie side by side in memory, else a copy of which that is true."""
    return x if is_channels_fastest(x) else x.movedim(2, -1).contiguous().movedim(-1, 2)


def is_channels_fastest(x: Tensor) -> bool:
    return x.movedim(2, -1).is_contiguous()


def in_rows(x: Tensor) -> Array:
    """(steps, batch, channels, ...) as (steps, n) in memory order, without a copy."""
    rows: Array = x.detach().movedim(2, -1).reshape(len(x), -1).numpy()
    return rows


def signal_like(x: Tensor, n_steps: int) -> tuple[Array, Tensor]:
    """A new signal of so many steps: (steps, n) and (steps, batch, channels, ...), the same memory."""
    batch, channels, *pixels = x.shape[1:]
    memory = torch.empty((n_steps, batch, *pixels, channels), dtype=x.dtype)
    rows: Array = memory.view(n_steps, -1).numpy()
    return rows, memory.movedim(-1, 2)


def channels_of(coefficient: Tensor, n: int) -> Array:
    """(n,) float64 of one number, or of one for each channel."""
    values: Array = coefficient.detach().numpy().astype(np.float64).reshape(-1)
    return np.broadcast_to(values, (n,))


def gathered(channels: Array, like: Tensor) -> Tensor:
    """A gradient by channel as one to a coefficient: one number, or one for each channel."""
    values = channels.sum() if like.numel() == 1 else channels
    return torch.tensor(values, dtype=like.dtype).reshape(like.shape)
