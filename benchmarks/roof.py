"""The bit-parallel engine's roof: how many vectors a sample needs, and how many a second are possible.

    python benchmarks/roof.py

A vector: a weight added to 32 sums of 16 bits, where a mask that is loaded from memory says so.
"""

import threading
import time

import numpy as np
from c_twins import machine
from numba import njit
from workloads import quantized, w1, w2

from gossamer.simulator.bit_plan import BitPlan
from gossamer.simulator.kernels import bits
from gossamer.simulator.plan import plan_graph

CASES = [(w2, 0.9), (w2, 0.95), (w2, 0.99), (w1, 0.9), (w1, 0.99)]
SYNAPSES, REPEATS, ROUNDS, VECTORS = 400, 20_000, 7, 16


@njit(nogil=True, boundscheck=False, error_model="numpy")
def pull_again(repeats, sums, memory, places, weights):
    """A row of synapses into a tile of VECTORS vectors, from a memory that the first cache holds."""
    for _ in range(repeats):
        bits.pull(
            0, sums, False, memory, np.int64(0), np.int64(0), np.int64(1), places, weights, np.int64(0),
            np.int64(len(places)),
        )  # fmt: skip


def vectors_per_second(threads: int) -> float:
    """The most that so many threads add up."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(threads):
        memory = rng.integers(0, 256, 20_000).astype(np.uint8)
        places = 64 * np.sort(rng.integers(0, 256, SYNAPSES)).astype(np.int32)
        rows.append((np.zeros(32 * VECTORS, np.int16), memory, places, np.ones(SYNAPSES, np.int16)))
    pull_again(1, *rows[0])
    seconds = []
    for _ in range(ROUNDS):
        workers = [threading.Thread(target=pull_again, args=(REPEATS, *row)) for row in rows]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds.append(time.perf_counter() - started)
    return threads * REPEATS * SYNAPSES * VECTORS / min(seconds)


def needed(plan: BitPlan, n_samples: int) -> tuple[float, float]:
    """(vectors, tiles) of a sample in a block of so many."""
    n_vectors = n_tiles = 0
    for target in plan.targets:
        if target.kernel != "merge":
            shape, n_rows, n_bytes = target.tile(n_samples, bits.STEPS)
            per_channel = -(-target.height // n_rows) * -(-target.width * n_samples // n_bytes)
            n_vectors += per_channel * len(target.spikes.weights) * bits.TILES[shape][0] * bits.TILES[shape][1]
            n_tiles += per_channel * target.n_channels
    return n_vectors / n_samples, n_tiles / n_samples


def main() -> None:
    """Measure and print."""
    roof = {threads: vectors_per_second(threads) for threads in (1, 2)}
    print(machine(2))
    print(f"{roof[1] / 1e9:.2f} G vectors a second on one thread, {roof[2] / 1e9:.2f} on two")
    for make, sparsity in CASES:
        graph = quantized(make, sparsity)
        plan = BitPlan(plan_graph(graph, graph.n_steps), largest=255 if make is w2 else 1)
        for n in (plan.n_samples, 1):
            n_vectors, n_tiles = needed(plan, n)
            ms = 1e3 * n_vectors / roof[2]
            words = f"{n_vectors / 1e6:.3g} M vectors and {n_tiles / 1e3:.3g} k tiles a sample"
            print(f"{make.__name__.upper()} {sparsity:.0%}, blocks of {n}: {words}; {ms:.3g} ms on two threads")


if __name__ == "__main__":
    main()
