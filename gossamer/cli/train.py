"""gossamer train: from a recipe to checkpoints."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AsJson, RecipeData, Seed
from .output import note, print_json, show


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A bundled recipe, such as digits, or the path of a TOML file.")
    ],
    data_dir: RecipeData = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="NAME", help="Run only this: dense, prune, finetune, convert, snn. Repeatable."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run was interrupted; the result is the same.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where checkpoints go. Default: runs/NAME.")
    ] = None,
    seed: Seed = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where torch computes.")] = "cpu",
    devices: Annotated[
        int, typer.Option("--devices", metavar="N", help="Train in N processes with a device each, on each machine.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option("--nodes", metavar="M", help="On M machines; run the same command on each of them.")
    ] = 1,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Each stage for two small batches: does all of it run here?")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network as a recipe says, stage by stage, a checkpoint for each.

    dense: train every weight. prune: choose which to keep. finetune: train those. convert: from ReLU to spikes. snn:
    fine-tune the spiking network. It may be interrupted at any moment: --resume goes on. A finished run of the same
    recipe is made again; a folder that holds another run is refused.
    """
    from ..hwmodels import GossamerError
    from ..report.training import conversion_facts, conversion_table, stage_facts, stage_table
    from ..verbs import needs_torch
    from ..verbs import train as run
    from .check import folder
    from .progress import training

    needs_torch("training")
    from ..training import load_recipe, rehearsal

    is_another = os.environ.get("LOCAL_RANK", "0") != "0"  # of several processes
    plan = rehearsal(load_recipe(recipe)) if rehearse else load_recipe(recipe)
    target = folder(Path("runs", plan.name) if out is None else out)
    try:
        with training() as progress:
            result = run(
                plan,
                out=target,
                data_dir=data_dir,
                stages=stage,
                resume=resume,
                seed=seed,
                device=device,
                devices=devices,
                nodes=nodes,
                launcher="command",
                progress=progress,
            )
    except GossamerError as error:
        if is_another:  # what there is to answer, the first one answers
            note(f"error {error}")
            raise typer.Exit(2) from error
        raise
    except KeyboardInterrupt:
        if not is_another and any(target.glob("*.safetensors")):
            note(f"what is done is kept in {target}; go on with the same command and --resume")
        raise
    if result.rank:  # the first of several processes answers
        return
    stages: list[dict[str, Any]] = [stage_facts(name, path) for name, path in result.checkpoints.items()]
    converted = conversion_facts(result.history)
    if as_json:
        chosen = plan.seed if seed is None else seed
        said = {"recipe": plan.name, "seed": chosen, "out": str(target), "stages": stages, "final": str(result.final)}
        print_json({**said, "populations": converted})
        return
    show(stage_table(plan.name, stages))
    if converted:
        show(conversion_table(converted))
    note(f"the trained network: {result.final}")
