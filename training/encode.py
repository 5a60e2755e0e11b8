"""Input coding in torch: from values in [0, 1] to what the input population emits in each step."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..compiler import InputCoding
from .errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Bpda:
    """How gradients pass an input coding that has none: straight through, with a slope that is chosen here (BPDA).

    d s[t] / d x, in the backward pass alone:
        "rate"     1, the slope of the expected spike.
        "phase"    1 for every bit ("identity"), or 2^-(1 + k) for bit plane k ("weighted"), what the bit is worth in x;
                   times the plane's own factor where the coding is weighted.
        "latency"  the spike's one is shared linearly between the two steps that enclose (1 - x) (T - 1): so T - 1 for
                   the earlier of them, -(T - 1) for the later; at a whole step the mean of both sides.

    phase: as above.
    draw: which draw of "rate" coding: that which the simulator makes for sample number `draw`, for every image alike.
    Raises: TrainingError: GSM-608 for an unknown `phase` or a negative draw.
    Source: Athalye et al. 2018; which slope: chosen here.
    """

    phase: Literal["identity", "weighted"] = "identity"
    draw: int = 0

    def __post_init__(self) -> None:
        if self.phase not in ("identity", "weighted"):
            raise TrainingError(
                "GSM-608", "unknown slope", where="phase", found=self.phase, expected="identity or weighted"
            )
        if self.draw < 0:
            raise TrainingError("GSM-608", "option out of range", where="draw", found=self.draw, expected=">= 0")


def encode(x: Tensor, coding: InputCoding, n_steps: int, *, integer: bool = False, bpda: Bpda | None = None) -> Tensor:
    """Steps of the input population for values; differentiable for "direct" coding, and for others with `bpda`.

    Args:
        x: (batch, *shape) values in [0, 1].
        coding: How to encode.
        n_steps: T.
        integer: Whole numbers (float64) in units of 1 / levels ("direct") or 2^-phases (weighted "phase").
        bpda: The gradient through the coding, and the draw of "rate" coding, which without it is refused.
    Returns: (T, batch, *shape), or (1, batch, *shape) where every step is the same.
    Raises: TrainingError: GSM-608 for codings whose steps must be given.
    """
    if coding.kind == "direct":
        return as_numbers(x[None], coding, integer=integer)
    if coding.kind == "phase":
        plane = torch.arange(n_steps) % coding.phases
        top = 1 << coding.phases
        whole = (x.double() * top).floor().clamp(0, top - 1).long()
        shifts = (coding.phases - 1 - plane).to(x.device).reshape(-1, *(1,) * x.ndim)
        bits = ((whole >> shifts) & 1).to(x.dtype)
        weights = 0.5 ** (1 + plane).to(x).reshape(shifts.shape) if coding.weighted else 1.0
        steps = bits * weights
    elif coding.kind == "latency":
        spike_at = ((1 - x) * (n_steps - 1)).round()
        steps = ((_numbered(n_steps, x) == spike_at) & (x > 0)).to(x.dtype)
    elif coding.kind == "rate" and bpda is not None:
        drawn = np.random.default_rng((coding.seed, bpda.draw)).random((n_steps, prod(x.shape[1:])), np.float32)
        steps = (torch.tensor(drawn, device=x.device).reshape(n_steps, 1, *x.shape[1:]) < x).to(x.dtype)
    else:
        raise TrainingError(
            "GSM-608",
            "this input coding needs its steps",
            where=f"coding {coding.kind!r}",
            found=f"values {tuple(x.shape)}",
            expected="steps (T, batch, *shape)",
            remedy="encode the samples first (gossamer.simulator.encode) and pass the steps, time first"
            + ("; or set the network's `bpda`, which draws them" if coding.kind == "rate" else ""),
        )
    if bpda is not None and x.requires_grad and not integer:
        return cast(Tensor, StraightThrough.apply(x, steps, _slope(x, coding, n_steps, bpda)))  # type: ignore[no-untyped-call]
    return as_numbers(steps, coding, integer=integer)


class StraightThrough(torch.autograd.Function):
    """Steps forward; backward the sum over steps of slope times gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Tensor, slope: Tensor) -> Tensor:
        """`steps` as they are."""
        ctx.save_for_backward(slope)
        return steps.view_as(steps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient to x, (batch, *shape)."""
        (slope,) = ctx.saved_tensors
        return (grads[0] * slope).sum(0), None, None


def _slope(x: Tensor, coding: InputCoding, n_steps: int, bpda: Bpda) -> Tensor:
    """d s[t] / d x as `Bpda` says, (T, batch, *shape) or so that it broadcasts to that."""
    t = _numbered(n_steps, x)
    if coding.kind == "phase":
        worth = 0.5 ** (1 + t % coding.phases)
        return (worth if bpda.phase == "weighted" else torch.ones_like(t)) * (worth if coding.weighted else 1)
    if coding.kind == "latency":
        late = t - (1 - x.detach()) * (n_steps - 1)  # behind the spike's real-valued time
        rising = ((late > -1) & (late <= 0)).to(x.dtype) + ((late >= -1) & (late < 0)).to(x.dtype)
        falling = ((late >= 0) & (late < 1)).to(x.dtype) + ((late > 0) & (late <= 1)).to(x.dtype)
        return (rising - falling) * ((n_steps - 1) / 2)
    return torch.ones_like(t)


def _numbered(n_steps: int, x: Tensor) -> Tensor:
    """0 … T - 1 as (T, 1, …, 1), to go with (batch, *shape)."""
    return torch.arange(n_steps).to(x).reshape(-1, *(1,) * x.ndim)


def as_numbers(steps: Tensor, coding: InputCoding, *, integer: bool) -> Tensor:
    """Steps as the network's arithmetic holds them: as they are, or whole units in float64."""
    if not integer:
        return steps
    units = {"direct": coding.levels, "phase": 1 << coding.phases if coding.weighted else 1}.get(coding.kind, 1)
    return (steps.double() * units).round()
