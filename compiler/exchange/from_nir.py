"""A network from a NIR graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..ir import Connection, InputCoding, Network, Population
from ..maps import Map, Scale, Shape, broadcast
from .choices import NirChoices
from .nir_graph import INTEGRATORS, STATEFUL, Chain, NirGraph, NirNode, chains, flatten
from .nir_loops import closing_pairs, in_order
from .nir_maps import at_node, numbers
from .nir_neurons import Dynamics, dynamics_of, population_shape
from .nir_record import read_record, record_of
from .nir_wires import Wire, per_synapse, wire_of
from .stated import stated_in


def from_nir(graph: Any, choices: NirChoices | None = None) -> Network:
    """Read a network from NIR.

    Populations are named as the graph's nodes are; a connection is the chain of stateless nodes between two neurons.

    Args:
        graph: the path of a .nir file, or a NIRGraph of the `nir` package.
        choices: what NIR leaves open (see NirChoices, framework_choices).
    Returns: a float32 network; a neuron population or LI at the Output is read itself, anything else by a readout
        that averages its input over time.
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
        choices = _with_network(choices, stated)
        name = str(stated.get("name", name))
    return _Reader(flat, choices).network(name, version, stated or {})


def _with_network(choices: NirChoices, stated: Mapping[str, Any]) -> NirChoices:
    """What our own file says of the network as a whole, where the caller says nothing."""
    try:
        return replace(
            choices, dt=choices.dt or stated["dt"], output=choices.output or stated["output"],
            n_steps=choices.n_steps or stated["n_steps"],
            coding=InputCoding(**stated["coding"]) if choices.coding == NirChoices().coding else choices.coding,
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise CompileError("GSM-105", "metadata are damaged", where="NIR graph", found=error) from None
