"""What the bit-parallel engine needs of a graph, prepared once: rows by target, bounds, number types, tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np

from ..compiler import (
    DECAY_UNIT,
    STATE_LIMIT,
    STATE_SHIFT,
    Array,
    Csr,
    Population,
    Projection,
    SharedCsr,
    SynapticGraph,
    broadcast,
)
from .buffers import Spares
from .dense import Dense, dense_of
from .kernels import bits
from .plan import Number, Plan, PopulationPlan
from .rows import Rows, rows_by_target

NARROW, WIDE = np.iinfo(np.int16).max, np.iinfo(np.int32).max
WORKING_BYTES = 2 << 20  # of a layer's sources and targets, most of which should stay in a core's cache
FEW_PIXELS = 64  # fewer are counted one by one
MOST_SAMPLES = 64  # in a block
TILE_OVERHEAD = 12  # what a tile costs beside its vectors, in vectors
PRODUCT_CYCLES = 1.1  # in which a vector of two bytes meets four sources of one channel
ROW_CYCLES = 120  # that a tile of a row costs beside its synapses: most of them for two jumps that are not foreseen
FIRE_CYCLES = 230  # in which a tile fires
UPDATE_CYCLES = 30  # in which another neuron than those advances by eight steps, once its currents are known


def why_not_bits(graph: SynapticGraph) -> str | None:
    """What keeps a graph from running on this engine, or None."""
    if graph.is_recurrent:
        return "a cycle: steps must be run one by one"
    if not graph.reset_between_samples:
        return "samples that are one stream"
    if any(isinstance(p, Csr) and p.delays is not None for p in graph.projections):
        return "delays of single synapses"
    if any(p.delay and emits_numbers(graph, graph[p.source]) for p in graph.projections):
        return "a delay of numbers"
    if any(p.kind == "relu" for p in graph.populations):
        return "units that are no neurons"
    if graph.arithmetic != "int":
        for p in graph.populations:
            sources = [graph[q.source] for q in graph.projections if q.target == p.name]
            if len(sources) > 1 and any(emits_numbers(graph, s) for s in sources):
                return "float32 sums of several sources, one of them of numbers: only integers add up in any order"
    return None


def emits_numbers(graph: SynapticGraph, p: Population) -> bool:
    """True for what is not a spike: a join, a readout, a real-valued input."""
    return p.is_graded or p.kind == "readout" or (p.kind == "input" and graph.coding.is_real)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sources:
    """What a target pulls, spikes or numbers: the rows of several projections, one after the other.

    projections, rows: each. first_row: (n,) int64. row_start, places, weights: of all.
    """

    projections: tuple[Projection, ...]
    rows: tuple[Rows, ...]
    first_row: Array
    row_start: Array
    places: Array
    weights: Array

    def __iter__(self) -> Iterator[tuple[Projection, Rows]]:
        return zip(self.projections, self.rows, strict=True)

    def __len__(self) -> int:
        return len(self.projections)


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """A population with what its kernel needs.

    kernel: "fire", "merge", "update" or "sum". number, membrane: types of sums and of membranes. n_channels, height,
    width: as rows see it: every neuron is a channel of one pixel where a projection has a row for each neuron.
    dense: what it multiplies. spikes, numbers: what it pulls. neuron: (n_channels, n), see the kernels. biases:
    (n_channels, n_pixels), or (n_channels, 0) where a channel's pixels share theirs.
    """

    population: Population
    kernel: str
    number: type[Number]
    membrane: type[Number]
    n_channels: int
    height: int
    width: int
    dense: tuple[Dense, ...]
    spikes: Sources
    numbers: Sources
    neuron: Array
    biases: Array
    options: tuple[Any, ...] = ()

    def tile(self, n_samples: int, n_steps: int) -> tuple[int, int, int]:
        """(index, rows, bytes in a row) of the tile that covers a channel at the least cost.

        n_steps: 8, or 1 where all that arrives is constant.
        """
        per_vector = bits.VECTOR_BITS // (8 * np.dtype(self.number).itemsize * n_steps)
        width, best, tile = self.width * n_samples, float("inf"), (0, 0, 0)
        for i, (n_rows, n_vectors) in enumerate(bits.TILES):
            n_tiles = -(-self.height // n_rows) * -(-width // (n_vectors * per_vector))
            cost = n_tiles * (n_rows * n_vectors + TILE_OVERHEAD)
            if cost < best:
                best, tile = cost, (i, n_rows, n_vectors * per_vector)
        return tile

    def at_once(self, n_samples: int) -> int:
        """Channels that fire together: as many as fill a tile, if each is one pixel and all are alike."""
        alike = self.height * self.width == 1 and bool((self.neuron == self.neuron[:1]).all())
        tile_bytes = bits.VECTOR_BITS // (4 * np.dtype(self.number).itemsize)
        return max(1, tile_bytes // n_samples) if alike and self.kernel == "fire" else 1

    def cycles(self, n_samples: int) -> float:
        """About how long a block takes, in cycles of a core: as measured with 512-bit vectors."""
        index, n_rows, n_bytes = self.tile(n_samples, bits.STEPS)
        n_tiles = -(-self.height // n_rows) * -(-self.width * n_samples // n_bytes)
        per_synapse = 1 + 1.2 * bits.TILES[index][0] * bits.TILES[index][1]
        per_row = ROW_CYCLES + FIRE_CYCLES / self.at_once(n_samples)
        pulled = n_tiles * (len(self.spikes.weights) * per_synapse + self.n_channels * per_row)
        n_vectors = self.height * -(-self.width * n_samples // 2)
        updated = UPDATE_CYCLES * self.population.n_neurons * n_samples if self.kernel == "update" else 0
        return pulled + updated + PRODUCT_CYCLES * n_vectors * sum(d.weights.size for d in self.dense)


@dataclass(frozen=True, eq=False, kw_only=True)
class FanOuts:
    """How many synapses a spike visits: most neurons of a channel as many, those near a border fewer.

    n_channels: into which the population is divided; 1 where nothing depends on it. usual: (n_projections,
    n_channels). start (n_projections + 1,), place, weight: neurons with another fan-out, and by how much, int32.
    """

    n_channels: int
    usual: Array
    start: Array
    place: Array
    weight: Array


def fan_outs(p: PopulationPlan) -> FanOuts:
    """Of all projections of a population that spikes."""
    n_pixels = int(np.prod(p.shape[1:]))
    n_channels = 1 if n_pixels < FEW_PIXELS or not p.outgoing else p.shape[0]
    usual, start, place, weight = [], [0], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for q in p.outgoing:
        by_channel = q.fan_out.reshape(n_channels, -1)
        if n_pixels < FEW_PIXELS:
            most = (by_channel.min(axis=1, initial=0) + by_channel.max(axis=1, initial=0)) // 2
        else:
            most = by_channel[:, by_channel.shape[1] // 2 + p.shape[-1] // 2]
        other = (by_channel - most[:, None]).reshape(-1)
        # Where most are different, all: side by side, they are faster to read.
        different = np.flatnonzero(other) if 2 * np.count_nonzero(other) < len(other) else np.arange(len(other))
        usual.append(most)
        place.append(different)
        weight.append(other[different])
        start.append(start[-1] + len(different))
    if all((u == u[0]).all() for u in usual):
        usual, n_channels = [u[:1] for u in usual], 1
    return FanOuts(
        n_channels=n_channels,
        usual=np.array(usual, np.int64).reshape(len(usual), n_channels),
        start=np.array(start, np.int64),
        place=np.concatenate(place).astype(np.int32),
        weight=np.concatenate(weight).astype(np.int32),
    )


class BitPlan:
    """Final. A graph turned around for pulling.

    Args:
        plan: The graph, prepared for its steps.
        largest: The largest magnitude that the input population emits, of a graph of integers.
    """

    def __init__(self, plan: Plan, largest: int) -> None:
        self.plan, self.graph, self.n_steps = plan, plan.graph, plan.n_steps
        self.n_chunks = -(-plan.n_steps // bits.STEPS)
        self.integer = plan.graph.arithmetic == "int"
        self.bound = {plan.graph.input.name: largest}  # of what a population emits
        self.targets = [self._target(p) for p in plan.graph.populations if p.kind != "input"]
        self.fan_outs = {
            p.name: fan_outs(p) for p in plan.populations if not emits_numbers(plan.graph, plan.graph[p.name])
        }
        self.loaded: set[int] = set()  # samples in blocks for which its kernels are
        self.spare = Spares()  # a `BitMemory` of each block that is done, for blocks to come, by samples

    @property
    def fits(self) -> bool:
        """True if no sum can leave 32 bits."""
        return not self.integer or all(bound <= WIDE for bound in self.bound.values())

    @cached_property
    def n_samples(self) -> int:
        """Samples that a block should have: as many as stay in the cache, for small layers gain from many."""
        widest = max(self._bytes_laid(t) + t.population.n_neurons for t in self.targets)
        n = int(max(1, WORKING_BYTES // (widest * self.n_chunks)))
        return min(MOST_SAMPLES, 1 << (n.bit_length() - 1))  # a power of two fills vectors

    @cached_property
    def bytes_per_sample(self) -> int:
        """About what one sample holds: bytes of spikes, and as laid out for their targets, and numbers of all steps."""
        laid = sum(self._bytes_laid(t) for t in self.targets)
        each = (32 if emits_numbers(self.graph, p) else 1 for p in self.graph.populations)
        return laid + self.n_chunks * sum(n * p.n_neurons for n, p in zip(each, self.graph.populations, strict=True))

    def _bytes_laid(self, target: Target) -> int:
        """Of one sample, as a target reads its sources."""
        pulled = [*target.spikes, *target.numbers]
        places = (r.planes.size if r.planes else self.graph[q.source].n_neurons for q, r in pulled)
        return sum(places) + sum(9 * d.n_sources * d.n_places for d in target.dense)  # each byte, spread to eight

    def _target(self, p: Population) -> Target:
        graph, prepared = self.graph, self.plan.population(p.name)
        # The order in which the event engine adds: floats depend on it.
        incoming = sorted((q for q in graph.projections if q.target == p.name), key=lambda q: self.plan.row(q.source))
        by_neuron = any(isinstance(q, Csr) for q in incoming) or not _is_by_channel(p, prepared)
        n_channels, height, width = (p.n_neurons, 1, 1) if by_neuron or len(p.shape) != 3 else p.shape
        rows = [(q, rows_by_target(graph, q, by_neuron=n_channels != p.shape[0] or by_neuron)) for q in incoming]
        low, high = self._bounds(p, rows, prepared.bias)
        widest = max(-low, high)
        self.bound[p.name] = 1 if p.kind == "spiking" and widest <= WIDE else widest
        arriving = [(q, r) for q, r in rows if q.delay < self.n_steps]
        as_numbers = [(q, r) for q, r in arriving if emits_numbers(graph, graph[q.source])]
        bias, biases = _per_channel(prepared.bias, n_channels)
        kernel, membrane, neuron, options = self._neuron(p, prepared, low, high, n_channels, bias)
        if kernel == "update":
            biases = prepared.bias.reshape(n_channels, -1)
        if _merges(p, [q for q, _ in arriving], [graph[q.source] for q, _ in arriving], prepared.bias):
            kernel = "merge"
        number: type[Number] = np.float32
        if self.integer:
            number = np.int16 if widest <= NARROW and not as_numbers else np.int32
        as_spikes = [(q, r) for q, r in arriving if not emits_numbers(graph, graph[q.source])]
        dense: list[Dense] = []
        if kernel != "merge" and not as_numbers:
            found = (dense_of(q, r, graph[q.source].n_neurons, number) for q, r in as_spikes)
            dense = [d for d in found if d is not None]
        if dense:
            as_spikes = [(q, r) for q, r in as_spikes if all(d.projection is not q for d in dense)]
            number = np.int32
        if number is np.int32 and membrane is np.int16:  # a membrane is no narrower than a sum
            membrane = np.int32
        return Target(
            population=p,
            kernel=kernel,
            number=number,
            membrane=membrane,
            n_channels=n_channels,
            height=height,
            width=width,
            dense=tuple(dense),
            spikes=_joined(as_spikes, number),
            numbers=_joined(as_numbers, number),
            neuron=neuron,
            biases=biases,
            options=options,
        )

    def _bounds(self, p: Population, rows: list[tuple[Projection, Rows]], bias: Array) -> tuple[int, int]:
        """The least and the greatest that a sum of integers can become in one step."""
        if not self.integer:
            return 0, 0
        low = high = 0
        for q, r in rows:
            down, up = _extent(r)
            largest, source = self.bound[q.source], self.graph[q.source]
            both = emits_numbers(self.graph, source)  # which may be negative
            low -= largest * (max(down, up) if both else down)
            high += largest * (max(down, up) if both else up)
        return low + min(int(bias.min(initial=0)), 0), high + max(int(bias.max(initial=0)), 0)

    def _neuron(
        self,
        p: Population,
        prepared: PopulationPlan,
        low: int,
        high: int,
        n_channels: int,
        bias: Array,
    ) -> tuple[str, type[Number], Array, tuple[Any, ...]]:
        """Kernel, type of the membrane, coefficients by channel, and options."""
        number = np.int32 if self.integer else np.float32
        if p.neuron is None:
            return "sum", number, bias[:, None].astype(number), ()
        fire_at, drop, leak, decay, _, keep, *options = prepared.coefficients
        start = np.ravel(broadcast(p.neuron.v_init, p.shape, where=p.name)).astype(number)
        start = start[:: p.n_neurons // n_channels] if start.size else start
        fire_at, drop, leak, decay = (np.repeat(a, n_channels // len(a)) for a in (fire_at, drop, leak, decay))
        unit = 1 << STATE_SHIFT if self.integer else 1
        late, has_current, _, reset_delay = options
        if late or has_current or reset_delay or p.kind != "spiking":
            rows = np.array([start * unit, fire_at, drop, leak, decay], number)
            return "update", number, rows.T, (keep, *options)  # by columns: the kernel takes one after the other
        if not self.integer:
            rows = np.array([start, bias, fire_at, drop, np.full(n_channels, keep), leak], np.float32)
            return "fire", np.float32, np.ascontiguousarray(rows.T), (False, False)
        # The membrane's range: a reset by subtraction may leave any rest, one to zero leaves less than the threshold.
        lowest = int(start.min()) + self.n_steps * min(low, 0)
        rest = int(start.max()) + self.n_steps * max(high, 0)
        below = max(int(fire_at.max()) // unit, int(start.max()))  # what a reset to zero, or the start, leaves
        highest = rest if p.neuron.reset != "zero" else min(rest, below + high)
        reach = max(-lowest, highest, int(fire_at.max()) // unit + 1)
        keeps = np.full(n_channels, -keep)
        if np.isin(leak, (0, DECAY_UNIT)).all() and max(reach, -low, high) < STATE_LIMIT >> STATE_SHIFT:
            narrow = reach <= NARROW and max(-low, high) <= NARROW
            at = -(-fire_at // unit)  # a membrane in whole units reaches the next whole unit
            rows = np.array([start, bias, at, drop // unit, keeps, -(leak != 0).astype(np.int32)], np.int32)
            return "fire", np.int16 if narrow else np.int32, np.ascontiguousarray(rows.T), (False, False)
        rows = np.array([start * unit, bias * unit, fire_at, drop, keeps, leak], np.int32)
        return "fire", np.int32, np.ascontiguousarray(rows.T), (True, bool((leak != DECAY_UNIT).any()))


@lru_cache(maxsize=2)  # a graph is often run again: on the next samples, with another number of threads
def plan_bits(plan: Plan, largest: int) -> BitPlan:
    """A graph turned around, for inputs up to `largest`."""
    return BitPlan(plan, largest)


def _is_by_channel(p: Population, prepared: PopulationPlan) -> bool:
    """True if the neurons of a channel have the same coefficients, biases apart."""
    if p.neuron is None or len(p.shape) != 3:
        return True
    v_init = broadcast(p.neuron.v_init, p.shape, where=p.name).reshape(p.shape[0], -1)
    return bool((v_init == v_init[:, :1]).all()) and all(len(a) <= p.shape[0] for a in prepared.coefficients[:4])


def _merges(p: Population, incoming: list[Projection], sources: list[Population], bias: Array) -> bool:
    """True if any spike of its window makes a neuron fire, and nothing else does: max pooling over spikes."""
    n, q = p.neuron, incoming[0] if len(incoming) == 1 else None
    if n is None or p.kind != "spiking" or n.has_current or n.reset_delay or not isinstance(q, SharedCsr):
        return False
    every = np.arange(p.shape[0]).repeat(prod(q.kernel))  # each channel sees each tap of its own
    return (
        sources[0].kind == "spiking"
        and not sources[0].is_graded
        and q.pool == q.dilation == (1, 1)
        and q.delay == 0
        and np.array_equal(q.out_channels, every)
        and np.array_equal(np.diff(q.row_start), np.full(p.shape[0], prod(q.kernel)))
        and not (bias.any() or np.any(n.leak) or np.any(n.v_init))
        and bool(np.min(n.threshold) > 0)
        and bool(q.weights.min() >= np.max(n.threshold) + (n.comparator == ">"))
        and (q.weights.dtype.kind == "f" or prod(q.kernel) * int(q.weights.max()) < STATE_LIMIT >> STATE_SHIFT)  # wraps
    )


def _joined(rows: list[tuple[Projection, Rows]], number: type[Number]) -> Sources:
    """The rows of several projections, one after the other."""
    first_row, row_start, n_rows, n_synapses = [], [], 0, 0
    for _, r in rows:
        first_row.append(n_rows)
        row_start.append(r.row_start + n_synapses)
        n_rows += len(r.row_start)
        n_synapses += len(r.places)
    return Sources(
        projections=tuple(q for q, _ in rows),
        rows=tuple(r for _, r in rows),
        first_row=np.array(first_row, np.int64),
        row_start=np.concatenate([np.empty(0, np.int64), *row_start]),
        places=np.concatenate([np.empty(0, np.int32), *(r.places for _, r in rows)]),
        # As wide as sums: faster to load.
        weights=np.concatenate([np.empty(0, number), *(r.weights for _, r in rows)]).astype(number),
    )


def _extent(r: Rows) -> tuple[int, int]:
    """The largest sum of negative weights into one neuron, and of positive ones."""
    extents = []
    for sign in (-1, 1):
        sums = np.concatenate([[0], np.cumsum(np.maximum(sign * r.weights.astype(np.int64), 0))])
        extents.append(int((sums[r.row_start[1:]] - sums[r.row_start[:-1]]).max(initial=0)))
    return extents[0], extents[1]


def _per_channel(bias: Array, n_channels: int) -> tuple[Array, Array]:
    """Each channel's bias, and none by pixel; or no channel's, and (n_channels, n_pixels) where pixels differ.

    Channels of one pixel leave it to their pixel unless all have the same, so that they are alike.
    """
    by_pixel = bias.reshape(n_channels, -1)
    if (bias == bias[:1]).all() or (by_pixel.shape[1] > 1 and (by_pixel == by_pixel[:, :1]).all()):
        return by_pixel[:, 0].copy(), by_pixel[:, :0]
    return np.zeros(n_channels, bias.dtype), by_pixel
