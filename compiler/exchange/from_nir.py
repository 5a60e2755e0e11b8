"""A network from a NIR graph."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import CompileError
from ..ir import InputCoding, Network
from .choices import NirChoices
from .nir_file import read_record
from .nir_graph import flatten
from .nir_network import assemble
from .nir_plan import plan_of
from .nir_record import record_of
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
    plan = plan_of(flat, choices.output)
    populations, connections = assemble(flat, plan, choices)
    return Network(
        name=name,
        populations=populations,
        connections=connections,
        output=plan.output,
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
