"""gossamer reproduce: the rows of a study, trained, measured and tabulated."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, RecipeData
from .output import note, print_json, show

if TYPE_CHECKING:
    from ..training.studies import Study


def reproduce(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="robust-sparse, structure, or a TOML file.")],
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="small|full", help="For two cores, or for GPUs. Default: small."),
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option("--base", metavar="RECIPE", help="Only rows made of this recipe. Repeatable.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option("--row", metavar="NAME", help="Only this row, such as hydra-90. Repeatable.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", metavar="N", help="Only this seed. Repeatable.")] = None,
    records: Annotated[
        list[Path] | None,
        typer.Option("--records", metavar="FILE", help="Records of other runs: kept, not made again. Repeatable."),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Train nothing: tabulate the records.")] = False,
    recipes: Annotated[
        bool, typer.Option("--recipes", help="Train nothing: write every row's recipe, for gossamer train.")
    ] = False,
    data_dir: RecipeData = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where all goes. Default: runs/STUDY-SCALE.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where torch trains.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train and measure every row of a study, and write its tables.

    What is done is kept: the same command goes on where it was interrupted. Each row is a recipe of its own; its
    checkpoints are in DIR/runs, its record in DIR/records, the tables in DIR/table.md; with --recipes its recipe is in
    DIR/recipes.
    """
    from ..compiler import write_text
    from ..hwmodels import GossamerError
    from ..report.study import study_page
    from ..studies import load_records, of_study, write_recipes
    from ..studies import reproduce as run
    from ..verbs import needs_torch
    from .check import folder
    from .progress import training

    needs_torch("training")
    plan = _study(study, scale)
    target = folder(Path("runs", plan.name) if out is None else out)
    if table and (recipes or base or row or seed):
        raise GossamerError(
            "GSM-702", "a table has all rows that there are", found="--table beside --recipes, --base, --row or --seed"
        )
    if recipes:
        paths = write_recipes(plan, target / "recipes", bases=base or (), rows=row or (), seeds=seed or ())
        if as_json:
            print_json({"study": plan.name, "recipes": [str(path) for path in paths]})
        else:
            show(*(str(path) for path in paths))
        return
    known = load_records(records or ())
    if not table:
        with training() as progress:
            run(
                plan, out=target, bases=base or (), rows=row or (), seeds=seed or (), known=known, data_dir=data_dir,
                device=device, progress=progress, tell=note,
            )  # fmt: skip
    own = load_records(sorted((target / "records").glob("*.json")))
    found = of_study(plan, [*own, *known])
    if len(own) + len(known) > len(found):
        note(f"{len(own) + len(known) - len(found)} records left out: of another recipe or study, or there twice")
    page = study_page(plan, found)
    if found:
        target.mkdir(parents=True, exist_ok=True)
        write_text(target / "records.jsonl", "".join(json.dumps(r, sort_keys=True) + "\n" for r in found))
        write_text(target / "table.md", page)
    if as_json:
        print_json({"study": plan.name, "records": found})
        return
    show(page if found else "no records yet")
    if found:
        note(f"records and tables: {target}")


def _study(name: str, scale: str | None) -> "Study":
    """A bundled study at a scale, or a file's, which has its own.

    Raises: GossamerError: GSM-702 for a scale that is none, or beside a file; GSM-604 for the study.
    """
    from ..hwmodels import GossamerError
    from ..training.studies import load_study
    from .check import one_of

    one_of(scale or "small", ("small", "full"), option="--scale")
    if not name.endswith(".toml"):
        return load_study(f"{name}-{scale or 'small'}")
    if scale is not None:
        raise GossamerError(
            "GSM-702", "this option says nothing here", where=name, found="--scale", expected="a bundled study"
        )
    return load_study(name)
