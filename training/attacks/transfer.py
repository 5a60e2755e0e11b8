"""Transfer: images made on other networks, shown to the one that is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data import Dataset
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..seeds import torch_rng
from .evaluate import options_in_full
from .modes import eval_mode


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """Shares of a data set that the target classifies correctly: clean, and whatever source the images come from.

    adversarial_accuracy: right on the clean image and on the images of all sources.
    options: every option of the attack, given or by default.
    correct, robust: (n_samples,) bool, in the data set's order, behind the two accuracies.
    parts: by source, the target's accuracy on that source's images (and the clean ones).
    at_source: by source, its own accuracy on its images (and the clean ones): images that do not fool the network
        they were made on say nothing about another.
    """

    clean_accuracy: float
    adversarial_accuracy: float
    n_samples: int
    options: dict[str, Any]
    correct: tuple[bool, ...]
    robust: tuple[bool, ...]
    parts: dict[str, float]
    at_source: dict[str, float]


def evaluate_transfer(
    target: nn.Module,
    sources: Mapping[str, nn.Module],
    dataset: Dataset,
    attack: Callable[..., Tensor],
    *,
    seed: int = 0,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
    **options: object,
) -> TransferReport:
    """Make adversarial images on each source, and see whether the target is right on them. All in eval mode.

    A sample is robust only if no source's image fools the target. With the target as its only source this is
    `evaluate_attack`, to the last image.

    Args:
        target: (batch, C, H, W) in [0, 1] -> logits; needs no gradient.
        sources: By name, what the images are made on: the artificial network of an earlier stage, the same network with
            another surrogate (`TorchNetwork(network, surrogate=...)`), one that was trained from another seed.
        dataset: Images and labels.
        attack: One of ATTACKS, or a function with their signature.
        seed: Of the attack's noise; batch i draws from (seed, i), the same for every source.
        batch_size: Images at a time.
        progress: Called with (images judged, images to judge), of all sources together.
        **options: For the attack: eps and whatever else it takes.
    Raises: TrainingError: GSM-608 for options out of range, and without a source.
    Source: Papernot et al. 2017; as a sign of masked gradients Athalye et al. 2018.
    """
    if not sources:
        raise TrainingError("GSM-608", "nothing to transfer from", where="sources", expected="at least one network")
    if seed < 0:
        raise TrainingError("GSM-608", "option out of range", where="seed", found=seed, expected=">= 0")
    chosen = options_in_full(attack, options)
    device, n_images = device_of(target), dataset.n_samples * len(sources)
    correct: list[bool] = []
    robust: list[bool] = []
    n_right, n_right_at_source = dict.fromkeys(sources, 0), dict.fromkeys(sources, 0)
    with eval_mode(target, *sources.values()):
        for i, (x, y) in enumerate(batches(dataset, batch_size)):
            is_correct = _is_right(target, x.to(device), y)
            is_robust = is_correct
            for j, (name, source) in enumerate(sources.items()):
                there = device_of(source)
                shown = x.to(there)
                made = attack(source, shown, y.to(there), generator=torch_rng(seed, "attack", i), **chosen)
                is_right = is_correct & _is_right(target, made.to(device), y)
                n_right[name] += int(is_right.sum())
                n_right_at_source[name] += int((_is_right(source, shown, y) & _is_right(source, made, y)).sum())
                is_robust = is_robust & is_right
                if progress is not None:
                    progress(len(correct) * len(sources) + (j + 1) * len(y), n_images)
            correct += is_correct.tolist()
            robust += is_robust.tolist()
    return TransferReport(
        clean_accuracy=sum(correct) / len(correct),
        adversarial_accuracy=sum(robust) / len(robust),
        n_samples=len(correct),
        options=chosen,
        correct=tuple(correct),
        robust=tuple(robust),
        parts={name: n / len(correct) for name, n in n_right.items()},
        at_source={name: n / len(correct) for name, n in n_right_at_source.items()},
    )


def _is_right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(batch,) bool on the CPU. y: on the CPU."""
    with torch.no_grad():
        predicted: Tensor = model(x).argmax(1).cpu()
    return predicted == y
