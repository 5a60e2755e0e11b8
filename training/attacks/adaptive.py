"""A surrogate that follows the membranes while an attack runs, and the attack that was made for it."""

from math import pi, tan

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TrainingError
from ..torch_network import TorchNetwork
from .gradient import TINY, check, expected_gradient, noise, per_image, project, under_attack, using_surrogate

MEMORY = 0.9  # of both running means
SPREAD = 1.5  # deviations that count as usual
SMALLEST = 1e-4


class AdaptiveSurrogate:
    """Arctan whose sharpness follows |u| = |v - threshold| of each neuron in each step (ASSG).

    With running means, by 0.9, over the backward passes of one attack, M of |u| from 1 and D of ||u| - M| from 0:
        alpha = a / (M + 1.5 D + 1e-4),  a = 2 tan(pi sharpness) / pi
        d spike / d v = alpha / 2 / (1 + (pi alpha u / 2)^2)
    So a neuron whose membrane stays far from the threshold gets a wide surrogate, and its gradient does not vanish.

    It has a state for the images that it sees: make one for every attack of a batch, or call `reset`. A batch of
    another shape begins anew. With `eot` every draw counts as a pass; its authors count the first of each point.

    Args:
        sharpness: Bounds the share of the gradient that vanishes, 0 < sharpness < 0.5; its authors search .35 ... .49.
    Raises: TrainingError: GSM-608 for a sharpness out of range.
    Source: Wang et al. 2025 (arXiv 2512.22522); where its text leaves the order open, its authors' code.
    """

    def __init__(self, sharpness: float = 0.425) -> None:
        if not 0 < sharpness < 0.5:
            raise TrainingError(
                "GSM-608", "out of range", where="sharpness", found=sharpness, expected="between 0 and 0.5"
            )
        self.sharpness = sharpness
        self._scale = 2 * tan(pi * sharpness) / pi
        self._means: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def reset(self) -> None:
        """Forget what was seen."""
        self._means.clear()

    def derivative(self, u: Tensor, population: str = "", t: int = 0, /) -> Tensor:
        """d spike / d v at u = v - threshold, (batch, *shape); updates the means of that population and step first."""
        size = u.detach().abs()
        mean, deviation = self._means.get((population, t), (None, None))
        if mean is None or deviation is None or mean.shape != u.shape:
            mean, deviation = torch.ones_like(size), torch.zeros_like(size)
        mean = mean.lerp(size, 1 - MEMORY)
        deviation = deviation.lerp((size - mean).abs_(), 1 - MEMORY)
        self._means[population, t] = mean, deviation
        alpha = deviation.mul(SPREAD).add_(mean).add_(SMALLEST).reciprocal_().mul_(self._scale)
        slope = alpha.mul(u).mul_(pi / 2).square_().add_(1).reciprocal_()
        return slope.mul_(alpha).mul_(0.5)


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
        best = _Best(x)
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


class _Best:
    """For each image the last point that fooled the model, else the one of the largest loss."""

    def __init__(self, x: Tensor) -> None:
        self.images = x.clone()
        self.loss = torch.full((len(x),), -torch.inf, device=x.device)
        self.fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def see(self, x: Tensor, logits: Tensor, y: Tensor) -> None:
        """Take over what is better than before."""
        loss = F.cross_entropy(logits, y, reduction="none")
        fools = logits.argmax(1) != y
        better = fools | (~self.fooled & (loss > self.loss))
        self.images[better] = x[better]
        self.loss = torch.maximum(self.loss, loss)
        self.fooled |= fools


def _halvings(n_steps: int) -> set[int]:
    """After how many steps the step size is halved."""
    wait, least, fewer = (max(int(share * n_steps), 1) for share in (0.22, 0.06, 0.03))
    after, total = set(), 0
    while total < n_steps:
        total += wait
        after.add(total)
        wait = max(wait - fewer, least)
    return after
