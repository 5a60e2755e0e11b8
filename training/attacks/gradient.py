"""What gradient attacks share: the loss they climb, the ball they stay in, the state they leave the model in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TrainingError
from ..losses import kl_divergence
from ..surrogates import SpikeDerivative
from ..torch_network import TorchNetwork

Goal = Literal["ce", "kl"]


@contextmanager
def under_attack(model: nn.Module) -> Iterator[None]:
    """The model in eval mode with frozen parameters; both as before when the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    trained = [p for p in model.parameters() if p.requires_grad]
    model.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def using_surrogate(model: nn.Module, surrogate: SpikeDerivative | None) -> Iterator[None]:
    """The model with another surrogate gradient; None changes nothing.

    Raises: TrainingError: GSM-608 if the model is no TorchNetwork, and so has no surrogate.
    """
    if surrogate is None:
        yield
        return
    if not isinstance(model, TorchNetwork):
        raise TrainingError("GSM-608", "this model has no surrogate to replace", found=type(model).__name__)
    before, model.surrogate = model.surrogate, surrogate
    try:
        yield
    finally:
        model.surrogate = before


def target(model: nn.Module, x: Tensor, y: Tensor, goal: Goal) -> Tensor:
    """What the loss compares with: the labels ("ce"), or the clean logits ("kl")."""
    if goal == "ce":
        return y
    with torch.no_grad():
        logits: Tensor = model(x)
    return logits


def ascent_direction(model: nn.Module, x: Tensor, towards: Tensor, goal: Goal) -> Tensor:
    """Sign of the gradient of the loss with respect to the pixels, (batch, *shape).

    Raises: TrainingError: GSM-608 if no gradient reaches the pixels.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x)
        loss = kl_divergence(towards, logits) if goal == "kl" else F.cross_entropy(logits, towards, reduction="sum")
        if not loss.requires_grad:
            raise TrainingError(
                "GSM-608",
                "no gradient reaches the pixels",
                expected="direct input coding and float32 arithmetic",
                remedy="attack the float network before it is quantized, with direct coding",
            )
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient.sign()


def project(x: Tensor, clean: Tensor, eps: float) -> Tensor:
    """The nearest images within eps of `clean` per pixel, and in [0, 1]."""
    return torch.minimum(torch.maximum(x, clean - eps), clean + eps).clamp(0, 1)


def noise(x: Tensor, generator: torch.Generator | None, *, normal: bool) -> Tensor:
    """N(0, 1), or uniform in [-1, 1], of x's shape; drawn on the CPU, so that every device sees the same."""
    draw = torch.empty(x.shape, dtype=x.dtype)
    draw = draw.normal_(generator=generator) if normal else draw.uniform_(-1, 1, generator=generator)
    return draw.to(x.device)


def check(x: Tensor, y: Tensor, *, goal: str = "ce", **ranges: tuple[float, float, float]) -> None:
    """Refuse arguments outside their range: name=(value, lowest, highest).

    Raises: TrainingError: GSM-608.
    """
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise TrainingError("GSM-608", "out of range", where=name, found=value, expected=f"{low} ... {high}")
    if goal not in ("ce", "kl"):
        raise TrainingError("GSM-608", "unknown loss", where="loss", found=goal, expected="ce or kl")
    if len(x) != len(y):
        raise TrainingError("GSM-608", "images and labels differ in number", found=len(y), expected=f"{len(x)} labels")
    if x.numel() and not (x.min().item() >= 0 and x.max().item() <= 1):
        raise TrainingError(
            "GSM-608",
            "pixels outside [0, 1]",
            where="x",
            found=f"{x.min().item():.4g} ... {x.max().item():.4g}",
            expected="values in [0, 1], not NaN",
            remedy="divide 8-bit pixels by 255; normalisation belongs into the network",
        )
