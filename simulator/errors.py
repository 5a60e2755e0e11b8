"""The error class of the simulator."""

from ..compiler import GossamerError


class SimulationError(GossamerError):
    """A simulation that is refused: data, options or a network that it cannot run (GSM-4xx)."""
