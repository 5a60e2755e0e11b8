"""Move a mask while its weights train: the weakest connections go, others come, the density of each layer stays."""

from collections.abc import Callable
from math import cos, pi
from typing import Literal

import torch
from torch import Tensor

from ..torch_maps import FixedMask, TorchWeights
from ..torch_network import TorchNetwork

Grow = Literal["gradient", "random"]


def share_to_move(fraction: float, done: float, until: float) -> float:
    """fraction (1 + cos(pi done / until)) / 2 of a layer's weights, 0 from `until` on.

    Source: Evci et al. 2020, eq. 1.
    """
    return fraction * (1 + cos(pi * done / until)) / 2 if done < until else 0.0


def watch_gradients(model: TorchNetwork, watched: bool) -> None:
    """Let masks remember the gradients of all weights, hidden ones too, of the next backward pass; or stop that."""
    for m in model.weight_maps().values():
        if isinstance(m.masking, FixedMask):
            m.masking.watch(watched)


def rewire(
    model: TorchNetwork,
    optimizer: torch.optim.Optimizer,
    share: float,
    grow: Grow,
    generator: torch.Generator,
    average: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> int:
    """In every masked layer remove that share of the kept weights, the smallest, and bring as many others in, at 0.

    The optimizer forgets what it knows of weights that come or go.

    Args:
        model: Changed in place.
        optimizer: Of its parameters.
        share: In [0, 1).
        grow: Where the gradient is largest ("gradient": RigL, Evci et al. 2020; `watch_gradients` must have been on),
            or at random ("random": SET, Mocanu et al. 2018).
        generator: Of the random choice, on the CPU.
        average: From this process's gradient to that of all processes.
    Returns: How many weights have moved.
    """
    n_moved = 0
    for m in model.weight_maps().values():
        if isinstance(m.masking, FixedMask) and m.masking.keep is not None:
            wish = average(m.masking.gradient()).abs() if grow == "gradient" else _random_like(m.weight, generator)
            moved = _move(m, m.masking.keep, wish, share)
            for slot in optimizer.state.get(m.weight, {}).values():
                if isinstance(slot, Tensor) and slot.shape == moved.shape:
                    slot[moved] = 0
            n_moved += int(moved.sum()) // 2
    return n_moved


def _move(m: TorchWeights, keep: Tensor, wish: Tensor, share: float) -> Tensor:
    """Change a mask in place; returns where it has changed."""
    n = min(int(share * int(keep.sum())), int((~keep).sum()))
    before = keep.clone()
    with torch.no_grad():
        weakest = m.weight.abs().masked_fill(~keep, torch.inf).flatten().topk(n, largest=False).indices
        wanted = wish.masked_fill(keep, -1.0).flatten().topk(n).indices
        keep.view(-1)[weakest] = False
        keep.view(-1)[wanted] = True
        changed = keep != before
        m.weight[changed] = 0
    return changed


def _random_like(weight: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(weight.shape, generator=generator).to(weight.device)
