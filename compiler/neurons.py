"""Neuron models: rows of coefficients of one equation (design: meaning), not kernels.

Per step, I being a population's summed input:

    u[t] = current_decay * u[t-1] + I[t]
    v    = leak * v[t-1] + u[t]                  "voltage-first": leak * v[t-1] + u[t-1], then u is updated
    s[t] = 1 if v >= threshold (or >) else 0
    v[t] = v - s * threshold ("subtract") | 0 where s ("zero") | v ("none")

With `reset_delay` the reset of a spike acts in the next step, after the decay and the input (snnTorch's default):
    v = leak * v[t-1] + u[t] - s[t-1] * threshold    |    (leak * v[t-1] + u[t]) * (1 - s[t-1])
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, flag, number, parameter
from .errors import CompileError

DECAY_UNIT = 4096  # integer arithmetic states leak and current_decay in 1/4096 (Loihi: 12 bits)
STATE_SHIFT = 6  # integer arithmetic holds u and v in 1/64 of a weight unit (Loihi: inputs are shifted by 6)
STATE_UNITS = (1 << 17) - 1  # largest threshold, bias or start in weight units: 17 bits above the 6 of STATE_SHIFT
STATE_LIMIT = 1 << 23  # 24-bit signed state: u wraps into (-2^23, 2^23], v is clipped to +-(2^23 - 1)

Reset = Literal["subtract", "zero", "none"]
Comparator = Literal[">=", ">"]
UpdateOrder = Literal["current-first", "voltage-first"]

COEFFICIENTS = ("threshold", "leak", "current_decay", "v_init")  # the fields of Neuron that are numbers
CONVENTIONS = ("reset", "comparator", "update_order", "reset_delay", "bias_target")  # and those that are choices


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron:
    """One row of coefficients; each array is one number, one per channel, or one per neuron.

    threshold: > 0, in weight units. leak, current_decay: in [0, 1]; whole 1/4096 in integer arithmetic.
    v_init: membrane at the start of a sample, in weight units.
    bias_target: where the population's bias is added: to the current u, or to the membrane v (Loihi). The two
        differ only with a synaptic current.
    """

    threshold: Array = field(default_factory=lambda: number(1))
    leak: Array = field(default_factory=lambda: number(1))
    current_decay: Array = field(default_factory=lambda: number(0))
    v_init: Array = field(default_factory=lambda: number(0))
    reset: Reset = "subtract"
    comparator: Comparator = ">="
    update_order: UpdateOrder = "current-first"
    reset_delay: bool = False
    bias_target: Literal["current", "membrane"] = "current"

    def __post_init__(self) -> None:
        for name in COEFFICIENTS:
            object.__setattr__(self, name, parameter(getattr(self, name), where=f"Neuron.{name}"))
        for name, allowed in (
            ("reset", ("subtract", "zero", "none")),
            ("comparator", (">=", ">")),
            ("update_order", ("current-first", "voltage-first")),
            ("bias_target", ("current", "membrane")),
        ):
            if getattr(self, name) not in allowed:
                raise CompileError(
                    "GSM-203",
                    "no such choice",
                    where=f"Neuron.{name}",
                    found=getattr(self, name),
                    expected=str(allowed),
                )
        object.__setattr__(self, "reset_delay", flag(self.reset_delay, what="Neuron.reset_delay"))
        if (self.threshold <= 0).any():
            raise CompileError(
                "GSM-203",
                "threshold is not positive",
                where="Neuron.threshold",
                found=self.threshold.min(),
                expected="> 0",
                remedy="a neuron that fires without input is a bias, not a negative threshold",
            )
        for name in ("leak", "current_decay"):
            value = getattr(self, name)
            top = 1 if value.dtype.kind == "f" else DECAY_UNIT
            if (value < 0).any() or (value > top).any():
                raise CompileError(
                    "GSM-203",
                    "decay is outside its range",
                    where=f"Neuron.{name}",
                    found=f"{value.min()}..{value.max()}",
                    expected=f"0..{top}",
                )

    @property
    def has_current(self) -> bool:
        """True if the synaptic current u is a state of its own, one that outlives its step."""
        return bool(self.current_decay.any()) or self.update_order == "voltage-first"


def integrate_and_fire(
    threshold: ArrayLike = 1.0, *, reset: Reset = "subtract", comparator: Comparator = ">=", v_init: ArrayLike = 0.0
) -> Neuron:
    """IF: v += I; no leak, no synaptic current."""
    return Neuron(threshold=np.asarray(threshold), reset=reset, comparator=comparator, v_init=np.asarray(v_init))


def leaky_integrate_and_fire(
    leak: ArrayLike, threshold: ArrayLike = 1.0, *, reset: Reset = "subtract", comparator: Comparator = ">="
) -> Neuron:
    """LIF: v = leak * v + I."""
    return Neuron(threshold=np.asarray(threshold), leak=np.asarray(leak), reset=reset, comparator=comparator)


def cuba(
    leak: ArrayLike,
    current_decay: ArrayLike,
    threshold: ArrayLike = 1.0,
    *,
    reset: Reset = "zero",
    comparator: Comparator = ">",
) -> Neuron:
    """Current-based LIF: u = current_decay * u + I, v = leak * v + u. Defaults as on Loihi."""
    return Neuron(
        threshold=np.asarray(threshold),
        leak=np.asarray(leak),
        current_decay=np.asarray(current_decay),
        reset=reset,
        comparator=comparator,
    )


def gate(threshold: ArrayLike = 1.0) -> Neuron:
    """Memoryless threshold: s = I >= threshold. 1 is an OR (max pooling over spikes), 2 of two inputs an AND."""
    return Neuron(threshold=np.asarray(threshold), leak=number(0), reset="none")


def integrator(leak: ArrayLike = 1.0, *, current_decay: ArrayLike = 0.0) -> Neuron:
    """Non-spiking membrane of a readout: v = leak * v + u."""
    return Neuron(leak=np.asarray(leak), current_decay=np.asarray(current_decay), reset="none")
