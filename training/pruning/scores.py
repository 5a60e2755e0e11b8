"""Masks from scores, with gradients straight through the choice."""

from math import floor
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..torch_maps import Masking


def n_zeroed(n_weights: int, density: float) -> int:
    """How many of n weights a density in [0, 1] removes: floor((1 - density) n). Source: HYDRA's code."""
    return floor((1 - density) * n_weights + 1e-9)  # 1e-9: (1 - 0.9) * 10 is 0.9999999999999998


def top_k_mask(scores: Tensor, density: float) -> Tensor:
    """Bool of scores' shape: False for exactly n_zeroed of the smallest |scores|."""
    keep = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    smallest = scores.detach().abs().flatten().topk(n_zeroed(scores.numel(), density), largest=False, sorted=False)
    keep[smallest.indices] = False
    return keep.reshape(scores.shape)


class TopK(torch.autograd.Function):
    """1 for the largest |scores|, 0 for the others; backward as if the mask were |scores| itself."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, density: float) -> Tensor:
        """The mask in scores' type."""
        ctx.save_for_backward(scores)
        return top_k_mask(scores, density).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """d L / d scores = (d L / d mask) sign(scores)."""
        (scores,) = ctx.saved_tensors
        return grads[0] * scores.sign(), None


class ScoreMask(Masking):
    """Final. W_eff = w m, m = 1 for the k n largest |scores| of this layer.

    With w frozen: d L / d scores = (d L / d W_eff w) sign(scores).
    Source: Sehwag et al. 2020 (HYDRA), section 3.1 and code.
    """

    def __init__(self, scores: Tensor, density: float) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.density = density

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that the scores keep."""
        mask = cast(Tensor, TopK.apply(self.scores, self.density))  # type: ignore[no-untyped-call]
        return weight * mask

    def mask(self) -> Tensor | None:
        """The mask of the scores as they are now."""
        return top_k_mask(self.scores, self.density)
