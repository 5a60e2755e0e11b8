"""gossamer train: from a recipe to checkpoints."""

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
    as_json: AsJson = False,
) -> None:
    """Train a network as a recipe says, stage by stage, a checkpoint for each.

    dense: train every weight. prune: choose which to keep. finetune: train those. convert: from ReLU to spikes. snn:
    fine-tune the spiking network. It may be interrupted at any moment: --resume goes on. A finished run of the same
    recipe is made again; a folder that holds another run is refused.
    """
    from ..report.training import stage_facts, stage_table
    from ..verbs import needs_torch
    from ..verbs import train as run
    from .check import folder
    from .progress import training

    needs_torch("training")
    from ..training import load_recipe

    plan = load_recipe(recipe)
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
                progress=progress,
            )
    except KeyboardInterrupt:
        if any(target.glob("*.safetensors")):
            note(f"what is done is kept in {target}; go on with the same command and --resume")
        raise
    stages: list[dict[str, Any]] = [stage_facts(name, path) for name, path in result.checkpoints.items()]
    if as_json:
        chosen = plan.seed if seed is None else seed
        print_json(
            {"recipe": plan.name, "seed": chosen, "out": str(target), "stages": stages, "final": str(result.final)}
        )
        return
    show(stage_table(plan.name, stages))
    note(f"the trained network: {result.final}")
