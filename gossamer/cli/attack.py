"""gossamer attack: is it still robust?"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Chips, Data, DataDir, Limit, Split, fraction
from .output import print_json, show

if TYPE_CHECKING:
    from ..compiler import Network, SynapticGraph
    from ..training import Dataset, Surrogate

ATTACK_NAMES = (
    "fgsm",
    "rfgsm",
    "pgd",
    "mi-fgsm",
    "sa-pgd",
    "apgd-ce",
    "apgd-dlr",
    "apgd-t",
    "fab",
    "fab-t",
    "square",
)  # ATTACKS, known without torch
USUAL_EPS = {"linf": "8/255", "l2": "128/255"}
USUAL = ("--attack", "--norm", "--steps", "--step-size", "--eot", "--keep-best")
TAKEN = {  # by each way to attack, besides --eps, --seed and where the images come from
    "an attack": (*USUAL, "--queries", "--surrogate", "--bpda"),
    "--source": (*USUAL, "--queries", "--surrogate", "--source"),
    "--ensemble": (*USUAL, "--bpda", "--extended"),
    "--minimal": (*USUAL, "--queries", "--surrogate", "--bpda", "--bisections"),
    "--audit": ("--steps", "--queries", "--surrogate", "--source"),
    "--energy": ("--steps", "--step-size", "--surrogate", "--source", "--chip"),
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """What every way to attack is told. target: a Network, or a SynapticGraph. common: eps, seed, device, surrogate;
    and bpda. options: what the attack takes besides. bisections: of --minimal, None for its own. extended: of
    --ensemble.
    """

    target: Any
    is_graph: bool
    dataset: "Dataset"
    name: str
    sources: list[Path]
    chips: list[str]
    common: dict[str, Any]
    options: dict[str, Any]
    limit: int | None
    bisections: int | None
    extended: bool
    said: dict[str, Any]


def attack(
    network: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT|GRAPH", help="The trained network, or what it was compiled to.")
    ],
    data: Data,
    data_dir: DataDir = None,
    split: Split = "test",
    name: Annotated[
        str | None, typer.Option("--attack", metavar="|".join(ATTACK_NAMES), help="Which attack. Default: pgd.")
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            "--eps",
            metavar="X",
            help="Largest change of a pixel; pixels lie in 0..1. Default: 8/255; with --norm l2 128/255, of the image.",
        ),
    ] = None,
    norm: Annotated[
        str | None, typer.Option("--norm", metavar="linf|l2", help="What --eps bounds. Default: linf.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help="Steps of an attack of several. Default: its own."),
    ] = None,
    step_size: Annotated[
        str | None, typer.Option("--step-size", metavar="X", help="Length of one. Default: 2.5 eps / steps.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option("--queries", metavar="N", help="How often square may ask, per image.")
    ] = None,
    eot: Annotated[
        int | None, typer.Option("--eot", metavar="N", help="Average gradients over N draws of a random input coding.")
    ] = None,
    bpda: Annotated[
        bool, typer.Option("--bpda", help="Pass gradients straight through rate, phase or latency coding.")
    ] = False,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="The best point on the way, not the last. sa-pgd, apgd: always.")
    ] = False,
    surrogate: Annotated[
        str | None,
        typer.Option(
            "--surrogate",
            metavar="NAME[:WIDTH]",
            help="What the attack takes for a spike's derivative: triangle, arctan, rectangular, exponential, "
            "straight-through. Default: triangle:1.",
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Attack with one surrogate after the other; all of them must fail.")
    ] = False,
    extended: Annotated[
        bool,
        typer.Option("--extended", help="The ensemble with the network's own surrogate and the adaptive one, too."),
    ] = False,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Look for the smallest change of each sample, up to eps.")
    ] = False,
    bisections: Annotated[
        int | None,
        typer.Option("--bisections", metavar="N", help="How finely to look for it. Default: 8; fab and fab-t: 0."),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option("--source", metavar="CHECKPOINT", help="Make the images on this network. Repeatable."),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Look for signs of hidden gradients; exit status 1 if there are any.")
    ] = False,
    energy: Annotated[
        bool, typer.Option("--energy", help="Attack what the network costs, not its answers; --chip prices it.")
    ] = False,
    chip: Chips = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the attack's noise.")] = 0,
    limit: Limit = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where torch computes.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Attack a network with full knowledge of it, and say how often it is still right.

    The attack follows gradients through time and through a surrogate of the spike. One attack with one surrogate is an
    upper bound of robustness, not a proof; --ensemble and --audit go further. A graph can only be asked, with --attack
    square, or shown images that --source makes on the network it was compiled from.
    """
    from ..samples import check_classes, load_images
    from ..verbs import needs_torch
    from . import check

    given = {
        "--attack": name, "--norm": norm, "--steps": steps, "--step-size": step_size, "--queries": queries,
        "--eot": eot, "--bpda": bpda or None, "--keep-best": keep_best or None, "--surrogate": surrogate,
        "--extended": extended or None, "--bisections": bisections, "--source": source or None, "--chip": chip or None,
    }  # fmt: skip
    way = _way({"--ensemble": ensemble, "--minimal": minimal, "--audit": audit, "--energy": energy}, given)
    check.one_of(norm or "linf", list(USUAL_EPS), option="--norm")
    chips = check.chips(chip)
    needs_torch("an attack")
    from ..training import ATTACKS

    check.one_of(name or "pgd", list(ATTACKS), option="--attack")
    common: dict[str, Any] = {"eps": fraction(eps or USUAL_EPS[norm or "linf"], option="--eps"), "seed": seed}
    common["device"] = device
    if surrogate is not None:
        common["surrogate"] = _surrogate(surrogate)
    if bpda:
        from ..training import Bpda

        common["bpda"] = Bpda()
    options: dict[str, Any] = {"norm": norm, "n_steps": steps, "n_queries": queries, "eot": eot}
    options["keep_best"] = keep_best or None
    if step_size is not None:
        options["step_size"] = fraction(step_size, option="--step-size")
    target, is_graph = _load(network, way, name, source or [])
    _check_coding(target, bpda=bpda, eot=eot)
    dataset = load_images(data, split=split, data_dir=data_dir, limit=limit)
    check_classes(dataset.n_classes, target[target.output].n_neurons, data=data)
    call = Call(
        target=target,
        is_graph=is_graph,
        dataset=dataset,
        name=name or "pgd",
        sources=source or [],
        chips=chips,
        common=common,
        options={key: value for key, value in options.items() if value is not None},
        limit=limit,
        bisections=bisections,
        extended=extended,
        said={"seed": seed, **({} if surrogate is None else {"surrogate": surrogate}), "data": data, "split": split},
    )
    ways = {"--minimal": _minimal, "--audit": _audit, "--energy": _energy}
    ways.get(way, _accuracy)(call, way, as_json)


