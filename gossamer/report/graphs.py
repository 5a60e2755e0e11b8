"""A synaptic graph in words and tables."""

from typing import Any

from rich.console import Group

from ..compiler import SharedCsr, SynapticGraph
from . import numbers
from .tables import table


def graph_facts(graph: SynapticGraph) -> dict[str, Any]:
    """What a graph is, for JSON."""
    return {
        "name": graph.name,
        "arithmetic": graph.arithmetic,
        "n_steps": graph.n_steps,
        "input_coding": graph.coding.kind,
        "output": graph.output,
        "reset_between_samples": graph.reset_between_samples,
        "recurrent": graph.is_recurrent,
        "populations": [
            {
                "name": p.name,
                "kind": p.kind,
                "shape": list(p.shape),
                "neurons": p.n_neurons,
                "synapses": graph.n_synapses(p.name),
                "weights": graph.n_weights(p.name),
                "memory_bytes": dict(zip(("stored", "unrolled"), graph.memory(p.name), strict=True)),
            }
            for p in graph.populations
        ],
        "projections": [
            {
                "source": p.source,
                "target": p.target,
                "stored": "shared" if isinstance(p, SharedCsr) else "explicit",
                "weights": int(p.weights.size),
                "dtype": str(p.weights.dtype),
                "delay": [p.min_delay, p.max_delay],
                "pool": list(p.pool),
            }
            for p in graph.projections
        ],
    }


def graph_table(graph: SynapticGraph) -> Group:
    """One row per population: neurons, synapses, stored weights, memory both ways."""
    facts = graph_facts(graph)["populations"]
    rows = [
        [
            p["name"],
            p["kind"],
            "x".join(map(str, p["shape"])),
            numbers.count(p["neurons"]),
            numbers.count(p["synapses"]),
            numbers.count(p["weights"]),
            numbers.size(p["memory_bytes"]["stored"]),
            numbers.size(p["memory_bytes"]["unrolled"]),
        ]
        for p in facts
    ]
    sums = [sum(p[key] for p in facts) for key in ("neurons", "synapses", "weights")]
    memory = [sum(p["memory_bytes"][key] for p in facts) for key in ("stored", "unrolled")]
    rows.append(["all", "", "", *map(numbers.count, sums), *map(numbers.size, memory)])
    columns = (
        "population",
        "kind",
        "shape",
        ">neurons",
        ">synapses",
        ">stored weights",
        ">memory, as stored",
        ">memory, unrolled",
    )
    title = f"{graph.name}: {graph.arithmetic}, T = {graph.n_steps}, {graph.coding.kind} input"
    return table(title, columns, rows, footer=True)


def projection_table(graph: SynapticGraph) -> Group:
    """One row per projection."""
    rows = [
        [
            p["source"],
            p["target"],
            p["stored"],
            p["dtype"],
            numbers.count(p["weights"]),
            _span(p["delay"]),
            _pool(p["pool"]),
        ]
        for p in graph_facts(graph)["projections"]
    ]
    columns = ("from", "to", "synapses", "weights", ">stored", ">delay, steps", "pooling")
    return table("Projections", columns, rows)


def _span(delay: list[int]) -> str:
    return str(delay[0]) if delay[0] == delay[1] else f"{delay[0]} to {delay[1]}"


def _pool(pool: list[int]) -> str:
    return "" if pool == [1, 1] else f"{pool[0]}x{pool[1]}"
