"""The bit-parallel engine: eight steps, many pixels and many samples at a time, layer by layer over all steps.

A neuron's steps are the bits of a byte. Every target pulls from its sources what they emitted, spikes or not, so the
time taken does not depend on activity. Integers are as narrow as bounds on weights, inputs and steps prove safe.
Floats are added in the order of the sources' neurons, as the event engine adds them.
"""

from functools import partial
from typing import Any, Final

import numpy as np

from ..compiler import Array, Population
from .bit_memory import WORDS, BitMemory, lay_out
from .bit_plan import BitPlan, Target, emits_numbers
from .block import Block
from .counting import Counter
from .crew import Crew, Work
from .kernels import advance, bit_counts, bits, planes

HELD_BYTES = 1 << 20  # currents that are made before they are used, so that they stay in the cache
NOTHING = np.empty((0, bits.STEPS), np.float32)


class BitEngine:
    """Final. Runs blocks of samples.

    Args:
        plan: The graph, turned around.
        names: Populations whose spikes to keep.
    threads: that share the work in each block.
    """

    name: Final = "bits"

    def __init__(self, plan: BitPlan, names: list[str]) -> None:
        self.plan, self.names, self.threads = plan, names, 1

    def load(self, sizes: set[int]) -> None:
        """Run empty blocks of these sizes, so that compiling kernels, or loading them, is not counted as simulation."""
        for n in {n if n in WORDS else 3 for n in sizes} - self.plan.loaded:  # others are all moved in the same way
            source = self.plan.graph.input
            numbers = emits_numbers(self.plan.graph, source)
            number = self.plan.plan.population(source.name).number if numbers else np.uint8
            for constant in (False, True):
                self.run(np.zeros((n, self.plan.n_steps, source.n_neurons), number), constant)
            self.plan.loaded.add(n)

    def run(self, inputs: Array, constant: bool) -> Block:
        """Run a block, as `encode` makes it."""
        graph, spare = self.plan.graph, self.plan.spare
        memory: BitMemory = spare.take(len(inputs)) or BitMemory(self.plan, len(inputs))
        with Crew(self.threads) as crew:
            if memory.shared:
                crew.call()
            run = _BitRun(memory, inputs, constant, crew)
            run.run()
            counts = run.count()
        output = graph[graph.output]
        block = Block(
            counts=counts,
            readout=run.emitted(output, self.plan.plan.population(output.name).number),
            spikes={name: self._recorded(run, name) for name in self.names},
        )
        spare.give(len(inputs), memory)
        return block

    def _recorded(self, run: "_BitRun", name: str) -> Array:
        p = self.plan.plan.population(name)
        if p.kind == "readout":
            return np.zeros((run.n, self.plan.n_steps, *p.shape), p.record_dtype)
        return run.emitted(self.plan.graph[name], p.record_dtype).reshape(run.n, self.plan.n_steps, *p.shape)


