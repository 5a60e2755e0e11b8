"""How a stage minimises, as its table in the recipe says."""

from math import cos, pi

import torch
from torch import nn

from .recipe import Fit, Snn
from .torch_network import TorchNetwork


def make_optimizer(parameters: list[nn.Parameter], settings: Fit) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; weight decay is coupled (L2) and acts on every parameter."""
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: Fit, done: float) -> None:
    """lr, or lr (1 + cos(pi done)) / 2; done: share of the stage's batches that lie behind, in [0, 1)."""
    factor = (1 + cos(pi * done)) / 2 if settings.schedule == "cosine" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor


def clamp_thresholds(model: TorchNetwork, settings: Fit) -> None:
    """Keep trained thresholds above the recipe's minimum."""
    if isinstance(settings, Snn):
        with torch.no_grad():
            for threshold in model.thresholds():
                threshold.clamp_min_(settings.min_threshold)
