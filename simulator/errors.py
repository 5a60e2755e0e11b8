"""The error class of the simulator."""

import numpy as np

from ..compiler import GossamerError


class SimulationError(GossamerError):
    """A simulation that is refused: data, options or a network that it cannot run (GSM-4xx)."""


def check_whole(value: object, least: int, where: str) -> None:
    """Raises: SimulationError: GSM-404 if an option is no whole number, or less than it may be."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        expected = f"a whole number >= {least}"
        raise SimulationError("GSM-404", "option out of range", where=where, found=repr(value), expected=expected)
