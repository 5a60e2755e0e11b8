"""One step of the full size."""

import torch
from torch import Tensor, nn

from .gradient import Goal, Norm, ascent_direction, check, largest_distance, project, target, under_attack


def fgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    loss: Goal = "ce",
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fast gradient sign method: x' = clip(x + eps sign(grad loss)); for "l2" x' = clip(x + eps grad / |grad|_2).

    With loss "kl" the gradient at x is zero: use `rfgsm`, which starts elsewhere.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1; for "l2" the largest Euclidean length of an image's change.
        norm: "linf" or "l2".
        loss: What to climb: "ce" cross-entropy with y, "kl" divergence from the clean prediction.
        eot: Draws of a random input coding over which the gradient is averaged.
        generator: Source of those draws.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Goodfellow et al. 2015.
    """
    check(x, y, goal=loss, norm=norm, eps=(eps, 0, largest_distance(x, norm)), eot=(eot, 1, 10_000))
    with under_attack(model):
        towards = target(model, x, y, loss)
        step = eps * ascent_direction(model, x, towards, loss, norm, eot=eot, generator=generator)
    return project(x + step, x, eps, norm)
