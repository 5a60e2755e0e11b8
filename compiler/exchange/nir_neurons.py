"""Stateful NIR nodes as rows of coefficients.

NIR's equations are in continuous time. With rate(tau) = dt/tau ("euler") or 1 - exp(-dt/tau) ("exponential"):

    leak = 1 - rate(tau)                       current_decay = 1 - rate(tau_syn)
    what arrives is multiplied by r*rate(tau)  and by w_in*rate(tau_syn) (by r, w_in alone: "whole")
    the membrane gains rate(tau)*(v_leak - v_reset) in each step

A hard reset to v_reset other than zero is the same as one to zero with v, threshold and v_leak lowered by v_reset.
The membrane starts at v_leak, or, without a leak, at v_reset.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..arrays import Array, parameter
from ..errors import CompileError
from ..maps import Shape
from ..neurons import DECAY_UNIT, Neuron, Reset
from .choices import InputScale, NirChoices
from .nir_graph import INTEGRATORS, NirNode
from .nir_maps import numbers
from .stated import v_init_in, with_stated

PARAMETERS = {
    "IF": ("r", "v_threshold", "v_reset"), "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"), "I": ("r",),
    "LI": ("tau", "r", "v_leak"), "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"), "Threshold": ("threshold",),
}  # fmt: skip
MAY_BE_INFINITE = ("tau", "tau_mem", "tau_syn", "r", "w_in")
ULPS = 4  # units in the last place that dividing a few rounded numbers can add up to


@dataclass(frozen=True, eq=False, kw_only=True)
class Dynamics:
    """What a stateful node becomes: a neuron, what multiplies all that arrives, and a bias. Arrays fit the shape."""

    neuron: Neuron
    gain: Array
    bias: Array


def population_shape(node: NirNode, upstream: Shape) -> Shape:
    """The shape of the node's parameters, or, where they are scalars or one per channel, that of what arrives.

    Raises:
        CompileError: GSM-307 if the parameters differ in shape or do not fit what arrives.
    """
    shapes = [numbers(node, name).shape for name in PARAMETERS[node.kind] if node.fields.get(name) is not None]
    try:
        own = np.broadcast_shapes(*shapes)
    except ValueError:
        raise CompileError("GSM-307", "parameters differ in shape", where=node.where, found=shapes) from None
    if prod(own) == 1:
        return upstream
    while len(own) in (2, 4) and own[0] == 1:  # a batch of one
        own = own[1:]
    own = (own[0], 1, own[1]) if len(own) == 2 else own
    if own in (upstream[:1], (upstream[0], 1, 1)):
        return upstream
    if len(own) not in (1, 3) or prod(own) != prod(upstream):
        raise CompileError(
            "GSM-307", "neurons do not fit what arrives", where=node.where, found=f"parameters {own}",
            expected=str(upstream),
        )  # fmt: skip
    return own


def dynamics_of(node: NirNode, shape: Shape, choices: NirChoices, threshold: NirNode | None = None) -> Dynamics:
    """Coefficients of a stateful node for a population of this shape.

    Args:
        threshold: the Threshold node that makes spikes of the membrane of an I, LI or CubaLI, if one does.
    Raises:
        CompileError: GSM-303 and GSM-305 for what must be stated and is not; GSM-304 for what has no equal here;
            GSM-202 and GSM-203 for values that are no parameters. All name the node.
    """
    choices, is_ours = with_stated(node, choices)
    if node.kind == "Threshold":
        gate = Neuron(leak=_small(np.zeros(())), reset="none")
        return Dynamics(neuron=_firing(node, gate, shape, np.zeros(()), choices, is_ours), gain=_ONE, bias=_ZERO)
    p = {name: _parameter(node, name, shape) for name in PARAMETERS[node.kind] if node.fields.get(name) is not None}
    tolerance = 0.0 if is_ours else _tolerance(node)

    leak_rate, gain, rest = np.zeros(()), np.ones(()), p.get("v_reset", np.zeros(()))
    if node.kind in ("IF", "I"):
        gain = _snap(_integrator_gain(node, p["r"], choices), tolerance)
    else:
        tau, rest = p["tau_mem"] if "tau_mem" in p else p["tau"], p["v_leak"]
        leak_rate, gain = _rate_and_gain(node, tau, p["r"], _membrane_scale(node, choices), choices, tolerance)
    decay_rate = np.ones(())
    if "tau_syn" in p:
        w_in, scale = p.get("w_in", np.ones(())), choices.synapse_input
        if scale is None:
            raise _open(node, "synapse_input", "does one step add w_in or w_in*dt/tau_syn")
        decay_rate, synapse_gain = _rate_and_gain(node, p["tau_syn"], w_in, scale, choices, tolerance)
        gain = gain * synapse_gain

    reset: Reset = "none"
    origin = np.zeros(())
    if node.kind not in INTEGRATORS:
        reset, origin = _reset(node, p.get("v_reset", np.zeros(())), choices)
    neuron = Neuron(
        leak=_small(1 - leak_rate), current_decay=_small(1 - decay_rate), reset=reset,
        reset_delay=choices.reset_delay and reset != "none",
        v_init=_small(_fit(v_init_in(node, prod(shape)), shape) if is_ours else rest - origin),
        update_order=choices.update_order if "tau_syn" in p else "current-first",
    )  # fmt: skip
    bias = _small(leak_rate * (rest - origin))
    if bias.any() and neuron.has_current:
        neuron = replace(neuron, bias_target="membrane")
    if node.kind not in INTEGRATORS:
        neuron = _firing(node, neuron, shape, origin, choices, is_ours)
    elif threshold is not None:
        neuron = _firing(threshold, neuron, shape, origin, *with_stated(threshold, choices))
    return Dynamics(neuron=neuron, gain=parameter(_small(gain), where="gain"), bias=parameter(bias, where="v_leak"))


def _firing(node: NirNode, neuron: Neuron, shape: Shape, origin: Array, choices: NirChoices, is_ours: bool) -> Neuron:
    """The neuron with its threshold and comparator."""
    comparator = choices.comparator
    if comparator is None:
        raise _open(node, "comparator", "does a neuron spike at v > threshold, or at v >= threshold")
    if choices.spikes_per_step is None:
        raise _open(node, "spikes_per_step", "can a neuron spike several times in one step")
    if choices.spikes_per_step == "several":
        raise CompileError(
            "GSM-304", "neurons that spike several times in one step have no equal here", where=node.where,
            remedy="train with single spikes (sinabs: spike_fn=SingleSpike)",
        )  # fmt: skip
    name = "threshold" if node.kind == "Threshold" else "v_threshold"
    value = (_parameter(node, name, shape) - origin).astype(np.float32)
    if is_ours and comparator == ">=" and neuron.reset != "subtract":
        value = threshold_at_least(value)
    return replace(neuron, threshold=_small(value), comparator=comparator)


def threshold_above(threshold: Array) -> Array:
    """The float32 number t with `v > t` exactly where `v >= threshold`."""
    return np.nextafter(np.asarray(threshold, np.float32), np.float32(-np.inf))


def threshold_at_least(threshold: Array) -> Array:
    """The inverse of `threshold_above`."""
    return np.nextafter(np.asarray(threshold, np.float32), np.float32(np.inf))


def _reset(node: NirNode, v_reset: Array, choices: NirChoices) -> tuple[Reset, Array]:
    """The reset, and the voltage that becomes zero."""
    if choices.reset is None:
        raise _open(node, "reset", "does a spike subtract the threshold, or set v to v_reset")
    if choices.reset == "zero":
        return "zero", v_reset
    if v_reset.any():
        raise CompileError(
            "GSM-304", "a reset by subtraction has no v_reset", where=node.where,
            found=f"v_reset {float(v_reset.min()):.4g}..{float(v_reset.max()):.4g}", expected="0",
            remedy="--reset zero, if the membrane is set to v_reset",
        )  # fmt: skip
    return "subtract", np.zeros(())


def _integrator_gain(node: NirNode, r: Array, choices: NirChoices) -> Array:
    if choices.integrator_input is None:
        raise _open(node, "integrator_input", "does one step add r*I, or r*dt*I")
    return r if choices.integrator_input == "whole" else r * _dt(node, choices)


def _membrane_scale(node: NirNode, choices: NirChoices) -> InputScale:
    if node.kind in INTEGRATORS and choices.readout_input is not None:
        return choices.readout_input
    if choices.membrane_input is None:
        raise _open(node, "membrane_input", "does one step add r*I, or r*(1 - leak)*I")
    return choices.membrane_input


def _rate_and_gain(
    node: NirNode, tau: Array, factor: Array, scale: InputScale, choices: NirChoices, tolerance: float
) -> tuple[Array, Array]:
    """rate(tau), and factor*rate(tau) ("scaled") or factor ("whole").

    An infinite tau is no decay; with an infinite factor, which stands for tau/dt, the product is 1 (snnTorch, beta 1).
    """
    dt = _dt(node, choices)
    if not (tau > 0).all():
        raise CompileError("GSM-203", "not a time constant", where=node.where, found=float(tau.min()), expected="> 0")
    ratio = dt / tau
    if choices.decay == "euler" and (ratio > 1 + 1e-6).any():
        raise CompileError(
            "GSM-305", "the step is longer than a time constant, so a decay would be negative", where=node.where,
            found=f"dt {dt:.4g} s, tau {float(tau.min()):.4g} s", expected="dt <= tau",
            remedy="state the step that the network was trained with: --dt SECONDS",
        )  # fmt: skip
    rate = np.minimum(ratio, 1.0) if choices.decay == "euler" else -np.expm1(-ratio)
    both = np.isinf(tau) & np.isinf(factor)
    if (np.isinf(factor) & ~both).any() or (scale == "scaled" and (np.isinf(tau) & ~both).any()):
        raise CompileError(
            "GSM-304", "an infinite time constant needs an infinite r or w_in, and the other way round",
            where=node.where, remedy="write neurons without a leak as IF",
        )  # fmt: skip
    gain = np.where(both, 1.0, np.where(both, 1.0, factor) * (1.0 if scale == "whole" else rate))
    return _snap(rate, tolerance), _snap(gain, tolerance)


def _snap(value: Array, tolerance: float) -> Array:
    """`value`, or a multiple of 1/4096 that lies within the rounding of the file's own numbers.

    A decay of 1/2 comes out of float32 time constants as 0.50000003. Whatever is no multiple of 1/4096 to within
    that rounding stays what it is.
    """
    near = np.rint(value * DECAY_UNIT) / DECAY_UNIT
    return np.asarray(np.where(np.abs(value - near) <= tolerance * np.abs(value), near, value))


def _tolerance(node: NirNode) -> float:
    """Relative rounding of what is computed from the node's parameters: that of the coarsest of their number types."""
    given = [np.asarray(node.fields[name]) for name in PARAMETERS[node.kind] if node.fields.get(name) is not None]
    return ULPS * max((float(np.finfo(a.dtype).epsneg) for a in given if a.dtype.kind == "f"), default=0.0)


