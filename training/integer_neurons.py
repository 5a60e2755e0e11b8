"""Loihi's fixed-point neuron in int64: for judging a quantized network, not for training it.

State in 1/64 of a weight unit. decay(x) = sign(x) (|x| d >> 12) truncates toward zero at every step; u wraps into
(-2^23, 2^23]; v is clipped to +-(2^23 - 1).
"""

import torch
from torch import Tensor

from ..compiler import DECAY_UNIT, STATE_LIMIT, STATE_SHIFT
from .neurons import Row


def integer_multi_step(current: Tensor, n_steps: int, row: Row, bias: Tensor, *, fires: bool) -> Tensor:
    """Step a population in exact integers.

    Args:
        current: (T or 1, batch, *shape) whole numbers in weight units, without the bias.
        n_steps: T.
        row: int64 coefficients: threshold and v_init in weight units, decays in 1/4096.
        bias: int64, in weight units.
        fires: False for a readout, whose membrane is wanted.
    Returns: (T, batch, *shape) int64 spikes; or, if it does not fire, membranes in 1/64 unit.
    """
    like, threshold = row.like, row.threshold << STATE_SHIFT
    to_current = bias << STATE_SHIFT if like.bias_target == "current" else torch.zeros_like(bias)
    to_membrane = (bias << STATE_SHIFT) - to_current
    arriving = current.to(torch.int64) << STATE_SHIFT
    u = torch.zeros_like(arriving[0])
    v = (row.v_init << STATE_SHIFT).expand(arriving.shape[1:])
    steps = []
    for t in range(n_steps):
        fired_before = _compare(v, threshold, like.comparator)
        old_u = u
        u = _wrap(_decay(u, row.current_decay) + arriving[t % len(arriving)] + to_current)
        v = _decay(v, row.leak) + (old_u if like.update_order == "voltage-first" else u) + to_membrane
        v = v.clamp(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
        if like.reset_delay:
            v = _reset(v, fired_before, threshold, like.reset)
        fired = _compare(v, threshold, like.comparator)
        if not like.reset_delay:
            v = _reset(v, fired, threshold, like.reset)
        steps.append(fired.to(torch.int64) if fires else v)
    return torch.stack(steps)


def _compare(v: Tensor, threshold: Tensor, comparator: str) -> Tensor:
    return v >= threshold if comparator == ">=" else v > threshold


def _reset(v: Tensor, fired: Tensor, threshold: Tensor, reset: str) -> Tensor:
    if reset == "none":
        return v
    return torch.where(fired, v - threshold if reset == "subtract" else torch.zeros_like(v), v)


def _decay(x: Tensor, keep: Tensor) -> Tensor:
    return x.sign() * ((x.abs() * keep) // DECAY_UNIT)


def _wrap(u: Tensor) -> Tensor:
    return (u + STATE_LIMIT - 1).remainder(2 * STATE_LIMIT) - (STATE_LIMIT - 1)
