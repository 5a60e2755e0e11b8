"""Bring every connection to the one form that lowering accepts."""

from dataclasses import replace

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Connection, Network, Population
from ..maps import Conv2d, Dense, Map, Scale, Shape, Sparse, SumPool2d, broadcast
from ..matrix import chain_to_matrix, matrix_to_sparse


def compose_maps(network: Network) -> Network:
    """Leave per connection [tiling sum pool,] one weight map without bias; move biases into populations. Exact up to rounding.

    A chain that does not already have this form is multiplied out into one sparse matrix.
    """
    population = {p.name: p for p in network.populations}
    connections = []
    for connection in network.connections:
        shape = network[connection.source].shape
        maps, own_bias = _canonical(connection, shape)
        connections.append(replace(connection, maps=maps))
        population[connection.target] = _with_bias(population[connection.target], own_bias)
    return replace(network, populations=tuple(population.values()), connections=tuple(connections))


def _with_bias(p: Population, bias: Array) -> Population:
    """Add the constant of a connection, which enters the current, to a population's bias, which may not."""
    if not bias.any():
        return p
    if p.neuron is not None and p.neuron.bias_target == "membrane" and p.neuron.has_current:
        if p.bias.any():
            raise CompileError(
                "GSM-301", "one bias for the current and one for the membrane", where=f"population {p.name!r}",
                found="a bias in a connection, and bias_target 'membrane'", expected="one of them",
                remedy="set bias_target='current', or put the whole bias into the population",
            )  # fmt: skip
        p = replace(p, neuron=replace(p.neuron, bias_target="current"))
    return replace(p, bias=_add(p.bias, bias, p.shape))


def is_canonical(maps: tuple[Map, ...]) -> bool:
    """True for [tiling SumPool2d,] Dense | Conv2d | Sparse | Scale, without bias or mask."""
    if len(maps) == 2 and isinstance(maps[0], SumPool2d) and maps[0].tiles:
        maps = maps[1:]
    if len(maps) != 1:
        return False
    m = maps[0]
    if isinstance(m, (Dense, Conv2d)):
        return m.bias is None and m.mask is None
    return isinstance(m, Sparse) or (isinstance(m, Scale) and m.shift is None)


def _canonical(connection: Connection, shape: Shape) -> tuple[tuple[Map, ...], Array]:
    maps, bias = _split_trailing_bias(connection.maps, shape)
    if not maps or (isinstance(maps[-1], SumPool2d) and maps[-1].tiles):
        maps = (*maps, Scale(scale=np.ones((), np.float32)))
    if is_canonical(maps):
        return maps, bias
    matrix, constant, output_shape = chain_to_matrix(maps, shape)
    return (matrix_to_sparse(matrix, output_shape),), _add(constant.reshape(output_shape), bias, output_shape)


def _split_trailing_bias(maps: tuple[Map, ...], shape: Shape) -> tuple[tuple[Map, ...], Array]:
    """The chain without the constants that its end adds, and their sum."""
    shapes = [shape]
    for m in maps:
        shapes.append(m.output_shape(shapes[-1]))
    bias: Array = np.zeros((), np.float32)
    while maps:
        last, before = maps[-1], maps[:-1]
        if isinstance(last, (Dense, Conv2d)) and last.bias is not None:
            bias, maps = _add(bias, last.bias, shapes[-1]), (*before, replace(last, bias=None))
        elif isinstance(last, Scale) and last.shift is not None:
            bias, maps = _add(bias, last.shift, shapes[-1]), (*before, replace(last, shift=None))
        elif isinstance(last, Scale) and before and last.scale.shape == () and last.scale == 1:
            maps = before
            shapes.pop()
        else:
            break
    return maps, bias


def _add(a: Array, b: Array, shape: Shape) -> Array:
    """a + b, each one number, one per channel or per neuron, in the smallest of these forms that holds both."""
    if not b.any():
        return a
    if not a.any():
        return b
    if a.shape == b.shape:
        return a + b
    total = broadcast(a, shape, where="bias") + broadcast(b, shape, where="bias")
    return np.ascontiguousarray(total, np.float32)
