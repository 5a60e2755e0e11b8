"""A NIR graph from a network."""

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array
from ..container import atomic_path
from ..errors import CompileError
from ..ir import Network
from ..neurons import Neuron
from ..passes import apply_masks, fold_batch_norm
from .nir_export_maps import chain_nodes, route_of, scale_of_one
from .nir_export_neurons import nodes_of
from .nir_export_routes import flat_populations, implicit_delays, place_biases
from .nir_loops import Pair, in_order
from .packages import optional_package
from .stated import metadata_of


def to_nir(network: Network, *, dt: float = 1e-4) -> Any:
    """Say a network in NIR.

    Everything that NIR's equations have is in the nodes, for any tool to read; what they lack (see unsaid_in_nir) is
    in the metadata, so that from_nir gives the same spikes without a question.

    Args:
        network: float32. Masks and batch norm are folded.
        dt: seconds per step; snnTorch and SpikingJelly assume 1e-4.
    Returns: a NIRGraph of the `nir` package.
    Raises:
        CompileError: GSM-304 naming what NIR cannot say, GSM-305 for a dt that is none, GSM-701 without `nir`.
    """
    nir = optional_package("nir")
    if not (isfinite(dt) and dt > 0):
        raise CompileError("GSM-305", "not a time step", where="dt", found=dt, expected="seconds > 0")
    _check(network)
    network = fold_batch_norm(apply_masks(network))
    routes = [route_of(c, network[c.source].shape) for c in network.connections]
    routes, v_leaks = place_biases(network, routes)
    flat = flat_populations(network, routes)

    said = _say_populations(nir, network, v_leaks, flat, dt)
    implicit = implicit_delays(
        [replace(r, source=said.enters[r.source], target=said.enters[r.target]) for r in routes],
        said.enters[network.input.name],
    )
    for route in routes:
        source, target = said.enters[route.source], said.enters[route.target]
        if route.delay == 1 and (source, target) in implicit:
            route = replace(route, delay=0)
        is_flat = route.target in flat or len(network[route.target].shape) == 1
        chain = chain_nodes(nir, route, flat_source=route.source in flat, flat_target=is_flat, dt=dt)
        ends = said.leaves[route.source], target
        if not chain and (ends in said.edges or network[route.target].neuron is None):
            chain = [scale_of_one(nir, route.input_shape)]  # an edge alone would be a second one, or mean spike counts
        said.edges.extend(_insert(said.nodes, f"{source}_to_{target}", ends, chain))
    metadata = metadata_of({
        "name": network.name, "n_steps": int(network.n_steps), "coding": asdict(network.coding), "dt": dt,
        "reset_between_samples": network.reset_between_samples, "output": said.output,
    })  # fmt: skip
    return nir.NIRGraph(nodes=said.nodes, edges=said.edges, metadata=metadata, type_check=False)


def write_nir(network: Network, path: str | Path, *, dt: float = 1e-4) -> None:
    """Write a network as a .nir file, atomically. Raises as to_nir, and GSM-106 if the file cannot be written."""
    graph = to_nir(network, dt=dt)
    nir = optional_package("nir")
    with atomic_path(path) as temporary:
        nir.write(temporary, graph)


def unsaid_in_nir(network: Network) -> tuple[str, ...]:
    """What a reader of the file who goes by NIR's equations alone gets otherwise, in words, one entry each."""
    unsaid = []
    for p in network.populations:
        if p.neuron is not None:
            unsaid += [f"population {p.name!r}: {what}" for what in _unsaid_of(p.neuron, fires=p.kind == "spiking")]
    if network.coding.kind != "events":
        unsaid.append(f"input: samples become steps by {network.coding.kind} coding")
    if not network.reset_between_samples:
        unsaid.append("network: states are kept from one sample to the next")
    return tuple(unsaid)


