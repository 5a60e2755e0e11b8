"""What a stage minimises, as its table in the recipe says."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .attacks import pgd, rfgsm
from .losses import cross_entropy, trades
from .recipe import Trades

Objective = Callable[[nn.Module, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def make_objective(adversary: Trades | None) -> Objective:
    """The loss of a stage: cross-entropy, or TRADES with the attack that the recipe names."""
    if adversary is None:
        return lambda model, x, y, generator: cross_entropy(model, x, y)
    chosen = adversary

    def attack(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        if chosen.attack == "rfgsm":
            return rfgsm(model, x, y, eps=chosen.eps, alpha=chosen.alpha, loss="kl", generator=generator)
        return pgd(
            model, x, y, eps=chosen.eps, n_steps=chosen.steps, step_size=chosen.step_size, loss="kl",
            generator=generator,
        )  # fmt: skip

    return lambda model, x, y, generator: trades(model, x, y, beta=chosen.beta, attack=attack, generator=generator)
