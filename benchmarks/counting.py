"""What counting costs: W2 with both engines, as they are and with the counting taken out, interleaved in random order.

    python benchmarks/counting.py [--rounds N] [--threads N] [--out FILE.md]

Nobody can switch counting off but this script, which puts functions that do nothing in the place of those that count,
and pushes that were compiled without the lines that count in the place of the others.
"""

import argparse
import inspect
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from c_twins import machine
from workloads import quantized, w2

from gossamer.compiler import SynapticGraph
from gossamer.hwmodels import EVENT_NAMES
from gossamer.simulator import counting, event_engine, simulate
from gossamer.simulator.kernels import bit_counts, convolution, planes, scatter
from gossamer.simulator.plan import plan_graph

SPARSITIES = (0.9, 0.95, 0.99)


def without_counting(module: ModuleType, name: str) -> Any:
    """A kernel compiled from its module's source, but for the sums of visits."""
    source, n_lines = re.subn(r"\n *n_visits \+= .*", "", inspect.getsource(module))
    assert n_lines
    namespace = dict(vars(module))
    exec(source.replace("cache=True, ", ""), namespace)
    return namespace[name]


UNCOUNTED = {
    kernel: without_counting(module, kernel.__name__)
    for module, kernel in ((scatter, scatter.push_csr), (convolution, convolution.push_convolution))
}


@contextmanager
def uncounted(graph: SynapticGraph) -> Iterator[None]:
    """Within, no engine counts: every count is 0."""
    with ExitStack() as patches:
        for q in plan_graph(graph, graph.n_steps).projections:  # which are frozen
            patches.callback(object.__setattr__, q, "kernel", q.kernel)
            object.__setattr__(q, "kernel", UNCOUNTED[q.kernel])
        for owner, name in (
            (event_engine, "count_spikes"), (event_engine, "count_visits"),
            (bit_counts, "count"), (planes, "count_numbers"),
        ):  # fmt: skip
            patches.enter_context(patch.object(owner, name, lambda *_: None))
        patches.enter_context(patch.object(counting.Counter, "counts", _zeros))
        yield


def _zeros(counter: counting.Counter, n_samples: int) -> np.ndarray:
    return np.zeros((*counter.spikes.shape, len(EVENT_NAMES)), np.int64)[:, : counter.plan.n_steps]


def measure(graph: SynapticGraph, x: np.ndarray, engine: str, rounds: int, threads: int) -> tuple[list[float], ...]:
    """Seconds per sample with counting and without, round by round."""
    rng, seconds = np.random.default_rng(len(x)), ([], [])
    for off in (False, True):  # compiles, too
        with uncounted(graph) if off else ExitStack():
            simulate(graph, x, threads=threads, engine=engine)
    for _ in range(rounds):
        for off in rng.permutation(2):
            with uncounted(graph) if off else ExitStack():
                started = time.perf_counter()
                run = simulate(graph, x, threads=threads, engine=engine)
                seconds[off].append((time.perf_counter() - started) / len(x))
            assert off == (run.total.spikes == 0)
    return seconds


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        machine(options.threads),
        "",
        "| W2 | engine | samples | counting, ms | not counting, ms | ratio | quartiles |",
        "|---|---|---|---|---|---|---|",
    ]
    for sparsity in SPARSITIES:
        graph, x = quantized(w2, sparsity), w2(sparsity)[1]
        for engine in ("bits", "event"):
            for n in (64, 1):
                # As long for each: one is fast, and one of the slow ones has 64 samples.
                rounds = 5 * options.rounds if engine == "bits" else max(3, options.rounds // (3 if n > 1 else 1))
                on, off = measure(graph, x[:n], engine, rounds, options.threads)
                a, b = (1e3 * statistics.median(s) for s in (on, off))
                low, _, high = statistics.quantiles((p / q for p, q in zip(on, off, strict=True)), n=4)
                ratio = f"{a / b:.3f} | {low:.3f} to {high:.3f}"
                lines.append(f"| {sparsity:.0%} | {engine} | {n} | {a:.3g} | {b:.3g} | {ratio} |")
                print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
