"""Steps along a running mean of gradients."""

import torch
from torch import Tensor, nn

from .gradient import (
    TINY,
    Norm,
    check,
    direction,
    expected_gradient,
    largest_distance,
    per_image,
    project,
    under_attack,
)


def mi_fgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    n_steps: int = 10,
    decay: float = 1.0,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Momentum iterative FGSM: m <- decay m + g / |g|_1 with g = grad cross-entropy, then eps / n_steps along m.

    Its images fool other networks more often than PGD's: momentum leaves out what is peculiar to one place.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1; for "l2" the largest Euclidean length of an image's change.
        norm: "linf" steps along sign(m), "l2" along m / |m|_2.
        n_steps: Number of steps, 1 ... 10,000.
        decay: Of the momentum, 0 ... 1; 0 is iterated FGSM.
        eot: Draws of a random input coding over which each gradient is averaged.
        generator: Source of those draws; nothing else is random.
    Returns: (batch, *shape), in [0, 1] and within eps of x.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Dong et al. 2018, eq. 6 to 8.
    """
    ranges = {"eps": (eps, 0, largest_distance(x, norm)), "n_steps": (n_steps, 1, 10_000), "decay": (decay, 0, 1)}
    check(x, y, goal="ce", norm=norm, **ranges, eot=(eot, 1, 10_000))
    with under_attack(model):
        adversarial, momentum = x, torch.zeros_like(x)
        for _ in range(n_steps):
            gradient, _ = expected_gradient(model, adversarial, y, "ce", eot=eot, generator=generator)
            size = per_image(gradient.flatten(1).abs().sum(1), x)
            momentum = decay * momentum + gradient / size.clamp_min(TINY)
            adversarial = project(adversarial + eps / n_steps * direction(momentum, norm), x, eps, norm)
    return adversarial
