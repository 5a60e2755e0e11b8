"""A NIR graph without graphs inside it, and the chains of stateless nodes between its stateful ones."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CompileError
from .nir_record import MAX_DEPTH, Record, edge_list

STATEFUL = ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI", "Threshold")
INTEGRATORS = ("I", "LI", "CubaLI")  # they pass on a membrane, not spikes
STATELESS = ("Affine", "Linear", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Scale", "Delay")
SUPPORTED = ("Input", "Output", "NIRGraph", *STATEFUL, *STATELESS)
MAX_STEPS = 100_000  # of the search for chains: a few diamonds of stateless nodes make millions of ways

_CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation", "groups")
_POOL = ("kernel_size", "stride", "padding")
_REQUIRED = {
    "Input": (), "Output": (), "Identity": (), "Affine": ("weight", "bias"), "Linear": ("weight",),
    "Conv1d": _CONVOLUTION, "Conv2d": _CONVOLUTION, "SumPool2d": _POOL, "AvgPool2d": _POOL,
    "Flatten": ("start_dim", "end_dim"), "Scale": ("scale",), "Delay": ("delay",), "Threshold": ("threshold",),
    "IF": ("r", "v_threshold"), "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), "I": ("r",), "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class NirNode:
    """One node: its kind ("LIF", ...; "Identity" for the Input and Output of a graph within a graph) and its fields."""

    name: str
    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in _REQUIRED:
            raise CompileError(
                "GSM-304", "this kind of node is not supported", where=f"NIR node {self.name!r}", found=self.kind,
                expected=", ".join(SUPPORTED),
            )  # fmt: skip
        missing = [f for f in _REQUIRED[self.kind] if self.fields.get(f) is None]
        if missing:
            raise CompileError("GSM-105", "a field is missing", where=self.where, expected=", ".join(missing))

    @property
    def where(self) -> str:
        """For messages."""
        return f"NIR node {self.name!r} ({self.kind})"


@dataclass(frozen=True, eq=False, kw_only=True)
class NirGraph:
    """Nodes by name, and edges in the order of their names. No node is a graph."""

    nodes: Mapping[str, NirNode]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]

    def after(self, name: str) -> list[str]:
        """Where the edges from a node lead."""
        return [b for a, b in self.edges if a == name]

    def named(self, *kinds: str) -> list[str]:
        """Names of the nodes of these kinds, in alphabetical order."""
        return sorted(name for name, node in self.nodes.items() if node.kind in kinds)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A way from one stateful node (or the Input) to the next (or an Output), through stateless nodes."""

    source: str
    target: str
    through: tuple[str, ...]


def flatten(record: Record) -> NirGraph:
    """Put the nodes of inner graphs beside the others, as "outer.inner"; their Input and Output pass on what they get.

    Raises:
        CompileError: GSM-304 for nodes and nestings that are not supported, GSM-306 for edges that lead nowhere.
    """
    if record.get("type") != "NIRGraph":
        raise CompileError(
            "GSM-306", "not a graph", found=record.get("type", "nothing"), expected="a NIRGraph with Input and Output"
        )
    nodes, edges = _flatten(record, "", 0)
    for (a, b), n in Counter(edges).items():
        if n > 1:
            raise CompileError("GSM-306", "two edges join the same nodes", found=f"{a!r} -> {b!r}")
    if not any(node.kind == "Output" for node in nodes.values()):
        _add_output(nodes, edges)
    metadata = record.get("metadata", {})
    return NirGraph(nodes=nodes, edges=tuple(sorted(edges)), metadata=metadata if isinstance(metadata, Mapping) else {})


