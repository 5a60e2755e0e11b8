"""A random step, then one gradient step: what spiking networks are trained against here."""

import torch
from torch import Tensor, nn

from .gradient import Goal, ascent_direction, check, noise, project, target, under_attack


def usual_alpha(eps: float) -> float:
    """Half of the ball for the random step, half for the gradient's."""
    return eps / 2


def rfgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    alpha: float | None = None,
    loss: Goal = "kl",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Random FGSM: x0 = clip(x + alpha sign N(0, 1)); x' = clip(x0 + (eps - alpha) sign grad loss(x0)).

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1.
        alpha: Size of the random step, 0 ... eps; eps / 2 if not given.
        loss: What to climb: "ce" cross-entropy with y, "kl" divergence from the clean prediction.
        generator: Source of the random step.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Tramèr et al. 2018; on KL: Özdenizci & Legenstein 2024.
    """
    alpha = usual_alpha(eps) if alpha is None else alpha
    check(x, y, goal=loss, eps=(eps, 0, 1), alpha=(alpha, 0, eps))
    with under_attack(model):
        towards = target(model, x, y, loss)
        start = project(x + alpha * noise(x, generator, normal=True).sign(), x, eps)
        step = (eps - alpha) * ascent_direction(model, start, towards, loss)
    return project(start + step, x, eps)
