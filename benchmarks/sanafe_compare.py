"""W1, counted and priced as Loihi, by Gossamer and by SANA-FE: spikes, events and energies compared, then the time.

    make sanafe
    .venv/bin/python benchmarks/sanafe_compare.py [--sparsity 0.9,0.99] [--rounds N] [--out FILE.md]

SANA-FE gives every layer a delay of one step. Gossamer runs the same network, delays and the steps after the last input
included, so that every spike of both can be compared; and W1 as it is, without them.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from quiet import undisturbed
from sanafe_files import write_architecture, write_network
from workloads import N_STEPS, quantized, w1

from gossamer import energy
from gossamer.compiler import SynapticGraph
from gossamer.hwmodels import EnergyReport, chip_and_prices
from gossamer.simulator import Activity, simulate

PYTHON = Path(__file__).parent.parent / ".venv-sanafe" / "bin" / "python"
CHIP, THREADS, SHORT = "loihi", 2, 0.2  # seconds
Run = Callable[[], tuple[float, int]]  # seconds, synaptic operations


class SanaFe:
    """The network in SANA-FE, in a process that stands still unless it is asked: its threads spin while they wait."""

    def __init__(self, graph: SynapticGraph, x: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_network(Path(folder), graph, x)
            write_architecture(Path(folder), *chip_and_prices(CHIP), n_inputs=graph.input.n_neurons)
            command = [str(PYTHON), str(Path(__file__).with_name("sanafe_run.py")), folder]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            environment = os.environ | {"OMP_WAIT_POLICY": "active"}  # twice as fast, where nobody else needs the core
            self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, **pipes)
            self.built = self._answer()

    def __call__(self, first: int, end: int, *, threads: int = 1, trace: bool = False) -> dict[str, Any]:
        """Run samples one after another; what was counted in all of them."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        request = {"samples": [first, end], "threads": threads, "trace": trace}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"SANA-FE ended with {self.process.wait()}; run `{' '.join(self.process.args)}` by hand")  # type: ignore[arg-type]
        self.process.send_signal(signal.SIGSTOP)
        return dict(json.loads(line))


def with_delays(graph: SynapticGraph) -> SynapticGraph:
    """The same chain with a delay of one step in each link, and as many steps more."""
    projections = tuple(replace(p, delay=1) for p in graph.projections)
    return replace(graph, projections=projections, n_steps=graph.n_steps + len(projections))


def check(graph: SynapticGraph, plain: Activity, delayed: Activity, theirs: dict[str, Any]) -> None:
    """Every spike of every layer, step and sample, the synaptic operations, the updates."""
    for lag, population in enumerate(graph.populations):
        name, ours = population.name, delayed.spikes[population.name]
        np.testing.assert_array_equal(plain.spikes[name], ours[:, lag : lag + N_STEPS])
        spikes = np.zeros_like(ours)
        for sample, steps in enumerate(theirs["spikes"]):
            for t, fired in enumerate(steps):
                spikes[sample, t, [i for group, i in fired if group == name]] = 1
        np.testing.assert_array_equal(spikes, ours)
    of_input = delayed.layer_counts(graph.input.name).spikes  # SANA-FE counts these as updates, Gossamer does not
    counted = (theirs["events"], theirs["fired"], theirs["updates"] - of_input)
    total = delayed.total
    assert counted == (total.synaptic_ops, total.spikes, total.neuron_updates), (counted, total)


def by_gossamer(graph: SynapticGraph, x: np.ndarray, threads: int, *, priced: bool = True) -> Run:
    """The whole call: simulating, counting, pricing."""

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        activity = simulate(graph, x, threads=threads)
        if priced:
            energy(activity, CHIP)
        return time.perf_counter() - started, activity.total.synaptic_ops

    return run


def by_sanafe(rival: SanaFe, n: int, threads: int) -> Run:
    """Its simulation alone, without the reset between samples."""

    def run() -> tuple[float, int]:
        said = rival(0, n, threads=threads)
        return said["seconds"], said["events"]

    return run


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[tuple[float, int]]]:
    """(seconds, operations) of each, `rounds` times, in a new random order in each round, on a quiet machine."""
    rng, results = np.random.default_rng(len(runs)), {name: [run()] for name, run in runs.items()}
    for _ in range(rounds):
        for name in rng.permutation(list(runs)):
            short = results[name][-1][0] < SHORT  # such a call follows one that is not timed
            results[name].append(undisturbed(_after_another(runs[name]) if short else runs[name]))
    return {name: r[1:] for name, r in results.items()}


def _after_another(run: Run) -> Run:
    def twice() -> tuple[float, int]:
        run()
        return run()

    return twice


