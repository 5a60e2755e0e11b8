"""Products of the bit-parallel engine: what a target's dense projections need to be multiplied, and where it goes."""

from typing import Any

import numpy as np

from ..compiler import Array
from .bit_plan import Target
from .kernels import bits, dense

SUM_BYTES = 1 << 18  # sums that are made before they are used, so that they stay in the cache


class Product:
    """Final. Multiplies the dense projections of one target, some groups of `ROWS` channels at a time.

    Args:
        target: with dense projections. n_samples: in a block. spreads: a source of each, spread.
    """

    def __init__(self, target: Target, n_samples: int, spreads: list[Array]) -> None:
        height, width = target.height, target.width * n_samples
        self.n_groups = -(-target.n_channels // dense.ROWS)
        self.n_channels = target.n_channels
        tile = 0 if width > 2 else 1 if height > 1 else 2
        pitches = [d.rows.planes.plane[1] * n_samples * bits.STEPS if d.rows.planes else 0 for d in target.dense]
        # A tile may reach beyond the end of a row, and beyond the last: there is room, in whole pixels.
        n_rows, n_vectors = dense.TILES[tile]
        row = target.width - (1 - 2 * n_vectors) // n_samples
        n_pixels = (height + n_rows - 1) * row
        unit = n_samples * bits.STEPS
        self._pitch, self._apart = row * unit, n_pixels * unit
        self._size = (width, height, tile)
        self._factors = [
            (spread, pitch, d.n_places * unit, d.n_groups, d.taps * unit, d.weights.reshape(-1))
            for spread, pitch, d in zip(spreads, pitches, target.dense, strict=True)
        ]
        self.at_a_time = min(self.n_groups, max(1, SUM_BYTES // (4 * self._apart * dense.ROWS)))
        n_held = self.at_a_time * dense.ROWS
        # Channels pull their own sums, with a weight of 1.
        channels = np.arange(target.n_channels)
        self._places = (channels % n_held * n_pixels).astype(np.int32)
        self._starts, self._ones = np.arange(target.n_channels + 1), np.ones(target.n_channels, np.int32)
        self._numbers: dict[int, tuple[Array, ...]] = {}

    def numbers(self, part: int) -> tuple[Array, ...]:
        """The sums of one of the threads that share a target, as the kernels' `numbers`."""
        if part not in self._numbers:
            sums = np.zeros((self.at_a_time * dense.ROWS + bits.MOST_ROWS) * self._apart + bits.VECTOR_BITS, np.int32)
            zero, pitch = np.zeros(1, np.int64), np.array([self._pitch], np.int64)
            self._numbers[part] = (sums, zero, pitch, zero, self._starts, self._places, self._ones)
        return self._numbers[part]

    def multiply(self, part: int, first: int, end: int) -> tuple[int, int]:
        """Sum up groups first ... end - 1, at most as many as are held, from a multiple of it on. Returns channels."""
        kernel: Any = dense.multiply
        sums = self.numbers(part)[0]
        to = sums[first % self.at_a_time * dense.ROWS * self._apart :]
        for i, factors in enumerate(self._factors):
            kernel(*self._size, *factors, first, end, i == 0, to, self._pitch, self._apart)
        return first * dense.ROWS, min(end * dense.ROWS, self.n_channels)
