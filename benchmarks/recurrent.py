"""W3: recurrent networks of leaky neurons, about 1 % of which fire in a step, against brainevent, brian2 and NEST.

    .venv-rivals/bin/python benchmarks/recurrent.py [--sizes 10000x100,100000x1000] [--steps N] [--out FILE.md]

Every neuron fires when its input says so, and now and then because of the network. All get the same weights and input.
Spikes of the first steps are compared with the plain reference simulator's first: 99.9 % must be the same, as each
adds floats in an order of its own, and NEST in double precision. Neurons are reset to zero, as NEST knows no other
reset. brian2 runs as C++ with two threads, which spin for each other: where it takes part, a run counts only if nobody
else used the machine just before and after it. Of 100 million synapses NEST takes 12 GB: with 24, it cannot run beside
brian2, and gets a call of its own (--rivals nest).
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from operator import call
from pathlib import Path
from typing import Any

import numpy as np
from quiet import undisturbed

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
from gossamer.simulator.reference import run_reference

LEAK, RATE, SPREAD, THREADS = np.float32(0.9), 0.017, 0.02, 2
CHECKED, AGREE, SHORT = 5, 0.999, 0.1  # steps, share of their spikes, seconds
BRIAN2, NEST = (Path(__file__).parent.parent / f".venv-{name}" / "bin" / "python" for name in ("brian2", "nest"))
Run = Callable[[], tuple[float, int]]  # seconds, spikes
Candidate = tuple[Run, np.ndarray]  # and which neurons fire in the first steps: (CHECKED, n)


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
    neuron = replace(integrate_and_fire(1.0, reset="zero"), leak=LEAK)
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


def by_gossamer(graph: SynapticGraph, x: np.ndarray, threads: int) -> Candidate:
    """The whole call, counting included."""

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        activity = simulate(graph, x[None], threads=threads)
        return time.perf_counter() - started, activity.layer_counts("all").spikes

    return run, simulate(graph, x[None], threads=threads, record="all").spikes["all"][0, :CHECKED] != 0


def by_brainevent(n: int, starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, x: np.ndarray) -> Candidate:
    """One compiled scan over all steps."""
    import brainevent as be
    import jax
    import jax.numpy as jnp

    parts = (jnp.asarray(weights), jnp.asarray(targets.astype(np.int32)), jnp.asarray(starts.astype(np.int32)))

    def scan(inputs, seen):  # type: ignore[no-untyped-def]
        matrix = be.CSR(parts, shape=(n, n))  # which holds on to what it was compiled with

        def one(state, given):  # type: ignore[no-untyped-def]
            v, fired = state
            v = LEAK * v + given + be.BinaryArray(fired) @ matrix
            fired = v >= 1
            return (jnp.where(fired, 0, v), fired), seen(fired)

        return jax.lax.scan(one, (jnp.zeros(n, jnp.float32), jnp.zeros(n, bool)), inputs)[1]

    whole = jax.jit(lambda inputs: scan(inputs, jnp.sum).sum())
    inputs = jnp.asarray(x, jnp.float32)

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        spikes = int(whole(inputs))
        return time.perf_counter() - started, spikes

    return run, np.asarray(jax.jit(lambda inputs: scan(inputs, lambda fired: fired))(inputs[:CHECKED]))


class Elsewhere:
    """A simulator in a process of its own, which runs when asked; only its own time is taken, by its own clock."""

    def __init__(
        self, python: Path, script: str, starts: np.ndarray, targets: np.ndarray, weights: np.ndarray, x: np.ndarray
    ) -> None:
        self.script = script
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "network.npz")
            np.savez(file, starts=starts, targets=targets, weights=weights, x=x, leak=LEAK, checked=CHECKED)
            command = [str(python), str(Path(__file__).with_name(script)), str(file), str(THREADS)]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes)
            steps, neurons = self._answer()
        self.first = np.zeros(x[:CHECKED].shape, bool)
        self.first[steps, neurons] = True

    def run(self) -> tuple[float, int]:
        """All steps."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        seconds, spikes = self._answer()
        return seconds, spikes

    def close(self) -> None:
        """End the process, which removes what it wrote."""
        self.process.communicate()

    def _answer(self) -> list[Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.script} ended with {self.process.wait()}")
        return list(json.loads(line))