def _accuracy(call: Call, way: str, as_json: bool) -> None:
    """Attack, transfer or ensemble: how many are still right."""
    from ..report.robustness import accuracy_lines
    from ..robustness import attack as run
    from ..robustness import ensemble, transfer
    from .progress import compiling, counting

    report: Any
    with compiling(), counting("attacking") as progress:
        how: dict[str, Any] = {"attack": call.name, "progress": progress, **call.common, **call.options}
        if way == "--source":
            report = transfer(call.target, call.sources, call.dataset, **how)
        elif way == "--ensemble":
            report = ensemble(call.target, call.dataset, extended=call.extended, **how)
        else:
            report = run(call.target, call.dataset, **how)
    n_samples = call.dataset.n_samples
    parts: dict[str, Any] = {}
    if way == "--source":
        parts = {"parts": report.parts, "at_source": report.at_source}
    elif way == "--ensemble":
        ran = report.estimators.items()
        parts = {"estimators": {name: {"n_attacked": e.n_attacked, "n_fooled": e.n_fooled} for name, e in ran}}
    if as_json:
        accuracies = {"clean_accuracy": report.clean_accuracy, "adversarial_accuracy": report.adversarial_accuracy}
        answer = {"attack": call.name, **report.options, **call.said}
        print_json({**answer, "n_samples": n_samples, **accuracies, **parts})
        return
    show(
        *accuracy_lines(
            report, attack=call.name, network=call.target.name, n_samples=n_samples, said=call.said, **parts
        )
    )


def _minimal(call: Call, way: str, as_json: bool) -> None:
    """Each sample's smallest change: the curve of accuracies that it gives."""
    from ..report.robustness import curve, minimal_lines
    from ..robustness import minimal_eps
    from .progress import compiling, counting

    common = dict(call.common)
    how: dict[str, Any] = {"attack": call.name, "max_eps": common.pop("eps"), **common, **call.options}
    how["n_bisections"] = call.bisections
    if call.bisections is None:
        how["n_bisections"] = 0 if call.name.startswith("fab") else 8
    with compiling(), counting("attacking") as progress:
        report = minimal_eps(call.target, call.dataset, progress=progress, **how)
    if as_json:
        found = {
            "norm": report.norm, "max_eps": report.max_eps, **report.options, **call.said,
            "n_bisections": how["n_bisections"], "n_samples": call.dataset.n_samples,
            "clean_accuracy": report.clean_accuracy, "median": _finite(report.median),
            "curve": curve(report), "distances": [_finite(d) for d in report.distances],
        }  # fmt: skip
        print_json({"attack": call.name, **found})
        return
    show(*minimal_lines(report, attack=call.name, network=call.target.name, said=call.said))


def _finite(distance: float) -> float | None:
    """JSON has no infinity: None where nothing was found."""
    return distance if distance < float("inf") else None


