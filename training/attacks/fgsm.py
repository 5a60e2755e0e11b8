"""One step of the full size."""

import torch
from torch import Tensor, nn

from .gradient import Goal, ascent_direction, check, project, target, under_attack


def fgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    loss: Goal = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fast gradient sign method: x' = clip(x + eps sign(grad loss)).

    With loss "kl" the gradient at x is zero: use `rfgsm`, which starts elsewhere.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1.
        loss: What to climb: "ce" cross-entropy with y, "kl" divergence from the clean prediction.
        generator: Not used.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Goodfellow et al. 2015.
    """
    check(x, y, goal=loss, eps=(eps, 0, 1))
    with under_attack(model):
        step = eps * ascent_direction(model, x, target(model, x, y, loss), loss)
    return project(x + step, x, eps)
