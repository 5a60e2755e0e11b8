"""Losses over a batch: cross-entropy, and TRADES for robustness."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(mean cross-entropy, (batch, n_classes) logits)."""
    logits = model(x)
    return F.cross_entropy(logits, y), logits


def kl_divergence(reference: Tensor, logits: Tensor) -> Tensor:
    """(1 / batch) sum KL(softmax(reference) || softmax(logits)); gradients flow into both.

    Args:
        reference, logits: (batch, n_classes).
    """
    return F.kl_div(
        F.log_softmax(logits, dim=1), F.log_softmax(reference, dim=1), reduction="batchmean", log_target=True
    )


def trades(
    model: nn.Module, x: Tensor, y: Tensor, *, beta: float, attack: Attack, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """TRADES: CE(f(x), y) + beta (1 / batch) sum KL(softmax f(x) || softmax f(x')), x' found by `attack`.

    The attack maximises that KL in eval mode; the loss is taken in the mode in which the model is given, and the
    clean logits are not detached in it.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        beta: Weight of the robust part, >= 0.
        attack: (model, x, y, generator) -> x'.
        generator: Source of the attack's noise.
    Returns: (loss, (batch, n_classes) clean logits).
    Source: Zhang et al. 2019, eq. 5; methods: Özdenizci & Legenstein 2024.
    """
    adversarial = attack(model, x, y, generator)
    logits = model(x)
    loss = F.cross_entropy(logits, y) + beta * kl_divergence(logits, model(adversarial))
    return loss, logits
