"""A network in words and tables: populations, conventions, connections."""

from typing import Any

import numpy as np
from rich.console import Group

from ..compiler import (
    COEFFICIENTS,
    CONVENTIONS,
    Array,
    AveragePool2d,
    BatchNorm,
    Connection,
    Conv2d,
    Dense,
    Network,
    Population,
    Scale,
    Sparse,
    SumPool2d,
)
from . import numbers
from .tables import table


def network_facts(network: Network) -> dict[str, Any]:
    """What a network is, for JSON."""
    coding = network.coding
    return {
        "name": network.name,
        "arithmetic": network.arithmetic,
        "n_steps": network.n_steps,
        "input_coding": {k: getattr(coding, k) for k in ("kind", "seed", "phases", "weighted", "levels", "graded")},
        "output": network.output,
        "reset_between_samples": network.reset_between_samples,
        "populations": [population_facts(p) for p in network.populations],
        "connections": [_connection_facts(c) for c in network.connections],
    }


def population_facts(p: Population) -> dict[str, Any]:
    """Shape, kind, and the row of coefficients with its conventions; a range of values as [lowest, highest]."""
    facts: dict[str, Any] = {"name": p.name, "kind": p.kind, "shape": list(p.shape), "neurons": p.n_neurons}
    facts |= {name: span(getattr(p, name)) for name in ("bias", "unit")}
    if p.neuron is not None:
        facts |= {name: span(getattr(p.neuron, name)) for name in COEFFICIENTS}
        facts |= {name: getattr(p.neuron, name) for name in CONVENTIONS}
    return facts


def span(array: Array) -> list[float]:
    """[lowest, highest] value."""
    return [float(array.min()), float(array.max())] if array.size else []


def population_table(populations: list[dict[str, Any]]) -> Group:
    """One row per population with its coefficients and conventions."""
    rows = [
        [
            p["name"],
            p["kind"],
            "x".join(map(str, p["shape"])),
            numbers.count(p["neurons"]),
            *(_words(p.get(name)) for name in ("threshold", "leak", "current_decay", "bias")),
            str(p.get("reset", "")),
            str(p.get("comparator", "")),
            _order(p),
        ]
        for p in populations
    ]
    columns = (
        "population",
        "kind",
        "shape",
        ">neurons",
        ">threshold",
        ">leak",
        ">current decay",
        ">bias",
        "reset",
        "fires at",
        "order",
    )
    return table("Populations", columns, rows)


def connection_table(connections: list[dict[str, Any]]) -> Group:
    """One row per connection."""
    rows = [
        [
            c["source"],
            c["target"],
            " -> ".join(m["text"] for m in c["maps"]),
            numbers.count(c["weights"]),
            numbers.count(c["nonzero"]),
            numbers.percent(c["nonzero"] / c["weights"]) if c["weights"] else "",
            str(c["delay"]),
        ]
        for c in connections
    ]
    columns = ("from", "to", "maps", ">weights", ">non-zero", ">density", ">delay")
    return table("Connections", columns, rows)


def _connection_facts(c: Connection) -> dict[str, Any]:
    maps = [_map_facts(m) for m in c.maps]
    weights, nonzero = (sum(m[key] for m in maps) for key in ("weights", "nonzero"))
    return {
        "source": c.source,
        "target": c.target,
        "delay": int(c.delay),
        "weights": weights,
        "nonzero": nonzero,
        "maps": maps,
    }


def _map_facts(m: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type(m).__name__, "text": _map_words(m), "weights": 0, "nonzero": 0}
    weights = m.weights if isinstance(m, Sparse) else m.weight if isinstance(m, Dense | Conv2d) else None
    if weights is not None:
        mask = getattr(m, "mask", None)
        alive = weights if mask is None else weights * mask
        facts |= {"weights": int(weights.size), "nonzero": int(np.count_nonzero(alive)), "range": span(weights)}
        facts["masked"] = mask is not None
    return facts


def _map_words(m: Any) -> str:
    if isinstance(m, Conv2d):
        words = "conv " + "x".join(map(str, m.weight.shape))
        for name, usual in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(m, name) != usual:
                words += f" {name} {_pair(getattr(m, name))}"
        return words
    if isinstance(m, Dense):
        return f"dense {m.weight.shape[0]}x{m.weight.shape[1]}" + (" with delays" if m.delays is not None else "")
    if isinstance(m, Sparse):
        return f"sparse, {m.weights.size} synapses"
    if isinstance(m, AveragePool2d | SumPool2d):
        return f"{'average' if isinstance(m, AveragePool2d) else 'sum'} pool {_pair(m.kernel)}"
    if isinstance(m, BatchNorm):
        return "batch norm"
    return "scale" if isinstance(m, Scale) else str(type(m).__name__)


def _pair(value: Any) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)


def _words(values: list[float] | None) -> str:
    if not values:
        return ""
    low, high = values
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _order(p: dict[str, Any]) -> str:
    if "reset" not in p:
        return ""
    return str(p["update_order"]) + (", reset one step late" if p["reset_delay"] else "")