def main() -> None:
    """Measure, print and perhaps write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sparsity", default="0.9,0.99")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not PYTHON.exists():
        raise SystemExit(f"{PYTHON} is missing: run `make sanafe` first")
    lines: list[str] = []
    for sparsity in options.sparsity.split(","):
        section = _sections(float(sparsity), options.samples, options.rounds, first=not lines)
        print("\n".join(section), flush=True)
        lines += section
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sections(sparsity: float, n_samples: int, rounds: int, *, first: bool) -> list[str]:
    graph, x = quantized(w1, sparsity), w1(sparsity)[1][:n_samples]
    delayed = with_delays(graph)
    after = np.zeros((len(x), delayed.n_steps - N_STEPS, *x.shape[2:]), x.dtype)
    longer = np.concatenate([x, after], axis=1)
    rival = SanaFe(delayed, x)
    try:
        theirs = rival(0, len(x), trace=True)
        ours = simulate(delayed, longer, record="*")
        check(graph, simulate(graph, x, record="*"), ours, theirs)
        lines = [_machine(rival.built["version"]), ""] if first else []
        for n in dict.fromkeys((1, len(x))):
            runs = {
                f"Gossamer, {THREADS} threads": by_gossamer(delayed, longer[:n], THREADS),
                "Gossamer, 1 thread": by_gossamer(delayed, longer[:n], 1),
                f"Gossamer, {THREADS} threads, not priced": by_gossamer(delayed, longer[:n], THREADS, priced=False),
                f"Gossamer, {THREADS} threads, W1 without delays": by_gossamer(graph, x[:n], THREADS),
                f"SANA-FE, {THREADS} threads": by_sanafe(rival, n, THREADS),
                "SANA-FE, 1 thread": by_sanafe(rival, n, 1),
            }
            title = f"### W1, {sparsity:.0%} sparse, {n} sample{'s' * (n > 1)}, priced as Loihi, beside SANA-FE"
            seconds = measure(runs, rounds * (3 if n == 1 else 1))  # a single one is soon run, and soon disturbed
            lines += [title, "", *_speeds(seconds, n), ""]
        built = f"{rival.built['seconds']:.1f} s and {rival.built['gigabytes']:.1f} GiB"
        lines += [*_energies(energy(ours, CHIP)[CHIP], theirs, len(x)), "", f"SANA-FE takes {built} to build it.", ""]
    finally:
        rival.close()
    return lines


def _speeds(results: dict[str, list[tuple[float, int]]], n: int) -> list[str]:
    """Times SANA-FE's faster row: of medians, and of fastest rounds, which other programs disturbed least."""
    medians = {name: statistics.median(ops / seconds for seconds, ops in r) for name, r in results.items()}
    fastest = {name: max(ops / seconds for seconds, ops in r) for name, r in results.items()}
    theirs = [name for name in results if name.startswith("SANA-FE")]
    lines = [
        "| | ms per sample, median | quartiles | fastest | million synaptic ops per s | times SANA-FE's | fastest |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        milliseconds = [1e3 * seconds / n for seconds, _ in result]
        low, middle, high = statistics.quantiles(milliseconds, n=4)
        of_medians = medians[name] / max(medians[other] for other in theirs)
        of_fastest = fastest[name] / max(fastest[other] for other in theirs)
        times = f"{middle:.3g} | {low:.3g} to {high:.3g} | {min(milliseconds):.3g}"
        lines.append(f"| {name} | {times} | {medians[name] / 1e6:,.4g} | {of_medians:.3g} | {of_fastest:.3g} |")
    return lines


def _energies(report: EnergyReport, theirs: dict[str, Any], n: int) -> list[str]:
    of = report.by_event
    soma, synapse, network = (1e9 * theirs["energy"][part] / n for part in ("soma", "synapse", "network"))
    rows = [
        ("synaptic operations", of["synaptic_op"], synapse),
        ("neuron updates and spikes", of["neuron_update"] + of["spike"], soma),
        ("hops between tiles", None, network),
        ("all", report.total_pj, 1e9 * theirs["energy"]["total"] / n),
    ]
    lines = ["| nJ per sample | Gossamer | SANA-FE |", "|---|---|---|"]
    for name, pj, nj in rows:
        lines.append(f"| {name} | {'not mapped' if pj is None else f'{pj / n / 1000:,.3f}'} | {nj:,.3f} |")
    return lines


def _machine(sanafe: str) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "llvmlite", "numpy"))
    cpu = llvmlite.binding.get_host_cpu_name()
    return f"{cpu}, {platform.system()}, Python {sys.version.split()[0]}; {packages}, sanafe {sanafe}."


if __name__ == "__main__":
    main()
