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
    if groups.shape[1] > 1:
        size = groups.sum(1) / pattern.to_groups(torch.ones_like(scores)).sum(1)
    else:
        size = groups[:, 0]
    keep = torch.ones(len(size), dtype=torch.bool, device=scores.device)
    keep[size.topk(n_zeroed(len(size), density), largest=False, sorted=False).indices] = False
    return pattern.from_groups(keep[:, None].expand_as(groups), scores.shape)


class Chosen(torch.autograd.Function):
    """Weights times a mask of the largest |scores|; backward as if the mask were |scores| itself."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, density: Tensor, mask: Tensor) -> Tensor:
        """weight * mask, a bool; density, of which the mask is, gets a gradient, too."""
        ctx.save_for_backward(weight, scores, mask)
        return weight * mask

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """With g = d L / d mask: d L / d scores = g sign(scores); d L / d density = sum g."""
        weight, scores, mask = ctx.saved_tensors
        of_weight, of_scores, of_density = ctx.needs_input_grad[:3]
        to_mask = grads[0] * weight if of_scores or of_density else None
        return (
            grads[0] * mask if of_weight else None,
            to_mask * scores.sign() if to_mask is not None and of_scores else None,
            to_mask.sum() if to_mask is not None and of_density else None,
            None,
        )


class ScoreMask(Masking):
    """W_eff = w m, m = 1 for the k n largest |scores| of this layer.

    With w frozen: d L / d scores = (d L / d W_eff w) sign(scores). The mask is chosen anew when scores or share have
    changed: not for every step of an attack, which changes neither.
    Source: Sehwag et al. 2020 (HYDRA), section 3.1 and code.
    """

    def __init__(self, scores: Tensor, density: float, pattern: Pattern) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.fixed_density = density
        self.pattern = pattern
        self._chosen: tuple[tuple[Any, ...], Tensor] | None = None

    def density(self) -> Tensor:
        """The share that is kept, a number."""
        return torch.tensor(self.fixed_density, dtype=torch.float64)

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that the scores keep."""
        return cast(Tensor, Chosen.apply(weight, self.scores, self.density(), self.mask()))  # type: ignore[no-untyped-call]

    def mask(self) -> Tensor:
        """The mask of the scores as they are now."""
        density = self.density().item()
        state = (self.scores._version, self.scores.data_ptr(), self.scores.device, density)
        if self._chosen is None or self._chosen[0] != state:
            self._chosen = state, top_k_mask(self.scores, density, self.pattern)
        return self._chosen[1]
