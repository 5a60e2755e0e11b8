"""Progress on stderr: bars on a terminal, a line now and then anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING

from ..report.numbers import duration, percent
from .output import note

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ..training import Progress as TrainingProgress

Report = Callable[[int, int], None]


@contextmanager
def counting(what: str) -> Iterator[Report]:
    """A callback (done, total) that draws a bar on a terminal and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _ignore(done: int, total: int) -> None:
    pass


@contextmanager
def compiling() -> Iterator[None]:
    """Says why nothing happens while kernels are compiled."""
    from ..simulator import when_compiling

    with when_compiling(lambda: note("compiling kernels for this CPU; the next run finds them on disk")):
        yield


@contextmanager
def training() -> "Iterator[Callable[[TrainingProgress], None]]":
    """A callback for `gossamer.train`: a bar for each stage on a terminal, a line for each epoch elsewhere."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]:>7}"),
        TextColumn("loss {task.fields[loss]:>7}  accuracy {task.fields[accuracy]:>8}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def update(p: "TrainingProgress") -> None:
            fields = {
                "epoch": f"{p.epoch}/{p.n_epochs}",
                "loss": _loss(p.loss),
                "accuracy": percent(p.accuracy),
                "total": p.n_epochs * p.n_batches,
            }
            if p.stage not in tasks or (bars.tasks[tasks[p.stage]].finished and p.epoch == 1):  # or a second run
                tasks[p.stage] = bars.add_task(p.stage, **fields)  # type: ignore[arg-type]
            bars.update(tasks[p.stage], completed=(p.epoch - 1) * p.n_batches + p.batch, **fields)  # type: ignore[arg-type]

        yield update


def _line(p: "TrainingProgress") -> None:
    if p.batch == p.n_batches:
        note(
            f"{p.stage:<9} epoch {p.epoch}/{p.n_epochs}  loss {_loss(p.loss)}  accuracy {percent(p.accuracy)}  "
            f"{duration(p.seconds_left)} left"
        )


def _loss(loss: float) -> str:
    return "-" if isnan(loss) else f"{loss:.4f}"
