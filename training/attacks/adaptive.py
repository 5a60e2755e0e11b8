"""A surrogate that follows the membranes while an attack runs."""

from math import pi, tan

import torch
from torch import Tensor

from ..errors import TrainingError

MEMORY = 0.9  # of both running means
SPREAD = 1.5  # deviations that count as usual
SMALLEST = 1e-4


class AdaptiveSurrogate:
    """Arctan whose sharpness follows |u| = |v - threshold| of each neuron in each step (ASSG).

    With running means, by 0.9, over the backward passes of one attack, M of |u| from 1 and D of ||u| - M| from 0:
        alpha = a / (M + 1.5 D + 1e-4),  a = 2 tan(pi sharpness) / pi
        d spike / d v = alpha / 2 / (1 + (pi alpha u / 2)^2)
    So a neuron whose membrane stays far from the threshold gets a wide surrogate, and its gradient does not vanish.

    Its state belongs to the images that it sees. `using_surrogate`, and so every evaluation, begins anew with each
    batch; so does a batch of another shape. With `eot` every draw counts as a pass; its authors count the first of each
    point.

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
