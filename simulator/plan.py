"""What the engine needs of a graph, prepared once: coefficients by group, tap lists by segment, fan-outs."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import scipy  # its parts are imported where they are first used

from ..compiler import (
    STATE_SHIFT,
    Array,
    Csr,
    Neuron,
    Population,
    Projection,
    SharedCsr,
    SynapticGraph,
    broadcast,
    pooled_shape,
)
from ..hwmodels import EVENT_NAMES, EventCounts, neuron_events, synapse_events
from .activity import Layer
from .buffers import Spares
from .kernels import (
    LANES,
    STEPS,
    advance,
    list_flags,
    multiply_convolution,
    narrow_targets,
    push_convolution,
    push_csr,
    push_csr_delayed,
    split_rows,
    update_float,
    update_integer,
)

Number = np.float32 | np.int16 | np.int32 | np.int64 | np.uint8
AHEAD_BYTES = 512 << 10  # of currents that populations before a cycle may fill ahead of it: they stay in the cache
MOST_BLOCK_STEPS = 16
WORTH_SHARING = 400_000  # synapses to visit, from which threads share them
LOW_RATE = 0.02  # of firing: threads are called where there is work to share even then
KEEP = {"subtract": 1, "zero": 0, "none": 1}


@dataclass(frozen=True, eq=False, kw_only=True)
class ProjectionPlan:
    """A projection with its kernel's arguments.

    index: among the graph's projections. per_visit: (n_events,) what an event that visits a synapse counts as.
    """

    index: int
    source: str
    target: str
    delay: int
    fan_out: Array
    per_visit: Array
    kernel: Any
    arguments: tuple[Any, ...]
    multiply: tuple[Any, ...]
    _edges: dict[tuple[int, int], Array] = field(default_factory=dict)
    _narrow: dict[int, Array] = field(default_factory=dict)

    def push_all(self, numbers: Array, first_step: int, n_steps: int, current: Array) -> bool:
        """Add what every source neuron emits (n_samples, n_block, n_pre), if there is a kernel for it: says so."""
        if self.multiply:
            kernel: Any = multiply_convolution
            kernel(numbers, first_step, n_steps, self.delay, *self.multiply, current)
        return bool(self.multiply)

    @property
    def can_share_steps(self) -> bool:
        """True if what threads push of different steps meets nowhere."""
        return self.kernel is not push_csr_delayed

    @property
    def can_share_targets(self) -> bool:
        """True if threads can each serve some of the targets, in one step."""
        return self.kernel is push_csr

    @cached_property
    def mean_fan_out(self) -> float:
        """Synapses that an event visits, as a mean over neurons."""
        return float(self.fan_out.mean()) if self.fan_out.size else 0.0

    def push_part(
        self, part: int, n_parts: int, n_targets: int, events: tuple[Any, ...], visits: Array, current: Array
    ) -> None:
        """As `push`, to one of the equal parts of the targets."""
        row_of, _, _, first, targets, weights = self.arguments
        begin, end = (self._edge(k, n_parts, n_targets) for k in (part, part + 1))
        if self._can_be_narrowed(n_parts, n_targets):
            first, targets = n_targets * part // n_parts, self._narrowed(n_parts, n_targets)
        self.kernel(*events, self.delay, row_of, begin, end, first, targets, weights, visits, current)

    def part(self, n_parts: int, n_targets: int) -> None:
        """Find what `push_part` needs, before threads ask for it together."""
        for k in range(n_parts + 1):
            self._edge(k, n_parts, n_targets)
        if self._can_be_narrowed(n_parts, n_targets):
            self._narrowed(n_parts, n_targets)

    def _can_be_narrowed(self, n_parts: int, n_targets: int) -> bool:
        targets = self.arguments[-2]
        return bool(targets.itemsize > np.dtype(np.uint16).itemsize and -(-n_targets // n_parts) <= 1 << 16)

    def _narrowed(self, n_parts: int, n_targets: int) -> Array:
        """Targets counted from the first of their part on, which 16 bits hold: less to read from memory."""
        narrow = self._narrow.get(n_parts)
        if narrow is None:  # several runs of a graph may ask at once
            _, row_start, row_end, _, targets, _ = self.arguments
            narrow, firsts = np.empty(len(targets), np.uint16), n_targets * np.arange(n_parts + 1) // n_parts
            narrow_targets(np.append(row_start, row_end[-1:]), targets, firsts, narrow)
            narrow.flags.writeable = targets.flags.writeable
            self._narrow[n_parts] = narrow
        return narrow

    def _edge(self, part: int, n_parts: int, n_targets: int) -> Array:
        """Where each row's synapses into a part of the targets begin; found once."""
        if (part, n_parts) not in self._edges:
            _, row_start, row_end, _, targets, _ = self.arguments
            edge = np.empty(len(row_start), np.int64)
            whole = np.append(row_start, row_end[-1:])
            split_rows(whole, targets, n_targets * part // n_parts, edge)
            edge.flags.writeable = row_start.flags.writeable  # Numba compiles anew for arrays that are read-only
            self._edges[part, n_parts] = edge
        return self._edges[part, n_parts]

    def push(
        self, ids: Array, values: Array, starts: Array, first_step: int, n_steps: int, visits: Array, current: Array
    ) -> None:
        """Add a block of events to the target's currents, and to visits (n_block,) the synapses that they visit."""
        self.kernel(ids, values, starts, first_step, n_steps, self.delay, *self.arguments, visits, current)


@dataclass(frozen=True, eq=False, kw_only=True)
class PopulationPlan:
    """A population with its update's arguments.

    longest_delay: of any synapse that leads into it, in steps. per_step: (n_events,) what a step of a sample counts as.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    neuron: Neuron | None
    bias: Array
    integer: bool
    emits_numbers: bool
    longest_delay: int
    per_step: Array
    outgoing: tuple[ProjectionPlan, ...]
    coefficients: tuple[Any, ...] = field(default=())

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.bias)

    @cached_property
    def number(self) -> type[Number]:
        """Of its current and of the values that it emits.

        Sums of whole numbers may wrap at 32 bits where a 24-bit state takes them up, but not where they are the result.
        """
        if not self.integer:
            return np.float32
        return np.int64 if self.kind in ("join", "readout") and self.neuron is None else np.int32

    @property
    def record_dtype(self) -> type[Number]:
        """Of recorded spikes: bytes for spikes, numbers for what carries numbers."""
        return self.number if self.emits_numbers else np.uint8

    @cached_property
    def fan_outs(self) -> tuple[Array, Array]:
        """(n_projections, n_neurons) synapses that an event of each neuron visits, and (n_projections,) their rows."""
        fan_outs = [q.fan_out for q in self.outgoing]
        rows = np.array([q.index for q in self.outgoing], np.int64)
        return np.array(fan_outs, np.int64).reshape(len(rows), self.n_neurons), rows

    @cached_property
    def v_init(self) -> Array:
        """(n_neurons,) membranes at the start of a sample."""
        if self.neuron is None:
            return np.zeros(self.n_neurons, self.number)
        v: Array = np.ravel(broadcast(self.neuron.v_init, self.shape, where=self.name)).astype(self.number)
        return v << STATE_SHIFT if self.integer else v

    @property
    def has_current(self) -> bool:
        """True if synaptic currents outlive their step."""
        return self.neuron is not None and self.neuron.has_current

    def update(
        self, current: Array, first_step: int, n_block: int, v: Array, u: Array, ids: Array, starts: Array
    ) -> None:
        """Advance the neurons by a block of steps and list their spikes."""
        kernel: Any = advance
        if self._is_fused:
            fire_at, drop, leak, _, bias, keep, *_ = self.coefficients
            kernel = update_integer if self.integer else update_float
            kernel(current, first_step, n_block, v, fire_at, drop, leak, bias, keep, ids, starts)
            return
        fired, nothing = np.empty(v.shape, np.uint8), np.empty((len(v), 0, 0), self.number)
        for step in range(0, n_block, STEPS):
            n_steps = min(STEPS, n_block - step)
            kernel(current, first_step + step, n_steps, v, u, *self.coefficients, fired, nothing)
            list_flags(fired, step, n_steps, ids, starts)

    @cached_property
    def _is_fused(self) -> bool:
        """True for integrate-and-fire neurons that are alike, as many as fill vectors."""
        fire_at, *_, late, has_current, _, reset_delay = self.coefficients
        return not (has_current or late or reset_delay) and len(fire_at) * LANES <= max(self.n_neurons, LANES)

    def integrate(self, current: Array, first_step: int, n_block: int, v: Array, u: Array) -> Array:
        """(n, n_block, n_neurons) membranes of a readout, which never spikes; empties the slots that it reads."""
        kernel: Any = advance
        fired = np.empty(v.shape, np.uint8)
        seen = np.empty((len(v), n_block, self.n_neurons), self.number)
        for step in range(0, n_block, STEPS):
            n_steps = min(STEPS, n_block - step)
            shown = np.empty((len(v), n_steps, self.n_neurons), self.number)
            kernel(current, first_step + step, n_steps, v, u, *self.coefficients, fired, shown)
            seen[:, step : step + n_steps] = shown
        return seen


@dataclass(frozen=True, eq=False)
class Plan:
    """A graph, ready to run."""

    graph: SynapticGraph
    populations: tuple[PopulationPlan, ...]
    projections: tuple[ProjectionPlan, ...]
    n_steps: int
    loaded: set[tuple[str, ...]] = field(default_factory=set)  # what was recorded when kernels were loaded for it
    spare: Spares = field(default_factory=Spares)  # cells of blocks that are done, by samples and steps

    def population(self, name: str) -> PopulationPlan:
        """By name."""
        return self.populations[self.row(name)]

    def row(self, name: str) -> int:
        """Position of a population in the counts."""
        return self._rows[name]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {p.name: i for i, p in enumerate(self.populations)}

    @cached_property
    def per_visit(self) -> Array:
        """(n_projections, n_events) what an event that visits a synapse counts as."""
        return np.array([q.per_visit for q in self.projections], np.int64).reshape(-1, len(EVENT_NAMES))

    @cached_property
    def per_step(self) -> Array:
        """(n_populations, n_events) what a step of a sample counts as."""
        return np.stack([p.per_step for p in self.populations])

    @cached_property
    def into(self) -> Array:
        """(n_projections,) the row of each one's target."""
        return np.array([self.row(q.target) for q in self.projections], np.int64)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """What an activity says of each population."""
        return tuple(_layer(self.graph, p.name) for p in self.graph.populations)

    @cached_property
    def is_worth_sharing(self) -> bool:
        """True if threads may be expected to share a push of one sample."""
        n_steps = 1 if self.graph.is_recurrent else self.n_steps
        shared = (q for q in self.projections if (q.can_share_targets if n_steps == 1 else q.can_share_steps))
        return bool(max((q.fan_out.sum() for q in shared), default=0) * n_steps * LOW_RATE >= WORTH_SHARING)

    @cached_property
    def groups(self) -> tuple[tuple[tuple[PopulationPlan, ...], bool], ...]:
        """Populations in an order in which each comes after what it hears from; those of a cycle together:
        (populations, whether they are a cycle).
        """
        if not self.graph.is_recurrent:
            return tuple(((p,), False) for p in self.populations)
        n = len(self.populations)
        links = [(self.row(q.source), self.row(q.target)) for q in self.projections]
        from_, to = np.array(links, np.int64).reshape(-1, 2).T
        adjacency = scipy.sparse.coo_array((np.ones(len(links)), (from_, to)), shape=(n, n))
        _, label = scipy.sparse.csgraph.connected_components(adjacency, directed=True, connection="strong")
        before: dict[int, set[int]] = {int(k): set() for k in label}
        for a, b in links:
            if label[a] != label[b]:
                before[int(label[b])].add(int(label[a]))
        groups = []
        for k in TopologicalSorter(before).static_order():
            members = tuple(p for i, p in enumerate(self.populations) if label[i] == k)
            loops = any(label[a] == label[b] == k for a, b in links)
            groups.append((members, loops))
        return tuple(groups)

    @cached_property
    def input_is_immediate(self) -> bool:
        """True if a constant input gives constant currents: no cycle, and no delay behind the input."""
        source = self.populations[self.row(self.graph.input.name)]
        return not self.graph.is_recurrent and all(
            q.delay == 0 and q.kernel is not push_csr_delayed for q in source.outgoing
        )


def bytes_per_sample(graph: SynapticGraph, n_steps: int) -> int:
    """About what one sample holds at a time: currents and events of the populations at work, all states."""
    sizes = sorted((p.n_neurons for p in graph.populations), reverse=True)
    if not graph.is_recurrent:
        return 12 * sum(sizes[:3]) * n_steps + 8 * sum(sizes) + 1
    rings = sum(p.n_neurons * min(block_steps(graph) + _longest_delay(graph, p), n_steps) for p in graph.populations)
    return 12 * rings + 8 * sum(sizes) + 1


def block_steps(graph: SynapticGraph) -> int:
    """Steps that populations before and after a cycle are run over at a time."""
    return max(1, min(MOST_BLOCK_STEPS, AHEAD_BYTES // (4 * max(p.n_neurons for p in graph.populations))))


def _longest_delay(graph: SynapticGraph, p: Population) -> int:
    """Of any synapse that leads into a population, in steps."""
    return max((q.max_delay for q in graph.projections if q.target == p.name), default=0)


@lru_cache(maxsize=2)  # a graph is often run again: on the next samples, with another number of threads
def plan_graph(graph: SynapticGraph, n_steps: int) -> Plan:
    """Prepare a graph for runs of n_steps."""
    projections = tuple(_plan_projection(graph, i, p) for i, p in enumerate(graph.projections))
    populations = []
    for p in graph.populations:
        outgoing = tuple(q for q in projections if q.source == p.name)
        populations.append(_plan_population(graph, p, outgoing))
    return Plan(graph, tuple(populations), projections, n_steps)


def _plan_population(graph: SynapticGraph, p: Population, outgoing: tuple[ProjectionPlan, ...]) -> PopulationPlan:
    integer = graph.arithmetic == "int"
    bias = np.ravel(broadcast(p.bias, p.shape, where=p.name)).astype(np.int32 if integer else np.float32)
    emits_numbers = p.is_graded or (p.kind == "input" and graph.coding.is_real)
    return PopulationPlan(
        name=p.name,
        kind=p.kind,
        shape=p.shape,
        neuron=p.neuron,
        bias=bias,
        integer=integer,
        emits_numbers=emits_numbers,
        longest_delay=_longest_delay(graph, p),
        per_step=_per_step(p),
        outgoing=outgoing,
        coefficients=() if p.neuron is None else _coefficients(p, p.neuron, bias, integer),
    )


def _per_step(p: Population) -> Array:
    """Every neuron is updated, but for those of an input; v is state, and u where it outlives its step."""
    if p.kind == "input":
        return _row(EventCounts())
    n_variables = 2 if p.neuron is not None and p.neuron.has_current else 1
    return _row(neuron_events(neuron_updates=p.n_neurons, n_state_variables=n_variables))


def _row(counts: EventCounts) -> Array:
    """Counts in the order of EVENT_NAMES."""
    return np.array(list(counts.to_dict().values()), np.int64)


def _coefficients(p: Population, n: Neuron, bias: Array, integer: bool) -> tuple[Any, ...]:
    """(fire_at, drop, leak, decay, bias, keep, late, has_current, voltage_first, reset_delay): see `advance`."""
    number = np.int32 if integer else np.float32
    threshold, leak, decay = _by_group(p, [n.threshold, n.leak, n.current_decay], number)
    if integer:
        threshold = threshold << STATE_SHIFT
        fire_at = threshold + (n.comparator == ">")
    else:
        fire_at = np.nextafter(threshold, np.float32(np.inf)) if n.comparator == ">" else threshold
    if p.kind == "readout":  # never fires
        fire_at = np.full_like(threshold, np.iinfo(np.int32).max if integer else np.inf)
    drop = threshold if n.reset == "subtract" else np.zeros_like(threshold)
    keep = number(KEEP[n.reset])
    late = n.bias_target == "membrane" and bool(bias.any())
    options = (late, n.has_current, n.update_order == "voltage-first", n.reset_delay)
    return (fire_at, drop, leak, decay, bias, keep, *options)


def _by_group(p: Population, arrays: list[Array], number: type) -> list[Array]:
    """Each array with one entry per group: one group, a channel each, or a neuron each."""
    if all(a.shape == () for a in arrays):
        return [a.reshape(1).astype(number) for a in arrays]
    per_channel = (p.shape[0], *(1,) * (len(p.shape) - 1))
    if all(a.shape in ((), per_channel) for a in arrays):
        return [np.ravel(np.broadcast_to(a, per_channel)).astype(number) for a in arrays]
    return [np.ravel(np.broadcast_to(a, p.shape)).astype(number) for a in arrays]


def _plan_projection(graph: SynapticGraph, index: int, p: Projection) -> ProjectionPlan:
    source, target = graph[p.source].shape, graph[p.target].shape
    multiply: tuple[Any, ...] = ()
    fan_out = graph.fan_out(p)
    if isinstance(p, SharedCsr):
        kernel = push_convolution
        arguments, multiply = _shared(p, source, target, fan_out)
    else:
        kernel, arguments = _explicit(p, source)
    event = {"macs" if graph.is_graded(p) else "synaptic_ops": 1}
    per_visit = synapse_events(**event, bytes_per_weight=p.weights.itemsize, n_targets=graph[p.target].n_neurons)
    return ProjectionPlan(
        index=index,
        source=p.source,
        target=p.target,
        delay=p.delay,
        fan_out=fan_out,
        per_visit=_row(per_visit),
        kernel=kernel,
        arguments=arguments,
        multiply=multiply,
    )


def _explicit(p: Csr, source: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]]:
    row_of = np.empty(0, np.int32)
    if p.pool != (1, 1):
        _, height, width = pooled_shape(source, p.pool, p.name)
        channel, y, x = np.indices(source)
        y, x = y // p.pool[0], x // p.pool[1]
        row = (channel * height + y) * width + x
        row_of = np.where((y < height) & (x < width), row, -1).reshape(-1).astype(np.int32)
    if p.delays is not None:
        return push_csr_delayed, (row_of, p.row_start, p.targets, p.weights, p.delays)
    return push_csr, (row_of, p.row_start[:-1], p.row_start[1:], 0, p.targets, p.weights)


def _shared(
    p: SharedCsr, source: tuple[int, ...], target: tuple[int, ...], fan_out: Array
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Arguments of push_convolution, and of multiply_convolution, or none where it pools."""
    pooled = pooled_shape(source, p.pool, p.name)
    n_taps = p.kernel[0] * p.kernel[1]
    channel = np.repeat(np.arange(pooled[0]), np.diff(p.row_start))
    tap = p.ky.astype(np.int64) * p.kernel[1] + p.kx
    segment = np.searchsorted(channel * n_taps + tap, np.arange(pooled[0] * n_taps + 1))
    segment = np.stack([segment[c * n_taps : (c + 1) * n_taps + 1] for c in range(pooled[0])])
    out_channels = p.out_channels.astype(np.int32)
    shift_y = p.padding[0] - p.ky.astype(np.int64) * p.dilation[0]
    shift_x = p.padding[1] - p.kx.astype(np.int64) * p.dilation[1]
    offset = (out_channels * target[1] + shift_y) * target[2] + shift_x
    lowest = int(offset.min(initial=0))
    sizes, shape = (*source[1:], *p.pool, p.kernel[1]), (target[0], target[1], target[2])
    reach = (*_reach(p, 0, pooled[1], target[1]), *_reach(p, 1, pooled[2], target[2]))
    inside = (*_inside(p, 0, target[1]), *_inside(p, 1, target[2]))
    synapses = (p.row_start, segment, out_channels)
    cases = _border_cases(p, source, target, fan_out)
    push = (sizes, shape, reach, inside, lowest, *synapses, *cases, (offset - lowest).astype(np.uint32), p.weights)
    multiply = (sizes, shape, p.stride, p.padding, p.dilation, p.kernel, *synapses, p.weights)
    return push, multiply if p.pool == (1, 1) else ()


def _border_cases(
    p: SharedCsr, source: tuple[int, ...], target: tuple[int, ...], fan_out: Array
) -> tuple[Array, Array]:
    """(pixels,) which case of all that the border makes each source pixel is, and (c_in, n_cases) the fan-outs."""
    row, column = (
        np.unique(_taps(p, axis, source[1 + axis] // p.pool[axis], target[1 + axis])[0], axis=0, return_inverse=True)[1]
        for axis in (0, 1)
    )
    row, column = (
        np.append(
            case.repeat(p.pool[axis]), np.full(source[1 + axis] % p.pool[axis], case.size)
        )  # what no window takes
        for axis, case in enumerate((row, column))
    )
    pairs = row[:, None] * (column.max(initial=0) + 1) + column
    _, first, case_of = np.unique(pairs, return_index=True, return_inverse=True)
    by_case = fan_out.reshape(source[0], -1)[:, first]
    return case_of.reshape(-1).astype(np.uint32), np.ascontiguousarray(by_case, np.uint32)


def _taps(p: SharedCsr, axis: int, n_in: int, n_out: int) -> tuple[Array, Array]:
    """(n_in, kernel) whether a tap takes a position of the source to an output, and to which."""
    numerator = np.arange(n_in)[:, None] + p.padding[axis] - np.arange(p.kernel[axis])[None, :] * p.dilation[axis]
    out, rest = np.divmod(numerator, p.stride[axis])
    return (numerator >= 0) & (rest == 0) & (out < n_out), out


def _reach(p: SharedCsr, axis: int, n_in: int, n_out: int) -> tuple[Array, Array, Array]:
    """Per position of the source, one after the other, the taps that reach an output: (starts, taps, outputs)."""
    reached, out = _taps(p, axis, n_in, n_out)
    starts = np.concatenate([[0], np.cumsum(reached.sum(axis=1))])
    return starts, np.nonzero(reached)[1].astype(np.int32), out[reached].astype(np.int32)


def _inside(p: SharedCsr, axis: int, n_out: int) -> tuple[int, int]:
    """First and last position of the source from which every tap reaches an output; none unless the stride is 1."""
    if p.stride != (1, 1):
        return 1, 0
    return (p.kernel[axis] - 1) * p.dilation[axis] - p.padding[axis], n_out - 1 - p.padding[axis]


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
