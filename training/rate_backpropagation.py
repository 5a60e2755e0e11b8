"""Gradients through firing rates instead of through time."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor


@dataclass(frozen=True)
class RateBackpropagation:
    """In place of a surrogate: the gradient passes, unchanged, where a neuron fired at least once in T steps (BPTR).

    d s[t] / d I[t] = 1 if mean over t of s > 0, else 0, and nothing passes between steps. Spikes are what they are.
    For attacks: thresholds, leaks and membrane biases get no gradient.

    Source: Özdenizci & Legenstein 2024 (code); after Ding et al. 2022.
    """

    def derivative(self, u: Tensor, population: str = "", t: int = 0, /) -> Tensor:
        """1, for what asks a surrogate step by step."""
        return torch.ones_like(u)


def pass_where_active(current: Tensor, spikes: Tensor) -> Tensor:
    """`spikes`, with the gradient of `RateBackpropagation` to `current`.

    Args:
        current: (T, batch, *shape) input current; or (1, batch, *shape), the same in every step.
        spikes: (T, batch, *shape).
    """
    return cast(Tensor, _PassWhereActive.apply(current, spikes))  # type: ignore[no-untyped-call]


class _PassWhereActive(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, spikes: Tensor) -> Tensor:
        ctx.save_for_backward((spikes != 0).any(0))
        ctx.is_static = len(current) == 1
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (is_active,) = ctx.saved_tensors
        grad = grads[0] * is_active
        return grad.sum(0, keepdim=True) if ctx.is_static else grad, None
