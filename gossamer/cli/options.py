"""Options that several verbs share, and the texts that options take."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
_FOLDER = "The folder that holds the data sets. Default: GOSSAMER_DATA, else ./data."
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help=_FOLDER)]
RecipeData = Annotated[  # where the recipe names the data set, --data need not
    Path | None, typer.Option("--data-dir", "--data", metavar="DIR", help=_FOLDER)
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="NAME|FILE.npz",
        help="A data set (digits, mnist, cifar10, folder:PATH, ...) or a .npz file with x and perhaps y.",
    ),
]
Split = Annotated[str, typer.Option("--split", metavar="train|test", help="Which part of a named data set.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Use N samples at most, spread evenly over the classes.")
]
Chips = Annotated[
    list[str] | None,
    typer.Option(
        "--chip",
        metavar="NAME[:PRICES]",
        help="Price the run on this chip: cmos-45nm, cmos-45nm:memory-fp32, loihi, or a .toml file. Repeatable.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="Run on the workers of this dask scheduler: tcp://head:8786."),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of every random choice.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.")]


def fraction(text: str, *, option: str) -> float:
    """A number such as 0.03 or 8/255.

    Raises: GossamerError: GSM-702 for anything else.
    """
    from ..hwmodels import GossamerError

    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise GossamerError(
            "GSM-702", "not a number", where=option, found=repr(text), expected="a number such as 0.03 or 8/255"
        ) from None


def shape(text: str, *, option: str) -> tuple[int, ...]:
    """A shape such as 3,32,32 or 3x32x32.

    Raises: GossamerError: GSM-702 for anything else.
    """
    from ..hwmodels import GossamerError

    try:
        sizes = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if len(sizes) not in (1, 3) or min(sizes) < 1:
        raise GossamerError(
            "GSM-702", "not a shape", where=option, found=repr(text), expected="784, or channels,height,width: 3,32,32"
        )
    return sizes
