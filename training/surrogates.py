"""Surrogate gradients: what stands in for the derivative of a spike, which is zero or infinite.

u = v - threshold. Each is a closed form, so that the backward pass through time needs no graph of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from .errors import TrainingError

SurrogateName = Literal["triangle", "arctan", "rectangular", "exponential", "straight-through"]


def triangle(u: Tensor, width: float) -> Tensor:
    """max(0, width - |u|) / width^2, the piecewise linear surrogate (PCW). Source: Esser et al. 2016."""
    return u.abs().neg_().add_(width).clamp_min_(0).mul_(width**-2)


def arctan(u: Tensor, width: float) -> Tensor:
    """1 / (width (1 + (pi u / width)^2)); alpha = 2 / width in spikingjelly's terms. Source: Fang et al. 2021."""
    return u.mul(pi / width).square_().add_(1).reciprocal_().mul_(1 / width)


def rectangular(u: Tensor, width: float) -> Tensor:
    """1 / width where |u| < width / 2. Source: Wu et al. 2018 (STBP)."""
    return (u.abs() < width / 2).to(u.dtype).mul_(1 / width)


def exponential(u: Tensor, width: float) -> Tensor:
    """exp(-|u| / width). Source: Shrestha & Orchard 2018 (SLAYER)."""
    return u.abs().mul_(-1 / width).exp_()


def straight_through(u: Tensor, width: float) -> Tensor:
    """1 everywhere; `width` has no meaning. Source: Bengio et al. 2013."""
    return torch.ones_like(u)


SURROGATES: dict[SurrogateName, Callable[[Tensor, float], Tensor]] = {
    "triangle": triangle,
    "arctan": arctan,
    "rectangular": rectangular,
    "exponential": exponential,
    "straight-through": straight_through,
}


class SpikeDerivative(Protocol):
    """What the backward pass asks for in place of a spike's derivative."""

    def derivative(self, u: Tensor, population: str, t: int, /) -> Tensor:
        """d spike / d v at u = v - threshold, (batch, *shape) of a population in step t; a new tensor of u's shape."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A surrogate by name: width > 0 in units of the membrane, and a factor `scale` > 0 on all of it.

    Raises: TrainingError: GSM-608 for an unknown name or a width or scale that is not positive.
    """

    name: SurrogateName = "triangle"
    width: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in SURROGATES:
            expected = ", ".join(get_args(SurrogateName))
            raise TrainingError("GSM-608", "unknown surrogate", found=self.name, expected=expected)
        for field in ("width", "scale"):
            value = getattr(self, field)
            if not 0 < value < float("inf"):
                where = f"surrogate {self.name!r}, {field}"
                raise TrainingError("GSM-608", "not a positive number", where=where, found=value, expected="> 0")

    def derivative(self, u: Tensor, population: str = "", t: int = 0, /) -> Tensor:
        """d spike / d v at u = v - threshold, elementwise, the same for all neurons; a new tensor of u's shape."""
        slope = SURROGATES[self.name](u, self.width)
        return slope if self.scale == 1 else slope.mul_(self.scale)
