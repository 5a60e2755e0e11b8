"""The best of the points that an attack comes by."""

import torch
import torch.nn.functional as F
from torch import Tensor


class Best:
    """Final. For each image the last point that fooled the model, else the one of the largest cross-entropy: `images`.

    Where a loss is as rough as that of a spiking network, the last point is often not the best.
    """

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
