"""What a NIR file leaves open and its user has to state, and what four frameworks mean when they write one."""

from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Literal, get_args

from ..errors import CompileError
from ..ir import InputCoding
from ..maps import Shape
from ..neurons import Comparator, UpdateOrder

HardOrSoft = Literal["subtract", "zero"]
DecayRule = Literal["euler", "exponential"]
InputScale = Literal["scaled", "whole"]
SpikesPerStep = Literal["one", "several"]


@dataclass(frozen=True, kw_only=True)
class NirChoices:
    """How to read a NIR file. None: not stated, and refused where the file needs it (GSM-303, GSM-305).

    reset: what a spike does: subtract the threshold, or set the membrane to v_reset. NIR's equations say v_reset,
        but frameworks write the same file for both.
    comparator: `v > threshold` or `v >= threshold`. NIR's equations say `>`, half of the frameworks compute `>=`.
    dt: seconds per step.
    decay: "euler" leak = 1 - dt/tau, "exponential" leak = exp(-dt/tau).
    integrator_input: IF and I: one step adds r*dt*I ("scaled", NIR's equation) or r*I ("whole").
    membrane_input: LIF and the membrane of CubaLIF: one step adds r*(1 - leak)*I ("scaled", NIR's) or r*I ("whole").
    readout_input: the same of LI and CubaLI; None: as membrane_input.
    synapse_input: CubaLIF and CubaLI: w_in*(1 - current_decay)*S ("scaled", NIR's) or w_in*S ("whole").
    update_order: CubaLIF and CubaLI: the membrane takes the current of this step, or of the step before.
    reset_delay: the reset acts in the next step, after the decay (snnTorch's default).
    spikes_per_step: "several" (floor(v / threshold) spikes in one step) is refused: no network here does that.
    input_shape: (n,) or (channels, height, width); None: as the Input node says.
    output: the Output node to read where there are several.
    n_steps: T; needed unless the input is given step by step ("events").
    coding: how samples become steps.
    """

    reset: HardOrSoft | None = None
    comparator: Comparator | None = None
    dt: float | None = None
    decay: DecayRule = "euler"
    integrator_input: InputScale | None = None
    membrane_input: InputScale | None = "scaled"
    readout_input: InputScale | None = None
    synapse_input: InputScale | None = "scaled"
    update_order: UpdateOrder = "current-first"
    reset_delay: bool = False
    spikes_per_step: SpikesPerStep | None = "one"
    input_shape: Shape | None = None
    output: str | None = None
    n_steps: int | None = None
    coding: InputCoding = field(default_factory=lambda: InputCoding(kind="events"))

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise CompileError(
                    "GSM-303", "no such choice", where=f"NirChoices.{name}", found=getattr(self, name),
                    expected=" or ".join("unstated" if a is None else str(a) for a in allowed),
                )  # fmt: skip
        if self.dt is not None and not (isfinite(self.dt) and self.dt > 0):
            raise CompileError(
                "GSM-305", "not a time step", where="NirChoices.dt", found=self.dt, expected="seconds > 0"
            )


_ALLOWED: dict[str, tuple[object, ...]] = {
    "reset": (*get_args(HardOrSoft), None),
    "comparator": (*get_args(Comparator), None),
    "decay": get_args(DecayRule),
    "integrator_input": (*get_args(InputScale), None),
    "membrane_input": (*get_args(InputScale), None),
    "readout_input": (*get_args(InputScale), None),
    "synapse_input": (*get_args(InputScale), None),
    "update_order": get_args(UpdateOrder),
    "reset_delay": (True, False),
    "spikes_per_step": (*get_args(SpikesPerStep), None),
}

# What each framework's own exporter writes with its defaults, as checked spike for spike (tests/judges). What it lets
# its user choose and does not write down is left open: Norse's and SpikingJelly's exporters take dt as an argument.
# sinabs counts time constants in steps.
FRAMEWORKS: dict[str, dict[str, Any]] = {
    "snntorch": {"comparator": ">", "dt": 1e-4, "integrator_input": "scaled"},
    "spikingjelly": {"comparator": ">=", "integrator_input": "scaled", "reset": "zero"},
    "norse": {"comparator": ">", "integrator_input": "whole", "synapse_input": "whole"},
    "sinabs": {
        "comparator": ">=", "dt": 1.0, "decay": "exponential", "integrator_input": "whole", "membrane_input": None,
        "readout_input": "whole", "spikes_per_step": None,
    },
}  # fmt: skip


def framework_choices(framework: str, **stated: Any) -> NirChoices:
    """The choices that fit a file written by a framework's own exporter; `stated` adds to them or overrides them.

    `dt` is the framework's own step. Norse writes tau = dt/tau_inv where 1/tau_inv seconds was meant; reading with
    dt*dt undoes that. snnTorch subtracts one step late by default: reset="subtract" implies reset_delay=True.

    Raises:
        CompileError: GSM-303 for an unknown framework or field, GSM-305 for a dt that is none.
    """
    if framework not in FRAMEWORKS:
        raise CompileError(
            "GSM-303", "no choices are known for this framework", found=framework, expected=", ".join(FRAMEWORKS)
        )
    unknown = set(stated) - {f.name for f in fields(NirChoices)}
    if unknown:
        raise CompileError("GSM-303", "no such choice", where="NirChoices", found=", ".join(sorted(unknown)))
    if framework == "snntorch" and stated.get("reset") == "subtract":
        stated = {"reset_delay": True} | stated
    choices = NirChoices(**(FRAMEWORKS[framework] | stated))
    if framework == "norse" and choices.dt is not None:
        return replace(choices, dt=choices.dt * choices.dt)
    return choices
