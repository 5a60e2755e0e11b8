"""What is in a file: any of Gossamer's, or a .nir file."""

from pathlib import Path
from typing import Any

from .compiler import (
    COEFFICIENTS,
    CONVENTIONS,
    Network,
    container_identity,
    load_checkpoint,
    load_graph,
    read_container,
)
from .files import file_kind
from .hwmodels import GossamerError
from .report.graphs import graph_facts
from .report.networks import network_facts, population_facts
from .simulator import load_activity

Facts = dict[str, Any]

STATED_FOR_A_LOOK: Facts = {
    "reset": "zero",
    "comparator": ">",
    "dt": 1e-4,
    "decay": "exponential",
    "n_steps": 1,
    "membrane_input": "whole",
    "readout_input": "whole",
    "integrator_input": "whole",
    "synapse_input": "whole",
    "spikes_per_step": "one",
}


def describe(path: str | Path) -> Facts:
    """Kind, version, digest and contents of a file, as JSON values. Every checksum is verified.

    Raises: GossamerError: GSM-101..105 for the file; GSM-2xx for contents that are no network; GSM-304..307 for .nir.
    """
    kind = file_kind(path)
    if kind == "nir":
        return {"file": str(path), "kind": kind, **_nir(path)}
    contents = {"checkpoint": _checkpoint, "graph": _graph, "activity": _activity}.get(kind, _other)(path)
    return {"file": str(path), "kind": kind, **_identity(path), **contents}


def _identity(path: str | Path) -> Facts:
    version, sha256 = container_identity(path)
    return {"version": version, "sha256": sha256, "bytes": Path(path).stat().st_size}


def _checkpoint(path: str | Path) -> Facts:
    network = load_checkpoint(path)
    return {**network_facts(network), "metadata": network.metadata}


def _graph(path: str | Path) -> Facts:
    graph = load_graph(path)
    facts = graph_facts(graph)
    for row, population in zip(facts["populations"], graph.populations, strict=True):
        row |= {k: v for k, v in population_facts(population).items() if k not in row}
    return {**facts, "metadata": graph.metadata}


def _activity(path: str | Path) -> Facts:
    run = load_activity(path)
    recorded = {name: list(spikes.shape) for name, spikes in run.spikes.items()}
    facts = {"graph": run.graph, "graph_sha256": run.graph_sha256, "arithmetic": run.arithmetic}
    return {**facts, **run.to_dict(), "recorded_spikes": recorded}


def _other(path: str | Path) -> Facts:
    kind, any_version = file_kind(path), 1 << 31
    header, arrays, _ = read_container(path, kind, any_version)
    shapes = {name: f"{array.dtype} {list(array.shape)}" for name, array in arrays.items()}
    return {"header": header, "arrays": shapes}


def _nir(path: str | Path) -> Facts:
    """What `from_nir` makes of the file; where the file leaves conventions open, all that does not depend on them."""
    from .verbs import from_nir

    try:
        network = from_nir(path)
    except GossamerError as error:
        if error.code not in ("GSM-303", "GSM-305"):
            raise
        return {**_without_conventions(from_nir(path, **STATED_FOR_A_LOOK)), "open": error.to_dict()}
    return {**network_facts(network), "metadata": network.metadata, "open": None}


def _without_conventions(network: Network) -> Facts:
    facts = network_facts(network)
    for population in facts["populations"]:
        for name in (*COEFFICIENTS, *CONVENTIONS, "bias", "unit"):
            population.pop(name, None)
    for connection in facts["connections"]:
        for m in connection["maps"]:
            m.pop("range", None)
    for name in ("n_steps", "input_coding", "reset_between_samples"):
        del facts[name]
    return facts
