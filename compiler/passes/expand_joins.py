"""Lead connections past joins that carry real numbers, so that only spikes travel."""

from dataclasses import replace

import numpy as np

from ..arrays import Array, number
from ..ir import Connection, Network, Population
from ..maps import BatchNorm, Conv2d, Dense, Map, Scale, Sparse, SumPool2d
from ..matrix import batch_norm_gain
from ..topology import topological_order


def expand_joins(network: Network) -> Network:
    """Connect the sources of each real-valued join to its targets, past the join. Exact up to rounding.

    A sum is linear, so what follows it can act on each summand: W2 (W0 a + W1 b) = W2 W0 a + W2 W1 b. Constants go with
    the first summand. The running sum of a pre-activation residual network is such a join: as a population it would
    send a number from every neuron in every step; expanded, its sources' spikes go to each target themselves, and
    integers can express it.

    Price: n incoming and m outgoing connections become n m, each with weights of its own. A stream of k blocks whose
    sum every block reads holds k (k + 1) / 2 copies of the blocks' last maps.

    Left as they are: joins of whole numbers (ADD of spikes, graded); joins that artificial neurons feed, which send
    numbers anyway; the output; joins that feed themselves, are read later while constants are added, or have synapses
    with delays or a shape of their own. `quantize` refuses those of them that are not whole.
    """
    if network.arithmetic == "int":
        return network
    for name in topological_order(network.populations, network.connections):
        if network[name].kind == "join" and _is_expandable(network, name):
            network = _without(network, network[name])
    return network


def _is_expandable(network: Network, name: str) -> bool:
    join, incoming, outgoing = network[name], network.incoming(name), _outgoing(network, name)
    if name == network.output or not outgoing or any(c.source == name for c in incoming):
        return False
    if all(_emits_whole(network, c.source) and _is_whole(c.maps) for c in incoming) and _all_whole(join.bias):
        return False
    if any(network[c.source].kind in ("join", "relu") and not _emits_whole(network, c.source) for c in incoming):
        return False
    if any(c.output_shape(network[c.source].shape) != join.shape for c in incoming):
        return False
    if any(isinstance(m, (Dense, Sparse)) and m.delays is not None for c in (*incoming, *outgoing) for m in c.maps):
        return False
    has_constant = bool(join.bias.any()) or any(_has_constant(m) for c in incoming for m in c.maps)
    return not (has_constant and any(c.delay for c in outgoing))


def _without(network: Network, join: Population) -> Network:
    incoming, connections = network.incoming(join.name), list[Connection]()
    for c in network.connections:
        if c.source == join.name:
            connections += [_through(first, join, c, is_first=i == 0) for i, first in enumerate(incoming)]
        elif c.target != join.name:
            connections.append(c)
    populations = tuple(p for p in network.populations if p.name != join.name)
    return replace(network, populations=populations, connections=tuple(connections))


def _through(before: Connection, join: Population, after: Connection, *, is_first: bool) -> Connection:
    if is_first:
        bias = (Scale(scale=number(1), shift=join.bias),) if join.bias.any() else ()
        maps = (*before.maps, *bias, *after.maps)
    else:
        maps = (*before.maps, *(_linear(m) for m in after.maps))
    return Connection(source=before.source, target=after.target, maps=maps, delay=before.delay + after.delay)


def _linear(m: Map) -> Map:
    """The map without its constant."""
    if isinstance(m, BatchNorm):
        return Scale(scale=batch_norm_gain(m)[0].astype(np.float32))
    if isinstance(m, (Dense, Conv2d)):
        return replace(m, bias=None)
    return replace(m, shift=None) if isinstance(m, Scale) else m


def _has_constant(m: Map) -> bool:
    if isinstance(m, BatchNorm):
        return bool(batch_norm_gain(m)[1].any())
    constant = m.bias if isinstance(m, (Dense, Conv2d)) else m.shift if isinstance(m, Scale) else None
    return constant is not None and bool(constant.any())


def _emits_whole(network: Network, name: str, behind: tuple[str, ...] = ()) -> bool:
    """True if what a population emits are whole numbers: spikes, or sums of spikes."""
    p = network[name]
    if p.kind == "input":
        return network.coding.kind == "events" or not network.coding.is_real
    if p.kind != "join" or name in behind:
        return p.kind in ("join", "spiking")
    whole = all(_emits_whole(network, c.source, (*behind, name)) and _is_whole(c.maps) for c in network.incoming(name))
    return whole and _all_whole(p.bias)


def _is_whole(maps: tuple[Map, ...]) -> bool:
    """True if whole numbers stay whole."""
    for m in maps:
        if not isinstance(m, (Dense, Conv2d, Sparse, Scale, SumPool2d)):
            return False
        arrays = (getattr(m, name, None) for name in ("weight", "weights", "scale", "bias", "shift"))
        if not all(a is None or _all_whole(a) for a in arrays):
            return False
    return True


def _all_whole(array: Array) -> bool:
    return bool((array == np.rint(array)).all())


def _outgoing(network: Network, name: str) -> list[Connection]:
    return [c for c in network.connections if c.source == name]
