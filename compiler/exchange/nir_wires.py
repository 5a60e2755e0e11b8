"""Chains of stateless NIR nodes as connections: maps, and the steps that they wait."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..maps import Map, Scale, Shape, Sparse
from ..matrix import chain_to_matrix
from .nir_graph import NirNode
from .nir_maps import at_node, maps_of, numbers, shape_after


@dataclass(frozen=True, eq=False, kw_only=True)
class Wire:
    """What a chain does: maps, the delay of all of it in steps, and the delay of each value at one place of it.

    shape: after the chain. split: how many maps stand before the place where `delays` (one per value) act.
    """

    shape: Shape
    maps: tuple[Map, ...] = ()
    delay: int = 0
    delays: Array | None = None
    split: int = 0
    delay_node: NirNode | None = None


def wire_of(nodes: Iterable[NirNode], shape: Shape, dt: float | None) -> Wire:
    """Follow a chain of stateless nodes from a source of this shape.

    Raises:
        CompileError: GSM-305 for delays that are no whole steps, GSM-304 for those that no connection can hold;
            as `maps_of`.
    """
    wire = Wire(shape=shape)
    for node in nodes:
        if node.kind == "Delay":
            wire = _delayed(wire, node, dt)
            continue
        maps = maps_of(node, wire.shape)
        with at_node(node):
            after = shape_after(node, maps, wire.shape)
        wire = replace(wire, shape=after, maps=(*wire.maps, *maps))
    return wire


def _delayed(wire: Wire, node: NirNode, dt: float | None) -> Wire:
    steps = _steps(node, dt)
    if steps.size not in (1, prod(wire.shape)):
        raise CompileError(
            "GSM-307", "delays do not fit what arrives", where=node.where, found=f"{steps.size} delays",
            expected=f"1 or {prod(wire.shape)}",
        )  # fmt: skip
    if steps.any() and has_bias(wire.maps):
        raise CompileError(
            "GSM-304", "a bias before a delay would have to wait too", where=node.where,
            remedy="put the delay before the weights: a connection's bias acts in every step",
        )  # fmt: skip
    least = int(steps.min())
    if (steps == least).all():
        return replace(wire, delay=wire.delay + least)
    if wire.delays is not None:
        raise CompileError("GSM-304", "two nodes delay each value differently on one way", where=node.where)
    return replace(wire, delays=steps.ravel(), split=len(wire.maps), delay_node=node)


def _steps(node: NirNode, dt: float | None) -> Array:
    seconds = numbers(node, "delay")
    if not seconds.size or not np.isfinite(seconds).all() or (seconds < 0).any():
        raise CompileError("GSM-203", "not delays", where=node.where, found=seconds, expected="seconds >= 0")
    if dt is None:
        if not seconds.any():
            return np.zeros(seconds.shape, np.int64)
        raise CompileError(
            "GSM-305", "delays are in seconds, and the file has no time step", where=node.where, remedy="--dt SECONDS"
        )
    steps = np.rint(seconds / dt)
    if (np.abs(seconds / dt - steps) > 1e-6 * np.maximum(steps, 1)).any() or steps.max() > 1 << 30:
        raise CompileError(
            "GSM-305", "delay is no whole number of steps", where=node.where,
            found=f"{float(seconds.min()):.4g}..{float(seconds.max()):.4g} s", expected=f"multiples of dt = {dt:.4g} s",
        )  # fmt: skip
    return steps.astype(np.int64)


def has_bias(maps: Iterable[Map]) -> bool:
    """True if a chain adds a constant other than zero."""
    biases = [m.shift if isinstance(m, Scale) else getattr(m, "bias", None) for m in maps]
    return any(b is not None and b.any() for b in biases)


def per_synapse(wire: Wire, shape: Shape) -> tuple[Sparse, Array]:
    """A chain with a delay per value as one map with a delay per synapse, and its bias.

    Raises:
        CompileError: GSM-304 where one synapse would need two delays.
    """
    if wire.delays is None or wire.delay_node is None:
        raise ValueError("the chain has no delay per value")
    before, _, middle = chain_to_matrix(wire.maps[: wire.split], shape)
    after, bias, _ = chain_to_matrix(wire.maps[wire.split :], middle)
    found: list[tuple[Array, Array, Array, Array]] = []
    for steps in np.unique(wire.delays):
        here = wire.delays == steps
        part = (after[:, here] @ before[here, :]).tocoo()
        keep = part.data != 0
        found.append((part.coords[0][keep], part.coords[1][keep], part.data[keep], np.full(int(keep.sum()), steps)))
    targets, sources, weights, delays = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((targets, sources))
    targets, sources, weights, delays = targets[order], sources[order], weights[order], delays[order]
    if ((np.diff(targets) == 0) & (np.diff(sources) == 0)).any():
        raise CompileError(
            "GSM-304", "one synapse would need several delays", where=wire.delay_node.where,
            remedy="delay what the neurons emit or what they receive, not what lies between two weight nodes",
        )  # fmt: skip
    sparse = Sparse(
        row_start=np.searchsorted(sources, np.arange(prod(shape) + 1)), targets=targets,
        weights=weights.astype(np.float32), shape=wire.shape, delays=delays.astype(np.int32),
    )  # fmt: skip
    return sparse, np.asarray(bias, np.float32)