def _audit(call: Call, way: str, as_json: bool) -> None:
    from ..report.robustness import audit_lines
    from ..robustness import audit
    from .progress import counting

    options = dict(call.options)
    if call.limit is not None:
        options["n_samples"] = call.limit
    if "n_steps" in options:
        most = options.pop("n_steps")
        options["steps"] = sorted({max(1, most // 10), max(1, most // 2), most})
    with counting("auditing") as progress:
        report = audit(
            call.target,
            call.dataset,
            sources=call.sources,
            progress=progress,
            **call.common,
            **options,
        )
    if as_json:
        print_json({**report.to_dict(), **call.said})
    else:
        show(*audit_lines(report, network=call.target.name, said=call.said))
    if not report.passed:
        raise typer.Exit(1)


def _energy(call: Call, way: str, as_json: bool) -> None:
    from ..energy_attacks import energy_attack
    from ..report.robustness import energy_attack_parts
    from .progress import compiling, counting

    made_on: Any = call.sources[0] if call.is_graph else call.target
    graph: Any = call.target if call.is_graph else None
    with compiling(), counting("attacking") as progress:
        found = energy_attack(
            made_on, call.dataset, graph=graph, chips=call.chips, progress=progress, **call.common, **call.options
        )
    if as_json:
        print_json({"attack": "energy", **found.options, **call.said, **found.to_dict()})
        return
    show(*energy_attack_parts(found, network=call.target.name, said=call.said))


def _way(wanted: dict[str, bool], given: dict[str, Any]) -> str:
    """Which way to attack, one of TAKEN.

    Raises: GossamerError: GSM-702 for two of them, and for options that it does not take.
    """
    from ..hwmodels import GossamerError

    ways = [way for way, is_wanted in wanted.items() if is_wanted]
    if len(ways) > 1:
        raise GossamerError("GSM-702", "one at a time", found=" and ".join(ways))
    way = ways[0] if ways else "--source" if given["--source"] else "an attack"
    for option, value in given.items():
        if value is not None and option not in TAKEN[way]:
            raise GossamerError(
                "GSM-702", "this option says nothing here", where=way, found=option, expected=", ".join(TAKEN[way])
            )
    return way


def _load(path: Path, way: str, name: str | None, sources: list[Path]) -> "tuple[Network | SynapticGraph, bool]":
    """What is attacked, and whether it is a graph.

    Raises: GossamerError: GSM-1xx for the file; GSM-702 for a graph that is attacked in a way that needs its gradient.
    """
    from ..compiler import load_checkpoint, load_graph
    from ..files import file_kind
    from ..hwmodels import GossamerError

    if file_kind(path) != "graph":
        if way == "--energy" and sources:
            raise GossamerError(
                "GSM-702", "the images are made on this checkpoint itself", where=str(path), found="--source",
                remedy="leave --source out, or name the graph first and the checkpoint with --source",
            )  # fmt: skip
        return load_checkpoint(path), False
    remedy = None
    if way in ("--ensemble", "--audit"):
        remedy = "name the checkpoint that it was compiled from: it is the one with a gradient"
    elif way == "--energy" and len(sources) != 1:
        remedy = "name the one checkpoint that it was compiled from with --source"
    elif way in ("an attack", "--minimal") and name is None:
        remedy = "--attack square asks it; --source CHECKPOINT makes the images on the network it was compiled from"
    if remedy is not None:
        raise GossamerError(
            "GSM-702", "a compiled graph lets no gradient through", where=str(path), found=way, remedy=remedy
        )
    return load_graph(path), True


def _check_coding(target: "Network | SynapticGraph", *, bpda: bool, eot: int | None) -> None:
    """Refuse --bpda where gradients pass the input coding as it is, and --eot where nothing is drawn.

    Raises: GossamerError: GSM-702.
    """
    from ..hwmodels import GossamerError

    kind = target.coding.kind
    for option, wanted, has_use in (("--bpda", bpda, ("rate", "phase", "latency")), ("--eot", eot, ("rate",))):
        if wanted and kind not in has_use:
            raise GossamerError(
                "GSM-702", "this option says nothing here", where=target.name, found=f"{option}, and {kind} coding",
                expected=f"a network with {' or '.join(has_use)} coding",
            )  # fmt: skip


def _surrogate(text: str) -> "Surrogate":
    """triangle, or triangle:0.5.

    Raises: GossamerError: GSM-702 for a width that is no number, GSM-608 for an unknown name or a width <= 0.
    """
    from ..hwmodels import GossamerError
    from ..training import Surrogate

    name, colon, width = text.partition(":")
    known: Any = name
    if name == "straight-through" and colon:
        raise GossamerError("GSM-702", "straight-through has no width", where="--surrogate", found=text)
    return Surrogate(name=known, width=fraction(width, option="--surrogate") if colon else 1.0)
