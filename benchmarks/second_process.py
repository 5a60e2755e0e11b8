"""A process that imports Gossamer, loads a compiled network and simulates a sample, after another one did: its parts.

    python benchmarks/second_process.py [--rounds N] [--out FILE.md]

The network is examples/mnist-conv.safetensors in 8-bit integers. In turns with it runs a process that only imports
numpy, scipy.sparse and numba.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import gossamer

EXAMPLE = Path(__file__).parent.parent / "examples" / "mnist-conv.safetensors"
BARE = "import numpy, scipy.sparse, numba"
WHOLE = """
import json, sys, time
import numpy as np
from gossamer import load_graph, simulate
imported = time.perf_counter()
graph = load_graph(sys.argv[1])
loaded = time.perf_counter()
simulate(graph, np.load(sys.argv[2]))
print(json.dumps([loaded - imported, time.perf_counter() - loaded]))
"""
PARTS = ("from start to end", "start, imports, end", "load", "simulate", f"`{BARE}` alone")


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each part, by round, after one that is not counted."""
    rng, seconds = np.random.default_rng(1), {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory() as folder:
        graph, sample = gossamer.compile(EXAMPLE, weight_bits=8), Path(folder, "sample.npy")
        graph.save(Path(folder, "graph"))
        np.save(sample, rng.random((1, *graph.input.shape), np.float32))
        programs = {"whole": [WHOLE, str(Path(folder, "graph")), str(sample)], "bare": [BARE]}
        for _ in range(rounds + 1):
            done = {name: _run(programs[name]) for name in rng.permutation(list(programs))}
            whole, said = done["whole"]
            load, run = json.loads(said)
            for part, s in zip(PARTS, (whole, whole - load - run, load, run, done["bare"][0]), strict=True):
                seconds[part].append(s)
    return {part: s[1:] for part, s in seconds.items()}


def _run(program: list[str]) -> tuple[float, str]:
    """Seconds of an interpreter, and what it prints."""
    started = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", *program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return time.perf_counter() - started, said


def main() -> None:
    """Measure, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| A second process | s, median | quartiles |", "|---|---|---|"]
    for part, seconds in measure(options.rounds).items():
        low, middle, high = statistics.quantiles(seconds, n=4)
        lines.append(f"| {part} | {middle:.3g} | {low:.3g} to {high:.3g} |")
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
