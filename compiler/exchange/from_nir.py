"""A network from a NIR graph."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Connection, InputCoding, Network, Population
from ..maps import Map, Scale, Shape
from .choices import NirChoices
from .nir_graph import INTEGRATORS, STATEFUL, Chain, NirGraph, NirNode, chains, flatten
from .nir_loops import closing_pairs, in_order
from .nir_maps import at_node, numbers
from .nir_neurons import Dynamics, dynamics_of, population_shape
from .nir_record import read_record, record_of
from .nir_wires import Wire, per_synapse, steps_of, wire_of
from .stated import stated_in


def from_nir(graph: Any, choices: NirChoices | None = None) -> Network:
    """Read a network from NIR.

    Populations are named as the graph's nodes are; a connection is a chain of stateless nodes between two neurons.

    Args:
        graph: the path of a .nir file, or a NIRGraph of the `nir` package.
        choices: what NIR leaves open (see NirChoices, framework_choices).
    Returns: a float32 network. Neurons or an integrator right before the Output are read themselves; weights before
        it become a readout that averages its input over time.
    Raises:
        CompileError: GSM-101..105 for the file, GSM-303 and GSM-305 for what has to be stated, GSM-304 for what is
            not supported, GSM-306 for a graph that is none, GSM-307 for shapes, GSM-202, GSM-203 for values.
    """
    choices = NirChoices() if choices is None else choices
    if isinstance(graph, (str, Path)):
        record, version = read_record(graph)
        name = Path(graph).stem
    else:
        record, version, name = record_of(graph), "", "nir"
    flat = flatten(record)
    stated = stated_in(flat.metadata, where="NIR graph")
    if stated is not None:
        choices = _as_stated(choices, stated)
        name = str(stated.get("name", name))
    if choices.n_steps is None and choices.coding.kind != "events":
        raise CompileError(
            "GSM-303", f"NIR has no number of steps, and {choices.coding.kind} coding needs one", where="NIR graph",
            remedy="state it: --steps T",
        )  # fmt: skip
    populations, connections, output = _read(flat, choices)
    return Network(
        name=name,
        populations=populations,
        connections=connections,
        output=output,
        n_steps=choices.n_steps or 1,
        coding=choices.coding,
        reset_between_samples=bool((stated or {}).get("reset_between_samples", True)),
        metadata={"nir": {"version": version, "choices": asdict(choices)}},
    )


def _as_stated(choices: NirChoices, stated: Mapping[str, Any]) -> NirChoices:
    """What our own file says of the network as a whole, where the caller says nothing."""
    try:
        coding = InputCoding(**stated["coding"]) if choices.coding == NirChoices().coding else choices.coding
        return replace(
            choices, coding=coding, dt=choices.dt or stated["dt"], output=choices.output or stated["output"],
            n_steps=choices.n_steps or stated["n_steps"],
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise CompileError("GSM-105", "metadata are damaged", where="NIR graph", found=error) from None


def _read(graph: NirGraph, choices: NirChoices) -> tuple[tuple[Population, ...], tuple[Connection, ...], str]:
    start, end = _input(graph), _output(graph, choices.output)
    ways = [w for w in chains(graph) if graph.nodes[w.target].kind != "Output" or w.target == end.name]
    ways, gates = _fuse_gates(graph, ways)
    ways, read_itself = _end(graph, ways, end)
    order = in_order(start.name, [(w.source, w.target) for w in ways])
    for name in graph.named(*STATEFUL):
        if name not in order and name not in gates.values():
            raise CompileError("GSM-306", "nothing leads here from the Input", where=graph.nodes[name].where)
    if read_itself is None and end.name not in order:
        raise CompileError("GSM-306", "nothing leads here from the Input", where=end.where)

    shapes: dict[str, Shape] = {start.name: _input_shape(graph, start, choices.input_shape)}
    wires: dict[Chain, Wire] = {}

    def wire(way: Chain) -> Wire:
        if way not in wires:
            wires[way] = wire_of([graph.nodes[n] for n in way.through], shapes[way.source], choices.dt)
        return wires[way]

    for name in order[1:]:
        upstream = next((wire(w).shape for w in ways if w.target == name and w.source in shapes), None)
        node = graph.nodes[name]
        shape = upstream if node is end else population_shape(node, upstream)
        if shape is None:
            raise CompileError("GSM-307", "the number of neurons is not known", where=node.where)
        shapes[name] = shape

    populations = {start.name: Population(name=start.name, shape=shapes[start.name], kind="input")}
    gains: dict[str, Array] = {}
    for name in order[1:]:
        node, gate = graph.nodes[name], graph.nodes.get(gates.get(name, ""))
        with at_node(node):
            dynamics = None if node is end else dynamics_of(node, shapes[name], choices, gate)
            populations[name] = _population(node, shapes[name], dynamics, is_readout=gate is None)
        gains[name] = np.ones((), np.float32) if dynamics is None else dynamics.gain

    delayed = {w for w in ways if sum(int(steps_of(graph.nodes[n], choices.dt).min()) for n in w.through if graph.nodes[n].kind == "Delay")}
    closing = closing_pairs(order, [(w.source, w.target) for w in ways if w not in delayed])
    connections: list[Connection] = []
    for way in sorted(ways, key=lambda w: (order.index(w.target), order.index(w.source), w.through)):
        closes = way not in delayed and (way.source, way.target) in closing
        connection, constant = _connection(graph, way, wire(way), shapes, gains[way.target], closes)
        connections.append(connection)
        if constant.any():
            populations[way.target] = _with_constant(populations[way.target], constant)
    output = end.name if read_itself is None else read_itself
    return tuple(populations[name] for name in order), tuple(connections), output


def _input(graph: NirGraph) -> NirNode:
    inputs = graph.named("Input")
    if len(inputs) != 1:
        raise CompileError(
            "GSM-306" if not inputs else "GSM-304", "a network has one Input", where="NIR graph", found=inputs or "none",
            remedy="" if inputs else "add an Input node with the shape of a sample",
        )  # fmt: skip
    return graph.nodes[inputs[0]]


def _output(graph: NirGraph, chosen: str | None) -> NirNode:
    outputs = graph.named("Output")
    if chosen is not None and chosen not in outputs:
        raise CompileError("GSM-303", "no such Output", where="NIR graph", found=chosen, expected=", ".join(outputs))
    if chosen is None and len(outputs) > 1:
        raise CompileError(
            "GSM-303", "several Outputs, and a network is read in one place", where="NIR graph", found=", ".join(outputs),
            remedy="state which: NirChoices(output=...)",
        )  # fmt: skip
    return graph.nodes[chosen or outputs[0]]


def _input_shape(graph: NirGraph, node: NirNode, stated: Shape | None) -> Shape:
    """(n,) or (channels, height, width), without a batch of one; (channels, length) only where a Conv1d follows."""
    if stated is not None:
        return tuple(int(n) for n in stated)
    if node.fields.get("shape") is None:
        raise CompileError("GSM-307", "the Input has no shape", where=node.where, remedy="state it: NirChoices(input_shape=...)")
    found = numbers(node, "shape").ravel()
    shape = tuple(int(n) for n in found)
    one_dimensional = any(graph.nodes[name].kind == "Conv1d" for name in graph.after(node.name))
    if one_dimensional:
        shape = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
        shape = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    elif len(shape) in (2, 4):
        shape = shape[1:] if shape[0] == 1 else shape
        shape = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    if len(shape) not in (1, 3) or min(shape) < 1 or (found != np.rint(found)).any():
        raise CompileError(
            "GSM-307", "not the shape of a sample", where=node.where, found=tuple(found.tolist()),
            expected="(n,), (channels, length) or (channels, height, width)", remedy="state it: NirChoices(input_shape=...)",
        )  # fmt: skip
    return shape


def _fuse_gates(graph: NirGraph, ways: Sequence[Chain]) -> tuple[list[Chain], dict[str, str]]:
    """An integrator that feeds nothing but a Threshold of its own is a neuron without a reset.

    Returns: the ways with such a Threshold's put in the integrator's name; the Threshold of each such integrator.
    """
    gates: dict[str, str] = {}
    for name in graph.named(*INTEGRATORS):
        leaving = [w for w in ways if w.source == name]
        target = leaving[0].target if len(leaving) == 1 and not _acts(graph, leaving[0]) else name
        if graph.nodes[target].kind == "Threshold" and sum(w.target == target for w in ways) == 1:
            gates[name] = target
        elif any(graph.nodes[w.target].kind != "Output" or _acts(graph, w) for w in leaving):
            raise CompileError(
                "GSM-304", "a membrane that does not spike can only be read, not passed on", where=graph.nodes[name].where,
                found=f"leads to {', '.join(sorted({w.target for w in leaving}))}",
                expected="an Output, or one Threshold right behind it",
            )  # fmt: skip
    owner = {gate: name for name, gate in gates.items()}
    kept = [replace(w, source=owner.get(w.source, w.source)) for w in ways if w.target not in owner]
    return kept, gates


def _end(graph: NirGraph, ways: Sequence[Chain], end: NirNode) -> tuple[list[Chain], str | None]:
    """The ways without the last one, and the population to read, if one stands right before the Output."""
    last = [w for w in ways if w.target == end.name]
    if len(last) == 1 and not _acts(graph, last[0]) and graph.nodes[last[0].source].kind != "Input":
        return [w for w in ways if w.target != end.name], last[0].source
    for way in last:
        if graph.nodes[way.source].kind in INTEGRATORS and graph.nodes[way.source] not in ():
            raise CompileError(
                "GSM-304", "a membrane that does not spike can only be read by itself", where=graph.nodes[way.source].where
            )
    return list(ways), None


def _acts(graph: NirGraph, way: Chain) -> bool:
    return any(graph.nodes[name].kind not in ("Identity", "Flatten") for name in way.through)
