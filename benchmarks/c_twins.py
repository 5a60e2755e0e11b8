"""Kernels of the event engine beside their twins in C: the same arrays, equal results, interleaved in random order.

    python benchmarks/c_twins.py [--rounds N] [--only KERNEL] [--out FILE.md]

One thread. Spikes are those of the workloads; of W3, 1 % of the neurons in each step. Before each call, what it
changes is written anew, untimed, so that it is where a layer finds it: as near in the cache as it fits.
"""

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding
import numpy as np
from recurrent import synapses
from twin import FLAGS, Case, compiler
from workloads import N_STEPS, quantized, w1, w2

from gossamer.compiler import SynapticGraph
from gossamer.simulator import kernels, simulate
from gossamer.simulator.buffers import Buffers
from gossamer.simulator.plan import ProjectionPlan, plan_graph

SPARSITIES = (0.9, 0.95, 0.99)
# As many samples as the engine takes in a block of W2; more where a layer is so small that a call would be short.
W2_LAYERS = {"layer2": 3, "layer4": 3, "layer5": 3, "layer8": 8, "layer12": 8, "layer15": 32}
W1_LAYERS = {"fc1": 32, "fc2": 32}
W3_SIZES = ((10_000, 1_000), (100_000, 100))
W3_STEPS, W3_RATE = 16, 0.01


def pushed(q: ProjectionPlan, layer: str, spikes: np.ndarray, n_targets: int, number: type) -> Case:
    """Spikes (n_samples, n_steps, n_neurons) along a projection."""
    n, n_steps, n_neurons = spikes.shape
    ids, starts = np.empty((n, n_steps * n_neurons), np.int32), np.empty((n, n_steps + 1), np.int64)
    kernels.list_spikes(np.ascontiguousarray(spikes), ids, starts)
    current = np.zeros((n, n_steps, n_targets), number)
    visits = np.zeros(n_steps, np.int64)
    arguments = (ids, np.empty((n, 0), number), starts, 0, n_steps, q.delay, *q.arguments, visits, current)
    n_visits = int((spikes.sum(axis=(0, 1), dtype=np.int64) * q.fan_out).sum())
    types = (q.arguments[-2].dtype, q.arguments[-1].dtype, number)
    return Case(q.kernel.__name__, layer, arguments, (len(arguments) - 2, len(arguments) - 1), n_visits, types)


def layers(graph: SynapticGraph, x: np.ndarray, chosen: dict[str, int], words: str) -> Iterator[Case]:
    """Pushes into layers of a workload, `chosen` by name with the number of samples."""
    plan = plan_graph(graph, graph.n_steps)
    seen = simulate(graph, x, record="*").spikes
    for q in plan.projections:
        if q.target in chosen:
            source, target = plan.population(q.source), plan.population(q.target)
            spikes = seen[q.source][: chosen[q.target]].reshape(-1, graph.n_steps, source.n_neurons)
            before, after = ("x".join(str(n) for n in p.shape) for p in (source, target))
            name = f"{words}, {before} to {after}, {q.arguments[-1].dtype}"
            yield pushed(q, name, spikes, target.n_neurons, target.number)


def first_layer(graph: SynapticGraph, x: np.ndarray) -> Case:
    """The numbers of pictures into W2's first layer; they are the same in all steps, so that one is run."""
    plan = plan_graph(graph, N_STEPS)
    q, target = plan.projections[0], plan.populations[1]
    numbers = np.ascontiguousarray(x.reshape(len(x), 1, -1))
    if target.integer:
        numbers = np.rint(numbers * graph.coding.levels).astype(np.int32)
    current = np.zeros((len(x), 1, target.n_neurons), target.number)
    arguments = (numbers, 0, 1, 0, *q.multiply, current)
    weight = q.arguments[-1].dtype
    types = (np.uint32, weight, target.number)
    n = len(x) * int(q.fan_out.sum())
    return Case(
        "multiply_convolution", f"W2, 3x32x32 to 64x32x32, {weight}", arguments, (len(arguments) - 1,), n, types
    )


def recurrent(n_neurons: int, fan_out: int, weight: type) -> Case:
    """Some steps of W3, a step after the one in which they were emitted."""
    starts, targets, weights = synapses(n_neurons, fan_out)
    rng = np.random.default_rng(5)
    targets = targets.astype(np.uint16 if n_neurons <= 1 << 16 else np.uint32)
    number: type = np.float32
    if weight is np.int8:
        weights, number = rng.integers(-127, 128, len(weights)).astype(np.int8), np.int32
    spikes = (rng.random((1, W3_STEPS, n_neurons), np.float32) < W3_RATE).astype(np.uint8)
    ids, emitted = np.empty((1, spikes.size), np.int32), np.empty((1, W3_STEPS + 1), np.int64)
    kernels.list_spikes(spikes, ids, emitted)
    rows = (np.empty(0, np.int32), starts[:-1], starts[1:], 0, targets, weights)
    current = np.zeros((1, 2, n_neurons), number)
    visits = np.zeros(W3_STEPS, np.int64)
    arguments = (ids, np.empty((1, 0), number), emitted, 0, W3_STEPS + 1, 1, *rows, visits, current)
    n_visits = int(np.diff(starts)[ids[0, : emitted[0, -1]]].sum())
    layer = f"W3, {n_neurons:,} x {fan_out:,}, {weights.dtype}"
    changed, types = (len(arguments) - 2, len(arguments) - 1), (targets.dtype, weights.dtype, number)
    return Case("push_csr", layer, arguments, changed, n_visits, types)