def expected(model: Network, x: np.ndarray) -> np.ndarray:
    """Which neurons fire in the first steps, says the reference: (CHECKED, n)."""
    first = x[None, :CHECKED]
    return run_reference(model, first, first.shape[1]).spikes["all"][0] != 0


def check(first: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, float]:
    """Of the spikes that each or the reference has in the first steps, the share that both have.

    Raises: SystemExit: if it is below AGREE.
    """
    shares = {name: float((fired & wanted).sum() / (fired | wanted).sum()) for name, fired in first.items()}
    for name, share in shares.items():
        if share < AGREE:
            raise SystemExit(f"{name}: {share:.2%} of the first spikes are the reference's; nothing is timed")
    return shares


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000x100,10000x1000,100000x100,100000x1000")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rivals", default="brainevent,brian2,nest", help="those of them that are there")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines: list[str] = []
    for size in options.sizes.split(","):
        n, fan_out = (int(word) for word in size.split("x"))
        section = _section(n, fan_out, options.steps, options.rounds, options.rivals.split(","))
        print("\n".join(section), flush=True)
        lines += section
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _section(n: int, fan_out: int, n_steps: int, rounds: int, rivals: list[str]) -> list[str]:
    starts, targets, weights = synapses(n, fan_out)
    x = (np.random.default_rng(4).random((n_steps, n), np.float32) < RATE).astype(np.uint8)
    model = network(n, starts, targets, weights, n_steps)
    graph = compile_network(model)
    found = {f"Gossamer, {t} thread{'s' * (t > 1)}": by_gossamer(graph, x, t) for t in (THREADS, 1)}
    with ExitStack() as stack:
        if "brainevent" in rivals and find_spec("brainevent"):
            found["brainevent (CSR, jit, scan)"] = by_brainevent(n, starts, targets, weights, x)
        for name, python in (("brian2 (C++, {} threads)", BRIAN2), ("NEST ({} threads)", NEST)):
            word = name.split()[0].lower()
            if word in rivals and python.exists():
                script = f"{word}_run.py"
                rival = stack.enter_context(closing(Elsewhere(python, script, starts, targets, weights, x)))
                found[name.format(THREADS)] = rival.run, rival.first
        shares = check({name: first for name, (_, first) in found.items()}, expected(model, x))
        results = {name: [run()] for name, (run, _) in found.items()}  # the first also compiles
        rng, when = np.random.default_rng(n), undisturbed if "brian2" in rivals and BRIAN2.exists() else call
        for _ in range(rounds):
            for name in rng.permutation(list(found)):
                results[name].append(when(partial(_steady, found[name][0])))
    times = {name: [1e3 * s / n_steps for s, _ in r[1:]] for name, r in results.items()}
    medians = {name: statistics.median(t) for name, t in times.items()}
    lines = [
        f"### W3, {n:,} neurons x {fan_out:,} synapses, {len(targets):,} in all",
        "",
        "| | s per 1,000 steps, median | quartiles | times Gossamer's | spikes | the reference's, of the first |",
        "|---|---|---|---|---|---|",
    ]
    for name, median in medians.items():
        low, _, high = statistics.quantiles(times[name], n=4)
        ratio = median / next(iter(medians.values()))
        counted = f"{results[name][-1][1]:,} | {shares[name]:.2%}"
        lines.append(f"| {name} | {median:.3g} | {low:.3g} to {high:.3g} | {ratio:.2f} | {counted} |")
    return [*lines, ""]


def _steady(run: Run) -> tuple[float, int]:
    """As in use, again and again: the median of all but the first, which finds another's synapses in the caches."""
    results = [run(), run()]
    while sum(seconds for seconds, _ in results) < SHORT:
        results.append(run())
    return statistics.median(seconds for seconds, _ in results[1:]), results[-1][1]


if __name__ == "__main__":
    main()