def _flatten(record: Record, prefix: str, depth: int) -> tuple[dict[str, NirNode], list[tuple[str, str]]]:
    where = f"NIR graph {prefix[:-1]!r}" if prefix else "NIR graph"
    inner = record.get("nodes")
    if depth > MAX_DEPTH or not isinstance(inner, Mapping):
        what = "graphs nest too deep" if depth > MAX_DEPTH else "graph has no nodes"
        raise CompileError("GSM-306", what, where=where)
    nodes: dict[str, NirNode] = {}
    edges: list[tuple[str, str]] = []
    entry, leave = {}, {}
    for name, node in inner.items():
        kind = node.get("type") if isinstance(node, Mapping) else None
        if not isinstance(kind, str):
            raise CompileError("GSM-105", "a node has no type", where=f"NIR node {prefix + name!r}")
        entry[name] = leave[name] = prefix + name
        if kind == "NIRGraph":
            added, inner_edges = _flatten(node, f"{prefix}{name}.", depth + 1)
            entry[name], leave[name] = _ports(node["nodes"], prefix + name)
            edges += inner_edges
        else:
            kind = "Identity" if depth and kind in ("Input", "Output") else kind
            metadata = node.get("metadata", {})
            fields = {k: v for k, v in node.items() if k not in ("type", "metadata")}
            metadata = metadata if isinstance(metadata, Mapping) else {}
            added = {prefix + name: NirNode(name=prefix + name, kind=kind, fields=fields, metadata=metadata)}
        for key, value in added.items():
            if key in nodes:
                raise CompileError("GSM-306", "two nodes share a name", where=where, found=key)
            nodes[key] = value
    for a, b in edge_list(record.get("edges", ()), where=where):
        for end in (a, b):
            if end not in inner:
                raise CompileError(
                    "GSM-306", "an edge names a node that does not exist", where=where, found=f"{a!r} -> {b!r}",
                    expected=", ".join(inner),
                )  # fmt: skip
        edges.append((leave[a], entry[b]))
    return nodes, edges


def _add_output(nodes: dict[str, NirNode], edges: list[tuple[str, str]]) -> None:
    """The `nir` package adds a missing Output where a graph ends; so do we, if it ends in one place."""
    leads_on = {a for a, _ in edges}
    ends = sorted(name for name in nodes if name not in leads_on)
    if len(ends) != 1 or "output" in nodes:
        raise CompileError(
            "GSM-306",
            "graph has no Output",
            found=f"it ends in {', '.join(ends) or 'no node'}",
            expected="an Output node",
        )
    nodes["output"] = NirNode(name="output", kind="Output")
    edges.append((ends[0], "output"))


def _ports(nodes: Mapping[str, Record], name: str) -> tuple[str, str]:
    """Where edges into and out of an inner graph lead: to its one Input, from its one Output."""
    ports = {kind: [k for k, node in nodes.items() if node.get("type") == kind] for kind in ("Input", "Output")}
    for kind, found in ports.items():
        if len(found) != 1:
            raise CompileError(
                "GSM-304", f"an inner graph needs exactly one {kind}, for edges name none", where=f"NIR graph {name!r}",
                found=found or "none",
            )  # fmt: skip
    return f"{name}.{ports['Input'][0]}", f"{name}.{ports['Output'][0]}"


def chains(graph: NirGraph) -> list[Chain]:
    """Every way from the Input or a stateful node to the next stateful node or Output, sorted.

    A stateless node with several inputs or outputs lies on several chains.

    Raises:
        CompileError: GSM-306 for loops without a neuron, stateless nodes on no chain, edges into the Input or out of an
            Output; GSM-304 for too many chains.
    """
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        after[a].append(b)
    for name in graph.named("Output"):
        if after[name]:
            raise CompileError(
                "GSM-306", "an edge leaves an Output", where=graph.nodes[name].where, found=after[name][0]
            )
    found = [c for source in graph.named("Input", *STATEFUL) for c in _chains_from(graph, after, source)]
    used = {name for chain in found for name in chain.through}
    for name in graph.named(*STATELESS):
        if name not in used:
            raise CompileError("GSM-306", "leads from nowhere or to nowhere", where=graph.nodes[name].where)
    return found


def _chains_from(graph: NirGraph, after: Mapping[str, list[str]], source: str) -> list[Chain]:
    found: list[Chain] = []
    stack: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in reversed(after[source])]
    for _ in range(MAX_STEPS):
        if not stack:
            return found
        name, through = stack.pop()
        node = graph.nodes[name]
        if node.kind == "Input":
            raise CompileError("GSM-306", "an edge ends in the Input", where=node.where)
        if node.kind in STATEFUL or node.kind == "Output":
            found.append(Chain(source=source, target=name, through=through))
        elif name in through:
            raise CompileError("GSM-306", "a loop without a neuron in it", where=node.where, found=" -> ".join(through))
        else:
            stack += [(following, (*through, name)) for following in reversed(after[name])]
    raise CompileError(
        "GSM-304",
        "too many ways lead on through stateless nodes",
        where=graph.nodes[source].where,
        found=f"> {MAX_STEPS}",
    )
