"""Projections with few zeros, laid out for products of 8-bit weights: all taps, sources in fours, targets in eights."""

from dataclasses import dataclass

import numpy as np

from ..compiler import Array, Projection
from .kernels import dense, features
from .plan import Number
from .rows import Rows

# Share of synapses that are not 0 from which a product takes less time than to pull them, by the sums' type.
WORTH: dict[type[Number], float] = {np.int16: 0.45, np.int32: 0.25}
LARGEST = np.iinfo(np.int8).max


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """The weights of one projection.

    n_sources: channels of the source. n_places: of one channel, for one sample. taps: (n_taps,) int64, places relative
    to the first output's. weights: uint32 (n_target_groups, n_groups, n_taps, ROWS), four signed bytes each.
    """

    projection: Projection
    rows: Rows
    n_sources: int
    n_places: int
    taps: Array
    weights: Array

    @property
    def n_groups(self) -> int:
        """Groups of four channels of the source."""
        return int(self.weights.shape[1])


def dense_of(projection: Projection, rows: Rows, n_neurons: int, number: type[Number]) -> Dense | None:
    """Lay out rows from a source of so many neurons; None if to pull them is faster, or weights do not fit 8 bits.

    number: of sums, if they are pulled.
    """
    if not features.HAS_VNNI or number not in WORTH:
        return None
    n_targets, n_synapses = len(rows.row_start) - 1, len(rows.places)
    n_sources = rows.planes.shape[0] if rows.planes else n_neurons
    if n_synapses == 0 or n_synapses < WORTH[number] * n_targets * n_sources:
        return None
    if np.abs(rows.weights.astype(np.int64)).max() > LARGEST:
        return None
    n_places = rows.planes.size // n_sources if rows.planes else 1
    channel, place = np.divmod(rows.places.astype(np.int64), n_places)
    taps, tap = np.unique(place, return_inverse=True)
    if n_synapses < WORTH[number] * n_targets * n_sources * len(taps):
        return None
    target = np.repeat(np.arange(n_targets), np.diff(rows.row_start))
    weights = np.zeros((-(-n_targets // dense.ROWS), -(-n_sources // 4), len(taps), dense.ROWS, 4), np.int8)
    weights[target // dense.ROWS, channel // 4, tap, target % dense.ROWS, channel % 4] = rows.weights
    if np.count_nonzero(weights) < n_synapses:  # several between two neurons, whose sum may need more than 8 bits
        return None
    return Dense(
        projection=projection,
        rows=rows,
        n_sources=n_sources,
        n_places=n_places,
        taps=taps,
        weights=weights.view(np.uint32)[..., 0],
    )
