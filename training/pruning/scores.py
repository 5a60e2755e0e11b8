"""Masks from scores, with gradients straight through the choice."""

from math import floor
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..torch_maps import Masking
from .patterns import Pattern


def n_zeroed(n_weights: int, density: float) -> int:
    """How many of n weights a density in [0, 1] removes: floor((1 - density) n). Source: HYDRA's code."""
    return floor((1 - density) * n_weights + 1e-9)  # 1e-9: (1 - 0.9) * 10 is 0.9999999999999998


def top_k_mask(scores: Tensor, density: float, pattern: Pattern | None = None) -> Tensor:
    """Bool of scores' shape: False for exactly n_zeroed of the smallest |scores|.

    With a pattern it is groups that go, those of the smallest mean |score|; with "N:M" density says nothing: N of each
    M stay.
    """
    pattern = pattern or Pattern()
    groups = pattern.to_groups(scores.detach().abs())
    if pattern.n_of_m is not None:
        kept = groups.topk(pattern.n_of_m[0], dim=1, sorted=False).indices
        return pattern.from_groups(torch.zeros_like(groups, dtype=torch.bool).scatter_(1, kept, True), scores.shape)
    members = pattern.to_groups(torch.ones_like(scores)).sum(1)
    size = groups.sum(1) / members if groups.shape[1] > 1 else groups[:, 0]
    keep = torch.ones(len(size), dtype=torch.bool, device=scores.device)
    keep[size.topk(n_zeroed(len(size), density), largest=False, sorted=False).indices] = False
    return pattern.from_groups(keep[:, None].expand_as(groups), scores.shape)


class TopK(torch.autograd.Function):
    """1 for the largest |scores|, 0 for the others; backward as if the mask were |scores| itself."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, density: Tensor, pattern: Pattern) -> Tensor:
        """The mask in scores' type."""
        ctx.save_for_backward(scores)
        return top_k_mask(scores, density.item(), pattern).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """d L / d scores = (d L / d mask) sign(scores); d L / d density = sum d L / d mask."""
        (scores,) = ctx.saved_tensors
        return grads[0] * scores.sign(), grads[0].sum() if ctx.needs_input_grad[1] else None, None


class ScoreMask(Masking):
    """W_eff = w m, m = 1 for the k n largest |scores| of this layer.

    With w frozen: d L / d scores = (d L / d W_eff w) sign(scores).
    Source: Sehwag et al. 2020 (HYDRA), section 3.1 and code.
    """

    def __init__(self, scores: Tensor, density: float, pattern: Pattern) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.fixed_density = density
        self.pattern = pattern

    def density(self) -> Tensor:
        """The share that is kept, a number."""
        return torch.tensor(self.fixed_density, dtype=torch.float64)

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that the scores keep."""
        mask = cast(Tensor, TopK.apply(self.scores, self.density(), self.pattern))  # type: ignore[no-untyped-call]
        return weight * mask

    def mask(self) -> Tensor | None:
        """The mask of the scores as they are now."""
        return top_k_mask(self.scores, self.density().item(), self.pattern)
