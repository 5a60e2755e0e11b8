"""W3: recurrent networks of leaky neurons, about 1 % of which fire in a step, against brainevent and brian2.

    .venv-rivals/bin/python benchmarks/recurrent.py [--sizes 10000x100,100000x1000] [--steps N] [--out FILE.md]

Every neuron fires when its input says so, and now and then because of the network. All get the same weights and input,
and must fire as often. brian2 runs as C++ with two threads, and only its own time is taken.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gossamer.compiler import (
    Connection,
    InputCoding,
    Network,
    Population,
    Sparse,
    SynapticGraph,
    compile_network,
    integrate_and_fire,
)
from gossamer.simulator import simulate

LEAK, RATE, SPREAD, THREADS = np.float32(0.9), 0.017, 0.02, 2
BRIAN2 = Path(__file__).parent.parent / ".venv-brian2" / "bin" / "python"
Run = Callable[[], tuple[float, int]]  # seconds, spikes


def synapses(n: int, fan_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row starts, targets, weights) of n neurons with at most `fan_out` random targets each."""
    rng = np.random.default_rng(3)
    targets = np.sort(rng.integers(0, n, (n, fan_out), np.uint32), axis=1)
    new = np.ones(targets.shape, bool)
    new[:, 1:] = targets[:, 1:] != targets[:, :-1]
    starts = np.concatenate([[0], np.cumsum(new.sum(axis=1))])
    weights = rng.standard_normal(int(starts[-1]), np.float32) * np.float32(SPREAD)
    weights[weights == 0] = SPREAD  # every synapse is one
    return starts, targets[new], weights


def network(n: int, starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, n_steps: int) -> Network:
    """An input neuron for each neuron, and the recurrent synapses with a delay of one step."""
    alone = Sparse(row_start=np.arange(n + 1), targets=np.arange(n), weights=np.ones(n, np.float32), shape=(n,))
    one = Sparse(
        row_start=np.minimum(np.arange(n + 1), 1), targets=np.zeros(1, int), weights=np.ones(1, np.float32), shape=(1,)
    )
    others = Sparse(row_start=starts, targets=targets, weights=weights, shape=(n,))
    neuron = replace(integrate_and_fire(1.0), leak=LEAK)
    return Network(
        name="w3",
        populations=(
            Population(name="in", shape=(n,), kind="input"),
            Population(name="all", shape=(n,), neuron=neuron),
            Population(name="out", shape=(1,), kind="readout"),
        ),
        connections=(
            Connection(source="in", target="all", maps=(alone,)),
            Connection(source="all", target="all", maps=(others,), delay=1),
            Connection(source="all", target="out", maps=(one,)),
        ),
        output="out",
        n_steps=n_steps,
        coding=InputCoding(kind="events"),
    )


def by_gossamer(graph: SynapticGraph, x: np.ndarray, threads: int) -> Run:
    """The whole call, counting included."""

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        activity = simulate(graph, x[None], threads=threads)
        return time.perf_counter() - started, activity.layer_counts("all").spikes

    return run


def by_brainevent(n: int, starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, x: np.ndarray) -> Run:
    """One compiled scan over all steps."""
    import brainevent as be
    import jax
    import jax.numpy as jnp

    parts = (jnp.asarray(weights), jnp.asarray(targets.astype(np.int32)), jnp.asarray(starts.astype(np.int32)))
    matrix = be.CSR(parts, shape=(n, n))

    @jax.jit
    def whole(inputs):  # type: ignore[no-untyped-def]
        def one(state, given):  # type: ignore[no-untyped-def]
            v, fired = state
            v = LEAK * v + given + be.BinaryArray(fired) @ matrix
            fired = v >= 1
            return (v - fired, fired), fired.sum()

        start = (jnp.zeros(n, jnp.float32), jnp.zeros(n, bool))
        return jax.lax.scan(one, start, inputs)[1].sum()

    inputs = jnp.asarray(x, jnp.float32)

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        spikes = int(whole(inputs))
        return time.perf_counter() - started, spikes

    return run


def by_brian2(starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, x: np.ndarray) -> Run:
    """A C++ program, built anew for each run, whose own clock is read."""

    def run() -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "network.npz")
            np.savez(file, starts=starts, targets=targets, weights=weights, x=x, leak=LEAK)
            command = [str(BRIAN2), str(Path(__file__).with_name("brian2_run.py")), str(file), str(THREADS)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return float(said[-2]), int(said[-1])

    return run


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000x100,10000x1000,100000x100,100000x1000")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines: list[str] = []
    for size in options.sizes.split(","):
        n, fan_out = (int(word) for word in size.split("x"))
        lines += _section(n, fan_out, options.steps, options.rounds)
        print("\n".join(lines[-8:]), flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(n: int, fan_out: int, n_steps: int, rounds: int) -> list[str]:
    starts, targets, weights = synapses(n, fan_out)
    x = (np.random.default_rng(4).random((n_steps, n), np.float32) < RATE).astype(np.uint8)
    graph = compile_network(network(n, starts, targets, weights, n_steps))
    runs: dict[str, Run] = {f"Gossamer, {t} thread{'s' * (t > 1)}": by_gossamer(graph, x, t) for t in (THREADS, 1)}
    if find_spec("brainevent"):
        runs["brainevent (CSR, jit, scan)"] = by_brainevent(n, starts, targets, weights, x)
    results = {name: [run()] for name, run in runs.items()}  # the first also compiles
    rng = np.random.default_rng(n)
    for _ in range(rounds):
        for name in rng.permutation(list(runs)):
            results[name].append(runs[name]())
    if BRIAN2.exists():
        run = by_brian2(starts, targets, weights, x)
        results[f"brian2 (C++, {THREADS} threads, once)"] = [(0.0, 0), run()]
    names = list(results)
    medians = {name: statistics.median(s for s, _ in r[1:]) / n_steps for name, r in results.items()}
    lines = [
        f"### W3, {n:,} neurons x {fan_out:,} synapses, {len(targets):,} in all",
        "",
        "| | s per 1,000 steps, median | times Gossamer's | spikes |",
        "|---|---|---|---|",
    ]
    for name in names:
        ratio = medians[name] / medians[names[0]]
        lines.append(f"| {name} | {1e3 * medians[name]:.3g} | {ratio:.2f} | {results[name][-1][1]:,} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
