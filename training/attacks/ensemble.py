"""An attack through many gradient estimators: a sample is robust only if all of them fail.

How far an attack on a spiking network gets depends on the surrogate more than on the attack, and a network can be hard
for the surrogate that it was trained with and easy for another.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..artificial import as_artificial
from ..data import Dataset
from ..encode import Bpda
from ..errors import TrainingError
from ..evaluate import batches, device_of
from ..rate_backpropagation import RateBackpropagation
from ..seeds import torch_rng
from ..surrogates import SpikeDerivative, Surrogate
from ..torch_network import TorchNetwork
from .adaptive import AdaptiveSurrogate
from .evaluate import options_in_full
from .gradient import using_bpda, using_surrogate

ARTIFICIAL = "artificial"
"""The estimator that attacks the network's ReLU twin and hands over what it finds."""

ESTIMATORS: Mapping[str, SpikeDerivative | None] = {
    **{f"triangle {w:g}": Surrogate(name="triangle", width=w) for w in (1.0, 2.0, 3.0, 0.5, 0.25)},
    **{
        f"exponential {scale:g}, {beta:g}": Surrogate(name="exponential", width=1 / beta, scale=scale)
        for scale in (0.3, 1.0)
        for beta in (0.5, 1.0, 2.0)
    },
    **{f"rectangular {w:g}": Surrogate(name="rectangular", width=w) for w in (0.25, 0.5, 1.0, 2.0, 4.0)},
    "straight-through": Surrogate(name="straight-through"),
    "rate": RateBackpropagation(),
    ARTIFICIAL: None,
}
"""The 19 of Özdenizci & Legenstein 2024, in their order.

"triangle w": its width (their PCW, gamma); "exponential A, b": A exp(-b |u|); "rectangular w": its width; "rate":
`RateBackpropagation` (their BPTR); "artificial": `as_artificial` (their T = 0).
"""


@dataclass(frozen=True, kw_only=True)
class EstimatorReport:
    """What one estimator did.

    n_attacked: samples it was run on. n_fooled: those that were misclassified then.
    adversarial_accuracy: of the whole data set under this estimator alone; None if it was not run on every sample that
        is classified correctly without an attack.
    """

    n_attacked: int
    n_fooled: int
    adversarial_accuracy: float | None

    @property
    def robust_share(self) -> float:
        """Of the samples that it was run on, those that it did not fool; 1 if there were none."""
        return 1 - self.n_fooled / self.n_attacked if self.n_attacked else 1.0


@dataclass(frozen=True, kw_only=True)
class EnsembleReport:
    """Shares of a data set classified correctly, clean and under the ensemble.

    adversarial_accuracy: right without an attack and under every estimator.
    options: every option of the attack, given or by default.
    estimators: by name, in the order in which they ran.
    correct, robust: (n_samples,) bool, in the data set's order.
    fooled_by: (n_samples,) the first estimator that fooled the model; None for robust samples and for those that it
        gets wrong without an attack.
    """

    clean_accuracy: float
    adversarial_accuracy: float
    n_samples: int
    options: dict[str, Any]
    estimators: dict[str, EstimatorReport]
    correct: tuple[bool, ...]
    robust: tuple[bool, ...]
    fooled_by: tuple[str | None, ...]


def estimators_for(model: nn.Module, *, extended: bool = False) -> dict[str, SpikeDerivative | None]:
    """ESTIMATORS; extended also by the model's own surrogate, if it is none of them, and by the adaptive one.

    Raises: TrainingError: GSM-608 if the model is no TorchNetwork with spikes.
    """
    if not isinstance(model, TorchNetwork) or all(p.kind != "spiking" for p in model.network.populations):
        raise TrainingError(
            "GSM-608",
            "only a spiking network has a gradient to be estimated",
            found=model.network.name if isinstance(model, TorchNetwork) else type(model).__name__,
            expected="a TorchNetwork with spiking populations",
            remedy="use evaluate_attack",
        )
    chosen = dict(ESTIMATORS)
    if extended:
        if model.surrogate not in chosen.values():
            chosen["own"] = model.surrogate
        chosen["adaptive"] = AdaptiveSurrogate()
    return chosen


