"""Populations as NIR nodes: the inverse of nir_neurons.

With a step of dt seconds: tau = dt/(1 - leak), r = tau/dt, so that NIR's forward Euler step gives the leak back, and a
gain of 1. What NIR cannot say is in the node's metadata.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Population
from ..maps import Shape, broadcast
from ..neurons import Neuron
from .nir_neurons import threshold_above
from .stated import metadata_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers:
    """A population's coefficients in float64, each at the full shape, and the seconds per step."""

    leak: Array
    current_decay: Array
    threshold: Array
    v_leak: Array
    dt: float


def nodes_of(nir: ModuleType, p: Population, shape: Shape, v_leak_bias: Array | None, dt: float) -> list[Any]:
    """The one or two nodes of a spiking population or a readout with a membrane.

    Args:
        shape: as NIR sees it: the population's, or flat.
        v_leak_bias: a bias on the membrane, to be written as v_leak; None for none.
        dt: seconds per step.
    Raises:
        CompileError: GSM-304 for coefficients that NIR's equations do not have.
    """
    if p.neuron is None:
        raise ValueError("a population without a neuron is no node")
    n = p.neuron
    numbers = _numbers(p, n, v_leak_bias, dt)
    fires = p.kind == "spiking"
    metadata = _metadata(p, n, shape, dt)
    if fires and n.reset == "none" and not n.has_current and not numbers.leak.any():
        return [nir.Threshold(threshold=_array(_above(n, numbers.threshold), shape), metadata=metadata)]
    membrane = _membrane(nir, n, numbers, shape, metadata, resets=fires and n.reset != "none")
    if not fires or n.reset != "none":
        return [membrane]
    return [membrane, nir.Threshold(threshold=_array(_above(n, numbers.threshold), shape), metadata=metadata)]


def _membrane(
    nir: ModuleType, n: Neuron, numbers: Numbers, shape: Shape, metadata: dict[str, Any], *, resets: bool
) -> Any:
    """IF, LIF, CubaLIF, or without a reset I, LI, CubaLI."""
    dt, kept = numbers.dt, {"metadata": metadata}
    spikes: dict[str, Array] = {}
    if resets:
        threshold = numbers.threshold if n.reset == "subtract" else _above(n, numbers.threshold)
        spikes = {"v_threshold": _array(threshold, shape), "v_reset": np.zeros(shape, np.float32)}
    if not n.has_current and (numbers.leak == 1).all():
        r = _array(np.full(shape, 1 / dt), shape)
        return nir.IF(r=r, **spikes, **kept) if resets else nir.I(r=r, **kept)
    tau = _array(dt / (1 - numbers.leak), shape)
    common = {"r": _array(1 / (1 - numbers.leak), shape), "v_leak": _array(numbers.v_leak, shape), **spikes, **kept}
    if not n.has_current:
        return nir.LIF(tau=tau, **common) if resets else nir.LI(tau=tau, **common)
    kind = nir.CubaLIF if resets else nir.CubaLI
    keep = 1 - numbers.current_decay
    return kind(tau_mem=tau, tau_syn=_array(dt / keep, shape), w_in=_array(1 / keep, shape), **common)


def _numbers(p: Population, n: Neuron, v_leak_bias: Array | None, dt: float) -> Numbers:
    where = f"population {p.name!r}"
    leak, decay, threshold = (
        broadcast(a, p.shape, where=where).astype(np.float64) for a in (n.leak, n.current_decay, n.threshold)
    )
    if (leak == 1).any() and (n.has_current or (leak < 1).any()):
        raise CompileError(
            "GSM-304", "NIR has neurons without a leak only where no neighbour leaks and no current decays",
            where=where, found=f"{int((leak == 1).sum())} of {leak.size} neurons without a leak",
            remedy="put the neurons without a leak into a population of their own",
        )  # fmt: skip
    if (decay == 1).any():
        raise CompileError("GSM-304", "NIR has no synaptic current without decay", where=where, found="current_decay 1")
    for name, value in (("leak", leak), ("current_decay", decay)):
        rate = np.where(value < 1, 1 - value, 1)
        back = np.where(value < 1, 1 - dt / (dt / rate), value)
        if (back.astype(np.float32) != value.astype(np.float32)).any():
            raise CompileError(
                "GSM-304", f"no time constant gives this {name} back", where=where,
                found=f"{float(value[value > 0].min())}", expected="0, or not far below 1e-7",
            )  # fmt: skip
    v_leak = np.zeros(p.shape) if v_leak_bias is None else broadcast(v_leak_bias, p.shape, where=where) / (1 - leak)
    return Numbers(leak=leak, current_decay=decay, threshold=threshold, v_leak=v_leak, dt=dt)


def _above(n: Neuron, threshold: Array) -> Array:
    """NIR spikes at v > threshold. Without subtraction, `>=` is the same with the next smaller float32."""
    return threshold_above(threshold).astype(np.float64) if n.comparator == ">=" else threshold


def _metadata(p: Population, n: Neuron, shape: Shape, dt: float) -> dict[str, Any]:
    stated: dict[str, Any] = {"dt": dt}
    if p.kind == "spiking":
        stated["comparator"] = n.comparator
        if n.reset != "none":
            stated |= {"reset": n.reset, "reset_delay": n.reset_delay}
    if n.has_current:
        stated["update_order"] = n.update_order
    v_init = np.ascontiguousarray(broadcast(n.v_init, p.shape, where=p.name)).reshape(shape) if n.v_init.any() else None
    return metadata_of(stated, v_init)


def _array(values: Array, shape: Shape) -> Array:
    """At the full shape; float32 where that is exact."""
    values = np.ascontiguousarray(values, np.float64).reshape(shape)
    small = values.astype(np.float32)
    return small if (small == values).all() else values
