"""gossamer inspect: say what a file is and what is in it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AsJson
from .output import print_json, show


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file of Gossamer's, or a .nir file.")],
    as_json: AsJson = False,
) -> None:
    """Say what a file is and what is in it.

    Kind, version, digest, populations, synapses, metadata; every checksum is verified on the way.
    """
    from ..describe import describe

    facts = describe(file)
    if as_json:
        print_json(facts)
        return
    show(*_head(facts))
    if facts["kind"] in ("checkpoint", "nir"):
        _show_network(facts)
    elif facts["kind"] == "graph":
        _show_graph(file)
    elif facts["kind"] == "activity":
        _show_run(file)
    else:
        from ..report.tables import table

        show(table("Arrays", ("name", "type"), facts["arrays"].items()))
    for title in ("metadata", "header"):
        if facts.get(title):
            show(f"{title}:", json.dumps(facts[title], indent=2))


def _head(facts: dict[str, Any]) -> list[str]:
    from ..report.numbers import size
    from ..report.text import clean

    lines = [f"{facts['file']}: {facts['kind']}"]
    if "version" in facts:
        lines[0] += f", format version {facts['version']}, {size(facts['bytes'])}"
        lines.append(f"sha256 {facts['sha256']}, checked")
    if "name" in facts:
        lines.append(f"network {facts['name']}: {facts['arithmetic']}, output {facts['output']}")
    if "n_steps" in facts and facts["kind"] != "activity":
        coding = facts["input_coding"]
        kind = coding["kind"] if isinstance(coding, dict) else coding
        resets = "reset between samples" if facts["reset_between_samples"] else "state carried from sample to sample"
        lines.append(f"T = {facts['n_steps']} steps, {kind} input, {resets}")
    if facts.get("open"):
        lines.append(f"this file leaves a convention open: {facts['open']['what']} (at {facts['open']['where']})")
        lines.append(f"  {facts['open']['remedy']}")
    return [clean(line) for line in lines]


def _show_network(facts: dict[str, Any]) -> None:
    from ..report.networks import connection_table, population_table

    show(population_table(facts["populations"]), connection_table(facts["connections"]))


def _show_graph(file: Path) -> None:
    from ..compiler import load_graph
    from ..report.graphs import graph_table, projection_table
    from ..report.networks import population_facts, population_table

    graph = load_graph(file)
    rows = [population_facts(p) for p in graph.populations]
    show(graph_table(graph), population_table(rows), projection_table(graph))


def _show_run(file: Path) -> None:
    from ..report.tables import activity_table
    from ..report.words import run_line
    from ..simulator import load_activity

    run = load_activity(file)
    recorded = ", ".join(run.spikes) or "none"
    show(run_line(run), activity_table(run), f"recorded spikes: {recorded}")
