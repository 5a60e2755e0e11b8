"""What can only be asked: a model without gradients, such as a compiled graph in the simulator."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...compiler import Array
from ..errors import TrainingError


class BlackBox(nn.Module):
    """Final. Any function from images to logits as a model; it lets no gradient through.

    Args:
        logits: (batch, C, H, W) float32 in [0, 1] -> (batch, n_outputs).
        name: For messages.
    """

    def __init__(self, logits: Callable[[Array], Array], *, name: str) -> None:
        super().__init__()
        self.logits = logits
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_outputs) float32, on x's device.

        Raises: TrainingError: GSM-608 if a gradient at x is wanted.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise TrainingError(
                "GSM-608",
                "no gradient reaches the pixels: this model can only be asked",
                where=self.name,
                expected="an attack that needs no gradient",
                remedy="attack it with square, or transfer from the float network that it was compiled from",
            )
        answers = self.logits(x.detach().cpu().numpy())
        return torch.from_numpy(answers).float().to(x.device)