def _dt(node: NirNode, choices: NirChoices) -> float:
    if choices.dt is None:
        raise CompileError(
            "GSM-305", "NIR's time is continuous, and the file has no time step", where=node.where,
            remedy="state the step that its exporter took: --dt SECONDS (snnTorch: 1e-4; unless told otherwise "
            "SpikingJelly: 1e-4, Norse: 1e-3)",
        )  # fmt: skip
    return choices.dt


def _open(node: NirNode, name: str, question: str) -> CompileError:
    """The refusal of a file that leaves a choice open."""
    option = {
        "reset": "--reset subtract or zero", "comparator": "--comparator '>' or '>='",
        "spikes_per_step": "--nir spikes-per-step=one",
    }.get(name, f"--nir {name.replace('_', '-')}=scaled or whole")  # fmt: skip
    return CompileError(
        "GSM-303", f"the file does not say, and frameworks differ: {question}", where=node.where,
        remedy=f"state it: {option}" + ("" if name == "reset" else ", or --framework NAME"),
    )  # fmt: skip


def _parameter(node: NirNode, name: str, shape: Shape) -> Array:
    """A parameter in float64, as (), (channels, 1, 1) or the population's shape."""
    array = numbers(node, name)
    bad = np.isnan(array) | ((array == -np.inf) if name in MAY_BE_INFINITE else np.isinf(array))
    if bad.any():
        raise CompileError(
            "GSM-202", "values are not finite", where=f"{node.where}, {name}",
            found=f"{int(bad.sum())} of {array.size}", expected="finite numbers",
            remedy="look for a diverged training run or a damaged export",
        )  # fmt: skip
    return _fit(array, shape)


def _fit(array: Array, shape: Shape) -> Array:
    if array.size == 1:
        return array.reshape(())
    if array.size == prod(shape):
        return array.reshape(shape)
    if array.size == shape[0]:
        return array.reshape(shape[0], *(1,) * (len(shape) - 1))
    return np.broadcast_to(array, shape)


def _small(array: Array) -> Array:
    """float32, as one number or one per channel where that says the same."""
    array = np.asarray(array, np.float32)
    if array.size and (array == array.flat[0]).all():
        return np.asarray(array.flat[0])
    if array.ndim == 3 and (array == array[:, :1, :1]).all():
        return np.ascontiguousarray(array[:, :1, :1])
    return array


_ONE, _ZERO = np.ones((), np.float32), np.zeros((), np.float32)
