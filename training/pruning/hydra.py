"""HYDRA: train scores instead of weights, so that the weights which robustness needs are kept."""

from collections.abc import Callable
from math import sqrt

from torch import Tensor

from ..torch_network import TorchNetwork
from .patterns import Pattern
from .scores import ScoreMask


def attach_scores(model: TorchNetwork, density: float, pattern: str = "free") -> None:
    """Turn a trained model into one whose scores are trained: s = sqrt(6 / fan-in) w / max|w| for each layer.

    Weights, biases and thresholds are frozen; batch norm's gamma and beta stay trainable, and its statistics move.
    Every dense and convolution map gets scores, first and last included; biases are not pruned. Afterwards
    `model.to_network()` holds the masks.

    Args:
        model: Changed in place.
        density: Share of weights that each layer keeps, in (0, 1].
        pattern: Which weights are kept together, see `patterns`.
    Source: Sehwag et al. 2020 (HYDRA), eq. 4 and code.
    """
    replace_masks(model, lambda scores, at: ScoreMask(scores, density, at), pattern)


def replace_masks(model: TorchNetwork, mask: Callable[[Tensor, Pattern], ScoreMask], pattern: str) -> None:
    """Freeze all but batch norm, and give every map a mask of scores."""
    model.requires_grad_(False)
    for norm in model.batch_norms():
        norm.requires_grad_(True)
    for name, m in model.weight_maps().items():
        weight = m.weight.detach()
        largest = weight.abs().max().clamp_min(1e-12)
        at = Pattern(pattern, is_readout=name.split("#")[0] == model.network.output)
        m.masking = mask(sqrt(6 / m.fan_in) * weight / largest, at)
