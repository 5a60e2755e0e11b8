"""gossamer sweep: networks x bits x steps x chips in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Chips, Cluster, Data, DataDir, Limit, Split
from .output import print_json, show

if TYPE_CHECKING:
    from ..sweeps import Point


def sweep(
    networks: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...", help="Trained networks.")],
    data: Data,
    data_dir: DataDir = None,
    split: Split = "test",
    bits: Annotated[
        str, typer.Option("--bits", metavar="LIST", help="Weight bits, such as float,8,4: float is float32.")
    ] = "float",
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="LIST", help="Steps per sample, such as 2,4,8. Default: its own.")
    ] = None,
    chip: Chips = None,
    limit: Limit = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Default: one per core.")] = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Compile, simulate and price every combination of networks, weight bits, steps and chips."""
    from ..files import load_network
    from ..samples import check_classes, load_samples
    from ..sweeps import sweep as run
    from . import check
    from .progress import compiling, counting

    chips = check.chips(chip)
    weight_bits = [None if word == "float" else _whole(word, "--bits") for word in bits.split(",")]
    n_steps = [None] if steps is None else [_whole(word, "--steps") for word in steps.split(",")]
    check.cluster(cluster)
    loaded = {str(path): load_network(path) for path in networks}
    samples = load_samples(data, split=split, data_dir=data_dir, limit=limit)
    for network in loaded.values():
        check_classes(samples.n_classes, network[network.output].n_neurons, data=data)
    with compiling(), counting("combinations") as progress:
        points = run(
            loaded,
            samples.x,
            samples.y,
            weight_bits=weight_bits,
            n_steps=n_steps,
            chips=chips,
            address=cluster,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print_json({"data": data, "n_samples": len(samples.x), "points": [point.to_dict() for point in points]})
        return
    show(_table(points, chips, f"{data}, {len(samples.x):,} samples; per sample"))


def _table(points: "list[Point]", chips: list[str], title: str) -> object:
    from ..report import numbers
    from ..report.tables import table

    rows = [
        [
            p.network,
            "float32" if p.weight_bits is None else str(p.weight_bits),
            str(p.n_steps),
            "-" if p.accuracy is None else numbers.percent(p.accuracy),
            *(numbers.count(n) for n in (p.spikes, p.synaptic_ops, p.macs)),
            *(numbers.energy(p.energy_pj[c]) + (" (partial)" if c in p.partial else "") for c in chips),
        ]
        for p in points
    ]
    columns = ("network", ">bits", ">T", ">accuracy", ">spikes", ">synaptic ops", ">MACs", *(f">{c}" for c in chips))
    return table(title, columns, rows)


def _whole(word: str, option: str) -> int:
    from ..hwmodels import GossamerError

    if not word.strip().isdecimal():
        expected = "numbers such as 2,4,8" + (", or float" if option == "--bits" else "")
        raise GossamerError("GSM-702", "not a list of whole numbers", where=option, found=repr(word), expected=expected)
    return int(word)