class _BitRun:
    """A run over one block.

    Args:
        memory: that it has for itself. inputs, constant: as `encode` makes them. crew: shares its work.
    numbers: (n_chunks, n_neurons, n_samples, 8) of what emits numbers, or (1, n_neurons, n_samples, 1) if they are the
        same in all steps.
    """

    def __init__(self, memory: BitMemory, inputs: Array, constant: bool, crew: Crew) -> None:
        self.memory, self.plan, self.n, self.crew = memory, memory.plan, len(inputs), crew
        self.number = np.int32 if self.plan.integer else np.float32
        self.numbers: dict[str, Array] = {}
        source = self.plan.graph.input
        if not emits_numbers(self.plan.graph, source):
            planes.pack(np.require(inputs, requirements=("C", "W")), self._bytes(source))
        elif constant:
            self.numbers[source.name] = np.ascontiguousarray(inputs[:, 0].T[None, :, :, None])
        else:
            self._new_numbers(source)
            for t in range(self.plan.n_steps):
                self.numbers[source.name][t // bits.STEPS, :, :, t % bits.STEPS] = inputs[:, t].T

    def run(self) -> None:
        """Run every population over all steps."""
        for target in self.plan.targets:
            p = target.population
            if emits_numbers(self.plan.graph, p):
                self._new_numbers(p)
            v, u = self._state(target)
            for chunk in range(self.plan.n_chunks):
                for copy, arguments in self.memory.copies[p.name][chunk]:
                    copy(*arguments)
                if target.kernel == "merge":
                    continue
                work = self._work(target, chunk, v, u)
                n = self.memory.products[p.name].n_groups if target.dense else target.n_channels
                if p.name in self.memory.shared:
                    self.crew.share(work, n)
                else:
                    work(0, 0, n)

    def count(self) -> Array:
        """The counts of the block."""
        count: Any = bit_counts.count
        counter, n_all = Counter(self.plan.plan, self.plan.n_steps), self.plan.n_chunks * bits.STEPS
        n_parts = self.crew.size if self.crew.is_called else 1
        tables, (_, *others) = self.memory.tables(n_parts), self.memory.counting
        by_part = [np.zeros((n_parts, len(a), n_all), np.int64) for a in (counter.spikes, counter.visits)]

        def count_part(part: int, *_: int) -> None:
            count(self.memory.data, self.n, tables[part], *others, *(a[part] for a in by_part))

        self.crew.share(count_part, n_parts)
        spikes, visits = (a[0] if n_parts == 1 else a.sum(axis=0) for a in by_part)
        for name, numbers in self.numbers.items():
            p = self.plan.plan.population(name)
            if p.kind != "readout":
                mine = spikes[self.plan.plan.row(name), : self.plan.n_steps]
                planes.count_numbers(numbers, *self.memory.fan_outs(p), mine, visits)
        counter.spikes += spikes[:, : self.plan.n_steps]
        counter.visits += visits[:, : self.plan.n_steps]
        return counter.counts(self.n)

    def emitted(self, p: Population, dtype: type) -> Array:
        """(n_samples, n_steps, n_neurons) what a population emitted."""
        if p.name in self.numbers:
            by_step = self.numbers[p.name].transpose(2, 0, 3, 1).reshape(self.n, -1, p.n_neurons)
            whole = np.broadcast_to(by_step, (self.n, max(by_step.shape[1], self.plan.n_steps), p.n_neurons))
            return np.ascontiguousarray(whole[:, : self.plan.n_steps].astype(dtype))
        x: Array = np.empty((self.n, self.plan.n_steps, p.n_neurons), dtype)
        planes.unpack(self._bytes(p), x)
        return x

    def _state(self, target: Target) -> tuple[Array, Array]:
        """Membranes and currents that outlive eight steps, or that the general kernel works on."""
        general = target.kernel == "update"
        n = target.population.n_neurons * self.n if general or self.plan.n_chunks > 1 else 0
        v, u = np.zeros(n, target.membrane), np.zeros(n if general and target.options[2] else 0, target.membrane)
        if general:
            v[:] = np.repeat(target.neuron[:, 0], n // target.n_channels)
        return v, u

    def _new_numbers(self, p: Population) -> None:
        self.numbers[p.name] = np.zeros((self.plan.n_chunks, p.n_neurons, self.n, bits.STEPS), self.number)

    def _bytes(self, p: Population) -> Array:
        """(n_chunks, n_neurons, n_samples) of a population that spikes."""
        shape = (self.plan.n_chunks, p.n_neurons, self.n)
        return self.memory.data[self.memory.first[p.name] :][: np.prod(shape)].reshape(shape)

    def _different_steps(self, target: Target) -> int:
        """1 if all that arrives is constant, else 8."""
        constant = all(self.numbers[q.source].shape[3] == 1 for q, _ in target.numbers)
        return 1 if constant and not target.spikes and not target.dense else bits.STEPS

    def _numbers(self, target: Target, chunk: int) -> tuple[Array, ...]:
        """Lay out what arrives as numbers; the kernels' `numbers`."""
        if not target.numbers:
            return self.memory.no_numbers[target.population.name]
        all_laid, pitches, n_steps = [], [], self._different_steps(target)
        for q, r in target.numbers:
            numbers = self.numbers[q.source]
            numbers = numbers[chunk if len(numbers) > 1 else 0]
            if numbers.shape[2] < n_steps:
                numbers = np.repeat(numbers, n_steps, axis=2)
            laid, unit, width = numbers.reshape(-1), self.n * n_steps, 0
            if r.planes is not None:
                laid, width = np.zeros(r.planes.size * unit, self.number), r.planes.plane[1]
                copy, arguments = lay_out(numbers.reshape(-1), r.planes, unit, laid)
                copy(*arguments)
            all_laid.append(laid)
            pitches.append(width * unit)
        return self.memory.numbers(target, all_laid, pitches)

    def _work(self, target: Target, chunk: int, v: Array, u: Array) -> Work:
        """What threads share: channels first ... end over eight steps, with the scratch of a part."""
        if target.dense:
            return partial(self._multiply, target, chunk, v, u)
        numbers = self._numbers(target, chunk)
        if target.kernel != "fire":
            return partial(self._run_channels, target, chunk, numbers, v, u)
        # Little is done in Python between layers: of spikes in eight steps, everything is the same in the next block.
        key = (target.population.name, chunk)
        if key in self.memory.works:
            return self.memory.works[key]
        work = self._fire(target, chunk, numbers, v)
        if not target.numbers and self.plan.n_chunks == 1:
            self.memory.works[key] = work
        return work

    def _multiply(self, target: Target, chunk: int, v: Array, u: Array, part: int, first: int, end: int) -> None:
        """Run groups of channels whose sums are products, as many at a time as have room for them."""
        product = self.memory.products[target.population.name]
        numbers = product.numbers(part)
        run: Work = partial(self._run_channels, target, chunk, numbers, v, u)
        if target.kernel == "fire":
            run = self._fire(target, chunk, numbers, v)
        for a in range(first - first % product.at_a_time, end, product.at_a_time):
            run(part, *product.multiply(part, max(a, first), min(a + product.at_a_time, end)))

    def _fire(self, target: Target, chunk: int, numbers: tuple[Array, ...], v: Array) -> Work:
        """A call of the kernel `pull_and_fire`."""
        plan, memory, name = self.plan, self.memory, target.population.name
        different = self._different_steps(target)
        n_steps = min(bits.STEPS, plan.n_steps - chunk * bits.STEPS)
        size = (memory.data, self.n, target.height, target.width * self.n)
        pulled = (memory.tiles[name, different], memory.spikes[name][chunk], numbers, different)
        out = memory.first[name] + chunk * target.population.n_neurons * self.n
        ends = (chunk == 0, chunk == plan.n_chunks - 1, (1 << n_steps) - 1)
        neuron = (memory.at_once[name], out, memory.biases[name], target.neuron, *target.options, v, *ends)

        pull_and_fire: Any = bits.pull_and_fire

        def work(part: int, first: int, end: int) -> None:
            pull_and_fire(*size, (first, end), *pulled, *neuron, *memory.scratch(part, target))

        return work

    def _run_channels(
        self,
        target: Target,
        chunk: int,
        numbers: tuple[Array, ...],
        v: Array,
        u: Array,
        part: int,
        first: int,
        end: int,
    ) -> None:
        """Run channels first ... end over eight steps, as many at a time as have room for their currents."""
        held = 4 * target.height * target.width * self.n * bits.STEPS
        at_a_time = max(1, HELD_BYTES // held)
        for a in range(first, end, at_a_time):
            self._pull(target, chunk, (a, min(a + at_a_time, end)), numbers, v, u, part)

    def _pull(
        self,
        target: Target,
        chunk: int,
        channels: tuple[int, int],
        numbers: tuple[Array, ...],
        v: Array,
        u: Array,
        part: int,
    ) -> None:
        plan, memory, name = self.plan, self.memory, target.population.name
        height, width, biases = target.height, target.width * self.n, memory.biases[name]
        different = self._different_steps(target)
        spikes, tile = memory.spikes[name][chunk], memory.tiles[name, different]
        pulled = (self.n, height, width, channels, tile, spikes, numbers, different)
        n_steps = min(bits.STEPS, plan.n_steps - chunk * bits.STEPS)
        sums, _, _ = memory.scratch(part, target)
        here = slice(channels[0] * height * width, channels[1] * height * width)
        shown = self.numbers[name][chunk].reshape(-1, bits.STEPS)[here] if name in self.numbers else NOTHING
        if target.kernel == "sum":
            bits.pull_numbers(*pulled, target.neuron[:, 0], biases, sums, shown)
            return
        current = np.empty((1, bits.STEPS, here.stop - here.start), self.number)
        bits.pull_currents(*pulled, sums, current[0])
        keep, late, has_current, *options = target.options
        state = v[None, here], u[None, here if has_current else slice(0)]
        coefficients = (target.neuron[channels[0] : channels[1], k] for k in range(1, 5))
        shows = name not in memory.first
        fired = np.empty((1, here.stop), np.uint8) if shows else self._bytes(target.population)[chunk].reshape(1, -1)
        seen = np.empty((1, n_steps if shows else 0, here.stop - here.start), self.number)
        neuron = (*coefficients, biases.reshape(-1)[here], keep, late, has_current, *options)
        update: Any = advance
        update(current, 0, n_steps, *state, *neuron, fired[:, here], seen)
        if shows:
            shown[:, :n_steps] = seen[0].T
