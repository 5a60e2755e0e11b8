"""The event-driven engine: validate, plan, run blocks of samples on threads, count.

Each population is run over a block of steps at once; what it emits is pushed at once into the currents of its
targets, `delay` steps later. Without a cycle the block is all T steps of a sample (layer by layer); with one it is a
single step. Counts are made from event lists and fan-outs, so they depend on neither kernels nor threads.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..compiler import Array, SynapticGraph
from ..hwmodels import EVENT_NAMES, EventCounts, neuron_events, synapse_events
from .activity import Activity, Layer
from .encode import encode, holds_steps
from .errors import SimulationError
from .kernels import count_visits, list_events, spread_events
from .plan import Plan, PopulationPlan, ProjectionPlan, bytes_per_sample, plan_graph
from .reference import logits_of

BLOCK_BYTES = 64 << 20  # currents, states and event lists that one thread holds at a time


@dataclass(eq=False)
class _Events:
    """A block of events; see kernels/__init__.py for the layout."""

    ids: Array
    values: Array
    starts: Array


def simulate(
    graph: SynapticGraph,
    x: Array,
    y: Array | None = None,
    *,
    n_steps: int | None = None,
    threads: int | None = None,
    record: str | Sequence[str] = (),
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Run a graph on samples, event by event.

    Args:
        graph: A compiled network.
        x: (n_samples, *input_shape) values for the input coding, or (n_samples, n_steps, *input_shape) steps.
        y: (n_samples,) labels, for the accuracy.
        n_steps: T; the graph's own if None.
        threads: 1 .. n; all cores that the process may use if None. Results do not depend on it.
        record: Populations whose spikes to keep; ("*",) for all.
        block_bytes: Memory that one thread may hold at a time.
        progress: Called with (samples done, samples in all).
    Raises:
        SimulationError: GSM-401, GSM-402 for data that do not fit; GSM-403 if one sample does not fit into memory;
            GSM-404 for options out of range.
    """
    x = np.asarray(x)
    steps, labels, names = _check_call(graph, x, y, n_steps, threads, record)
    holds_steps(x, graph.input.shape, steps)  # of all samples, so that a message shows their shape and not a block's
    n_threads = min(threads or available_cores(), len(x))
    n_bytes = _check_memory(graph, steps)
    plan = plan_graph(graph, steps)
    stream = not graph.reset_between_samples
    per_block = 1 if stream else max(1, min(32, block_bytes // n_bytes, -(-len(x) // n_threads)))
    if stream:
        blocks = [(0, len(x))]
    else:
        blocks = [(a, min(a + per_block, len(x))) for a in range(0, len(x), per_block)]
    counts = np.zeros((len(graph.populations), steps, len(EVENT_NAMES)), np.int64)
    readout: list[Array] = []
    recorded: dict[str, list[Array]] = {name: [] for name in names}
    _load_kernels(plan, names)
    started = time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(_run_block, plan, x[a:b], a, steps, names) for a, b in blocks]
        try:
            for (_, done), future in zip(blocks, futures, strict=True):
                block_counts, block_readout, block_spikes = future.result()
                counts += block_counts
                readout.append(block_readout)
                for name in names:
                    recorded[name].append(block_spikes[name])
                if progress is not None:
                    progress(done, len(x))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    seconds = time.perf_counter() - started
    return Activity(
        graph=graph.name,
        graph_sha256=str(graph.metadata.get("sha256", "")),
        arithmetic=graph.arithmetic,
        n_samples=len(x),
        n_steps=steps,
        layers=tuple(_layer(graph, p.name) for p in graph.populations),
        counts=counts,
        logits=logits_of(graph[graph.output], np.concatenate(readout)),
        labels=labels,
        seconds=seconds,
        threads=n_threads,
        spikes={name: np.concatenate(parts) for name, parts in recorded.items()},
    )


def _check_call(
    graph: SynapticGraph,
    x: Array,
    y: Array | None,
    n_steps: int | None,
    threads: int | None,
    record: str | Sequence[str],
) -> tuple[int, Array | None, list[str]]:
    steps = graph.n_steps if n_steps is None else n_steps
    for name, value in (("n_steps", steps), ("threads", 1 if threads is None else threads)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise SimulationError("GSM-404", "option out of range", where=name, found=value, expected=">= 1")
    if x.ndim == 0 or len(x) == 0:
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


def _load_kernels(plan: Plan, names: list[str]) -> None:
    """Run no sample at all, so that compiling kernels, or loading them, is not counted as simulation."""
    source = plan.population(plan.graph.input.name)
    n_block = 1 if plan.graph.is_recurrent else plan.n_steps
    _BlockRun(plan, np.empty((0, n_block, source.n_neurons), source.number), False, names).all_steps()


def _run_block(
    plan: Plan, x: Array, first_sample: int, n_steps: int, names: list[str]
) -> tuple[Array, Array, dict[str, Array]]:
    """Run some samples: counts (n_layers, n_steps, n_events), readout (n, n_steps, n_out), recorded spikes."""
    graph = plan.graph
    integer = graph.arithmetic == "int"
    inputs, constant = encode(x, graph.coding, graph.input.shape, n_steps, integer=integer, first_sample=first_sample)
    n_samples = len(inputs)
    if not graph.reset_between_samples:
        inputs, constant = inputs.reshape(1, n_samples * n_steps, -1), False
    run = _BlockRun(plan, inputs, constant and plan.input_is_immediate, names)
    run.all_steps()
    spikes = {name: run.spikes[name].reshape(n_samples, n_steps, *graph[name].shape) for name in names}
    return run.counts, run.readout.reshape(n_samples, n_steps, -1), spikes


class _BlockRun:
    """The state of a run over one block of samples."""

    def __init__(self, plan: Plan, inputs: Array, constant: bool, names: list[str]) -> None:
        self.plan, self.inputs, self.constant = plan, inputs, constant
        self.n, self.n_steps = inputs.shape[:2]  # a stream is one sample of many times T steps
        self.n_block = 1 if plan.graph.is_recurrent else plan.n_steps
        output = plan.population(plan.graph.output)
        self.counts = np.zeros((len(plan.populations), plan.n_steps, len(EVENT_NAMES)), np.int64)
        self.readout = np.zeros((self.n, self.n_steps, output.n_neurons), output.number)
        self.spikes = {
            p.name: np.zeros((self.n, self.n_steps, p.n_neurons), p.record_dtype)
            for p in plan.populations
            if p.name in names
        }
        self.current: dict[str, Array] = {}
        self.state = {p.name: p.initial_state(self.n) for p in plan.populations}

    def all_steps(self) -> None:
        for first_step in range(0, self.n_steps, self.n_block):
            for row, population in enumerate(self.plan.populations):
                events = self._run_population(population, first_step)
                if events is not None:
                    self._count_spikes(row, first_step, events)
                    self._record(population, first_step, events)
                    for projection in population.outgoing:
                        self._push(projection, first_step, events)
        for row, population in enumerate(self.plan.populations):
            if population.kind != "input":
                updates = neuron_events(
                    neuron_updates=population.n_neurons * self.n * (self.n_steps // self.plan.n_steps),
                    n_state_variables=population.n_state_variables,
                )
                self.counts[row] += _row(updates)

    def _current_of(self, p: PopulationPlan) -> Array:
        if p.name not in self.current:
            ring = min(self.n_block + p.longest_delay, self.n_steps)
            self.current[p.name] = np.zeros((self.n, ring, p.n_neurons), p.number)
        return self.current[p.name]

    def _run_population(self, p: PopulationPlan, first_step: int) -> _Events | None:
        last_step = first_step + self.n_block
        if p.kind == "input":
            steps = self.inputs[:, first_step : first_step + 1 if self.constant else last_step]
            return self._list(p, steps, real=p.emits_numbers)
        current = self._current_of(p)
        if p.kind == "spiking":
            capacity = p.n_neurons * self.n_block + 8  # the last word of flags may be padding
            events = _Events(
                np.empty((self.n, capacity), np.int32),
                np.empty((self.n, 0), p.number),
                np.empty((self.n, self.n_block + 1), np.int64),
            )
            p.update(current, first_step, self.n_block, self.state[p.name], events.ids, events.starts)
            if p.name == self.plan.graph.output:
                spread_events(events.ids, events.values, events.starts, self.readout[:, first_step:last_step])
            self._release(p)
            return events
        slots = np.arange(first_step, last_step) % current.shape[1]
        arrived = current[:, slots]
        current[:, slots] = 0
        self._release(p)
        if p.neuron is not None:  # a readout with a membrane
            seen = p.integrate(arrived, self.state[p.name])
        else:
            seen = arrived + p.bias
        if p.kind == "relu":
            seen = np.maximum(seen, 0)
        if p.name == self.plan.graph.output:
            self.readout[:, first_step:last_step] = seen
        return None if p.kind == "readout" else self._list(p, seen, real=True)

    def _release(self, p: PopulationPlan) -> None:
        if self.n_block == self.n_steps:  # nothing of it is for a later block
            del self.current[p.name]

    def _list(self, p: PopulationPlan, dense: Array, *, real: bool) -> _Events:
        n, n_block, n_neurons = dense.shape
        ids = np.empty((n, n_neurons * n_block), np.int32)
        values = np.empty(ids.shape if real else (n, 0), p.number)
        starts = np.empty((n, n_block + 1), np.int64)
        writable = np.require(dense, requirements=("C", "W"))  # Numba compiles anew for arrays that are read-only
        list_events(writable, ids, values, starts)
        return _Events(ids, values, starts)

    def _push(self, q: ProjectionPlan, first_step: int, events: _Events) -> None:
        current = self._current_of(self.plan.population(q.target))
        q.push(events.ids, events.values, events.starts, first_step, self.n_steps, current)
        visits = count_visits(events.ids, events.starts, q.fan_out)
        if self.constant and q.source == self.plan.graph.input.name:
            current[:, 1:] = current[:, :1]
            visits = np.repeat(visits, self.n_steps)
        row = self.plan.row(q.target)
        per_visit = _row(
            synapse_events(
                **{"macs" if q.multiplies else "synaptic_ops": 1},
                bytes_per_weight=q.bytes_per_weight,
                n_targets=self.plan.population(q.target).n_neurons,
            )
        )
        self._counted(row, first_step, len(visits))[:] += visits[:, None] * per_visit

    def _count_spikes(self, row: int, first_step: int, events: _Events) -> None:
        spikes = np.diff(events.starts, axis=1).sum(axis=0)
        if self.constant and self.plan.populations[row].kind == "input":
            spikes = np.repeat(spikes, self.n_steps)
        self._counted(row, first_step, len(spikes))[:, EVENT_NAMES.index("spikes")] += spikes

    def _counted(self, row: int, first_step: int, n: int) -> Array:
        """The counts of n steps; those of a stream are summed over its samples."""
        step = first_step % self.plan.n_steps
        return self.counts[row, step : step + n]

    def _record(self, p: PopulationPlan, first_step: int, events: _Events) -> None:
        if p.name in self.spikes:
            if self.constant and p.kind == "input":
                self.spikes[p.name][:] = self.inputs
            else:
                part = self.spikes[p.name][:, first_step : first_step + self.n_block]
                spread_events(events.ids, events.values, events.starts, part)


def _row(counts: EventCounts) -> Array:
    return np.array(list(counts.to_dict().values()), np.int64)


def _layer(graph: SynapticGraph, name: str) -> Layer:
    p = graph[name]
    incoming = [q for q in graph.projections if q.target == name]
    n_variables = 0 if p.kind == "input" else 2 + (p.neuron is not None and p.neuron.has_current)
    return Layer(
        name=name,
        kind=p.kind,
        n_neurons=p.n_neurons,
        n_synapses=graph.n_synapses(name),
        n_weights=graph.n_weights(name),
        weight_bytes=sum(q.weights.nbytes for q in incoming),
        index_bytes=sum(q.index_bytes for q in incoming),
        unrolled_bytes=graph.memory(name)[1],
        state_bytes=4 * n_variables * p.n_neurons,
    )
