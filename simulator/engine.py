"""Run a graph: validate, plan, choose an engine, run blocks of samples on threads, and gather what they leave."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, get_args

import numpy as np

from ..compiler import Array, SynapticGraph
from ..hwmodels import EVENT_NAMES
from .activity import Activity
from .bit_engine import BitEngine
from .bit_plan import plan_bits, why_not_bits
from .block import Block
from .cost import cycles_by_bits, cycles_by_events
from .crew import MOST
from .encode import check_type, encode, holds_steps, largest_number
from .errors import SimulationError, check_whole
from .event_engine import EventEngine
from .plan import Plan, bytes_per_sample, plan_graph
from .reference import logits_of
from .samples import Samples, as_samples, part_of

BLOCK_BYTES = 64 << 20  # currents, states and events that one thread holds at a time
EngineName = Literal["auto", "event", "bits"]


def simulate(
    graph: SynapticGraph,
    x: Samples,
    y: Array | None = None,
    *,
    n_steps: int | None = None,
    threads: int | None = None,
    engine: EngineName = "auto",
    record: str | Sequence[str] = (),
    first_sample: int = 0,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Run a graph on samples.

    Args:
        graph: A compiled network.
        x: (n_samples, *input_shape) values for the input coding, or (n_samples, n_steps, *input_shape) steps:
            an array, or anything else with a shape, a NumPy type and slices, which is read block by block.
        y: (n_samples,) labels, for the accuracy.
        n_steps: T; the graph's own if None.
        threads: All cores that the process may use if None; at most 64, or all cores. Results do not depend on it.
        engine: "event": every spike is pushed to its targets. "bits": every target pulls eight steps of its sources at
            a time, for networks without cycles. "auto": what should be faster. Results do not depend on it.
        record: Populations whose spikes to keep; ("*",) for all.
        first_sample: Index of x[0] in its data set, on which the Bernoulli spikes of "rate" coding depend.
        block_bytes: Memory that one thread may hold at a time, about.
        progress: Called with (samples done, samples in all).
    Raises:
        SimulationError: GSM-401, GSM-402 for data that do not fit; GSM-403 if one sample does not fit into memory;
            GSM-404 for options out of range, and for an engine that cannot run the graph.
    """
    if not isinstance(graph, SynapticGraph):
        raise SimulationError(
            "GSM-404",
            "not a compiled graph",
            where="graph",
            found=type(graph).__name__,
            expected="a SynapticGraph",
            remedy="compile the network: gossamer.compile(network)",
        )
    for name, value, least in (
        ("n_steps", graph.n_steps if n_steps is None else n_steps, 1),
        ("threads", 1 if threads is None else threads, 1),
        ("first_sample", first_sample, 0),
        ("block_bytes", block_bytes, 1),
    ):
        check_whole(value, least, name)
    x = as_samples(x)
    steps, labels, names = _check_call(graph, x, y, n_steps, record)
    holds_steps(x, graph.input.shape, steps)  # of all samples, so that a message shows their shape and not a block's
    n_bytes = _check_memory(graph, steps)
    plan = plan_graph(graph, steps)
    n_threads = min(threads or available_cores(), max(MOST, available_cores()))  # more would only hold memory
    n_apart = n_threads if graph.reset_between_samples else 1  # that take blocks: those of a stream come one by one
    chosen = _choose(plan, x, engine, names)
    if isinstance(chosen, BitEngine):
        per_block = max(1, min(chosen.plan.n_samples, block_bytes // chosen.plan.bytes_per_sample))
    else:
        per_block = max(1, min(32, block_bytes // n_bytes, -(-len(x) // n_apart)))
        per_block += -per_block % chosen.samples_at_once
    blocks = [(a, min(a + per_block, len(x))) for a in range(0, len(x), per_block)]
    counts = np.zeros((len(graph.populations), steps, len(EVENT_NAMES)), np.int64)
    logits: list[Array] = []
    recorded: dict[str, list[Array]] = {name: [] for name in names}
    # Threads take blocks; where there are fewer blocks than threads, they share the work in each.
    n_outer = min(n_apart, len(blocks))
    chosen.threads = min(n_threads // n_outer, MOST)
    chosen.load({b - a for a, b in blocks})
    started = time.perf_counter()
    done = _in_order(lambda a, b: _run_block(chosen, plan, part_of(x, a, b), first_sample + a), blocks, n_outer)
    for (_, n_done), block in zip(blocks, done, strict=True):
        counts += block.counts
        logits.append(logits_of(graph[graph.output], block.readout))
        for name in names:
            recorded[name].append(block.spikes[name])
        if progress is not None:
            progress(n_done, len(x))
    seconds = time.perf_counter() - started
    return Activity(
        graph=graph.name,
        graph_sha256=str(graph.metadata.get("sha256", "")),
        arithmetic=graph.arithmetic,
        n_samples=len(x),
        n_steps=steps,
        layers=plan.layers,
        counts=counts,
        logits=np.concatenate(logits),
        labels=labels,
        seconds=seconds,
        threads=n_outer * chosen.threads,
        engine=chosen.name,
        spikes={name: np.concatenate(parts) for name, parts in recorded.items()},
    )


def _choose(plan: Plan, x: Samples, engine: str, names: list[str]) -> EventEngine | BitEngine:
    """The engine that was asked for, or the faster one.

    Raises: SimulationError: GSM-404 if it cannot run the graph.
    """
    if engine not in get_args(EngineName):
        expected = ", ".join(get_args(EngineName))
        raise SimulationError("GSM-404", "no such engine", where="engine", found=engine, expected=expected)
    reason = why_not_bits(plan.graph)
    if engine != "event" and reason is None:
        bits = plan_bits(plan, _largest(plan, x))
        if not bits.fits:
            reason = "sums that may leave 32 bits"
        elif engine == "bits" or cycles_by_bits(bits, len(x)) <= cycles_by_events(plan, x):
            return BitEngine(bits, names)
    if engine != "bits":
        return EventEngine(plan, names, len(x))
    raise SimulationError(
        "GSM-404",
        "the bit-parallel engine cannot run this graph",
        where=plan.graph.name,
        found=reason,
        remedy="use the event engine",
    )


def _largest(plan: Plan, x: Samples) -> int:
    """What bounds the input of a graph of integers. Beyond 1, powers of two, so that a few plans are enough.

    Real-valued samples are all read once for it: sums are as narrow as they may be, and both engines must add the same.
    """
    if plan.graph.arithmetic != "int":
        return 1
    usual, largest = largest_number(x[:0], plan.graph.coding), largest_number(x, plan.graph.coding)
    return largest if largest <= usual else usual << (-(-largest // usual) - 1).bit_length()


def _in_order(run: Callable[[int, int], Block], blocks: list[tuple[int, int]], n_threads: int) -> Iterator[Block]:
    """Run blocks on threads; on this one, if it is to be one: to start one may take longer than a sample."""
    if n_threads == 1:
        yield from (run(a, b) for a, b in blocks)
        return
    waiting: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for a, b in blocks:
                waiting.append(pool.submit(run, a, b))
                if len(waiting) > 2 * n_threads:  # what is done ahead is held
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _run_block(engine: EventEngine | BitEngine, plan: Plan, x: Array, first_sample: int) -> Block:
    graph = plan.graph
    integer = graph.arithmetic == "int"
    shape = graph.input.shape
    coded = encode(x, graph.coding, shape, plan.n_steps, integer=integer, first_sample=first_sample, as_bytes=True)
    return engine.run(*coded)


def _check_call(
    graph: SynapticGraph,
    x: Samples,
    y: Array | None,
    n_steps: int | None,
    record: str | Sequence[str],
) -> tuple[int, Array | None, list[str]]:
    steps = graph.n_steps if n_steps is None else n_steps
    check_type(x)
    if not x.shape or len(x) == 0:
        raise SimulationError("GSM-401", "no samples", where="x", found=x.shape, expected="at least one sample")
    labels = None
    if y is not None:
        labels = np.asarray(y)
        n_classes = graph[graph.output].n_neurons
        if labels.shape != (len(x),) or labels.dtype.kind not in "iu":
            raise SimulationError(
                "GSM-401",
                "labels do not fit the samples",
                where="y",
                found=f"{labels.dtype} {labels.shape}",
                expected=f"integers ({len(x)},)",
            )
        if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
            raise SimulationError(
                "GSM-402",
                "a label names no output",
                where="y",
                found=f"{labels.min()}..{labels.max()}",
                expected=f"0..{n_classes - 1}",
                remedy="is this the data set that the network was trained on?",
            )
        labels = labels.astype(np.int64)
    known = [p.name for p in graph.populations]
    if not isinstance(record, Iterable):
        raise SimulationError("GSM-404", "cannot record", where="record", found=record, expected="names of populations")
    wanted = [record] if isinstance(record, str) else list(dict.fromkeys(record))
    names = known if "*" in wanted else wanted
    for name in names:
        if name not in known:
            raise SimulationError("GSM-404", "cannot record", where="record", found=name, expected=", ".join(known))
    return int(steps), labels, names


def _check_memory(graph: SynapticGraph, n_steps: int) -> int:
    """Bytes that one sample needs; refuses (GSM-403) more than the machine has."""
    n_bytes = bytes_per_sample(graph, n_steps)
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return n_bytes  # a platform that does not say
    if n_bytes > machine:
        raise SimulationError(
            "GSM-403",
            "one sample does not fit into memory",
            where=graph.name,
            found=f"about {n_bytes / 1e9:.3g} GB",
            expected=f"<= {machine / 1e9:.3g} GB",
            remedy="simulate fewer steps, or a smaller network",
        )
    return n_bytes


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
