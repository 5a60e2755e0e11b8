"""The ways of a NIR graph that become connections, and the populations that they join."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import CompileError
from .nir_graph import INTEGRATORS, STATEFUL, Chain, NirGraph, NirNode, chains
from .nir_loops import in_order


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """ways: become connections. order: the nodes that become populations, the Input first, sources before targets.

    gates: by integrator, the Threshold that makes a spiking neuron of it. output: the population that is read.
    readout: the Output node that becomes a population, because weights lead to it; else None.
    """

    ways: tuple[Chain, ...]
    order: tuple[str, ...]
    gates: Mapping[str, str]
    output: str
    readout: str | None


def plan_of(graph: NirGraph, output: str | None) -> Plan:
    """Find what becomes of the graph's nodes.

    Args:
        output: the Output node to read, None if there is one.
    Raises:
        CompileError: GSM-303 if there are several Outputs, GSM-304 where a membrane is passed on, GSM-306 for
            populations that nothing leads to.
    """
    start, end = _input(graph), _output(graph, output)
    ways = [w for w in chains(graph) if graph.nodes[w.target].kind != "Output" or w.target == end.name]
    ways, gates = _fuse_gates(graph, ways)
    last = [w for w in ways if w.target == end.name]
    itself = len(last) == 1 and not _acts(graph, last[0]) and last[0].source != start.name
    if itself:
        ways.remove(last[0])
    order = in_order(start.name, [(w.source, w.target) for w in ways])
    expected = [n for n in graph.named(*STATEFUL) if n not in gates.values()] + ([] if itself else [end.name])
    for name in expected:
        if name not in order:
            raise CompileError("GSM-306", "nothing leads here from the Input", where=graph.nodes[name].where)
    for way in ways:
        if graph.nodes[way.source].kind in INTEGRATORS and way.source not in gates:
            raise CompileError(
                "GSM-304", "a membrane that does not spike can only be read, not passed on",
                where=graph.nodes[way.source].where, found=f"leads to {way.target!r}",
                expected="an Output by itself, or one Threshold right behind it",
            )  # fmt: skip
    return Plan(
        ways=tuple(sorted(ways, key=lambda w: (order.index(w.target), order.index(w.source), w.through))),
        order=tuple(order), gates=gates, output=last[0].source if itself else end.name,
        readout=None if itself else end.name,
    )  # fmt: skip


def _input(graph: NirGraph) -> NirNode:
    inputs = graph.named("Input")
    if len(inputs) != 1:
        raise CompileError(
            "GSM-304" if inputs else "GSM-306", "a network has one Input", where="NIR graph",
            found=", ".join(inputs) or "none", remedy="" if inputs else "add an Input node with the shape of a sample",
        )  # fmt: skip
    return graph.nodes[inputs[0]]


def _output(graph: NirGraph, chosen: str | None) -> NirNode:
    outputs = graph.named("Output")
    if chosen is not None and chosen not in outputs:
        raise CompileError("GSM-303", "no such Output", where="NIR graph", found=chosen, expected=", ".join(outputs))
    if chosen is None and len(outputs) > 1:
        raise CompileError(
            "GSM-303", "several Outputs, and a network is read in one place", where="NIR graph",
            found=", ".join(outputs), remedy="state which: --nir output=NAME",
        )  # fmt: skip
    return graph.nodes[chosen or outputs[0]]


def _fuse_gates(graph: NirGraph, ways: Sequence[Chain]) -> tuple[list[Chain], dict[str, str]]:
    """An integrator that feeds nothing but a Threshold of its own is a neuron without a reset.

    Returns: the ways, with those from such a Threshold put in the integrator's name; the Threshold of each integrator.
    """
    gates: dict[str, str] = {}
    for name in graph.named(*INTEGRATORS):
        leaving = [w for w in ways if w.source == name]
        if len(leaving) != 1 or _acts(graph, leaving[0]) or graph.nodes[leaving[0].target].kind != "Threshold":
            continue
        if sum(w.target == leaving[0].target for w in ways) == 1:
            gates[name] = leaving[0].target
    owner = {gate: name for name, gate in gates.items()}
    return [replace(w, source=owner.get(w.source, w.source)) for w in ways if w.target not in owner], gates


def _acts(graph: NirGraph, way: Chain) -> bool:
    return any(graph.nodes[name].kind not in ("Identity", "Flatten") for name in way.through)
