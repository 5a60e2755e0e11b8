"""Every engine and rival on the same networks and samples, interleaved in random order: a table of medians and ratios.

    make rivals
    .venv-rivals/bin/python benchmarks/compare.py [--rounds N] [--only w2] [--out FILE.md]

Without `make rivals`, `python benchmarks/compare.py` compares with PyTorch and SciPy alone. Outputs are compared before
anything is timed. Rivals get two threads, inference mode and a warm start.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding
import numpy as np
import scipy.sparse
import torch
from dense_torch import DenseTorch
from rivals import installed
from workloads import N_STEPS, quantized, trained, w1, w2

from gossamer.compiler import SynapticGraph
from gossamer.simulator import simulate

CASES = [(w2, 0.9), (w2, 0.95), (w2, 0.99), (w1, 0.9), (w1, 0.99), (trained, 0.95)]
THREADS = 2
SHORT = 0.1  # seconds
Runner = Callable[[np.ndarray], np.ndarray]


class SparseProduct:
    """A feed-forward graph of dense layers as sparse matrices: scipy's, or torch's in CSR."""

    def __init__(self, graph: SynapticGraph, *, with_torch: bool) -> None:
        self.layers = []
        for p in graph.projections:
            source, target = graph[p.source].n_neurons, graph[p.target].n_neurons
            by_source = scipy.sparse.csr_array((p.weights.astype(np.float32), p.targets, p.row_start), (source, target))
            matrix = scipy.sparse.csr_array(by_source.T)
            if with_torch:
                parts = (torch.from_numpy(a) for a in (matrix.indptr, matrix.indices, matrix.data))
                matrix = torch.sparse_csr_tensor(*parts, size=matrix.shape)
            self.layers.append((matrix, float(graph[p.target].neuron.threshold)))
        self.with_torch = with_torch

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n_samples, n_outputs) spike counts from spikes (n_samples, n_steps, n_inputs)."""
        spikes = x.transpose(2, 1, 0).astype(np.float32)  # neurons, steps, samples
        for matrix, threshold in self.layers:
            flat = np.ascontiguousarray(spikes.reshape(len(spikes), -1))
            if self.with_torch:
                with torch.inference_mode():
                    current = (matrix @ torch.from_numpy(flat)).numpy()
            else:
                current = matrix @ flat
            current = current.reshape(len(current), *spikes.shape[1:])
            v = np.zeros((len(current), spikes.shape[2]), np.float32)
            spikes = np.empty_like(current)
            for t in range(spikes.shape[1]):
                v += current[:, t]
                spikes[:, t] = v >= threshold
                v -= spikes[:, t] * np.float32(threshold)
        return spikes.sum(axis=1).T


def runners(graph: SynapticGraph, whole: SynapticGraph) -> dict[str, Runner]:
    """By name: Gossamer's engines, then the rivals. graph: float32. whole: the same network in 8-bit integers."""
    found: dict[str, Runner] = {
        "Gossamer, as it chooses (int8)": lambda x: simulate(whole, x, threads=THREADS).logits,
        "Gossamer, event engine (int8)": lambda x: simulate(whole, x, threads=THREADS, engine="event").logits,
        "Gossamer, as it chooses (float32)": lambda x: simulate(graph, x, threads=THREADS).logits,
        "Gossamer, event engine (float32)": lambda x: simulate(graph, x, threads=THREADS, engine="event").logits,
    }
    pictures = len(graph.input.shape) == 3
    for layout in ("nchw", "nhwc") if pictures else ("nchw",):
        words = f", {layout.upper()}" if pictures else ""
        found[f"PyTorch dense float32{words}"] = _dense(DenseTorch(whole, "float32", layout))
    found["PyTorch dense bfloat16"] = _dense(DenseTorch(whole, "bfloat16", "nhwc" if pictures else "nchw"))
    found["PyTorch dense int8"] = _dense(DenseTorch(whole, "int8", "nhwc" if pictures else "nchw"))
    if not pictures:
        found["PyTorch sparse CSR"] = SparseProduct(whole, with_torch=True)
        found["SciPy sparse CSR"] = SparseProduct(whole, with_torch=False)
    plain = all(p.pool == (1, 1) for p in graph.projections)  # others' networks are of the synthetic kind only
    return found | (installed(whole, N_STEPS) if plain else {})


def _dense(rival: DenseTorch) -> Runner:
    return lambda x: rival(x, N_STEPS)


def measure(candidates: dict[str, Runner], x: np.ndarray, rounds: int, seed: int) -> dict[str, list[float]]:
    """Seconds per sample of each, `rounds` times, in a new random order in each round.

    A short call is made again and again, as in use, and the median is taken of all but the first: threads of whoever
    ran before may still be spinning, and its weights are in the caches.
    """
    rng, seconds = np.random.default_rng(seed), {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name in rng.permutation(list(candidates)):
            times = [_seconds(candidates[name], x)]
            while sum(times) < SHORT:
                times.append(_seconds(candidates[name], x))
            seconds[name].append(statistics.median(times[1:] or times) / len(x))
    return {name: s[1:] for name, s in seconds.items()}


def _seconds(run: Runner, x: np.ndarray) -> float:
    started = time.perf_counter()
    run(x)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=["w1", "w2", "trained"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    lines = [_machine(), ""]
    for make, sparsity in CASES:
        if options.only not in (None, make.__name__):
            continue
        (graph, x), whole = make(sparsity), quantized(make, sparsity)
        for n in (64, 1):
            title = f"{make.__name__.upper()}, {sparsity:.0%} sparse, {n} sample{'s' * (n > 1)}"
            section = _section(title, runners(graph, whole), x[:n], options.rounds)
            print("\n".join(section), flush=True)
            lines += section
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(title: str, candidates: dict[str, Runner], x: np.ndarray, rounds: int) -> list[str]:
    names = list(candidates)
    outputs = {name: run(x) for name, run in candidates.items()}  # the first call also compiles
    seconds = measure(candidates, x, rounds, seed=len(title))
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    lines = [
        f"### {title}",
        "",
        "| | ms per sample, median | quartiles | times Gossamer's | outputs equal |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        low, _, high = statistics.quantiles([1e3 * s for s in seconds[name]], n=4)
        equal = (outputs[name] == outputs[names[0]]).mean()
        ratio = medians[name] / medians[names[0]]
        lines.append(f"| {name} | {1e3 * medians[name]:.3g} | {low:.3g} to {high:.3g} | {ratio:.2f} | {equal:.2%} |")
    return [*lines, ""]


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite", "torch", "numpy", "scipy"))
    cpu = llvmlite.binding.get_host_cpu_name()
    return f"{THREADS} threads of {cpu}, {platform.system()}, Python {sys.version.split()[0]}; {packages}."


if __name__ == "__main__":
    main()
