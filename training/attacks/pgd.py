"""Many small steps, each projected back into the ball."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from .best import Best
from .gradient import (
    Goal,
    Norm,
    check,
    direction,
    expected_gradient,
    largest_distance,
    noise,
    project,
    start_in_ball,
    target,
    under_attack,
)

Start = Literal["uniform", "normal", "clean"]


def usual_step_size(eps: float, n_steps: int) -> float:
    """Long enough to reach every corner of the ball, and to turn round once."""
    return 2.5 * eps / max(n_steps, 1)


def usual_start(loss: Goal) -> Start:
    """Where the gradient of the loss is not zero by construction."""
    return "normal" if loss == "kl" else "uniform"


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 20,
    step_size: float | None = None,
    start: Start | None = None,
    loss: Goal = "ce",
    keep_best: bool = False,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient descent (ascent, here) on the loss: steps along sign(grad), for "l2" along grad / |grad|_2.

    Without `start` it begins uniformly in the ball for "ce" and at x + 0.001 N(0, 1) for "kl" (TRADES' inner loop).

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1; for "l2" the largest Euclidean length of an image's change.
        norm: "linf" or "l2".
        n_steps: Number of steps, 1 ... 10,000.
        step_size: Length of a step in that norm; 2.5 eps / n_steps if not given.
        start: "uniform" or "normal" as above, or "clean", which is x (with "kl" the gradient there is zero).
        loss: What to climb: "ce" cross-entropy with y, "kl" divergence from the clean prediction.
        keep_best: True returns, instead of the last point, the last one on the way that was misclassified, or else the
            one of the largest cross-entropy: a stronger attack on rough losses, for one forward pass more.
        eot: Draws of a random input coding over which each gradient is averaged.
        generator: Source of the start and of those draws.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Madry et al. 2018; for "kl" Zhang et al. 2019; `eot` Athalye et al. 2018.
    """
    step_size = usual_step_size(eps, n_steps) if step_size is None else step_size
    start = usual_start(loss) if start is None else start
    largest = largest_distance(x, norm)
    steps = {"n_steps": (n_steps, 1, 10_000), "step_size": (step_size, 0, 2.5 * largest)}
    check(x, y, goal=loss, norm=norm, eps=(eps, 0, largest), **steps, eot=(eot, 1, 10_000))
    if start not in get_args(Start):
        expected = ", ".join(get_args(Start))
        raise TrainingError("GSM-608", "unknown start", where="start", found=start, expected=expected)
    with under_attack(model):
        towards = target(model, x, y, loss)
        adversarial = x
        if start == "normal":
            adversarial = project(x + 0.001 * noise(x, generator, normal=True), x, eps, norm)
        elif start == "uniform":
            adversarial = start_in_ball(x, eps, norm, generator)
        best = Best(x)
        for _ in range(n_steps):
            gradient, logits = expected_gradient(model, adversarial, towards, loss, eot=eot, generator=generator)
            if keep_best:
                best.see(adversarial, logits, y)
            adversarial = project(adversarial + step_size * direction(gradient, norm), x, eps, norm)
        if keep_best:
            with torch.no_grad():
                best.see(adversarial, model(adversarial), y)
    return best.images if keep_best else adversarial