def updated(
    n_neurons: int, rate: float, number: type, *, leak: float = 1.0, decay: float = 0.0, n_samples: int = 1
) -> Case:
    """Eight steps of neurons of which a part fires in each, in state that was written last. decay: of a current."""
    fires = np.random.default_rng(6).random((n_samples, N_STEPS, n_neurons), np.float32) < rate
    integer = number is np.int32
    one, scale, unit = (100, 64, 4096) if integer else (1, 1, 1)
    threshold = np.array([one * scale], number)
    leaks, decays = (np.array([round(x * unit) if integer else x]).astype(number) for x in (leak, decay))
    buffers = Buffers()  # what they make lies as it does in the engine
    v, bias, current, u = (
        buffers.zeros(shape, number)
        for shape in ((n_samples, n_neurons), (n_neurons,), fires.shape, (n_samples, n_neurons))
    )
    current[:] = fires * one
    kind = "CUBA" if decay else "IF" if leak == 1 else "LIF"
    layer = f"{kind} {np.dtype(number)}, {n_neurons:,} neurons, {rate:.0%} fire"
    types, state, reset = (np.uint32, np.int8, number), (current, 0, N_STEPS, v), (threshold, threshold.copy(), leaks)
    if decay:
        options = (number(1), False, True, False, False)  # keep, late, has_current, voltage_first, reset_delay
        fired, seen = buffers.empty(v.shape, np.uint8), np.zeros((n_samples, 0, 0), number)
        arguments: tuple[object, ...] = (*state, u, *reset, decays, bias, *options, fired, seen)
        return Case("advance", layer, arguments, (0, 3, 4, len(arguments) - 2), fires.size, types)
    ids = buffers.empty((n_samples, N_STEPS * n_neurons + kernels.LANES), np.int32)
    starts = np.zeros((n_samples, N_STEPS + 1), np.int64)
    arguments = (*state, *reset, bias, number(1), ids, starts)
    name = "update_integer" if integer else "update_float"
    return Case(name, layer, arguments, (0, 3, len(arguments) - 1), fires.size, types)


def cases(wanted: Callable[[str], bool]) -> Iterator[Case]:
    """All of the kernels whose names are wanted."""
    for sparsity in SPARSITIES if wanted("push_convolution") or wanted("multiply_convolution") else ():
        (graph, x), words = w2(sparsity), f"W2 {sparsity:.0%}"
        for g in (graph, quantized(w2, sparsity)):
            yield from layers(g, x[: max(W2_LAYERS.values())], W2_LAYERS, words)
            if sparsity == SPARSITIES[0]:
                yield first_layer(g, x[:3])
    if wanted("push_csr"):
        for sparsity in SPARSITIES:
            (graph, x), words = w1(sparsity), f"W1 {sparsity:.0%}"
            for g in (graph, quantized(w1, sparsity)):
                yield from layers(g, x[:32], W1_LAYERS, words)
        for size in W3_SIZES:
            for weight in (np.float32, np.int8):
                yield recurrent(*size, weight)
    for number in (np.float32, np.int32):
        for n_neurons, n_samples in ((2_048, 8), (16_384, 1), (65_536, 1)):
            yield updated(n_neurons, 0.05, number, n_samples=n_samples)
        yield updated(65_536, 0.05, number, leak=0.9)
        yield updated(65_536, 0.05, number, leak=0.9, decay=0.5)


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--only", default="", help="kernels whose name begins so")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        machine(1, f"{compiler()} {' '.join(FLAGS)}"),
        "",
        "| kernel | called on | Numba, ns | C, ns | C / Numba | quartiles |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    rng, wanted = np.random.default_rng(0), lambda name: name.startswith(options.only)
    for case in cases(wanted):
        if wanted(case.kernel):
            case.check()
            lines.append(_row(case, case.seconds(options.rounds, rng)))
            print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(case: Case, seconds: dict[str, list[float]]) -> str:
    ours, theirs = (1e9 * statistics.median(seconds[name]) / case.n for name in ("numba", "c"))
    low, _, high = statistics.quantiles((c / a for a, c in zip(*seconds.values(), strict=True)), n=4)
    ratio = f"{theirs / ours:.2f} | {low:.2f} to {high:.2f}"
    return f"| `{case.kernel}` | {case.layer} | {ours:.3g} | {theirs:.3g} | {ratio} |"


def machine(threads: int = 1, *more: str) -> str:
    """What a table was measured on and with."""
    packages = ", ".join((*(f"{name} {version(name)}" for name in ("numba", "llvmlite", "numpy")), *more))
    cpu = llvmlite.binding.get_host_cpu_name()
    where = f"{threads} thread{'s' * (threads > 1)} of {cpu}, {platform.system()}, Python {sys.version.split()[0]}"
    return f"{where}; {packages}."


if __name__ == "__main__":
    main()
