"""Input coding in torch: from values in [0, 1] to what the input population emits in each step."""

import torch
from torch import Tensor

from ..compiler import InputCoding
from .errors import TrainingError


def encode(x: Tensor, coding: InputCoding, n_steps: int, *, integer: bool = False) -> Tensor:
    """Steps of the input population for values; differentiable for "direct" coding alone.

    Args:
        x: (batch, *shape) values in [0, 1].
        coding: How to encode.
        n_steps: T.
        integer: Whole numbers (float64) in units of 1 / levels ("direct") or 2^-phases (weighted "phase").
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
        return as_numbers(bits * weights, coding, integer=integer)
    if coding.kind == "latency":
        spike_at = ((1 - x) * (n_steps - 1)).round()
        steps = torch.arange(n_steps).to(x).reshape(-1, *(1,) * x.ndim)
        return as_numbers(((steps == spike_at) & (x > 0)).to(x.dtype), coding, integer=integer)
    raise TrainingError(
        "GSM-608",
        "this input coding needs its steps",
        where=f"coding {coding.kind!r}",
        found=f"values {tuple(x.shape)}",
        expected="steps (T, batch, *shape)",
        remedy="encode the samples first (gossamer.simulator.encode) and pass the steps, time first",
    )


def as_numbers(steps: Tensor, coding: InputCoding, *, integer: bool) -> Tensor:
    """Steps as the network's arithmetic holds them: as they are, or whole units in float64."""
    if not integer:
        return steps
    units = {"direct": coding.levels, "phase": 1 << coding.phases if coding.weighted else 1}.get(coding.kind, 1)
    return (steps.double() * units).round()
