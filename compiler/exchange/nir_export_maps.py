"""Connections as chains of stateless NIR nodes: the inverse of nir_maps."""

from dataclasses import dataclass, replace
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Connection
from ..maps import AveragePool2d, BatchNorm, Conv2d, Dense, Map, Scale, Shape, Sparse, SumPool2d, broadcast
from ..matrix import chain_to_matrix

MAX_DENSE = 1 << 27  # entries of a matrix that is written out, because NIR has no sparse weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Route:
    """One connection on its way to NIR: maps that NIR has, a constant to add to their output, a delay in steps."""

    source: str
    target: str
    input_shape: Shape
    maps: tuple[Map, ...]
    bias: Array | None
    delay: int

    @property
    def output_shape(self) -> Shape:
        """The shape after the last map."""
        shape = self.input_shape
        for m in self.maps:
            shape = m.output_shape(shape)
        return shape


def route_of(connection: Connection, input_shape: Shape) -> Route:
    """The connection in maps that NIR has: as it is if it can be, else as one matrix.

    Raises:
        CompileError: GSM-304 for delays per synapse, and for matrices too large to be written out.
    """
    maps, delay = _without_delays(connection)
    bias = None
    if maps and isinstance(maps[-1], Scale) and maps[-1].shift is not None:
        last = maps[-1]
        shift = np.asarray(last.shift, np.float32)
        bias = broadcast(shift, connection.output_shape(input_shape), where=connection.name)
        maps = (*maps[:-1], replace(last, shift=None))
    maps = tuple(m for m in maps if not (isinstance(m, Scale) and m.shift is None and (m.scale == 1).all()))
    route = Route(
        source=connection.source, target=connection.target, input_shape=input_shape, maps=maps, bias=bias, delay=delay
    )
    awkward = any(isinstance(m, (Sparse, BatchNorm)) or (isinstance(m, Scale) and m.shift is not None) for m in maps)
    return as_matrix(route) if awkward else route


def as_matrix(route: Route) -> Route:
    """The same route as one Dense. Raises GSM-304 if the matrix is too large."""
    n_out, n_in = prod(route.output_shape), prod(route.input_shape)
    if n_out * n_in > MAX_DENSE:
        raise CompileError(
            "GSM-304", "NIR has no sparse weights, and this matrix is too large to be written out",
            where=f"connection {route.source!r} -> {route.target!r}", found=f"{n_out} x {n_in}",
            expected=f"<= {MAX_DENSE} entries",
        )  # fmt: skip
    matrix, bias, _ = chain_to_matrix(route.maps, route.input_shape)
    dense = Dense(weight=matrix.toarray().astype(np.float32), bias=bias.astype(np.float32) if bias.any() else None)
    return replace(route, maps=(dense,))


def with_bias(route: Route, bias: Array) -> Route | None:
    """The route with `bias` (one number per value of its output) in its last map; None if that cannot hold it."""
    m, full = (route.maps[-1] if route.maps else None), bias.reshape(route.output_shape)
    if isinstance(m, Dense):
        total = full if m.bias is None else m.bias + full
    elif isinstance(m, Conv2d) and (full == full[:, :1, :1]).all():
        total = full[:, 0, 0] if m.bias is None else m.bias + full[:, 0, 0]
    else:
        return None
    return replace(route, maps=(*route.maps[:-1], replace(m, bias=np.asarray(total, np.float32))))


def constant_route(route: Route, bias: Array) -> Route:
    """A route beside one with a picture's shape that carries nothing but `bias`, which differs from pixel to pixel.

    NIR has no constant: a convolution with weights 0 and biases 1 makes ones, and a Scale makes the bias of them.
    """
    shape, maps = route.output_shape, route.maps
    last = maps[-1] if maps else None
    if isinstance(last, Conv2d):
        ones = replace(last, weight=np.zeros_like(last.weight), bias=np.ones(shape[0], np.float32))
        maps = maps[:-1]
    else:
        ones = Conv2d(weight=np.zeros((shape[0], shape[0], 1, 1), np.float32), bias=np.ones(shape[0], np.float32))
    return replace(route, maps=(*maps, ones, Scale(scale=bias.reshape(shape))), bias=None)


def chain_nodes(nir: ModuleType, route: Route, *, flat_source: bool, flat_target: bool, dt: float) -> list[Any]:
    """The nodes from source to target, the delay first: its biases act in every step."""
    shape = (prod(route.input_shape),) if flat_source else route.input_shape
    nodes: list[Any] = []
    if route.delay:
        nodes.append(nir.Delay(delay=np.full(shape, route.delay * dt)))
    for m in route.maps:
        if isinstance(m, Dense) and len(shape) > 1:
            nodes.append(_flatten(nir, shape))
        after = m.output_shape(shape)
        nodes.append(_node(nir, m, shape, after))
        shape = after
    if flat_target and len(shape) > 1:
        nodes.append(_flatten(nir, shape))
    return nodes


def _node(nir: ModuleType, m: Map, shape: Shape, after: Shape) -> Any:
    match m:
        case Dense():
            if m.bias is None:
                return nir.Linear(weight=np.array(m.weight, np.float32))
            return nir.Affine(weight=np.array(m.weight, np.float32), bias=np.array(m.bias, np.float32))
        case Conv2d():
            bias = np.zeros(after[0], np.float32) if m.bias is None else np.array(m.bias, np.float32)
            node = nir.Conv2d(
                input_shape=shape[1:], weight=np.array(m.weight, np.float32), bias=bias, stride=m.stride,
                padding=m.padding, dilation=m.dilation, groups=m.groups,
            )  # fmt: skip
            node.input_type = {"input": np.array(shape)}
            node.output_type = {"output": np.array(after)}  # nir 1.0.8 takes every kernel for a square one
            return node
        case SumPool2d() | AveragePool2d():
            kind = nir.SumPool2d if isinstance(m, SumPool2d) else nir.AvgPool2d
            node = kind(kernel_size=np.array(m.kernel), stride=np.array(m.stride), padding=np.array(m.padding))
            node.input_type, node.output_type = {"input": np.array(shape)}, {"output": np.array(after)}
            return node
        case Scale():
            return nir.Scale(scale=np.array(broadcast(m.scale, shape, where="Scale"), np.float32))
        case _:
            raise ValueError(f"{type(m).__name__} is no map of NIR")


def scale_of_one(nir: ModuleType, shape: Shape) -> Any:
    """A node that changes nothing, where an edge alone would mean something else."""
    return nir.Scale(scale=np.ones(shape, np.float32))


def _flatten(nir: ModuleType, shape: Shape) -> Any:
    return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)


def _without_delays(connection: Connection) -> tuple[tuple[Map, ...], int]:
    m = connection.maps[0] if len(connection.maps) == 1 else None
    if not isinstance(m, (Dense, Sparse)) or m.delays is None:
        return connection.maps, connection.delay
    if m.delays.size and (m.delays != m.delays.flat[0]).any():
        raise CompileError(
            "GSM-304", "NIR has no delay per synapse", where=connection.name,
            found=f"{int(m.delays.min())}..{int(m.delays.max())} steps", expected="one delay for all synapses",
        )  # fmt: skip
    return (replace(m, delays=None),), connection.delay + (int(m.delays.flat[0]) if m.delays.size else 0)
