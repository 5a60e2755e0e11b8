"""All verbs, gathered."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from .attack import attack
from .compile import compile
from .demo import demo
from .diff import diff
from .doctor import doctor
from .energy import energy
from .inspect import inspect
from .report import report
from .reproduce import reproduce
from .simulate import simulate
from .sweep import sweep
from .train import train

app = typer.Typer(
    name="gossamer",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gossamer {version_of('gossamer')}")
        raise typer.Exit


@app.callback()
def gossamer(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Compile, simulate and price sparse, adversarially robust spiking neural networks.

    Is it still the same network, what does it cost, is it still robust? Start with
    `gossamer demo`. Every verb has its own --help. Exit status: 0 done, 1 the answer is no, 2 the input or the call
    is wrong.
    """


for name, verb in (
    ("demo", demo),
    ("train", train),
    ("attack", attack),
    ("reproduce", reproduce),
    ("compile", compile),
    ("simulate", simulate),
    ("energy", energy),
    ("sweep", sweep),
    ("inspect", inspect),
    ("diff", diff),
    ("report", report),
    ("doctor", doctor),
):
    app.command(name)(verb)
