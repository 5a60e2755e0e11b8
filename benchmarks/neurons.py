"""Nanoseconds per neuron and step of both engines' updates: threshold, reset, and spikes as a list or as bytes.

    python benchmarks/neurons.py [--rounds N] [--out FILE.md]

One thread. The event engine reads a current and a bias and advances a membrane for each neuron and step; its sizes are
those of W2, and state and currents of 16,384 neurons and fewer fit into a cache of 1 MB. The bit-parallel engine's sums
and membranes lie in a tile that is about as large as the registers.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from c_twins import machine, updated
from numba import njit
from workloads import N_STEPS

from gossamer.simulator.kernels import bits

RATES = (0.0, 0.01, 0.05)
SIZES = {65_536: 1, 32_768: 1, 16_384: 1, 8_192: 2, 2_048: 8}  # neurons of a layer: samples, so that no call is short
TILE_BITS = 16 * bits.VECTOR_BITS
REPEATS = 1_000


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fire_tiles(repeats, sums, v, n_lanes, out, zero, one, drop, kept):
    """Eight steps of a tile of integrate-and-fire neurons, `repeats` times over."""
    for _ in range(repeats):
        for k in range(0, v.size, n_lanes):
            j, first, steps = np.int64(k), False, np.uint8(255)
            bits._fire(sums, 8 * j, v, j, first, out, j, steps, zero, zero, one, drop, kept, kept)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fire_tiles_wrapping(repeats, sums, v, n_lanes, out, zero, one, drop, kept):
    """As fire_tiles in Loihi's 24 bits."""
    for _ in range(repeats):
        for k in range(0, v.size, n_lanes):
            j, first, steps = np.int64(k), False, np.uint8(255)
            bits._fire_wrapping(sums, 8 * j, v, j, first, out, j, steps, zero, zero, one, drop, kept, kept)


def by_events(n_neurons: int, number: Any, rate: float, rounds: int, leak: float) -> list[float]:
    """Nanoseconds, `rounds` times."""
    case = updated(n_neurons, rate, number, leak=leak, n_samples=SIZES[n_neurons])
    return [1e9 * s / case.n for s in case.seconds(rounds, np.random.default_rng(0), ("numba",))["numba"]]


def by_bits(current: Any, number: Any, rate: float, rounds: int, wraps: bool) -> list[float]:
    """Nanoseconds, `rounds` times, with currents and membranes of these types."""
    n = TILE_BITS // np.dtype(current).itemsize // 8 // 8
    fires = np.random.default_rng(6).random(8 * n) < rate
    sums, v, out = fires.astype(current), np.zeros(n, number), np.zeros(n, np.uint8)
    shift = 64 if wraps else 1
    kept = number(1) if number is np.float32 else number(-1)
    arguments = (sums, v, len(sums) // 16, out, number(0), number(shift), number(shift), kept)
    run, found = fire_tiles_wrapping if wraps else fire_tiles, []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        run(REPEATS, *arguments)
        found.append(1e9 * (time.perf_counter() - started) / (REPEATS * n * N_STEPS))
    return found[1:]


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=61)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    heads = " | ".join(f"{rate:.0%} fire" for rate in RATES)
    lines = [machine(), "", f"| engine | neurons | {heads} |", "|---|---|---|---|---|"]
    kinds = (("IF", np.float32, 1.0), ("IF", np.int32, 1.0), ("LIF", np.int32, 0.9))
    for kind, number, leak in kinds:
        for n_neurons in SIZES:
            cells = [_cell(by_events(n_neurons, number, rate, options.rounds, leak)) for rate in RATES]
            lines.append(f"| event | {kind} {np.dtype(number)}, {n_neurons:,} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    tiles = ((np.int16, np.int16, False), (np.int16, np.int32, True), (np.int32, np.int32, True))
    for current, number, wraps in (*tiles, (np.float32, np.float32, False)):
        cells = [_cell(by_bits(current, number, rate, options.rounds, wraps)) for rate in RATES]
        words = f"IF {np.dtype(number)}{', as on Loihi' if wraps else ''}, sums {np.dtype(current)}"
        lines.append(f"| bits | {words} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(found: list[float]) -> str:
    low, middle, high = statistics.quantiles(found, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
