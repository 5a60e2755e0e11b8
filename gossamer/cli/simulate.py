"""gossamer simulate: run a graph and count."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AsJson, Chips, Cluster, Data, DataDir, Limit, Split
from .output import note, print_json, show


def simulate(
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph; a checkpoint is compiled on the fly.")],
    data: Data,
    data_dir: DataDir = None,
    split: Split = "test",
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="T", help="Steps per sample. Default: the network's own.")
    ] = None,
    chip: Chips = None,
    limit: Limit = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Default: one per core.")] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="auto|event|bits",
            help="event: every spike by itself. bits: eight steps at a time, networks without cycles.",
        ),
    ] = "auto",
    cluster: Cluster = None,
    record: Annotated[bool, typer.Option("--record", help="Keep every spike of every population in the run.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Save what happened, for energy and report.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a graph on data, and count what happens.

    Counts are exact integers. They depend neither on the engine, nor on threads or machines, nor on how synapses are
    stored.
    """
    from ..cluster import simulate_on_cluster
    from ..files import load_runnable
    from ..report.energies import energies_json
    from ..report.tables import activity_table, energy_remarks, energy_table
    from ..report.words import run_line
    from ..samples import check_classes, load_samples, n_outputs
    from ..simulator import simulate as run
    from ..verbs import energy
    from . import check
    from .progress import compiling, counting

    chips = check.chips(chip)
    check.writable(out)
    check.cluster(cluster)
    compiled, on_the_fly = load_runnable(graph)
    if on_the_fly:
        note(f"{graph} is a checkpoint: compiled on the fly, in {compiled.arithmetic}")
    samples = load_samples(data, split=split, data_dir=data_dir, limit=limit)
    check_classes(samples.n_classes, n_outputs(compiled), data=data)
    options: dict[str, Any] = {"n_steps": steps, "threads": threads, "engine": engine, "record": ("*",) * record}
    with compiling(), counting("simulating") as progress:
        if cluster is None:
            activity = run(compiled, samples.x, samples.y, progress=progress, **options)
        else:
            there: dict[str, Any] = {"address": cluster, "progress": progress}
            activity = simulate_on_cluster(compiled, samples.x, samples.y, **there, **options)
    if out is not None:
        activity.save(out)
        note(f"wrote {out}")
    reports = energy(activity, chips)
    if as_json:
        print_json({**activity.to_dict(), **({"energy_pj": energies_json(reports)} if chips else {})})
        return
    show(run_line(activity), activity_table(activity))
    for report in reports.values():
        show(energy_table(report), *energy_remarks(report, activity.arithmetic))
