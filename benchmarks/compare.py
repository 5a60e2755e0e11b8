"""Every engine and rival on the same networks and samples, interleaved in random order: a table of medians and ratios.

    make rivals
    .venv-rivals/bin/python benchmarks/compare.py [--rounds N] [--only w2] [--out FILE.md]

Without `make rivals`, `python benchmarks/compare.py` compares with PyTorch and SciPy alone. Outputs are compared with
those of the plain reference simulator first: where sums are exact and outputs differ, nothing is timed. Rivals get two
threads, inference mode and a warm start.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import llvmlite.binding
import numpy as np
import scipy.sparse
import torch
from dense_torch import DenseTorch
from rivals import installed
from workloads import N_STEPS, network_of, quantized, trained_cifar10, trained_mnist, w1, w2

from gossamer.compiler import SynapticGraph
from gossamer.hwmodels import GossamerError
from gossamer.simulator import simulate
from gossamer.simulator.reference import run_reference

CASES = {
    "W2": [(w2, s) for s in (0.0, 0.5, 0.9, 0.95, 0.99)],
    "W1": [(w1, s) for s in (0.9, 0.99)],
    "examples/mnist-conv, trained": [(trained_mnist, 0.95)],
    "examples/cifar10-small, trained": [(trained_cifar10, 0.9)],
}
THREADS = 2
SHORT = 0.1  # seconds
CHECKED = 8  # samples that the reference runs: a few seconds of W2
Runner = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Candidate:
    """What is timed.

    arithmetic: which of a workload's two networks it runs, "int" or "float32". exact: its sums are not rounded.
    """

    run: Runner
    arithmetic: str = "int"
    exact: bool = True


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


def by_gossamer(graph: SynapticGraph, engine: Literal["auto", "event"] = "auto") -> Candidate:
    """A graph in one of its engines."""
    run: Runner = lambda x: simulate(graph, x, threads=THREADS, engine=engine).logits  # noqa: E731
    return Candidate(run, graph.arithmetic, exact=graph.arithmetic == "int")


def runners(graph: SynapticGraph, whole: SynapticGraph, n_samples: int) -> dict[str, Candidate]:
    """By name: Gossamer's engines, then the rivals. graph: float32. whole: the same network in 8-bit integers."""
    found = {
        "Gossamer, as it chooses (int8)": by_gossamer(whole),
        "Gossamer, event engine (int8)": by_gossamer(whole, "event"),
        "Gossamer, as it chooses (float32)": by_gossamer(graph),
        "Gossamer, event engine (float32)": by_gossamer(graph, "event"),
    }
    pictures = len(graph.input.shape) == 3
    for layout in ("nchw", "nhwc") if pictures else ("nchw",):
        words = f", {layout.upper()}" if pictures else ""
        found[f"PyTorch dense float32{words}"] = _dense(DenseTorch(whole, "float32", layout))
    found["PyTorch dense bfloat16"] = _dense(DenseTorch(whole, "bfloat16", "nhwc" if pictures else "nchw"))
    found["PyTorch dense int8"] = _dense(DenseTorch(whole, "int8", "nhwc" if pictures else "nchw"))
    for kind in ("float32", "int8") if n_samples > 1 else ():  # for one sample, step by step takes twice as long
        for words, how in (("eight samples at a time", {"at_once": 8}), ("step by step", {"order": "steps"})):
            rival = DenseTorch(whole, kind, "nhwc" if pictures else "nchw", **how)
            found[f"PyTorch dense {kind}, {words}"] = _dense(rival)
    if not pictures:
        found["PyTorch sparse CSR"] = Candidate(SparseProduct(whole, with_torch=True))
        found["SciPy sparse CSR"] = Candidate(SparseProduct(whole, with_torch=False))
    plain = all(p.pool == (1, 1) for p in graph.projections)  # others' networks are of the synthetic kind only
    others = installed(whole, N_STEPS) if plain else {}
    return found | {name: Candidate(run) for name, run in others.items()}


def _dense(rival: DenseTorch) -> Candidate:
    return Candidate(lambda x: rival(x, N_STEPS), exact=rival.kind != "bfloat16")


def expected(graph: SynapticGraph, whole: SynapticGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the reference says of a few samples, by the arithmetic of the network."""
    return {g.arithmetic: run_reference(network_of(g), x[:CHECKED]).logits for g in (graph, whole)}


def check(candidates: dict[str, Candidate], x: np.ndarray, wanted: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of outputs that equal the reference's, of each; beyond its samples, those that are exact must agree.

    Raises: SystemExit: if outputs differ although sums are exact.
    """
    shares, first = {}, None
    for name, candidate in candidates.items():
        outputs, right = candidate.run(x), wanted[candidate.arithmetic][: len(x)]  # the first call also compiles
        if candidate.exact:
            first = outputs if first is None else first
            right = np.concatenate([right, first[len(right) :]])
        n_wrong = int((outputs[: len(right)] != right).sum())
        if candidate.exact and n_wrong:
            raise SystemExit(f"{name}: {n_wrong} of {right.size} outputs are not the reference's; nothing is timed")
        shares[name] = 1 - n_wrong / right.size
    return shares


def measure(candidates: dict[str, Candidate], x: np.ndarray, rounds: int, seed: int) -> dict[str, list[float]]:
    """Seconds per sample of each, `rounds` times, in a new random order in each round.

    A short call is made again and again, as in use, and the median is taken of all but the first: threads of whoever
    ran before may still be spinning, and its weights are in the caches.
    """
    rng, seconds = np.random.default_rng(seed), {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name in rng.permutation(list(candidates)):
            run = candidates[name].run
            times = [_seconds(run, x)]
            while sum(times) < SHORT:
                times.append(_seconds(run, x))
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
    parser.add_argument(
        "--only", metavar="WORD", default="", help="networks that are named so: w1, w2, trained, cifar10"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    lines = [_machine(), ""]
    for name, make, sparsity in ((name, *case) for name, cases in CASES.items() for case in cases):
        if options.only.lower() not in name.lower():
            continue
        try:
            (graph, x), whole = make(sparsity), quantized(make, sparsity)
        except GossamerError as error:  # its data are not here
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        wanted = expected(graph, whole, x)
        for n in (64, 1):
            title = f"{name}, {sparsity:.0%} sparse, {n} sample{'s' * (n > 1)}"
            section = _section(title, runners(graph, whole, n), x[:n], wanted, options.rounds)
            print("\n".join(section), flush=True)
            lines += section
            if options.out is not None:  # as it comes: all of it takes half an hour
                options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(
    title: str, candidates: dict[str, Candidate], x: np.ndarray, wanted: dict[str, np.ndarray], rounds: int
) -> list[str]:
    names, shares = list(candidates), check(candidates, x, wanted)
    seconds = measure(candidates, x, rounds, seed=len(title))
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    lines = [
        f"### {title}",
        "",
        "| | ms per sample, median | quartiles | times Gossamer's | outputs equal to the reference's |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        low, _, high = statistics.quantiles([1e3 * s for s in seconds[name]], n=4)
        ratio = medians[name] / medians[names[0]]
        lines.append(
            f"| {name} | {1e3 * medians[name]:.3g} | {low:.3g} to {high:.3g} | {ratio:.2f} | {shares[name]:.2%} |"
        )
    return [*lines, ""]


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite", "torch", "numpy", "scipy"))
    cpu = llvmlite.binding.get_host_cpu_name()
    return f"{THREADS} threads of {cpu}, {platform.system()}, Python {sys.version.split()[0]}; {packages}."


if __name__ == "__main__":
    main()
