"""HYDRA: train scores instead of weights, so that the weights which robustness needs are kept."""

from math import sqrt

from ..torch_network import TorchNetwork
from .scores import ScoreMask


def attach_scores(model: TorchNetwork, density: float) -> None:
    """Turn a trained model into one whose scores are trained: s = sqrt(6 / fan-in) w / max|w| for each layer.

    Weights, biases and thresholds are frozen; batch norm's gamma and beta stay trainable, and its statistics move.
    Every dense and convolution map gets scores, first and last included; biases are not pruned. Afterwards
    `model.to_network()` holds the masks.

    Args:
        model: Changed in place.
        density: Share of weights that each layer keeps, in (0, 1].
    Source: Sehwag et al. 2020 (HYDRA), eq. 4 and code.
    """
    model.requires_grad_(False)
    for norm in model.batch_norms():
        norm.requires_grad_(True)
    for m in model.weight_maps().values():
        weight = m.weight.detach()
        largest = weight.abs().max().clamp_min(1e-12)
        m.masking = ScoreMask(sqrt(6 / m.fan_in) * weight / largest, density)
