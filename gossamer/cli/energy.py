"""gossamer energy: price a saved run."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson
from .output import print_json, show


def energy(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `gossamer simulate -o RUN` wrote.")],
    chip: Annotated[
        list[str],
        typer.Option(
            "--chip",
            metavar="NAME[:PRICES]",
            help="cmos-45nm, cmos-45nm:memory-fp32, loihi, or the path of a .toml file. Repeatable.",
        ),
    ],
    explain: Annotated[bool, typer.Option("--explain", help="List every price with its source.")] = False,
    as_json: AsJson = False,
) -> None:
    """Price what a run counted, per layer and event.

    A total that leaves out an event without a price is called PARTIAL and says which event that is.
    """
    from ..report.energies import energies_json
    from ..report.tables import energy_remarks, energy_table, price_table
    from ..report.words import run_line
    from ..simulator import load_activity
    from ..verbs import energy as price_run
    from . import check

    activity = load_activity(run)
    reports = price_run(activity, check.chips(chip))
    if as_json:
        facts = {"run": str(run), "n_samples": activity.n_samples, "n_steps": activity.n_steps}
        print_json({**facts, "energy_pj": energies_json(reports, explain=explain)})
        return
    show(run_line(activity))
    for report in reports.values():
        show(energy_table(report), *energy_remarks(report, activity.arithmetic))
        if explain:
            show(price_table(report))
