"""gossamer compile: from a checkpoint or a .nir file to a synaptic graph."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .nir import (
    Coding,
    Comparator,
    Dt,
    Framework,
    InputShape,
    NirFields,
    Reset,
    ResetDelay,
    Steps,
    UpdateOrder,
    choices,
)
from .options import AsJson, Out
from .output import note, print_json, show


def compile(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT|FILE.nir", help="The trained network.")],
    out: Out,
    weight_bits: Annotated[
        int | None,
        typer.Option("--weight-bits", metavar="N", help="Quantize to integers of N bits, 2 to 16. Default: float32."),
    ] = None,
    per: Annotated[
        str, typer.Option("--per", metavar="layer|channel", help="One integer unit per layer or per channel.")
    ] = "layer",
    unroll: Annotated[bool, typer.Option("--unroll", help="Store convolutions as explicit synapses too.")] = False,
    framework: Framework = None,
    reset: Reset = None,
    comparator: Comparator = None,
    dt: Dt = None,
    update_order: UpdateOrder = None,
    reset_delay: ResetDelay = None,
    input_shape: InputShape = None,
    coding: Coding = None,
    steps: Steps = None,
    nir: NirFields = None,
    as_json: AsJson = False,
) -> None:
    """Compile a trained network to its synaptic graph.

    What the file is, is told by its content. A .nir file leaves some conventions open; the options that begin with
    "NIR:" state them, and without them a file that needs them is refused with the reason.
    """
    from ..files import load_network
    from ..report.graphs import graph_facts, graph_table
    from ..verbs import compile as compile_graph
    from .check import one_of, writable

    one_of(per, ("layer", "channel"), option="--per")
    writable(out)
    stated: dict[str, Any] = choices(
        framework=framework,
        reset=reset,
        comparator=comparator,
        dt=dt,
        update_order=update_order,
        reset_delay=reset_delay,
        input_shape=input_shape,
        coding=coding,
        n_steps=steps,
        more=nir or [],
    )
    network = load_network(source, **stated)
    graph = compile_graph(network, weight_bits=weight_bits, per=per, unroll=unroll)  # type: ignore[arg-type]
    digest = graph.save(out)
    if as_json:
        print_json({"graph": str(out), "sha256": digest, **graph_facts(graph)})
        return
    show(graph_table(graph))
    note(f"wrote {out}")