def evaluate_ensemble(
    model: nn.Module,
    dataset: Dataset,
    attack: Callable[..., Tensor],
    *,
    seed: int = 0,
    batch_size: int = 256,
    extended: bool = False,
    every: bool = False,
    bpda: Bpda | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: object,
) -> EnsembleReport:
    """Attack every sample with one estimator after the other, until one of them has fooled the model.

    Samples that the model gets wrong without an attack are not attacked. Whether an image fools is always asked of the
    model itself, also where it was found through the artificial twin. `sa_pgd` is run with sharpness None, since it
    would put its own surrogate in the place of each estimator's.

    Args:
        model: A TorchNetwork with spikes, (batch, C, H, W) in [0, 1] -> logits.
        dataset: Images and labels.
        attack: One of ATTACKS that follows gradients, or a function with their signature.
        seed: Of the attack's noise; estimator e's batch i draws from (seed, e, i).
        batch_size: Images at a time: those still standing are gathered into full batches.
        extended: True adds the model's own surrogate, unless it is one of the 19, and the adaptive one (ASSG).
        every: True runs each estimator on all samples, which gives each one's own accuracy and takes longer.
        bpda: Gradient through the input coding; for "rate" coding also which draw is judged.
        progress: Called with (samples done, estimators x samples) after each batch; a sample that need not be attacked
            counts as done.
        **options: For the attack: eps and whatever else it takes.
    Raises: TrainingError: GSM-608 for options out of range, or a model without spikes.
    Source: Özdenizci & Legenstein 2024.
    """
    if seed < 0:
        raise TrainingError("GSM-608", "option out of range", where="seed", found=seed, expected=">= 0")
    chosen = estimators_for(model, extended=extended)
    in_full = options_in_full(attack, options)
    if "sharpness" in in_full:
        in_full["sharpness"] = None
    was_training = model.training
    model.eval()
    try:
        with using_bpda(model, bpda):
            correct = _classified_correctly(model, dataset, batch_size)
            standing, fooled_by = correct.copy(), np.full(dataset.n_samples, None, object)
            reports: dict[str, EstimatorReport] = {}
            for name, surrogate in chosen.items():
                attacked = np.flatnonzero(correct if every else standing)
                done_before = len(reports) * dataset.n_samples + dataset.n_samples - len(attacked)
                fooled = np.zeros(dataset.n_samples, bool)
                source = _source(model, surrogate)
                for i, part in enumerate(_parts(attacked, batch_size)):
                    generator = torch_rng(seed, "ensemble", name, i)
                    fooled[part] = _fools(model, source, surrogate, dataset.take(part), attack, generator, in_full)
                    if progress is not None:
                        done = min((i + 1) * batch_size, len(attacked))
                        progress(done_before + done, len(chosen) * dataset.n_samples)
                fooled_by[standing & fooled] = name
                standing &= ~fooled
                is_complete = len(attacked) == correct.sum()
                reports[name] = EstimatorReport(
                    n_attacked=len(attacked),
                    n_fooled=int(fooled.sum()),
                    adversarial_accuracy=float((correct & ~fooled).mean()) if is_complete else None,
                )
    finally:
        model.train(was_training)
    return EnsembleReport(
        clean_accuracy=float(correct.mean()),
        adversarial_accuracy=float(standing.mean()),
        n_samples=dataset.n_samples,
        options=in_full,
        estimators=reports,
        correct=tuple(correct.tolist()),
        robust=tuple(standing.tolist()),
        fooled_by=tuple(fooled_by.tolist()),
    )


def _classified_correctly(model: nn.Module, dataset: Dataset, batch_size: int) -> NDArray[np.bool_]:
    with torch.no_grad():
        parts = [(model(x).argmax(1) == y).cpu() for x, y in batches(dataset, batch_size, device_of(model))]
    return torch.cat(parts).numpy()


def _source(model: nn.Module, surrogate: SpikeDerivative | None) -> nn.Module:
    """What the attack is run on: the model, or its artificial twin."""
    if surrogate is not None or not isinstance(model, TorchNetwork):
        return model
    return TorchNetwork(as_artificial(model.to_network())).to(device_of(model)).eval()


def _parts(indices: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]


def _fools(
    model: nn.Module,
    source: nn.Module,
    surrogate: SpikeDerivative | None,
    part: Dataset,
    attack: Callable[..., Tensor],
    generator: torch.Generator,
    options: dict[str, Any],
) -> NDArray[np.bool_]:
    """Which of a batch's attacked images the model gets wrong."""
    ((x, y),) = batches(part, part.n_samples, device_of(model))
    with using_surrogate(source, surrogate):
        adversarial = attack(source, x, y, generator=generator, **options)
    with torch.no_grad():
        fools: NDArray[np.bool_] = (model(adversarial).argmax(1) != y).cpu().numpy()
    return fools
