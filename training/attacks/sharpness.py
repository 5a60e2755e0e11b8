"""Fit the adaptive surrogate to a network."""

from dataclasses import dataclass
from typing import Any

from ..data import Dataset
from ..errors import TrainingError
from ..torch_network import TorchNetwork
from .evaluate import AttackReport, evaluate_attack
from .sa_pgd import sa_pgd

LOW, HIGH = 0.35, 0.49


@dataclass(frozen=True, kw_only=True)
class SharpnessReport:
    """The sharpness with the lowest accuracy under attack, that attack's report, and every accuracy by sharpness."""

    sharpness: float
    best: AttackReport
    tried: dict[float, float]


def search_sharpness(
    model: TorchNetwork, dataset: Dataset, *, eps: float, n_searches: int = 8, seed: int = 0, **options: Any
) -> SharpnessReport:
    """Ternary search of the sharpness in 0.35 ... 0.49 with which `sa_pgd` leaves the lowest accuracy.

    Each search runs the attack twice and drops a third of the range. An attacker may search on the images he attacks;
    on a small part of a data set it is cheaper.

    Args:
        model: With spikes; others have no surrogate.
        dataset: Images and labels.
        eps: Largest change of a pixel, 0 ... 1.
        n_searches: 1 ... 30.
        seed: Of the attack's noise.
        **options: For `evaluate_attack` and `sa_pgd`: n_steps, eot, batch_size, bpda.
    Raises: TrainingError: GSM-608 for options out of range.
    Source: Wang et al. 2025 (arXiv 2512.22522; range and number of searches from its authors' code).
    """
    if not 1 <= n_searches <= 30:
        raise TrainingError("GSM-608", "out of range", where="n_searches", found=n_searches, expected="1 ... 30")
    reports: dict[float, AttackReport] = {}

    def accuracy(sharpness: float) -> float:
        if sharpness not in reports:
            given = {"seed": seed, "eps": eps, **options, "sharpness": sharpness}
            reports[sharpness] = evaluate_attack(model, dataset, sa_pgd, **given)
        return reports[sharpness].adversarial_accuracy

    low, high = LOW, HIGH
    for _ in range(n_searches):
        third = (high - low) / 3
        if accuracy(low + third) < accuracy(high - third):
            high -= third
        else:
            low += third
    best = min(reports, key=accuracy)
    tried = {sharpness: report.adversarial_accuracy for sharpness, report in reports.items()}
    return SharpnessReport(sharpness=best, best=reports[best], tried=tried)
