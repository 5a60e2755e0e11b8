"""How far each image must be changed, instead of how many fall at one distance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data import Dataset
from ..encode import Bpda
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..seeds import torch_rng
from ..surrogates import SpikeDerivative
from .evaluate import options_in_full
from .gradient import Norm, distance, using_bpda, using_surrogate


@dataclass(frozen=True, kw_only=True)
class MinimalReport:
    """For each sample the length of the smallest change that was found to fool the model.

    distances: (n_samples,) in `norm`, in the data set's order: 0 for a sample that is wrong without an attack, infinite
        where nothing up to max_eps was found. Upper bounds: a better attack may find less.
    options: every option of the attack, given or by default; None where the default depends on each eps.
    """

    norm: Norm
    max_eps: float
    distances: tuple[float, ...]
    options: dict[str, Any]

    @property
    def clean_accuracy(self) -> float:
        """Share of samples that are right without an attack."""
        return float(np.mean(np.array(self.distances) > 0))

    @property
    def median(self) -> float:
        """Of the distances, the upper one of two; infinite if no more than half of the samples were fooled."""
        return sorted(self.distances)[len(self.distances) // 2]


def minimal_eps(
    model: nn.Module,
    dataset: Dataset,
    attack: Callable[..., Tensor],
    *,
    max_eps: float,
    norm: Norm = "linf",
    n_bisections: int = 8,
    seed: int = 0,
    batch_size: int = 256,
    surrogate: SpikeDerivative | None = None,
    bpda: Bpda | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: object,
) -> MinimalReport:
    """Each sample's smallest eps, by bisection of 0 ... max_eps with an attack of fixed eps.

    Samples at the same eps are attacked together. A distance is the length of the change that was found, which may be
    less than the eps it was found with; bisection stops within max_eps / 2^n_bisections. `fab` and `fab_t` look for the
    smallest change by themselves: give them n_bisections = 0.

    Args:
        model: (batch, C, H, W) in [0, 1] -> logits.
        dataset: Images and labels.
        attack: One of ATTACKS, or a function with their signature.
        max_eps: The largest change that is tried, > 0.
        norm: "linf" or "l2"; given to the attack if it takes one.
        n_bisections: Attacks on each sample after the one at max_eps, 0 ... 30.
        seed: Of the attack's noise; batch i of round r draws from (seed, r, i).
        batch_size: Images at a time.
        surrogate: Surrogate gradient for the attack, instead of the model's own.
        bpda: Gradient through the input coding; for "rate" coding also which draw is judged.
        progress: Called with (attacks on one sample done, all that are needed) after each batch.
        **options: For the attack, without eps and norm.
    Raises: TrainingError: GSM-608 for options out of range, or an attack that is not of this norm.
    """
    _check(attack, norm, max_eps, n_bisections, seed)
    if "norm" in signature(attack).parameters:
        options["norm"] = norm

    def run(part: NDArray[np.int64], eps: float, generator: torch.Generator) -> NDArray[np.float64]:
        """(n,) lengths of the changes that fool; infinite for images that do not."""
        ((x, y),) = batches(dataset.take(part), len(part), device_of(model))
        with using_surrogate(model, surrogate):
            images = attack(model, x, y, eps=eps, generator=generator, **options)
        with torch.no_grad():
            length = distance(images, x, norm).clamp_max(eps)
            length[model(images).argmax(1) == y] = torch.inf
        return length.cpu().double().numpy()

    was_training = model.training
    model.eval()
    try:
        with using_bpda(model, bpda), torch.no_grad():
            correct = torch.cat([model(x).argmax(1) == y for x, y in batches(dataset, batch_size, device_of(model))])
        with using_bpda(model, bpda):
            distances = _bisect(run, correct.cpu().numpy(), max_eps, n_bisections, seed, batch_size, progress)
    finally:
        model.train(was_training)
    in_full = options_in_full(attack, {**options, "eps": max_eps})
    for name in ("step_size", "alpha"):
        if name in in_full and name not in options:
            in_full[name] = None
    del in_full["eps"]
    return MinimalReport(norm=norm, max_eps=max_eps, distances=tuple(distances.tolist()), options=in_full)


def robustness_curve(report: MinimalReport, eps: Sequence[float]) -> tuple[float, ...]:
    """Accuracy under attack at each eps: the share of samples for which nothing that small was found.

    It never rises with eps; at 0 it is the clean accuracy.

    Raises: TrainingError: GSM-608 for an eps outside 0 ... max_eps: further out nothing was tried.
    """
    for value in eps:
        if not 0 <= value <= report.max_eps:
            expected = f"0 ... {report.max_eps:g}, the report's max_eps"
            raise TrainingError("GSM-608", "out of range", where="eps", found=value, expected=expected)
    distances = np.array(report.distances)
    return tuple(float(np.mean(distances > value)) for value in eps)


def _bisect(
    run: Callable[[NDArray[np.int64], float, torch.Generator], NDArray[np.float64]],
    correct: NDArray[np.bool_],
    max_eps: float,
    n_bisections: int,
    seed: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]:
    """(n_samples,) smallest distances; all samples that stand at one eps go through `run` together."""
    best = np.where(correct, np.inf, 0.0)
    low, high = np.zeros(len(best)), np.full(len(best), max_eps)
    standing = np.flatnonzero(correct)
    done, n_attacks = 0, len(standing) * (1 + n_bisections)
    for turn in range(1 + n_bisections):
        tried = high if turn == 0 else (low + high) / 2
        number = 0
        for eps in np.unique(tried[standing]):
            these = standing[tried[standing] == eps]
            for start in range(0, len(these), batch_size):
                part = these[start : start + batch_size]
                found = run(part, float(eps), torch_rng(seed, "minimal", turn, number))
                best[part] = np.minimum(best[part], found)
                fooled = np.isfinite(found)
                high[part[fooled]] = eps
                low[part[~fooled]] = eps
                number, done = number + 1, done + len(part)
                if progress is not None:
                    progress(done, n_attacks)
        if turn == 0:  # what does not fall at max_eps is not tried with less
            standing = standing[np.isfinite(best[standing])]
            n_attacks = done + len(standing) * n_bisections
    return best


def _check(attack: Callable[..., Tensor], norm: str, max_eps: float, n_bisections: int, seed: int) -> None:
    if norm != "linf" and "norm" not in signature(attack).parameters:
        raise TrainingError("GSM-608", "this attack knows no other norm", where="norm", found=norm, expected="linf")
    if not max_eps > 0:
        raise TrainingError("GSM-608", "out of range", where="max_eps", found=max_eps, expected="> 0")
    if not 0 <= n_bisections <= 30:
        raise TrainingError("GSM-608", "out of range", where="n_bisections", found=n_bisections, expected="0 ... 30")
    if seed < 0:
        raise TrainingError("GSM-608", "option out of range", where="seed", found=seed, expected=">= 0")
