"""Bring every connection to the one form that lowering accepts."""

from dataclasses import replace

import numpy as np

from ..arrays import Array
from ..canonical import is_canonical
from ..errors import CompileError
from ..ir import Connection, Network, Population
from ..maps import Conv2d, Dense, Map, Scale, Shape, Sparse, SumPool2d, broadcast, broadcastable
from ..matrix import chain_to_matrix, matrix_to_sparse


def compose_maps(network: Network) -> Network:
    """Leave per connection [tiling sum pool,] one weight map without bias. Exact up to rounding.

    Biases move into populations. A chain that does not already have this form is multiplied out into one sparse matrix.
    """
    population = {p.name: p for p in network.populations}
    one = np.ones((), np.int8 if network.arithmetic == "int" else np.float32)
    connections = []
    for connection in network.connections:
        source, target = network[connection.source].shape, network[connection.target].shape
        maps, own_bias = _canonical(connection, source, target, one)
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
                "GSM-301",
                "one bias for the current and one for the membrane",
                where=f"population {p.name!r}",
                found="a bias in a connection, and bias_target 'membrane'",
                expected="one of them",
                remedy="set bias_target='current', or put the whole bias into the population",
            )
        p = replace(p, neuron=replace(p.neuron, bias_target="current"))
    return replace(p, bias=_add(p.bias, bias, p.shape))


def _canonical(connection: Connection, source: Shape, target: Shape, one: Array) -> tuple[tuple[Map, ...], Array]:
    """The canonical maps, and the constant that they leave out."""
    output = connection.output_shape(source)
    maps, bias = _split_trailing_bias(connection.maps, source)
    if output != target:  # a picture into a flat population, or the reverse
        bias = broadcast(bias, output, where="bias").reshape(target)
    if not maps or (isinstance(maps[-1], SumPool2d) and maps[-1].tiles):
        maps = (*maps, Scale(scale=one))
    if is_canonical(maps) and (output == target or isinstance(maps[-1], (Dense, Sparse))):
        return maps, bias
    if any(isinstance(m, (Dense, Sparse)) and m.delays is not None for m in maps):
        raise CompileError(
            "GSM-301",
            "delays per synapse cannot be multiplied out",
            where=connection.name,
            remedy="run apply_masks first",
        )
    matrix, constant, _ = chain_to_matrix(maps, source)
    return (matrix_to_sparse(matrix, target),), _add(constant.reshape(target), bias, target)


def _split_trailing_bias(maps: tuple[Map, ...], shape: Shape) -> tuple[tuple[Map, ...], Array]:
    """The chain without the constants that its end adds, and their sum."""
    shapes = [shape]
    for m in maps:
        shapes.append(m.output_shape(shapes[-1]))
    bias: Array = np.zeros(())
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
    """a + b, each one number, one per channel or per neuron, in the smallest of these forms that holds both.

    Whole numbers add up in int64, all others in float32.
    """
    if not b.any():
        return a
    if not a.any():
        return b
    dtype = np.int64 if a.dtype.kind in "iu" and b.dtype.kind in "iu" else np.float32
    a, b = broadcastable(a, shape, where="bias"), broadcastable(b, shape, where="bias")
    return np.asarray(a.astype(dtype) + b.astype(dtype))
