"""What a stage minimises, as its table in the recipe says."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .attacks import Goal, fgsm, pgd, rfgsm
from .losses import Attack, cross_entropy, mart, pgd_at, trades
from .recipe import Robust

Loss = Callable[..., tuple[Tensor, Tensor]]
Objective = Callable[[nn.Module, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def make_objective(robust: Robust | None) -> Objective:
    """The loss of a stage: cross-entropy, or a robust one with the attack that the recipe names."""
    if robust is None:
        return lambda model, x, y, generator: cross_entropy(model, x, y)
    losses: dict[str, Loss] = {
        "trades": partial(trades, beta=robust.beta or 0.0),
        "mart": partial(mart, beta=robust.beta or 0.0),
        "pgd-at": pgd_at,
    }
    loss, attack = losses[robust.loss], _attack(robust)
    return lambda model, x, y, generator: loss(model, x, y, attack=attack, generator=generator)


def _attack(robust: Robust) -> Attack:
    goal: Goal = "kl" if robust.loss == "trades" else "ce"
    attacks: dict[str, Callable[..., Tensor]] = {
        "pgd": partial(pgd, n_steps=robust.steps, step_size=robust.step_size, start=robust.start),
        "rfgsm": partial(rfgsm, alpha=robust.alpha),
        "fgsm": fgsm,
    }
    attack = attacks[robust.attack]
    return lambda model, x, y, generator: attack(model, x, y, eps=robust.eps, loss=goal, generator=generator)
