"""What gradient attacks share: the loss they climb, the ball they stay in, the state they leave the model in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encode import Bpda
from ..errors import TrainingError
from ..losses import kl_divergence
from ..surrogates import SpikeDerivative
from ..torch_network import TorchNetwork
from .adaptive import AdaptiveSurrogate

Goal = Literal["ce", "kl"]
Norm = Literal["linf", "l2"]
TINY = 1e-30  # keeps 0 / 0 from being no number


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
    """The model with another surrogate gradient; None changes nothing. An adaptive one forgets before and afterwards.

    Raises: TrainingError: GSM-608 if the model is no TorchNetwork, and so has no surrogate.
    """
    if surrogate is None:
        yield
        return
    if not isinstance(model, TorchNetwork):
        raise TrainingError("GSM-608", "this model has no surrogate to replace", found=type(model).__name__)
    before, model.surrogate = model.surrogate, surrogate
    try:
        _forget(surrogate)
        yield
    finally:
        model.surrogate = before
        _forget(surrogate)


def _forget(surrogate: SpikeDerivative) -> None:
    if isinstance(surrogate, AdaptiveSurrogate):
        surrogate.reset()


@contextmanager
def using_bpda(model: nn.Module, bpda: Bpda | None) -> Iterator[None]:
    """The model with a gradient through its input coding; None changes nothing.

    Raises: TrainingError: GSM-608 if the model is no TorchNetwork, and so has no input coding.
    """
    if bpda is None:
        yield
        return
    if not isinstance(model, TorchNetwork):
        raise TrainingError("GSM-608", "this model has no input coding", found=type(model).__name__)
    before, model.bpda = model.bpda, bpda
    try:
        yield
    finally:
        model.bpda = before


def is_random(model: nn.Module) -> bool:
    """True for a network whose input coding is drawn: another draw gives other spikes."""
    return isinstance(model, TorchNetwork) and model.network.coding.kind == "rate" and model.bpda is not None


def another_draw(model: nn.Module, generator: torch.Generator | None) -> Bpda | None:
    """The model's BPDA with another draw of its input coding; None if it is no TorchNetwork."""
    if not isinstance(model, TorchNetwork) or model.bpda is None:
        return None
    return replace(model.bpda, draw=int(torch.randint(1, 1 << 31, (), generator=generator)))


def target(model: nn.Module, x: Tensor, y: Tensor, goal: Goal) -> Tensor:
    """What the loss compares with: the labels ("ce"), or the clean logits ("kl")."""
    if goal == "ce":
        return y
    with torch.no_grad():
        logits: Tensor = model(x)
    return logits


