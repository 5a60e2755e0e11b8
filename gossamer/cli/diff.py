"""gossamer diff: is it still the same network?"""

from pathlib import Path
from typing import Annotated

import typer

from .nir import (
    Coding,
    Comparator,
    Dt,
    Framework,
    InputShape,
    NirFields,
    Reset,
    ResetDelay,
    Steps,
    UpdateOrder,
    choices,
)
from .options import AsJson
from .output import print_json, show


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A checkpoint, a graph or a .nir file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    framework: Framework = None,
    reset: Reset = None,
    comparator: Comparator = None,
    dt: Dt = None,
    update_order: UpdateOrder = None,
    reset_delay: ResetDelay = None,
    input_shape: InputShape = None,
    coding: Coding = None,
    steps: Steps = None,
    nir: NirFields = None,
    as_json: AsJson = False,
) -> int:
    """Say whether two files hold the same network.

    It names what differs: conventions, coefficients, synapses, weights. Networks are compared as compiled: folded
    batch norm, applied masks, names and storage are no difference. Exit status: 0 the same, 1 not.
    """
    from ..report.numbers import count
    from ..report.tables import table
    from ..report.text import clean
    from ..verbs import diff as compare

    stated = choices(
        framework=framework,
        reset=reset,
        comparator=comparator,
        dt=dt,
        update_order=update_order,
        reset_delay=reset_delay,
        input_shape=input_shape,
        coding=coding,
        n_steps=steps,
        more=nir or [],
    )
    found = compare(a, b, **stated)
    if as_json:
        print_json({"a": str(a), "b": str(b), **found.to_dict()})
        return 0 if found.equal else 1
    if found.equal:
        show(clean(f"the same network: {a} and {b}"))
    else:
        rows = [
            [
                d.where,
                d.what,
                d.a,
                d.b,
                count(d.n_different),
                "" if d.max_difference is None else f"{d.max_difference:.4g}",
            ]
            for d in found.differences
        ]
        columns = ("where", "what", f"A: {a}", f"B: {b}", ">values that differ", ">largest difference")
        show(table("Not the same network", columns, rows))
    for remark in found.notes:
        show(clean(f"note: {remark}"))
    return 0 if found.equal else 1
