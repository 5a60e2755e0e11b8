"""The verbs that join several folders: what the command line does, for Python."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .compiler import Comparison, Network, SynapticGraph, compare_graphs, compile_network
from .hwmodels import EnergyReport, GossamerError, price
from .simulator import Activity, load_activity

if TYPE_CHECKING:
    from .training import Progress, Recipe, RunResult


def compile(  # the builtin of this name is not meant, here or in `gossamer.compile`
    source: Network | str | Path,
    *,
    weight_bits: int | None = None,
    per: Literal["layer", "channel"] = "layer",
    unroll: bool = False,
    **nir_choices: Any,
) -> SynapticGraph:
    """Compile a network to its synaptic graph.

    Args:
        source: A network, or the path of a checkpoint or of a .nir file.
        weight_bits: Quantize to integers with this many bits; None keeps float32.
        per: One integer unit per "layer" or per "channel".
        unroll: Convolutions as explicit synapses too.
        **nir_choices: What a .nir file leaves open: see `from_nir`.
    Raises: GossamerError: GSM-1xx, GSM-2xx, GSM-3xx.
    """
    from .files import load_network

    network = source if isinstance(source, Network) else load_network(source, **nir_choices)
    return compile_network(network, weight_bits=weight_bits, per=per, unroll=unroll)


def diff(a: str | Path, b: str | Path, **nir_choices: Any) -> Comparison:
    """Compare two checkpoints, graphs or .nir files, of one kind or of two, as compiled.

    Raises: GossamerError: as the files' readers, and GSM-3xx where a network cannot be compiled.
    """
    from .files import load_graph_of

    return compare_graphs(load_graph_of(a, **nir_choices), load_graph_of(b, **nir_choices))


def energy(run: Activity | str | Path, chips: str | Sequence[str]) -> dict[str, EnergyReport]:
    """Price a run on one chip or on several.

    Args:
        run: What `simulate` returned, or the path of a saved run.
        chips: "chip", "chip:price-list" or the path of a .toml file; or several of them.
    Returns: One report per chip, by the name that was given.
    Raises: GossamerError: GSM-101..105 for the file, GSM-501..504 for a chip.
    """
    activity = run if isinstance(run, Activity) else load_activity(run)
    layers = activity.layer_activities()
    names = [chips] if isinstance(chips, str) else chips
    return {name: price(layers, name, activity.n_samples, n_steps=activity.n_steps) for name in names}


def from_nir(path: str | Path, *, framework: str | None = None, **stated: Any) -> Network:
    """Read a network from a .nir file.

    Args:
        path: The file.
        framework: "snntorch", "spikingjelly", "norse" or "sinabs": what its exporter means where NIR says nothing.
        **stated: Any field of `gossamer.compiler.exchange.NirChoices`: reset, comparator, dt, n_steps, input_shape, ...
    Raises: GossamerError: GSM-1xx for the file, GSM-303..307 for what it leaves open or what is not supported.
    """
    from .compiler.exchange import NirChoices, framework_choices
    from .compiler.exchange import from_nir as read

    if framework is not None:
        return read(path, framework_choices(framework, **stated))
    known = [field.name for field in fields(NirChoices)]
    unknown = [name for name in stated if name not in known]
    if unknown:
        raise GossamerError("GSM-303", "no such choice", found=unknown[0], expected=", ".join(known))
    return read(path, NirChoices(**stated))


def to_nir(network: Network, path: str | Path, *, dt: float | None = None) -> None:
    """Write a network to a .nir file, which `from_nir` reads back without being told anything.

    Args:
        network: In float32 arithmetic.
        path: Where to; written atomically.
        dt: Seconds per step; NIR states time constants in seconds. Default: that of the NIR module.
    Raises: GossamerError: GSM-304 for what NIR cannot express, GSM-106 if the file cannot be written.
    """
    from .compiler.exchange import write_nir

    write_nir(network, path, **({} if dt is None else {"dt": dt}))


def train(
    recipe: "Recipe | str | Path",
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    stages: Sequence[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    launcher: Literal["spawn", "command"] = "spawn",
    progress: "Callable[[Progress], None] | None" = None,
) -> "RunResult":
    """Train as a recipe says; a checkpoint for each stage.

    Args:
        recipe: A recipe, the name of a bundled one, or the path of a TOML file.
        out: Folder for the checkpoints; "runs/NAME" if None. Made if missing.
        data_dir: The folder that holds the data sets; see `load_dataset`.
        stages: Run only these of "dense", "prune", "finetune", "convert", "snn"; all if None.
        resume: Go on with an unfinished run; the result is that of an uninterrupted one.
        seed: Instead of the recipe's.
        device: "cpu", "cuda", ... On others than the CPU, bit-identical results are not promised.
        devices, nodes: Train in so many processes on each machine, with a device each, and on so many machines.
        launcher: "spawn" starts them from here; "command" is for a script that runs once for each device, by itself or
            by torchrun or SLURM.
        progress: Told after every batch; with several processes and "spawn", in another one.
    Raises: GossamerError: GSM-601..609 for recipe, data and training, GSM-701 without torch or lightning-fabric.
    """
    needs_torch("training")
    from .training import Recipe, load_recipe, run_recipe

    plan = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    plan = plan if seed is None else plan.with_seed(seed)
    folder = Path("runs", plan.name) if out is None else Path(out)
    chosen: Any = stages  # run_recipe refuses unknown ones
    return run_recipe(
        plan,
        out_dir=folder,
        dataset_root=data_dir,
        resume=resume,
        stages=chosen,
        progress=progress,
        device=device,
        devices=devices,
        nodes=nodes,
        launcher=launcher,
    )


def needs_torch(what: str) -> None:
    """Say how to install torch where it is missing.

    Raises: GossamerError: GSM-701.
    """
    from .report.optional import optional_package

    optional_package("torch", extra="train", needed_for=what)