def loss_gradient(model: nn.Module, x: Tensor, towards: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
    """Gradient of the loss with respect to the pixels, (batch, *shape), and the logits that it was taken at.

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
                expected="direct input coding, or BPDA through another, and float32 arithmetic",
                remedy="attack the float network before it is quantized; for rate, phase or latency coding within "
                "using_bpda(model, Bpda())",
            )
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient, logits.detach()


def direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The steepest step of size 1 for each image: sign(g) for "linf", g / |g|_2 for "l2"; 0 where g is 0."""
    if norm == "linf":
        return gradient.sign()
    largest = per_image(gradient.flatten(1).abs().amax(1), gradient)
    scaled = gradient / largest.clamp_min(TINY)  # first, because the squares of small numbers are zero
    return scaled / l2_norm(scaled).clamp_min(TINY)


def expected_gradient(
    model: nn.Module, x: Tensor, towards: Tensor, goal: Goal, *, eot: int = 1, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """`loss_gradient`, and with eot > 1 its mean over so many draws of the model's input coding (EOT).

    Each draw is another one than the model's own. A model of another kind, which may be random in its own way, is
    asked eot times; a network that draws nothing, once.

    Raises: TrainingError: GSM-608 if no gradient reaches the pixels.
    Source: Athalye et al. 2018.
    """
    if eot == 1 or (isinstance(model, TorchNetwork) and not is_random(model)):
        return loss_gradient(model, x, towards, goal)
    gradients, logits = torch.zeros_like(x), []
    for _ in range(eot):
        with using_bpda(model, another_draw(model, generator)):
            gradient, these = loss_gradient(model, x, towards, goal)
        gradients += gradient / eot
        logits.append(these)
    return gradients, torch.stack(logits).mean(0)


def ascent_direction(
    model: nn.Module,
    x: Tensor,
    towards: Tensor,
    goal: Goal,
    norm: Norm = "linf",
    *,
    eot: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`direction` of the loss's gradient with respect to the pixels, (batch, *shape); see `expected_gradient`.

    Raises: TrainingError: GSM-608 if no gradient reaches the pixels.
    """
    return direction(expected_gradient(model, x, towards, goal, eot=eot, generator=generator)[0], norm)


def project(x: Tensor, clean: Tensor, eps: float, norm: Norm = "linf") -> Tensor:
    """Images within eps of `clean` and in [0, 1]: the nearest ones for "linf"; for "l2" into the ball, then clipped.

    Clipping brings every pixel nearer to a clean one, so it does not leave the ball.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(x, clean - eps), clean + eps).clamp(0, 1)
    change = x - clean
    return (clean + change * (eps / l2_norm(change).clamp_min(TINY)).clamp_max(1)).clamp(0, 1)


def l2_norm(x: Tensor) -> Tensor:
    """Euclidean length of each image, (batch, 1, …, 1), so that it broadcasts over the images."""
    return per_image(x.flatten(1).square().sum(1).sqrt(), x)


def per_image(numbers: Tensor, like: Tensor) -> Tensor:
    """(batch,) -> (batch, 1, …, 1)."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))


def distance(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """(batch,) how far images are from one another."""
    change = (a - b).flatten(1)
    return change.abs().amax(1) if norm == "linf" else change.square().sum(1).sqrt()


def largest_distance(x: Tensor, norm: Norm) -> float:
    """Between two images of x's shape: 1 for "linf", the square root of the number of pixels for "l2"."""
    return 1.0 if norm == "linf" else max(prod(x.shape[1:]), 1) ** 0.5


def start_in_ball(x: Tensor, eps: float, norm: Norm, generator: torch.Generator | None) -> Tensor:
    """Uniform in the ball of radius eps around x, then brought into [0, 1]."""
    if norm == "linf":
        return project(x + eps * noise(x, generator, normal=False), x, eps)
    towards = direction(noise(x, generator, normal=True), "l2")
    share = torch.empty(len(x), dtype=x.dtype).uniform_(generator=generator) ** (1 / prod(x.shape[1:]))
    return project(x + eps * per_image(share.to(x.device), x) * towards, x, eps, "l2")


def noise(x: Tensor, generator: torch.Generator | None, *, normal: bool) -> Tensor:
    """N(0, 1), or uniform in [-1, 1], of x's shape; drawn on the CPU, so that every device sees the same."""
    draw = torch.empty(x.shape, dtype=x.dtype)
    draw = draw.normal_(generator=generator) if normal else draw.uniform_(-1, 1, generator=generator)
    return draw.to(x.device)


def check(x: Tensor, y: Tensor, *, goal: str = "ce", norm: str = "linf", **ranges: tuple[float, float, float]) -> None:
    """Refuse arguments outside their range: name=(value, lowest, highest).

    Raises: TrainingError: GSM-608.
    """
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise TrainingError("GSM-608", "out of range", where=name, found=value, expected=f"{low} ... {high}")
    if goal not in ("ce", "kl"):
        raise TrainingError("GSM-608", "unknown loss", where="loss", found=goal, expected="ce or kl")
    if norm not in ("linf", "l2"):
        raise TrainingError("GSM-608", "unknown norm", where="norm", found=norm, expected="linf or l2")
    if len(x) != len(y):
        raise TrainingError("GSM-608", "images and labels differ in number", found=len(y), expected=f"{len(x)} labels")
    if x.numel() and not bool((x.amin() >= 0) & (x.amax() <= 1)):  # one look at the device
        raise TrainingError(
            "GSM-608",
            "pixels outside [0, 1]",
            where="x",
            found=f"{x.min().item():.4g} ... {x.max().item():.4g}",
            expected="values in [0, 1], not NaN",
            remedy="divide 8-bit pixels by 255; normalisation belongs into the network",
        )