def _unsaid_of(n: Neuron, *, fires: bool) -> list[str]:
    unsaid = []
    if fires and n.reset == "subtract":
        unsaid.append("a spike subtracts the threshold, and does not set the membrane to zero")
        if n.comparator == ">=":
            unsaid.append("spikes at v >= threshold, and not only above it")
    if fires and n.reset != "none" and n.reset_delay:
        unsaid.append("the reset acts in the next step")
    if n.update_order == "voltage-first":
        unsaid.append("the membrane takes the current of the step before")
    if n.v_init.any():
        unsaid.append("the membrane does not start at rest")
    return unsaid


def _check(network: Network) -> None:
    if network.arithmetic != "float32":
        raise CompileError(
            "GSM-304", "NIR has no integer arithmetic", where=network.name, found=network.arithmetic,
            expected="float32", remedy="export the network as it was before quantization",
        )  # fmt: skip
    for p in network.populations:
        where = f"population {p.name!r}"
        if p.kind in ("join", "relu"):
            what = "graded spikes" if p.kind == "join" else "artificial neurons"
            raise CompileError("GSM-304", f"NIR has no {what}", where=where, found=p.kind)
        if p.kind == "readout" and p.neuron is None and p.name != network.output:
            raise CompileError(
                "GSM-304", "a readout without a membrane is NIR's Output, and a network has one", where=where,
                found=f"output is {network.output!r}",
            )  # fmt: skip
        if (p.unit != 1).any():
            raise CompileError("GSM-304", "NIR has no units of integer weights", where=where)
    reached = in_order(network.input.name, [(c.source, c.target) for c in network.connections])
    for p in network.populations:
        if p.name not in reached:
            raise CompileError("GSM-304", "nothing leads here from the input", where=f"population {p.name!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Said:
    """Nodes and edges so far. enters, leaves: by population, the node that its input goes to and its spikes come from.

    output: the name of the Output.
    """

    nodes: dict[str, Any]
    edges: list[Pair]
    enters: dict[str, str]
    leaves: dict[str, str]
    output: str


def _say_populations(nir: ModuleType, network: Network, v_leaks: dict[str, Array], flat: set[str], dt: float) -> _Said:
    nodes: dict[str, Any] = {}
    edges: list[Pair] = []
    enters = _node_names(p.name for p in network.populations)
    leaves = dict(enters)
    for p in network.populations:
        shape = (p.n_neurons,) if p.name in flat else p.shape
        name = enters[p.name]
        if p.kind == "input":
            nodes[name] = nir.Input(input_type={"input": np.array(shape)})
        elif p.neuron is None:
            nodes[name] = nir.Output(output_type={"output": np.array(shape)})
        else:
            nodes[name], *gate = nodes_of(nir, p, shape, v_leaks.get(p.name), dt)
            if gate:
                leaves[p.name] = _free(f"{name}_spikes", {*nodes, *enters.values()})
                nodes[leaves[p.name]] = gate[0]
                edges.append((name, leaves[p.name]))
    output = enters[network.output]
    if network[network.output].neuron is not None:
        output = _free("output", nodes)
        nodes[output] = nir.Output(output_type=dict(nodes[leaves[network.output]].output_type))
        edges.append((leaves[network.output], output))
    return _Said(nodes=nodes, edges=edges, enters=enters, leaves=leaves, output=output)


def _insert(nodes: dict[str, Any], name: str, ends: tuple[str, str], chain: list[Any]) -> list[Pair]:
    """Add the chain's nodes, the last one named `name`, and return the edges from end to end."""
    names = [ends[0]]
    for node in chain:
        kind = "" if node is chain[-1] else f"_{type(node).__name__.lower()}"
        names.append(_free(name + kind, nodes))
        nodes[names[-1]] = node
    return list(pairwise([*names, ends[1]]))


def _node_names(populations: Iterable[str]) -> dict[str, str]:
    """A node name for each population: its own, without what HDF5 reads as a path."""
    names: dict[str, str] = {}
    for name in populations:
        plain = re.sub(r"[/\0]", "_", name)
        names[name] = _free("_" if plain in (".", "..") else plain, names.values())
    return names


def _free(wish: str, taken: Collection[str]) -> str:
    """`wish`, or with a number if that is taken."""
    name, n = wish, 2
    while name in taken:
        name, n = f"{wish}_{n}", n + 1
    return name
