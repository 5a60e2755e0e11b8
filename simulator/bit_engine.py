"""The bit-parallel engine: 64 samples at a time as the bits of a word, integer networks, layer by layer over all steps.

Every target pulls from its sources what they emitted, spikes or not, so the time taken does not depend on activity.
Sums and membranes are as narrow as bounds on weights, inputs and steps prove safe; where nothing can wrap or clip, an
integrate-and-fire neuron needs no rounding either, and a faster kernel updates it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any, Final

import numpy as np

from ..compiler import (
    DECAY_UNIT,
    STATE_LIMIT,
    STATE_SHIFT,
    Array,
    Csr,
    Population,
    Projection,
    SynapticGraph,
    broadcast,
)
from .block import Block
from .counting import Counter
from .kernels import bits
from .plan import Plan, ProjectionPlan
from .rows import Rows, rows_by_target

LANES = bits.LANES
EXTRA_BYTES = 1 << 20  # currents from numbers that are made before they are used, so that they stay in the cache
NARROW, WIDE = np.iinfo(np.int16).max, np.iinfo(np.int32).max


def why_not_bits(graph: SynapticGraph) -> str | None:
    """What keeps a graph from running on this engine, or None."""
    if graph.arithmetic != "int":
        return "float32 arithmetic: only integers add up in any order"
    if graph.is_recurrent:
        return "a cycle: steps must be run one by one"
    if not graph.reset_between_samples:
        return "samples that are one stream"
    if any(isinstance(p, Csr) and p.delays is not None for p in graph.projections):
        return "delays of single synapses"
    return None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Target:
    """A population with the arguments of its kernel.

    kernel: "fire", "update" or "sum". sums, membrane: types of scratch. spiking: rows of all projections with spikes.
    numbers: (projection, rows) of those with numbers.
    """

    population: Population
    kernel: str
    sums: type
    membrane: type
    rows: tuple[Array, ...]
    numbers: tuple[tuple[Projection, Rows], ...]
    bias: Array
    neuron: Array
    start: Array
    options: tuple[bool, ...]

    @property
    def emits_numbers(self) -> bool:
        return self.kernel == "sum" or self.population.kind == "readout"

    @property
    def n_channels(self) -> int:
        return self.population.shape[0]

    @property
    def n_pixels(self) -> int:
        return self.population.n_neurons // self.n_channels


class BitPlan:
    """Final. A graph turned around for pulling.

    Args:
        plan: The graph, prepared for its steps.
        largest: The largest magnitude that the input population emits.
    """

    def __init__(self, plan: Plan, largest: int) -> None:
        graph = plan.graph
        self.plan, self.graph, self.n_steps = plan, graph, plan.n_steps
        self.n_delays = min(max((p.delay for p in graph.projections), default=0), plan.n_steps - 1)
        self.n_slots = self.n_steps + self.n_delays
        self.bound = {graph.input.name: largest}  # of what a population emits
        self.first: dict[str, int] = {}  # neuron, among those of all populations that spike
        n = 0
        for p in graph.populations:
            if not self.emits_numbers(p):
                self.first[p.name] = n
                n += p.n_neurons
        self.n_words = n * self.n_slots
        self.is_loaded = False  # its kernels are
        self.scratch: SimpleQueue[Array] = SimpleQueue()  # memory of blocks that are done, for blocks to come
        self.targets = [self._target(p) for p in graph.populations if p.kind != "input"]

    @property
    def fits(self) -> bool:
        """True if no sum can leave 32 bits."""
        return all(bound <= WIDE for bound in self.bound.values())

    def emits_numbers(self, p: Population) -> bool:
        """True for what is not a spike: a join, a readout, a real-valued input."""
        return self.plan.population(p.name).emits_numbers or p.kind == "readout"

    def _target(self, p: Population) -> _Target:
        graph, shape = self.graph, p.shape
        incoming = [q for q in graph.projections if q.target == p.name]
        rows = {id(q): rows_by_target(graph, q) for q in incoming}
        bias = np.ravel(broadcast(p.bias, shape, where=p.name)).astype(np.int32)
        low = high = 0  # of a sum, in one step
        for q in incoming:
            down, up = _extent(rows[id(q)])
            largest = self.bound[q.source]
            both = graph[q.source].kind != "spiking" and self.emits_numbers(graph[q.source])  # numbers may be negative
            low -= largest * (max(down, up) if both else down)
            high += largest * (max(down, up) if both else up)
        low += min(int(bias.min(initial=0)), 0)
        high += max(int(bias.max(initial=0)), 0)
        widest = max(-low, high)
        self.bound[p.name] = 1 if p.kind == "spiking" and widest <= WIDE else widest
        spiking = [q for q in incoming if q.source in self.first and q.delay < self.n_steps]
        numbers = [q for q in incoming if q.source not in self.first and q.delay < self.n_steps]
        kernel, membrane, neuron, start, options = self._neuron(p, low, high)
        return _Target(
            population=p,
            kernel=kernel,
            sums=np.int16 if widest <= NARROW else np.int32,
            membrane=membrane,
            rows=self._joined(p, [(q, rows[id(q)]) for q in spiking]),
            numbers=tuple((q, rows[id(q)]) for q in numbers),
            bias=bias,
            neuron=neuron,
            start=start,
            options=options,
        )

    def _neuron(self, p: Population, low: int, high: int) -> tuple[str, type, Array, Array, tuple[bool, ...]]:
        """Kernel, membrane type, coefficients by group, membrane at the start, and options."""
        coefficients = self.plan.population(p.name).coefficients
        if p.neuron is None:
            return "sum", np.int32, np.zeros((1, 0), np.int32), np.zeros(1, np.int32), ()
        fire_at, drop, leak, decay, _, to_membrane, keep, has_current, voltage_first, reset_delay = coefficients
        start = np.ravel(broadcast(p.neuron.v_init, p.shape, where=p.name)).astype(np.int32)
        n_groups = max(len(fire_at), _n_groups(start, p))
        fire_at, drop, leak, decay = (_spread(a, n_groups) for a in (fire_at, drop, leak, decay))
        start = start[:: p.n_neurons // n_groups].copy()
        unit = 1 << STATE_SHIFT
        # The membrane's range: a reset by subtraction may leave any rest, one to zero leaves less than the threshold.
        lowest = int(start.min()) + self.n_steps * min(low, 0)
        rest = int(start.max()) + self.n_steps * max(high, 0)
        highest = rest if p.neuron.reset != "zero" else min(rest, int(fire_at.max()) // unit + high)
        reach = max(-lowest, highest, int(fire_at.max()) // unit + 1)
        simple = not has_current and not reset_delay and p.kind == "spiking"
        if simple and np.isin(leak, (0, DECAY_UNIT)).all() and max(reach, -low, high) < STATE_LIMIT >> STATE_SHIFT:
            narrow = reach <= NARROW and max(-low, high) <= NARROW
            at = -(-fire_at // unit)  # a membrane in whole units reaches the next whole unit
            rows = np.stack([at, drop // unit, np.full(n_groups, -int(keep)), -(leak != 0).astype(np.int32)], axis=1)
            return "fire", np.int16 if narrow else np.int32, rows.astype(np.int32), start, ()
        rows = np.stack([fire_at, drop, np.full(n_groups, int(keep)), leak, decay], axis=1).astype(np.int32)
        options = (to_membrane, voltage_first, reset_delay, p.kind == "spiking")
        return "update", np.int64, rows, start << STATE_SHIFT, options

    def _joined(self, p: Population, rows: list[tuple[Projection, Rows]]) -> tuple[Array, ...]:
        """The rows of several projections, one after the other."""
        n_pixels = p.n_neurons // p.shape[0]
        places = _end_to_end([r.places for _, r in rows], np.int32)
        weights = _end_to_end([r.weights for _, r in rows], np.int8)
        first_row, row_start, n_rows, n_synapses = [], [], 0, 0
        for _, r in rows:
            first_row.append(n_rows)
            row_start.append(r.row_start + n_synapses)
            n_rows += len(r.row_start)
            n_synapses += len(r.places)
        return (
            np.array([r.class_of for _, r in rows], np.int32).reshape(len(rows), n_pixels),
            np.array([r.base + self.first[q.source] for q, r in rows], np.int64).reshape(len(rows), n_pixels),
            np.array([self.n_delays - q.delay for q, _ in rows], np.int64),
            np.array(first_row, np.int64),
            _end_to_end(row_start, np.int64),
            places,
            weights,
        )


@lru_cache(maxsize=2)  # a graph is often run again: on the next samples, with another number of threads
def plan_bits(plan: Plan, largest: int) -> BitPlan:
    """A graph turned around, for inputs up to `largest`."""
    return BitPlan(plan, largest)


class BitEngine:
    """Final. Runs blocks of at most 64 samples.

    Args:
        plan: The graph, turned around.
        names: Populations whose spikes to keep.
    """

    name: Final = "bits"

    def __init__(self, plan: BitPlan, names: list[str]) -> None:
        self.plan, self.names = plan, names
        self.pool: ThreadPoolExecutor | None = None
        self.n_threads = 1

    def load(self) -> None:
        """Call every kernel on nothing, so that compiling or loading it is not counted as simulation."""
        if self.plan.is_loaded:
            return
        source = self.plan.graph.input
        run = _BitRun(
            self.plan, np.empty((0, self.plan.n_steps, source.n_neurons), np.int32), False, self._words(), self
        )
        run.load()
        self.plan.is_loaded = True
        self.plan.scratch.put(run.words)

    @contextmanager
    def sharing(self, n_threads: int) -> Iterator[None]:
        """Let n threads share the work in each block."""
        if n_threads == 1:
            yield
            return
        with ThreadPoolExecutor(n_threads) as self.pool:
            self.n_threads = n_threads
            yield

    def share(self, work: Callable[[int, int], None], n: int) -> None:
        """Do `work` on all parts of 0 ... n."""
        edges = [n * i // self.n_threads for i in range(self.n_threads + 1)]
        if self.pool is None or n < self.n_threads:
            work(0, n)
            return
        for done in [self.pool.submit(work, a, b) for a, b in pairwise(edges)]:
            done.result()

    def run(self, inputs: Array, constant: bool) -> Block:
        """Run a block, as `encode` makes it."""
        graph = self.plan.graph
        run = _BitRun(self.plan, inputs, constant, self._words(), self)
        run.run()
        output = graph[graph.output]
        block = Block(
            counts=run.count(),
            readout=run.emitted(output, self.plan.plan.population(output.name).number),
            spikes={name: self._recorded(run, name) for name in self.names},
        )
        self.plan.scratch.put(run.words)
        return block

    def _recorded(self, run: "_BitRun", name: str) -> Array:
        p = self.plan.plan.population(name)
        if p.kind == "readout":
            return np.zeros((run.n, self.plan.n_steps, *p.shape), p.record_dtype)
        return run.emitted(self.plan.graph[name], p.record_dtype).reshape(run.n, self.plan.n_steps, *p.shape)

    def _words(self) -> Array:
        try:
            return self.plan.scratch.get_nowait()
        except Empty:
            return np.zeros(self.plan.n_words, np.uint64)


class _BitRun:
    """A run over one block. words: scratch, in which slots before step 0 hold 0."""

    def __init__(self, plan: BitPlan, inputs: Array, constant: bool, words: Array, engine: BitEngine) -> None:
        self.plan, self.n, self.words, self.engine = plan, len(inputs), words, engine
        self.lanes = np.uint64((1 << self.n) - 1)
        self.numbers: dict[str, Array] = {}
        source = plan.graph.input
        if plan.emits_numbers(source):
            kept = inputs[:, :1] if constant else inputs
            self.numbers[source.name] = np.zeros((source.n_neurons, kept.shape[1], LANES), np.int32)
            self.numbers[source.name][:, :, : self.n] = kept.transpose(2, 1, 0)
        else:
            bits.pack(np.require(inputs, requirements=("C", "W")), words, self._first_word(source), plan.n_slots)

    def run(self) -> None:
        """Run every population over all steps."""
        for target in self.plan.targets:
            p = target.population
            if target.emits_numbers:
                self.numbers[p.name] = np.empty((p.n_neurons, self.plan.n_steps, LANES), np.int32)
            self.engine.share(partial(self._run, target), target.n_channels)
            if target.emits_numbers:
                self.numbers[p.name][:, :, self.n :] = 0

    def load(self) -> None:
        """Call the kernels on no channel."""
        for target in self.plan.targets:
            p = target.population
            if target.emits_numbers:
                self.numbers[p.name] = np.zeros((p.n_neurons, self.plan.n_steps, LANES), np.int32)
            self._run_channels(target, (0, 0))
        self.count()
        for of in self.plan.plan.populations:
            self.emitted(self.plan.graph[of.name], of.record_dtype)

    def count(self) -> Array:
        """The counts of the block."""
        counter = Counter(self.plan.plan)
        for p in self.plan.plan.populations:
            if p.kind != "readout":
                events, visits = self._events(self.plan.graph[p.name], p.outgoing)
                counter.emitted(p.name, 0, events)
                for q, of_q in zip(p.outgoing, visits, strict=True):
                    counter.visited(q, 0, of_q)
        counter.updated(self.n)
        return counter.counts

    def emitted(self, p: Population, dtype: type) -> Array:
        """(n_samples, n_steps, n_neurons) what a population emitted."""
        if p.name in self.numbers:
            whole = np.broadcast_to(self.numbers[p.name], (p.n_neurons, self.plan.n_steps, LANES))
            return np.ascontiguousarray(whole.transpose(2, 1, 0)[: self.n].astype(dtype))
        x: Array = np.empty((self.n, self.plan.n_steps, p.n_neurons), dtype)
        bits.unpack(self.words, self._first_word(p), self.plan.n_slots, x)
        return x

    def _events(self, p: Population, outgoing: Sequence[ProjectionPlan]) -> tuple[Array, Array]:
        """(n_steps,) events of a population, and (n_projections, n_steps) synapses that they visit."""
        n_steps = self.plan.n_steps
        fan_outs = np.array([q.fan_out for q in outgoing], np.int64).reshape(len(outgoing), p.n_neurons)
        if p.name not in self.numbers:
            spikes, visits = np.zeros(n_steps, np.int64), np.zeros((len(outgoing), n_steps), np.int64)
            bits.count_words(self.words, self._first_word(p), self.plan.n_slots, fan_outs, spikes, visits)
            return spikes, visits
        numbers = self.numbers[p.name]
        spikes = np.zeros(numbers.shape[1], np.int64)
        visits = np.zeros((len(outgoing), numbers.shape[1]), np.int64)
        bits.count_numbers(numbers, fan_outs, spikes, visits)
        times = n_steps // numbers.shape[1]  # once for all steps, if they are the same
        return spikes.repeat(times), visits.repeat(times, axis=1)

    def _first_word(self, p: Population) -> int:
        return self.plan.first[p.name] * self.plan.n_slots + self.plan.n_delays

    def _run(self, target: _Target, first: int, end: int) -> None:
        """Channels first ... end, as many at a time as have room for their currents."""
        at_a_time = max(1, EXTRA_BYTES // max(1, 4 * LANES * self._n_extra(target) * target.n_pixels))
        for a in range(first, end, at_a_time):
            self._run_channels(target, (a, min(a + at_a_time, end)))

    def _run_channels(self, target: _Target, channels: tuple[int, int]) -> None:
        n = (channels[1] - channels[0]) * target.n_pixels
        extra = np.zeros((n, self._n_extra(target), LANES), np.int32)
        for q, r in target.numbers:
            synapses = (r.class_of, r.base, r.row_start, r.places, r.weights)
            numbers = self.numbers[q.source]
            bits.multiply(numbers, q.delay, channels, target.n_pixels, target.n_channels, *synapses, extra)
        self._pull(target, channels, extra)

    def _n_extra(self, target: _Target) -> int:
        """Steps in which the current from numbers differs: none without any, one if all of them are constant."""
        constant = all(q.delay == 0 and self.numbers[q.source].shape[1] == 1 for q, _ in target.numbers)
        return 0 if not target.numbers else 1 if constant else self.plan.n_steps

    def _pull(self, target: _Target, channels: tuple[int, int], extra: Array) -> None:
        plan, p = self.plan, target.population
        sums: Array = np.empty(plan.n_steps * LANES, target.sums)
        place = (channels, target.n_pixels, target.n_channels, target.rows, extra, target.bias)
        if target.kernel == "sum":
            bits.pull_numbers(self.words, plan.n_slots, plan.n_steps, *place, sums, self.numbers[p.name])
            return
        out = self._first_word(p) if p.name in plan.first else 0
        v: Array = np.empty(LANES, target.membrane)
        start = (self.words, plan.n_slots, plan.n_steps, out, *place, target.neuron, target.start, self.lanes, sums, v)
        if target.kernel == "fire":
            bits.pull_and_fire(*start)
        else:
            seen = self.numbers.get(p.name, np.empty((0, 0, 0), np.int32))
            bits.pull_and_update(*start, np.empty(LANES, np.int64), seen, *target.options)


def _extent(r: Rows) -> tuple[int, int]:
    """The largest sum of negative weights into one neuron, and of positive ones."""
    extents = []
    for sign in (-1, 1):
        sums = np.concatenate([[0], np.cumsum(np.maximum(sign * r.weights.astype(np.int64), 0))])
        extents.append(int((sums[r.row_start[1:]] - sums[r.row_start[:-1]]).max(initial=0)))
    return extents[0], extents[1]


def _n_groups(per_neuron: Array, p: Population) -> int:
    """One group, one per channel, or one per neuron: the fewest in which all values are the same."""
    if (per_neuron == per_neuron[0]).all():
        return 1
    rows = per_neuron.reshape(p.shape[0], -1)
    return p.shape[0] if (rows == rows[:, :1]).all() else p.n_neurons


def _spread(by_group: Array, n_groups: int) -> Array:
    return np.repeat(by_group, n_groups // len(by_group))


def _end_to_end(arrays: list[Array], dtype: Any) -> Array:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)
