"""One row of a report: a run, what it cost, how well it did."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..hwmodels import EnergyReport
from ..simulator import Activity


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
