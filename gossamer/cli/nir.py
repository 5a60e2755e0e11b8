"""The options that state what a .nir file leaves open."""

from typing import Annotated, Any

import typer

from .options import shape

Framework = Annotated[
    str | None,
    typer.Option(
        "--framework",
        metavar="NAME",
        help="NIR: the conventions of the framework that wrote the file: snntorch, spikingjelly, norse or sinabs.",
    ),
]
Reset = Annotated[
    str | None,
    typer.Option(
        "--reset", metavar="subtract|zero", help="NIR: a spike subtracts the threshold, or sets v to v_reset."
    ),
]
Comparator = Annotated[
    str | None,
    typer.Option("--comparator", metavar=">=|>", help="NIR: how the membrane is compared with the threshold."),
]
Dt = Annotated[float | None, typer.Option("--dt", metavar="SECONDS", help="NIR: seconds per step.")]
UpdateOrder = Annotated[
    str | None,
    typer.Option(
        "--update-order",
        metavar="current-first|voltage-first",
        help="NIR: the membrane takes the current of this step, or of the step before.",
    ),
]
ResetDelay = Annotated[
    bool | None,
    typer.Option(
        "--reset-delay/--no-reset-delay", help="NIR: a spike resets the membrane in the next step, or at once."
    ),
]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", metavar="C,H,W", help="NIR: the input's shape, where the file lacks it.")
]
Coding = Annotated[
    str | None,
    typer.Option(
        "--coding",
        metavar="events|direct|rate|phase|latency",
        help="NIR: how a sample becomes steps. Default: events, steps given as they are.",
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="T", help="NIR: steps per sample.")]
NirFields = Annotated[
    list[str] | None,
    typer.Option(
        "--nir",
        metavar="FIELD=VALUE",
        help="NIR: any other convention, such as decay=exponential (docs/reference/command-line.md). Repeatable.",
    ),
]


def choices(*, input_shape: str | None, coding: str | None, more: list[str], **stated: Any) -> dict[str, Any]:
    """What was stated, as `gossamer.from_nir` takes it.

    Raises: GossamerError: GSM-702 for a FIELD=VALUE that is none; GSM-208 for an unknown coding.
    """
    from ..compiler import InputCoding
    from ..hwmodels import GossamerError

    if input_shape is not None:
        stated["input_shape"] = shape(input_shape, option="--input-shape")
    if coding is not None:
        stated["coding"] = InputCoding(kind=coding)  # type: ignore[arg-type]  # it refuses what it does not know
    for pair in more:
        field, equals, value = pair.partition("=")
        if not equals or not field:
            raise GossamerError("GSM-702", "not a choice", where="--nir", found=repr(pair), expected="FIELD=VALUE")
        stated[field.replace("-", "_")] = value
    return {name: value for name, value in stated.items() if value is not None}
