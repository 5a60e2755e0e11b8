"""HARP: train the layers' shares along with the scores, so that each layer keeps what robustness needs of it."""

from math import log

import torch
from torch import Tensor, nn

from ..torch_network import TorchNetwork
from .hydra import replace_masks
from .patterns import Pattern
from .scores import ScoreMask

DIGITS = 4  # to which the excess must round to 0


class RateMask(ScoreMask):
    """HYDRA's mask, of which the layer's share k = k_min + (1 - k_min) sigmoid(r) is trained, too.

    d L / d k = sum d L / d mask. Source: Zhao & Wressnegger 2023 (HARP), section 4 and code.
    """

    def __init__(self, scores: Tensor, initial: float, least: float, pattern: Pattern) -> None:
        super().__init__(scores, initial, pattern)
        share = (initial - least) / (1 - least)
        self.least = least
        self.rate = nn.Parameter(torch.tensor(log(share / (1 - share)) if share < 1 else 20.0, device=scores.device))

    def density(self) -> Tensor:
        """The share that is kept now."""
        return self.least + (1 - self.least) * self.rate.sigmoid()


class Rates(nn.Module):
    """What pulls the shares towards the target, gamma max(kept / all / target - 1, 0), and how strongly at the moment.

    gamma grows by `penalty` with every epoch until the excess rounds to 0, and then stays.
    """

    def __init__(self, model: TorchNetwork, target: float, penalty: float) -> None:
        super().__init__()
        self.masks = [m.masking for m in model.weight_maps().values() if isinstance(m.masking, RateMask)]
        self.sizes = [m.scores.numel() for m in self.masks]
        self.target, self.penalty = target, penalty
        self.gamma: Tensor
        self.is_settled: Tensor
        self.register_buffer("gamma", torch.tensor(penalty))
        self.register_buffer("is_settled", torch.tensor(False))

    def excess(self) -> Tensor:
        """max(kept / all / target - 1, 0)."""
        kept = sum((m.density() * n for m, n in zip(self.masks, self.sizes, strict=True)), torch.zeros(()))
        return (kept / sum(self.sizes) / self.target - 1).clamp_min(0)

    def forward(self) -> Tensor:
        """What is added to the loss."""
        return self.gamma * self.excess()

    @property
    def is_reached(self) -> bool:
        """True if the excess rounds to 0."""
        return round(self.excess().item(), DIGITS) == 0

    def end_epoch(self) -> None:
        """Pull harder in the next one, unless the target has been reached once."""
        if self.is_reached:
            self.is_settled.fill_(True)
        if not self.is_settled:
            self.gamma.add_(self.penalty)

    def trim(self) -> None:
        """Lower all rates alike until the target is met, where training has not done that."""
        low, high = 0.0, 64.0
        rates = [m.rate.detach().clone() for m in self.masks]
        with torch.no_grad():
            for _ in range(50):
                if self.is_reached and high == 64.0:
                    return
                middle = (low + high) / 2
                for m, rate in zip(self.masks, rates, strict=True):
                    m.rate.copy_(rate - middle)
                low, high = (low, middle) if self.is_reached else (middle, high)
            for m, rate in zip(self.masks, rates, strict=True):
                m.rate.copy_(rate - high)


def attach_rates(
    model: TorchNetwork, density: float, *, initial: float = 0.1, penalty: float = 0.01, pattern: str = "free"
) -> Rates:
    """Turn a trained model into one whose scores and layers' shares are trained; as `attach_scores` otherwise.

    Args:
        model: Changed in place.
        density: Share of all weights to keep; a layer may keep as little as a tenth of that.
        initial: Share of every layer at the beginning.
        penalty: By how much the weight of the excess grows with each epoch.
        pattern: Which weights are kept together; not "N:M", which leaves nothing to learn.
    Returns: What to add to the loss; part of the model, so that its state is saved with it.
    Source: Zhao & Wressnegger 2023 (HARP) and code.
    """
    replace_masks(model, lambda scores, at: RateMask(scores, initial, 0.1 * density, at), pattern)
    model.rates = Rates(model, density, penalty)
    return model.rates
