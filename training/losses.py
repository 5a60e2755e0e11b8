"""Losses over a batch: cross-entropy, and what is robust: PGD-AT, TRADES and MART.

Each returns (loss, (batch, n_classes) logits by which training accuracy is counted), clean ones where there are any.
The attack runs in eval mode; the loss is taken in the mode in which the model is given.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
LEAST = 1e-12  # added to a probability before its logarithm is taken


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

    The attack maximises that KL; the clean logits are not detached in it.

    Args:
        model: (batch, *shape) in [0, 1] -> logits.
        x: (batch, *shape) images in [0, 1].
        y: (batch,) labels.
        beta: Weight of the robust part, >= 0.
        attack: (model, x, y, generator) -> x'.
        generator: Source of the attack's noise.
    Returns: (loss, clean logits).
    Source: Zhang et al. 2019, eq. 5; methods: Özdenizci & Legenstein 2024.
    """
    adversarial = attack(model, x, y, generator)
    logits = model(x)
    loss = F.cross_entropy(logits, y) + beta * kl_divergence(logits, model(adversarial))
    return loss, logits


def pgd_at(
    model: nn.Module, x: Tensor, y: Tensor, *, attack: Attack, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Adversarial training: CE(f(x'), y), x' found by `attack`, which maximises it. See `trades` for the arguments.

    Returns: (loss, logits of x').
    Source: Madry et al. 2018, eq. 2.1.
    """
    return cross_entropy(model, attack(model, x, y, generator), y)


def mart(
    model: nn.Module, x: Tensor, y: Tensor, *, beta: float, attack: Attack, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """MART: BCE(p(x'), y) + beta (1 / batch) sum KL(p(x) || p(x')) (1 - p_y(x)), p = softmax f.

    BCE(p, y) = -log p_y - log(1 - max over k != y of p_k). The attack maximises CE(f(x'), y). See `trades` for the
    arguments.

    Returns: (loss, clean logits).
    Source: Wang et al. 2020, eq. 11 and 14.
    """
    adversarial = attack(model, x, y, generator)
    logits, attacked = model(x), model(adversarial)
    p = attacked.softmax(1)
    of_others = p.scatter(1, y[:, None], 0.0).amax(1)
    boosted = F.cross_entropy(attacked, y) - torch.log(1 - of_others + LEAST).mean()
    divergence = F.kl_div(attacked.log_softmax(1), logits.log_softmax(1), reduction="none", log_target=True).sum(1)
    doubt = 1 - logits.softmax(1).gather(1, y[:, None]).squeeze(1)
    return boosted + beta * (divergence * doubt).mean(), logits
