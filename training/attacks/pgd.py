"""Many small steps, each projected back into the ball."""

from typing import Literal

import torch
from torch import Tensor, nn

from .gradient import Goal, ascent_direction, check, noise, project, target, under_attack

Start = Literal["uniform", "normal", "clean"]


def usual_step_size(eps: float, n_steps: int) -> float:
    """Long enough to reach every corner of the ball, and to turn round once."""
    return 2.5 * eps / max(n_steps, 1)


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    n_steps: int = 20,
    step_size: float | None = None,
    start: Start | None = None,
    loss: Goal = "ce",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient descent (ascent, here) on the loss.

    Without `start` it begins at x + eps uniform(-1, 1) for "ce" and at x + 0.001 N(0, 1) for "kl" (TRADES' inner loop).

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1.
        n_steps: Number of steps, 1 ... 10,000.
        step_size: Change of a pixel per step; 2.5 eps / n_steps if not given.
        start: "uniform" or "normal" as above, or "clean", which is x (with "kl" the gradient there is zero).
        loss: What to climb: "ce" cross-entropy with y, "kl" divergence from the clean prediction.
        generator: Source of the start.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Madry et al. 2018; for "kl" Zhang et al. 2019.
    """
    step_size = usual_step_size(eps, n_steps) if step_size is None else step_size
    check(x, y, goal=loss, eps=(eps, 0, 1), n_steps=(n_steps, 1, 10_000), step_size=(step_size, 0, 1))
    start = start or ("normal" if loss == "kl" else "uniform")
    with under_attack(model):
        towards = target(model, x, y, loss)
        adversarial = x
        if start == "normal":
            adversarial = project(x + 0.001 * noise(x, generator, normal=True), x, eps)
        elif start == "uniform":
            adversarial = project(x + eps * noise(x, generator, normal=False), x, eps)
        for _ in range(n_steps):
            step = step_size * ascent_direction(model, adversarial, towards, loss)
            adversarial = project(adversarial + step, x, eps)
    return adversarial
