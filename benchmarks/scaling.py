"""How cost grows: graphs with their size, time with events, memory with samples.

    python benchmarks/scaling.py [--rounds N] [--out FILE.md]

Memory is what the process takes at its highest, beyond what it held before; what was freed is given back first.
"""

import argparse
import ctypes
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from recurrent import network, synapses
from workloads import VGG16, resnet20, vgg

from gossamer.compiler import SynapticGraph, compile_network, load_graph
from gossamer.simulator import simulate

RECURRENT = (100_000, 1_000)
SHARES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the input's neurons that fire in a step
SMALL = (16, "P", 32, "P", 32, "P", 32, "P", 32, "P")
SAMPLES = (1_000, 10_000, 100_000)


class Spent:
    """seconds, and bytes of memory at the highest beyond those before."""

    seconds = 0.0
    taken = 0


@contextmanager
def measured() -> Iterator[Spent]:
    """What a block spends (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or what is freed is taken again unseen
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest is that from now on
    spent, before, started = Spent(), _status("VmRSS"), time.perf_counter()
    yield spent
    spent.seconds, spent.taken = time.perf_counter() - started, _status("VmHWM") - before


def _status(name: str) -> int:
    """Bytes that the process holds, by a name of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name + ":")).split()[1])


def building() -> Iterator[str]:
    """Graphs from their weights."""
    yield from (
        "### Graphs",
        "",
        "| | synapses | arrays | s | memory taken, times the arrays |",
        "|---|---|---|---|---|",
    )
    for sparsity, words in ((0.0, "dense"), (0.9, "90 % sparse")):
        for name, model in (("VGG-16-like", vgg(VGG16, sparsity)), ("ResNet-20", resnet20(sparsity))):
            yield _built(f"{name}, {words}", lambda model=model: compile_network(model))  # type: ignore[misc]
    arrays = synapses(*RECURRENT)
    for array in arrays:
        array.flags.writeable = False
    yield _built("recurrent, arrays that nobody can write to", _recurrent(arrays))
    for array in arrays:
        array.flags.writeable = True
    yield _built("recurrent, arrays that can be written to", _recurrent(arrays))
    graph = _recurrent(arrays)()
    del arrays, array
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph")
        with measured() as saving:
            graph.save(path)
        size = _bytes(graph)
        del graph
        before = _status("RssAnon")
        with measured() as loading:
            graph = load_graph(path)
        held = _status("RssAnon") - before
        yield ""
        yield f"The last one is saved in {saving.seconds:.1f} s, with {saving.taken / size:.2f} times its arrays taken."
        yield f"It is loaded in {loading.seconds:.1f} s, checksums verified: {held / 1e6:.1f} MB, the rest is mapped."
        del graph
    yield ""


def _recurrent(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Callable[[], SynapticGraph]:
    return lambda: compile_network(network(RECURRENT[0], *arrays, 10))


def _built(name: str, build: Callable[[], SynapticGraph]) -> str:
    with measured() as spent:
        graph = build()
    n = sum(graph.n_synapses(p.name) for p in graph.populations)
    size = _bytes(graph)
    return f"| {name} | {n:,} | {size / 1e6:,.1f} MB | {spent.seconds:.2f} | {spent.taken / size:.2f} |"


def _bytes(graph: SynapticGraph) -> int:
    return sum(p.weights.nbytes + p.index_bytes for p in graph.projections)


def events(rounds: int) -> Iterator[str]:
    """Time of the event engine while the input fires more and more often."""
    n, fan_out, n_samples = 10_000, 1_000, 16
    starts, targets, weights = synapses(n, fan_out)
    graph = compile_network(network(n, starts, targets, weights * np.float32(1e-3), 100))
    rng = np.random.default_rng(5)
    shape = (n_samples, 100, n)
    inputs = {share: (rng.random(shape, np.float32) < share).astype(np.uint8) for share in (0.0, *SHARES)}
    times: dict[float, list[float]] = {share: [] for share in inputs}
    visited: dict[float, int] = {}
    for _ in range(rounds + 1):
        for share in rng.permutation(list(inputs)):
            started = time.perf_counter()
            run = simulate(graph, inputs[share], engine="event", threads=1)
            times[share].append(time.perf_counter() - started)
            visited[share] = run.total.synaptic_ops
    alone = statistics.median(times[0.0][1:])
    yield from (
        "### Time and events",
        "",
        f"{n:,} recurrent neurons with {fan_out:,} synapses each, 100 steps of {n_samples} samples, one thread.",
        f"Without an event: {alone * 1e3:.1f} ms.",
        "",
        "| input fires | synapses visited | ms | ns per visit, beyond that |",
        "|---|---|---|---|",
    )
    for share in SHARES:
        t = statistics.median(times[share][1:])
        each = 1e9 * (t - alone) / visited[share]
        yield f"| {share:.3%} | {visited[share]:,} | {t * 1e3:.1f} | {each:.2f} |"
    yield ""


def streaming() -> Iterator[str]:
    """Memory while more and more samples are simulated that lie in a file."""
    graph: Any = compile_network(vgg(SMALL, 0.9))
    yield from (
        "### Memory and samples",
        "",
        "| samples | bytes of samples | memory taken, beyond the file's pages | s |",
    )
    yield "|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        for n in SAMPLES:
            path = Path(folder, "x.npy")
            x = np.lib.format.open_memmap(path, "w+", np.float32, (n, 3, 32, 32))
            for a in range(0, n, 1000):
                x[a : a + 1000] = np.random.default_rng(a).random(x[a : a + 1000].shape, np.float32)
            del x
            x = np.load(path, mmap_mode="r")
            simulate(graph, x[:256])
            before, held = _status("RssAnon"), [0]

            def look(done: int, total: int, held: list[int] = held) -> None:
                held.append(_status("RssAnon"))

            started = time.perf_counter()
            simulate(graph, x, progress=look)
            seconds = time.perf_counter() - started
            yield f"| {n:,} | {x.nbytes / 1e6:,.0f} MB | {(max(held) - before) / 1e6:.1f} MB | {seconds:.2f} |"
            del x
    yield ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = []
    for line in (*building(), *events(options.rounds), *streaming()):
        print(line, flush=True)
        lines.append(line)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
