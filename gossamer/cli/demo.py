"""gossamer demo: everything once, on data that is at hand or on your own."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, Limit, RecipeData, Seed
from .output import note, print_json, show


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where checkpoints, graphs and the report go.")
    ] = Path("runs/demo"),
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="RECIPE", help="An adversarial recipe: a bundled one, or a TOML file.")
    ] = "digits",
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="RECIPE",
            help="A natural recipe to compare with. Default: the bundled NAME-natural, if there is one.",
        ),
    ] = None,
    data_dir: RecipeData = None,
    limit: Limit = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> int:
    """Run the whole path on the bundled digits, or as another recipe says, and check it.

    It trains a robust and a natural sparse network, compiles and simulates them, counts, prices, attacks, and checks
    that every executor agrees. A few minutes on two cores; a second run keeps what the first has trained. --limit is
    for the test images; attack and comparison use 1,000 of them at most.
    """
    from ..compiler import write_text
    from ..demo import run_demo
    from ..report.demo import check_lines, demo_table, legend_lines, write_demo_page
    from ..verbs import needs_torch
    from .check import folder
    from .progress import compiling, training

    needs_torch("the demo")
    folder(out)
    try:
        with compiling(), training() as progress:
            result = run_demo(
                out,
                recipe=recipe,
                baseline=baseline,
                data_dir=data_dir,
                seed=seed,
                limit=limit,
                progress=progress,
                tell=note,
            )
    except KeyboardInterrupt:
        if any(out.glob("*/*.safetensors")):
            note(f"what is done is kept in {out}; the same command goes on from there")
        raise
    write_text(out / "table.json", json.dumps(result.to_dict(), indent=2) + "\n")
    write_demo_page(out / "report.html", result)
    if as_json:
        print_json(result.to_dict())
    else:
        show(demo_table(result), "What the columns mean", *legend_lines(result), "", "Checks", *check_lines(result), "")
        show("all checks passed" if result.passed else "A CHECK FAILED")
        note(f"report: {out / 'report.html'}   numbers: {out / 'table.json'}")
    return 0 if result.passed else 1
