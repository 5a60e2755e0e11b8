"""Accuracy under attack."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Dataset
from ..encode import Bpda
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..seeds import torch_rng
from ..surrogates import SpikeDerivative
from .gradient import using_bpda, using_surrogate
from .pgd import usual_start, usual_step_size
from .rfgsm import usual_alpha


@dataclass(frozen=True, kw_only=True)
class AttackReport:
    """Shares of a data set classified correctly, clean and under attack.

    options: every option of the attack, given or by default.
    correct, robust: (n_samples,) bool, in the data set's order: right on the clean image; and right on both.
    """

    clean_accuracy: float
    adversarial_accuracy: float
    n_samples: int
    options: dict[str, Any]
    correct: tuple[bool, ...]
    robust: tuple[bool, ...]


def evaluate_attack(
    model: nn.Module,
    dataset: Dataset,
    attack: Callable[..., Tensor],
    *,
    seed: int = 0,
    batch_size: int = 256,
    surrogate: SpikeDerivative | None = None,
    bpda: Bpda | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: object,
) -> AttackReport:
    """Attack every sample once, in eval mode.

    A sample is robust if it is classified correctly without the attack and with it.

    Args:
        model: (batch, C, H, W) in [0, 1] -> logits.
        dataset: Images and labels.
        attack: One of ATTACKS, or a function with their signature.
        seed: Of the attack's noise; batch i draws from (seed, i).
        batch_size: Images at a time.
        surrogate: Surrogate gradient for the attack, instead of the model's own; spikes do not change.
        bpda: Gradient through the input coding; for "rate" coding also which draw is judged, clean and under attack.
        progress: Called with (samples done, samples) after each batch.
        **options: For the attack: eps and whatever else it takes.
    Raises: TrainingError: GSM-608 for options out of range.
    """
    if seed < 0:
        raise TrainingError("GSM-608", "option out of range", where="seed", found=seed, expected=">= 0")
    in_full = options_in_full(attack, options)
    was_training = model.training
    model.eval()
    correct: list[bool] = []
    robust: list[bool] = []
    try:
        with using_bpda(model, bpda):
            for i, (x, y) in enumerate(batches(dataset, batch_size, device_of(model))):
                with using_surrogate(model, surrogate):
                    adversarial = attack(model, x, y, generator=torch_rng(seed, "attack", i), **in_full)
                with torch.no_grad():
                    is_correct = model(x).argmax(1) == y
                    is_robust = is_correct & (model(adversarial).argmax(1) == y)
                correct += is_correct.tolist()
                robust += is_robust.tolist()
                if progress is not None:
                    progress(len(correct), dataset.n_samples)
    finally:
        model.train(was_training)
    return AttackReport(
        clean_accuracy=sum(correct) / len(correct),
        adversarial_accuracy=sum(robust) / len(robust),
        n_samples=len(correct),
        options=in_full,
        correct=tuple(correct),
        robust=tuple(robust),
    )


def options_in_full(attack: Callable[..., Tensor], given: dict[str, object]) -> dict[str, Any]:
    """What an attack is called with: a robust accuracy means nothing without its steps."""
    parameters = signature(attack).parameters.values()
    full: dict[str, Any] = {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "generator"}
    full |= given
    if full.get("step_size", 0) is None:
        full["step_size"] = usual_step_size(full["eps"], full["n_steps"])
    if full.get("start", "") is None:
        full["start"] = usual_start(full["loss"])
    if full.get("alpha", 0) is None:
        full["alpha"] = usual_alpha(full["eps"])
    return full
