"""What an engine returns for a block of samples."""

from dataclasses import dataclass

from ..compiler import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """counts: as in `Activity`. readout: (n_samples, n_steps, n_outputs) what the output population was read from.

    spikes: per recorded population (n_samples, n_steps, *shape).
    """

    counts: Array
    readout: Array
    spikes: dict[str, Array]
