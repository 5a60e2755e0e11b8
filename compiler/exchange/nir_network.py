"""Populations and connections from the parts of a NIR graph."""

from dataclasses import replace
from math import prod

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Connection, Population, PopulationKind
from ..maps import Scale, Shape
from .choices import NirChoices
from .nir_graph import INTEGRATORS, Chain, NirGraph, NirNode
from .nir_loops import closing_pairs
from .nir_maps import at_node, numbers
from .nir_neurons import dynamics_of, population_shape
from .nir_plan import Plan
from .nir_wires import Wire, per_synapse, wire_of


def assemble(graph: NirGraph, plan: Plan, choices: NirChoices) -> tuple[tuple[Population, ...], tuple[Connection, ...]]:
    """The network's parts, in the plan's order.

    Raises:
        CompileError: GSM-202, 203, 303, 304, 305, 307, each naming the node.
    """
    shapes, wires = _shapes(graph, plan, choices)
    start = plan.order[0]
    populations = {start: Population(name=start, shape=shapes[start], kind="input")}
    gains: dict[str, Array] = {}
    for name in plan.order[1:]:
        populations[name], gains[name] = _population(graph, plan, name, shapes[name], choices)

    at_once = [(w.source, w.target) for w in plan.ways if not wires[w].delay]
    closing = closing_pairs(plan.order, at_once)
    connections = []
    for way in plan.ways:
        wire, target = wires[way], populations[way.target]
        if not wire.delay and (way.source, way.target) in closing:
            wire = replace(wire, delay=1)
        maps = wire.maps + _gain(gains[way.target], wire.shape, target.shape)
        if wire.delays is not None:
            sparse, bias = per_synapse(replace(wire, maps=maps), shapes[way.source])
            populations[way.target] = _with_bias(target, bias, graph.nodes[way.target])
            maps = (sparse,)
        connections.append(Connection(source=way.source, target=way.target, maps=maps, delay=wire.delay))
    return tuple(populations[name] for name in plan.order), tuple(connections)


def _shapes(graph: NirGraph, plan: Plan, choices: NirChoices) -> tuple[dict[str, Shape], dict[Chain, Wire]]:
    """Shapes of the populations, each from its parameters or from what arrives, and what each way does."""
    start = plan.order[0]
    shapes: dict[str, Shape] = {start: input_shape(graph, graph.nodes[start], choices.input_shape)}
    wires: dict[Chain, Wire] = {}
    for name in plan.order:
        node = graph.nodes[name]
        if name != start:
            upstream = next(wires[w].shape for w in plan.ways if w.target == name and w in wires)
            shapes[name] = upstream if name == plan.readout else population_shape(node, upstream)
        for way in plan.ways:
            if way.source == name:
                wires[way] = wire_of([graph.nodes[n] for n in way.through], shapes[name], choices.dt)
    for way in plan.ways:
        if prod(wires[way].shape) != prod(shapes[way.target]):
            raise CompileError(
                "GSM-307", "what arrives does not fit", where=graph.nodes[way.target].where,
                found=f"{wires[way].shape} from {(way.through or (way.source,))[-1]!r}",
                expected=str(shapes[way.target]),
            )  # fmt: skip
    return shapes, wires


def input_shape(graph: NirGraph, node: NirNode, stated: Shape | None) -> Shape:
    """(n,) or (channels, height, width), without a batch of one; (channels, length) only where a Conv1d follows."""
    if stated is not None:
        return tuple(int(n) for n in stated)
    if node.fields.get("shape") is None:
        raise CompileError(
            "GSM-307", "the Input has no shape", where=node.where, remedy="state it: --input-shape C,H,W"
        )
    found = numbers(node, "shape").ravel()
    whole = (found == np.rint(found)) & (np.abs(found) < 1 << 40)
    shape = tuple(int(n) for n in np.where(whole, found, 0))
    one_dimensional = any(graph.nodes[name].kind == "Conv1d" for name in graph.after(node.name))
    if one_dimensional:
        shape = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
        shape = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    elif len(shape) in (2, 4):
        shape = shape[1:] if shape[0] == 1 else shape
        shape = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise CompileError(
            "GSM-307", "not the shape of a sample", where=node.where, found=tuple(found.tolist()),
            expected="(n,), (channels, length) or (channels, height, width)",
            remedy="state it: --input-shape C,H,W",
        )  # fmt: skip
    return shape


def _population(graph: NirGraph, plan: Plan, name: str, shape: Shape, choices: NirChoices) -> tuple[Population, Array]:
    """A population, and what multiplies all that arrives at it."""
    node, gate = graph.nodes[name], plan.gates.get(name)
    if name == plan.readout:
        return Population(name=name, shape=shape, kind="readout"), np.ones((), np.float32)
    with at_node(node), np.errstate(over="ignore", under="ignore"):  # what overflows is refused as not finite
        dynamics = dynamics_of(node, shape, choices, None if gate is None else graph.nodes[gate])
        kind: PopulationKind = "readout" if gate is None and node.kind in INTEGRATORS else "spiking"
        population = Population(name=name, shape=shape, kind=kind, neuron=dynamics.neuron, bias=dynamics.bias)
    return population, dynamics.gain


def _gain(gain: Array, arriving: Shape, shape: Shape) -> tuple[Scale, ...]:
    """The map that multiplies by `gain`, if it is not 1. gain: fits `shape`, which has as many values as `arriving`."""
    if (gain == 1).all():
        return ()
    fits = gain.ndim == 0 or arriving == shape
    return (Scale(scale=gain if fits else np.broadcast_to(gain, shape).reshape(arriving)),)


def _with_bias(population: Population, bias: Array, node: NirNode) -> Population:
    """`bias` (a value per neuron, to the current) added to a population's own."""
    if not bias.any():
        return population
    if population.neuron is not None and population.neuron.bias_target == "membrane":
        raise CompileError("GSM-304", "v_leak and a bias behind delays of different length", where=node.where)
    total = np.broadcast_to(population.bias, population.shape) + bias.reshape(population.shape)
    return replace(population, bias=np.asarray(total, np.float32))
