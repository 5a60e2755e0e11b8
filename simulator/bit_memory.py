"""Memory of the bit-parallel engine: what a block of so many samples is run in, and how sources are read there."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..compiler import Array, Projection, SharedCsr
from .bit_plan import BitPlan, Target, emits_numbers
from .bit_products import Product
from .crew import Work
from .dense import Dense
from .kernels import bit_counts, bits, dense, planes
from .plan import Number, PopulationPlan
from .rows import Planes, Rows

WORTH_SHARING = 500_000  # cycles: two threads of one core are little faster than one
COUNTED_BYTES = 300, 48  # that are counted in the time that a channel takes beside its own, and a place
WORTH_NARROWING = 8  # neurons whose spikes can then be added up before they must be put by
WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
Copy = tuple[Callable[..., None], tuple[Any, ...]]  # a kernel and its arguments


class BitMemory:
    """Final. The bytes of one block: of every population that spikes, and of every source as its targets read it.

    Args:
        plan: What is to be run. n_samples: in the block.
    data: uint8, a bit for each step. first: where a population's bytes (n_chunks, n_neurons, n_samples) begin.
    copies, spikes: by target and chunk, what is to be laid out before it is run (or what runs it, of kernel "merge"),
    and the kernels' `spikes`. tiles (by target and steps), at_once, biases, no_numbers, counting: further arguments
    of its kernel. works (by target and chunk): calls of a kernel that are the same for every block. shared:
    targets whose work threads share.
    """

    def __init__(self, plan: BitPlan, n_samples: int) -> None:
        self.plan, self.n_samples = plan, n_samples
        self.first: dict[str, int] = {}
        self._laid: dict[tuple[object, ...], int] = {}
        self._spreads: dict[tuple[object, ...], Array] = {}
        self.works: dict[tuple[str, int], Work] = {}
        self.products: dict[str, Product] = {}
        self._tables: dict[int, list[Array]] = {}
        self._fan_outs: dict[str, tuple[Array, Array]] = {}
        self._scratch: dict[tuple[int, type, type], tuple[Array, Array, Array]] = {}
        # Tiles are read beyond what is output: nothing depends on it, but it must be there.
        n, overhang = bits.MOST_BYTES, bits.MOST_BYTES  # before it, too, if neurons are counted with their neighbours
        for p in plan.graph.populations:
            if not emits_numbers(plan.graph, p):
                self.first[p.name] = n
                n += plan.n_chunks * p.n_neurons * n_samples
        for target in plan.targets:
            for q, r in _read_by(target):
                width = r.planes.plane[1] if r.planes else 1
                overhang = max(overhang, bits.MOST_ROWS * width * n_samples + bits.MOST_BYTES)
                for key, size in self._copies_of(q, r):
                    if key not in self._laid:
                        self._laid[key] = n
                        n += size * n_samples
        self.data = _aligned(n + overhang, np.uint8)
        self.data[:] = 0
        self.copies: dict[str, list[list[Copy]]] = {}
        self.spikes: dict[str, list[tuple[Array, ...]]] = {}
        made: set[tuple[object, ...]] = set()
        for target in plan.targets:
            name = target.population.name
            self.copies[name], self.spikes[name] = [], []
            for chunk in range(plan.n_chunks):
                if plan.n_chunks > 1:
                    made = set()  # the next chunk will be laid out in the same place
                self._read(target, chunk, made)
        self.tiles = {(t.population.name, n): t.tile(n_samples, n) for t in plan.targets for n in (1, bits.STEPS)}
        self.shared = _worth_sharing({t.population.name: t.cycles(n_samples) for t in plan.targets})
        self.at_once = {t.population.name: t.at_once(n_samples) for t in plan.targets}
        self.biases = {t.population.name: np.repeat(t.biases, n_samples, axis=1) for t in plan.targets}
        self.counting = self._counting()
        self.no_numbers = {t.population.name: self.numbers(t, [], []) for t in plan.targets}

    def numbers(self, target: Target, laid: list[Array], pitch: list[int]) -> tuple[Array, ...]:
        """The kernels' `numbers`: of each projection its source as laid out, flat, and elements between two rows."""
        base = np.cumsum([0, *(len(a) for a in laid)])[:-1]
        room = np.zeros(bits.MOST_ROWS * max(pitch, default=0) + bits.VECTOR_BITS, target.number)  # see `overhang`
        s = target.numbers
        synapses = (s.first_row, s.row_start, s.places, s.weights)
        return (np.concatenate([*laid, room]), base.astype(np.int64), np.array(pitch, np.int64), *synapses)

    def _counting(self) -> tuple[Any, ...]:
        """The arguments of the kernel `count` that describe populations."""
        table, usual, rows = [], [], []
        start, place, weight = [np.zeros(1, np.int64)], [], []
        sizes = np.zeros(3, np.int64)  # of usual, of rows, of start, so far
        n_extra = 0
        together = bit_counts.TOGETHER if self.n_samples in (1, bits.STEPS) else 1
        for row, p in enumerate(self.plan.plan.populations):
            if p.name not in self.first:
                continue
            f, n = self.plan.fan_outs[p.name], p.n_neurons * self.n_samples
            for chunk in range(self.plan.n_chunks):
                bytes_ = (self.first[p.name] + chunk * n, f.n_channels, n // f.n_channels)
                table.append((row, chunk * bits.STEPS, *bytes_, len(p.outgoing), *sizes))
            usual.append(f.usual.reshape(-1))
            rows += [q.index for q in p.outgoing]
            for a, b in pairwise(f.start):
                places, weights = f.place[a:b], f.weight[a:b]
                if together > 1:
                    places, weights = _with_neighbours(places, weights)
                n_extra += len(places)
                start.append(np.array([n_extra]))
                place.append(places)
                weight.append(weights)
            sizes += (f.usual.size, len(p.outgoing), len(p.outgoing))
        counted = np.array(table, np.int64).reshape(-1, 9)
        weights, at_once = _narrowed(np.concatenate([np.empty(0, np.int32), *weight]))
        return (
            counted,
            np.concatenate([*usual, np.zeros(1, np.int64)]),
            np.array(rows, np.int64),
            np.concatenate(start),
            together,
            np.concatenate([np.empty(0, np.int32), *place]),
            weights,
            at_once,
        )

    def tables(self, n_parts: int) -> list[Array]:
        """The first of the arguments `counting`, parted so that each takes about as long."""
        if n_parts not in self._tables:
            table, start = self.counting[0], self.counting[3]
            extra = [start[first + n] - start[first] for *_, n, _, _, first in table.tolist()]
            places = np.array(extra, np.int64) * (COUNTED_BYTES[1] + self.n_samples)
            cost = np.cumsum(table[:, 3] * (COUNTED_BYTES[0] + table[:, 4]) + places)
            edges = np.searchsorted(cost, (cost[-1] if len(cost) else 0) * np.arange(1, n_parts) // n_parts)
            self._tables[n_parts] = np.split(table, edges)
        return self._tables[n_parts]

    def fan_outs(self, p: PopulationPlan) -> tuple[Array, Array]:
        """A population's `fan_outs`, for each neuron and sample."""
        if p.name not in self._fan_outs:
            fan_outs, rows = p.fan_outs
            self._fan_outs[p.name] = np.repeat(fan_outs, self.n_samples, axis=1), rows
        return self._fan_outs[p.name]

    def scratch(self, part: int, target: Target) -> tuple[Array, Array, Array]:
        """(sums, membranes, bytes) of a tile, for one of the threads that share a target."""
        key = (part, target.number, target.membrane)
        if key not in self._scratch:
            n_lanes = bits.VECTOR_BITS // np.dtype(target.number).itemsize // 8
            # Twice the sums of a tile: a channel of a few bytes writes a whole one, which the next will overwrite.
            sums, v = _aligned(32 * n_lanes, target.number), _aligned(16 * n_lanes, target.membrane)
            self._scratch[key] = (sums, v, np.empty(16 * n_lanes, np.uint8))
        return self._scratch[key]

    def _merge(self, target: Target, chunk: int) -> Copy:
        """The call that runs a target whose neurons fire at any spike of their window."""
        (q,) = target.spikes.projections
        assert isinstance(q, SharedCsr)
        n_in, n_out = (p.n_neurons * self.n_samples for p in (self.plan.graph[q.source], target.population))
        source = self.data[self.first[q.source] + chunk * n_in :][:n_in]
        out = self.data[self.first[target.population.name] + chunk * n_out :][:n_out]
        source, out, unit = _as_words(source, out, self.n_samples)
        _, height, width = self.plan.graph[q.source].shape
        twice = WORDS.get(2 * source.itemsize) if unit == 1 else None
        if twice and q.kernel == q.stride == (2, 2) and q.padding == (0, 0) and height % 2 == width % 2 == 0:
            half = width // 2
            return planes.merge_pairs, (source.view(twice), len(out) // half, half, twice(8 * out.itemsize), out)
        shapes = self.plan.graph[q.source].shape, unit, target.population.shape
        return planes.merge, (source, *shapes, q.kernel, q.stride, q.padding, out)

    def _copies_of(self, q: Projection, r: Rows) -> list[tuple[tuple[object, ...], int]]:
        """The copies of its source that a projection reads, each made of the one before: keys and places."""
        copies: list[tuple[tuple[object, ...], int]] = []
        if q.delay:
            copies.append(((q.source, q.delay), self.plan.graph[q.source].n_neurons))
        if r.planes is not None:
            copies.append(((q.source, q.delay, r.planes.key), r.planes.size))
        return copies

    def _lay(self, q: Projection, r: Rows, chunk: int, made: set[tuple[object, ...]], copies: list[Copy]) -> int:
        """Where a projection reads its source; adds the copies that must be made before, and are not `made`."""
        first, n = self.first[q.source], self.plan.graph[q.source].n_neurons * self.n_samples
        at = first + chunk * n
        for key, size in self._copies_of(q, r):
            out = self.data[self._laid[key] :][: size * self.n_samples]
            if key not in made:
                made.add(key)
                if len(key) == 2:
                    whole = self.data[first:][: self.plan.n_chunks * n]
                    copies.append((planes.delay_steps, (whole, n, chunk, q.delay, out)))
                elif r.planes is not None:
                    copies.append(lay_out(self.data[at:][:n], r.planes, self.n_samples, out))
            at = self._laid[key]
        return at

    def _spread(self, d: Dense, chunk: int, made: set[tuple[object, ...]], copies: list[Copy]) -> Array:
        """The source of a dense projection, spread to words."""
        q, r = d.projection, d.rows
        at = self._lay(q, r, chunk, made, copies)
        key = ("spread", q.source, q.delay, r.planes.key if r.planes else None)
        unit = self.n_samples * bits.STEPS
        if key not in self._spreads:
            beyond = (r.planes.plane[1] if r.planes else 0) * unit + bits.VECTOR_BITS  # see `overhang`
            self._spreads[key] = _aligned(d.n_groups * d.n_places * unit + beyond, np.uint32)
            self._spreads[key][:] = 0
        if key not in made:
            made.add(key)
            laid = self.data[at:][: d.n_sources * d.n_places * self.n_samples]
            copies.append((dense.spread_bytes, (laid, d.n_sources, self._spreads[key])))
        return self._spreads[key]

    def _read(self, target: Target, chunk: int, made: set[tuple[object, ...]]) -> None:
        base, pitch = [], []
        copies: list[Copy] = []
        if target.kernel == "merge":
            self.copies[target.population.name].append([self._merge(target, chunk)])
            return
        for q, r in target.spikes:
            base.append(self._lay(q, r, chunk, made, copies))
            pitch.append(r.planes.plane[1] * self.n_samples if r.planes else 0)
        spreads = [self._spread(d, chunk, made, copies) for d in target.dense]
        if spreads and chunk == 0:
            self.products[target.population.name] = Product(target, self.n_samples, spreads)
        s = target.spikes
        synapses = (s.first_row, s.row_start, s.places, s.weights)
        sources = (self.data, np.array(base, np.int64), np.array(pitch, np.int64), *synapses)
        self.copies[target.population.name].append(copies)
        self.spikes[target.population.name].append(sources)


def _read_by(target: Target) -> list[tuple[Projection, Rows]]:
    """The projections that a target reads as bits, laid out."""
    dense = [(d.projection, d.rows) for d in target.dense]
    return [*target.spikes, *dense] if target.kernel != "merge" else []


def _with_neighbours(places: Array, weights: Array) -> tuple[Array, Array]:
    """Neurons (ascending) and their weights, by fours: those at the ends of two rows of pixels come together."""
    half = bit_counts.TOGETHER // 2
    four, at = np.divmod(places + half, bit_counts.TOGETHER)
    fours, index = np.unique(four, return_inverse=True)
    whole = np.zeros((len(fours), bit_counts.TOGETHER), weights.dtype)
    whole[index, at] = weights
    return (fours * bit_counts.TOGETHER - half).astype(places.dtype), whole.reshape(-1)


def _narrowed(weights: Array) -> tuple[Array, int]:
    """Weights in 16 bits or in 32, and for how many places the sums fit as many."""
    largest = max(1, int(np.abs(weights).max(initial=0)))
    at_once = int(np.iinfo(np.int16).max) // (bits.STEPS * largest)  # a lane adds up to eight bytes of each
    if at_once >= WORTH_NARROWING:
        return weights.astype(np.int16), at_once
    return weights.astype(np.int32), max(1, int(np.iinfo(np.int32).max) // (bits.MOST_BYTES * largest))


def _worth_sharing(cycles: dict[str, float]) -> frozenset[str]:
    """Which targets are so much work that threads gain by sharing it. None, if together they are the smaller part: who
    waits for the next of them keeps a core from its other thread.
    """
    large = {name for name, n in cycles.items() if n >= WORTH_SHARING}
    return frozenset(large if 2 * sum(cycles[name] for name in large) >= sum(cycles.values()) else ())


def lay_out(source: Array, p: Planes, unit: int, out: Array) -> Copy:
    """The call that lays out a source with `unit` numbers in each place; as words, where they can be moved as such."""
    source, out, unit = _as_words(source, out, unit)
    return planes.lay_out, (source, *p.arguments(unit), out)


def _as_words(source: Array, out: Array, unit: int) -> tuple[Array, Array, int]:
    """The same memory, `unit` numbers as one, if there is such a type."""
    size = unit * source.itemsize
    return (source.view(WORDS[size]), out.view(WORDS[size]), 1) if size in WORDS else (source, out, unit)


def _aligned(n: int, number: type[Number] | type[np.uint32]) -> Array:
    """(n,) at a multiple of a vector's size: vectors that lie in two cache lines take twice as long."""
    size = bits.VECTOR_BITS // 8
    whole = np.empty(n * np.dtype(number).itemsize + size, np.uint8)
    return whole[-whole.ctypes.data % size :][: n * np.dtype(number).itemsize].view(number)
