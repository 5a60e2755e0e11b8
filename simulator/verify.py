"""Compare the spikes of two executions of one network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..compiler import Array
from .errors import SimulationError


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first place where two executions differ: in the first step, there in the first population, then sample.

    neuron: flat id. a, b: what the two emitted there.
    """

    population: str
    sample: int
    step: int
    neuron: int
    a: float
    b: float

    def __str__(self) -> str:
        place = f"population {self.population!r}, sample {self.sample}, step {self.step}, neuron {self.neuron}"
        return f"{place}: {self.a:g} and {self.b:g}"


@dataclass(frozen=True, kw_only=True)
class SpikeComparison:
    """How many neuron-steps were compared, how many differ, and where first."""

    n_compared: int
    n_different: int
    first: Divergence | None

    @property
    def equal(self) -> bool:
        """True if nothing differs."""
        return self.n_different == 0

    @property
    def share_different(self) -> float:
        """Share of the compared neuron-steps that differ."""
        return self.n_different / max(self.n_compared, 1)

    def __add__(self, other: "SpikeComparison") -> "SpikeComparison":
        """Both together; the first divergence is that of the first one that has any."""
        return SpikeComparison(
            n_compared=self.n_compared + other.n_compared,
            n_different=self.n_different + other.n_different,
            first=self.first or other.first,
        )


def compare_spikes(a: Mapping[str, Array], b: Mapping[str, Array], *, first_sample: int = 0) -> SpikeComparison:
    """Compare what the populations emitted.

    Args:
        a, b: Per population (n_samples, n_steps, *shape), the same populations in topological order.
        first_sample: Index of the first sample, for the report.
    Raises: SimulationError: GSM-405 if populations or shapes differ: then there is nothing to compare.
    """
    if set(a) != set(b):
        raise SimulationError(
            "GSM-405", "the two executions have other populations", found=sorted(set(a) ^ set(b)), expected="the same"
        )
    n_compared = n_different = 0
    first: Divergence | None = None
    for name, ours in a.items():
        theirs = b[name]
        if ours.shape[:2] != theirs.shape[:2] or ours.size != theirs.size:
            raise SimulationError(
                "GSM-405",
                "the two executions have other shapes",
                where=f"population {name!r}",
                found=theirs.shape,
                expected=f"{ours.shape}",
            )
        flat_a, flat_b = ours.reshape(*ours.shape[:2], -1), theirs.reshape(*ours.shape[:2], -1)
        differs = flat_a != flat_b
        n_compared += differs.size
        if not differs.any():
            continue
        n_different += int(differs.sum())
        step = int(np.argmax(differs.any(axis=(0, 2))))
        if first is None or step < first.step:
            sample, neuron = (int(i) for i in np.argwhere(differs[:, step])[0])
            first = Divergence(
                population=name,
                sample=first_sample + sample,
                step=step,
                neuron=neuron,
                a=float(flat_a[sample, step, neuron]),
                b=float(flat_b[sample, step, neuron]),
            )
    return SpikeComparison(n_compared=n_compared, n_different=n_different, first=first)
