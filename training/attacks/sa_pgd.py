"""The attack that was made for the adaptive surrogate."""

import torch
from torch import Tensor, nn

from ..torch_network import TorchNetwork
from .adaptive import AdaptiveSurrogate
from .best import Best
from .gradient import TINY, check, expected_gradient, noise, per_image, project, under_attack, using_surrogate


def sa_pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    n_steps: int = 100,
    sharpness: float | None = 0.425,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Stable adaptive PGD on the cross-entropy, through the adaptive surrogate.

    With g the gradient and means over an image's pixels: m <- 0.5 m + g / mean|g|, v <- 0.8 v + g^2 / mean(g^2); a
    pixel goes by size m / sqrt(v), at most size. `size` begins at eps and is halved after 0.22 n_steps steps, then
    after 0.03 n_steps fewer each time, but at least 0.06 n_steps. It starts at a random point of the ball's surface.

    Args:
        model: (batch, *shape) in [0, 1] -> logits. One that is no TorchNetwork keeps its own gradient.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        eps: Largest change of a pixel, 0 ... 1.
        n_steps: Number of steps, 1 ... 10,000.
        sharpness: Of the `AdaptiveSurrogate`; None leaves the model its own surrogate.
        eot: Draws of a random input coding over which each gradient is averaged.
        generator: Source of the start and of those draws.
    Returns: (batch, *shape), in [0, 1] and within eps of x: the last point that was misclassified on the way, or the
        one of the largest loss where none was.
    Raises: TrainingError: GSM-608 for arguments out of range.
    Source: Wang et al. 2025 (arXiv 2512.22522) and its authors' code.
    """
    check(x, y, eps=(eps, 0, 1), n_steps=(n_steps, 1, 10_000), eot=(eot, 1, 10_000))
    surrogate = AdaptiveSurrogate(sharpness) if sharpness is not None and isinstance(model, TorchNetwork) else None
    with under_attack(model), using_surrogate(model, surrogate):
        start = noise(x, generator, normal=False)
        largest = start.flatten(1).abs().amax(1).clamp_min(TINY)
        adversarial = project(x + eps * start / per_image(largest, x), x, eps)
        best = Best(x)
        momentum, variance = torch.zeros_like(x), torch.zeros_like(x)
        halvings, size = _halvings(n_steps), eps
        for i in range(n_steps):
            gradient, logits = expected_gradient(model, adversarial, y, "ce", eot=eot, generator=generator)
            best.see(adversarial, logits, y)
            scaled = gradient / per_image(gradient.flatten(1).abs().mean(1).clamp_min(TINY), x)
            squared = scaled.square()
            momentum = 0.5 * momentum + scaled
            variance = 0.8 * variance + squared / per_image(squared.flatten(1).mean(1).clamp_min(TINY), x)
            step = (momentum / (variance.sqrt() + 1e-12)).clamp(-1, 1)
            adversarial = project(adversarial + size * step, x, eps)
            if i + 1 in halvings:
                size /= 2
        with torch.no_grad():
            best.see(adversarial, model(adversarial), y)
    return best.images


def _halvings(n_steps: int) -> set[int]:
    """After how many steps the step size is halved."""
    wait, least, fewer = (max(int(share * n_steps), 1) for share in (0.22, 0.06, 0.03))
    after, total = set(), 0
    while total < n_steps:
        total += wait
        after.add(total)
        wait = max(wait - fewer, least)
    return after
