"""gossamer report: several runs in one table, one picture and one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Chips
from .output import note, print_json, show

if TYPE_CHECKING:
    from ..report.entry import Entry


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="What `gossamer simulate -o RUN` wrote.")],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a self-contained page.")] = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write the picture alone.")] = None,
    chip: Chips = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: accuracy, counts, energy.

    Without --chip they are priced as 45 nm CMOS, in the arithmetic of each run (alone, and with memory), and as Loihi.
    """
    from ..compiler import atomic_path
    from ..report.picture import draw
    from ..report.runs import overview, partial_notes, report_json, write_report
    from ..report.tables import table
    from . import check

    for path in (html, png):
        check.writable(path)
    entries = _entries(runs, check.chips(chip) if chip else None)
    if html is not None or png is not None:
        picture = draw(entries)
        if png is not None:
            with atomic_path(png) as temporary:
                temporary.write_bytes(picture)
            note(f"wrote {png}")
        if html is not None:
            write_report(html, entries, picture)
            note(f"wrote {html}")
    if as_json:
        print_json(report_json(entries))
        return
    columns, rows = overview(entries)
    show(table("Runs, per sample", columns, rows), *partial_notes(entries))


def _entries(runs: list[Path], chips: list[str] | None) -> list["Entry"]:
    from ..report.entry import USUAL_CHIPS, Entry
    from ..simulator import load_activity
    from ..verbs import energy

    stems = [path.stem for path in runs]
    entries = []
    for path in runs:
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        activity = load_activity(path)
        names = USUAL_CHIPS[activity.arithmetic] if chips is None else {chip: chip for chip in chips}
        reports = energy(activity, list(names.values()))
        energies = {column: reports[chip] for column, chip in names.items()}
        entries.append(Entry(name=name, run=activity, energies=energies, accuracy=activity.accuracy))
    return entries
