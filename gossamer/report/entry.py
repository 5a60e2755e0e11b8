"""One row of a report: a run, what it cost, how well it did."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..hwmodels import EnergyReport
from ..simulator import Activity

ARITHMETIC, MEMORY, LOIHI = "45 nm, arithmetic", "45 nm, with memory", "Loihi"
USUAL_CHIPS = {
    "float32": {ARITHMETIC: "cmos-45nm:op-only-fp32", MEMORY: "cmos-45nm:memory-fp32", LOIHI: "loihi"},
    "int": {ARITHMETIC: "cmos-45nm:op-only-int8", MEMORY: "cmos-45nm:memory-int8", LOIHI: "loihi"},
}
"""What runs are priced on if nothing is said: arithmetic -> the name of a column -> chip and price list."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """A run in a report.

    name: what the report calls it. energies: by the name of the chip.
    accuracy, robust: clean and under attack, or None.
    """

    name: str
    run: Activity
    energies: Mapping[str, EnergyReport]
    accuracy: float | None = None
    robust: float | None = None
