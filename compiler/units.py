"""The unit in which a population's integers count: what 1 stands for in its weights, threshold and bias."""

from math import prod
from typing import Literal

import numpy as np

from .arrays import Array
from .canonical import weight_map, weights_of
from .errors import CompileError
from .ir import Connection, Network, Population
from .maps import Conv2d, Dense, Scale, Sparse, SumPool2d, broadcast
from .neurons import STATE_UNITS

HEADROOM = 8  # thresholds of current that must not wrap, where all that could arrive does not fit
UNKNOWN = 1e30  # values that a population may emit without a limit that is known

Per = Literal["layer", "channel"]


def input_unit(network: Network) -> float:
    """What 1 stands for in what the input population emits."""
    if network.coding.kind == "phase" and network.coding.weighted:
        return float(2.0**-network.coding.phases)
    return 1 / network.coding.levels if network.coding.kind == "direct" else 1.0


def source_unit(network: Network, name: str) -> float:
    """What 1 stands for in what a population emits: spikes are worth 1 whatever the unit that it integrates in."""
    return input_unit(network) if network[name].kind == "input" else 1.0


def is_whole(network: Network, p: Population, top: int) -> bool:
    """True if integers express the population as it is: a maximum, a join."""
    incoming = network.incoming(p.name)
    weights = [weights_of(weight_map(c)).astype(np.float64) for c in incoming]
    arrays = [p.bias] if p.neuron is None else [p.bias, p.neuron.threshold, p.neuron.v_init]
    return (
        all(source_unit(network, c.source) == 1 for c in incoming)
        and all((a == np.rint(a)).all() for a in [*arrays, *weights])
        and all(np.abs(a).max(initial=0) <= top for a in weights)
    )


def choose_unit(network: Network, p: Population, top: int, per: Per) -> Array:
    """One number or one per channel: the finest unit that weights, state and current all fit.

    weights: at most `top` units. threshold, start, bias: at most 17 bits. current, which wraps beyond 17 bits: all that
    can arrive in a step, if inputs are in [0, 1], or at least HEADROOM thresholds.
    """
    weights, current = np.zeros(p.shape[0]), _per_channel(p.bias, p)
    for c in network.incoming(p.name):
        largest, total = _extent(network, c, p)
        weights = np.maximum(weights, largest * source_unit(network, c.source))
        current = current + total * _largest_value(network, c.source, (p.name,))
    state = _per_channel(p.bias, p)
    if p.neuron is not None:
        threshold = _per_channel(p.neuron.threshold, p)
        state = np.maximum(state, np.maximum(threshold, _per_channel(p.neuron.v_init, p)))
        current = current / np.maximum(1 - _per_channel(p.neuron.current_decay, p), 1e-12)  # summed over all steps
        state = np.maximum(state, np.minimum(current, HEADROOM * threshold))
    finest = np.maximum(weights / top, state / STATE_UNITS)
    if per == "layer":
        finest[:] = finest.max()
    unit = finest.astype(np.float32)
    unit[unit == 0] = unit.max() or 1.0
    return np.asarray(unit[0]) if per == "layer" else unit.reshape(-1, *(1,) * (len(p.shape) - 1))


def _per_channel(array: Array, p: Population) -> Array:
    """(channels,) the largest magnitude."""
    whole: Array = np.abs(broadcast(array, p.shape, where=p.name).astype(np.float64))
    return np.asarray(whole.reshape(p.shape[0], -1).max(axis=1))


def _extent(network: Network, c: Connection, p: Population) -> tuple[Array, Array]:
    """(channels,) the largest |weight|, and the largest sum of |weights| into one neuron."""
    m = weight_map(c)
    weights = np.abs(weights_of(m).astype(np.float64))
    if isinstance(m, (Conv2d, Scale)) and c.output_shape(network[c.source].shape) != p.shape:
        raise CompileError(
            "GSM-301", "a picture leads into a flat population", where=c.name, remedy="run compose_maps first"
        )
    if isinstance(m, (Dense, Conv2d)):
        rows = weights.reshape(weights.shape[0], -1)
        largest, total = rows.max(axis=1, initial=0), rows.sum(axis=1)
    elif isinstance(m, Sparse):
        largest = np.zeros(p.n_neurons)
        np.maximum.at(largest, m.targets, weights)
        total = np.bincount(m.targets, weights, p.n_neurons)
    else:
        largest = total = np.ravel(broadcast(weights, p.shape, where=c.name))
    pixels = prod(prod(pool.kernel) for pool in c.maps if isinstance(pool, SumPool2d))
    largest, total = (np.asarray(a.reshape(p.shape[0], -1).max(axis=1)) for a in (largest, total))
    return largest, total * pixels


def _largest_value(network: Network, name: str, behind: tuple[str, ...]) -> float:
    """The largest value that a population can emit, or UNKNOWN."""
    p = network[name]
    if p.kind == "input":
        return UNKNOWN if network.coding.kind == "events" and network.coding.graded else 1.0
    if p.kind != "join":
        return 1.0
    if name in behind:
        return UNKNOWN
    value = float(_per_channel(p.bias, p).max())
    for c in network.incoming(name):
        value += float(_extent(network, c, p)[1].max()) * _largest_value(network, c.source, (*behind, name))
    return value
