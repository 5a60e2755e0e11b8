"""Energy reports for JSON."""

from collections.abc import Mapping
from typing import Any

from ..hwmodels import EnergyReport


def energies_json(reports: Mapping[str, EnergyReport], *, explain: bool = False) -> dict[str, Any]:
    """Reports by the name under which each chip was asked for; single prices only with `explain`."""
    hidden = () if explain else ("lines", "notes", "layers")
    return {
        name: {key: value for key, value in report.to_dict().items() if key not in hidden}
        for name, report in reports.items()
    }
