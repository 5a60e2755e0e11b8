"""A network and a chip as the files that `sanafe_run.py` reads in another environment, which has no Gossamer."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.compiler import Csr, SynapticGraph
from gossamer.hwmodels import Chip, Price, PriceList

JOULES = 1e-12  # in a picojoule
NETWORK, ARCHITECTURE = "network.npz", "architecture.yaml"


def write_network(folder: Path, graph: SynapticGraph, x: np.ndarray) -> None:
    """Write a chain of explicit integer projections, each with a delay of one step, and spikes (n_samples, T, inputs).

    The delay is SANA-FE's: what a neuron sends in a step, others get in the next.
    """
    arrays: dict[str, np.ndarray] = {"x": x, "names": np.array([p.name for p in graph.populations])}
    arrays["sizes"] = np.array([p.n_neurons for p in graph.populations])
    for source, p, target in zip(graph.populations, graph.projections, graph.populations[1:], strict=False):
        neuron = target.neuron
        if not isinstance(p, Csr) or p.delay != 1 or (p.source, p.target) != (source.name, target.name):
            raise ValueError(f"{p.source} to {p.target} is no link of a chain with a delay of one step")
        if neuron is None or graph.arithmetic != "int" or (neuron.reset, neuron.comparator) != ("subtract", ">="):
            raise ValueError(f"{target.name} does not add integers, fire at its threshold and subtract it")
        arrays |= {f"starts.{target.name}": p.row_start, f"targets.{target.name}": p.targets}
        arrays |= {f"weights.{target.name}": p.weights, f"threshold.{target.name}": neuron.threshold}
    np.savez(folder / NETWORK, **arrays)


def write_architecture(folder: Path, chip: Chip, prices: PriceList, n_inputs: int) -> None:
    """Write `architecture` as JSON, which YAML includes."""
    (folder / ARCHITECTURE).write_text(json.dumps(architecture(chip, prices, n_inputs), indent=1), encoding="utf-8")


def architecture(chip: Chip, prices: PriceList, n_inputs: int) -> dict[str, Any]:
    """The chip as SANA-FE describes one: a mesh of tiles of cores, with a price on each unit.

    The first tile has the units that send the input, one for each of its neurons. A chip file knows no times, so all
    of them are 0.
    """
    mesh, per_core = chip.capacities.mesh, chip.capacities.neurons_per_core
    if mesh is None or per_core is None or n_inputs > per_core:
        raise ValueError(f"{chip.name}: needs a mesh, and cores of at least {n_inputs} neurons")
    hop = _price(prices, "hop")
    along, across = hop.low_pj * JOULES, hop.high_pj * JOULES
    hops = {"east": along, "west": along, "north": across, "south": across}
    links = {f"energy_{way}_hop": price for way, price in hops.items()} | {f"latency_{way}_hop": 0.0 for way in hops}
    first = {"name": "tile0", "attributes": links, "core": [_core(mesh.cores_per_tile, per_core, prices, n_inputs)]}
    others = f"tile[1..{mesh.width * mesh.height - 1}]"
    rest = {"name": others, "attributes": links, "core": [_core(mesh.cores_per_tile, per_core, prices, 0)]}
    attributes = {"topology": "mesh", "width": mesh.width, "height": mesh.height, "link_buffer_size": 16}
    attributes |= {"sync_model": "fixed", "latency_sync": 0.0}
    return {"architecture": {"name": chip.name, "attributes": attributes, "tile": [first, rest]}}


def _core(n: int, per_core: int, prices: PriceList, n_inputs: int) -> dict[str, Any]:
    """`n` cores: what a synaptic operation, an update and a spike cost, once each, and nothing else."""
    update = _price(prices, "neuron_update").pj
    somas = [_soma("neurons", "leaky_integrate_fire", update, _price(prices, "spike").pj)]
    if n_inputs:
        somas.append(_soma(f"input[0..{n_inputs - 1}]", "input", 0.0, _price(prices, "spike").pj))
    synapse = {"energy_process_spike": _price(prices, "synaptic_op").pj * JOULES, "latency_process_spike": 0.0}
    return {
        "name": f"core[0..{n - 1}]",
        "attributes": {"buffer_position": "soma", "buffer_inside_unit": False, "max_neurons_supported": per_core},
        "axon_in": [{"name": "in", "attributes": {"energy_message_in": 0.0, "latency_message_in": 0.0}}],
        "synapse": [{"name": "synapses", "attributes": {"model": "current_based", **synapse}}],
        "dendrite": [
            {"name": "sums", "attributes": {"model": "accumulator", "energy_update": 0.0, "latency_update": 0.0}}
        ],
        "soma": somas,
        "axon_out": [{"name": "out", "attributes": {"energy_message_out": 0.0, "latency_message_out": 0.0}}],
    }


def _soma(name: str, model: str, update_pj: float, spike_pj: float) -> dict[str, Any]:
    energies = {"access_neuron": 0.0, "update_neuron": update_pj * JOULES, "spike_out": spike_pj * JOULES}
    attributes = {f"energy_{event}": energy for event, energy in energies.items()}
    return {"name": name, "attributes": {"model": model, **attributes, **{f"latency_{e}": 0.0 for e in energies}}}


def _price(prices: PriceList, event: Any) -> Price:
    price = prices.price_of(event)
    if not isinstance(price, Price):
        raise ValueError(f"{prices.name}: no price for a {event}")
    return price
