"""The event-driven engine: every event is pushed to the targets that it meets.

Each population is run over a block of steps at once; what it emits is pushed at once into the currents of its
targets, `delay` steps later. Without a cycle the block is all T steps of a sample (layer by layer); with one it is a
few steps, which the populations of the cycle go through one by one. Of a single sample whose events visit many synapses
threads share the steps, or the targets of one step.

A stream is one sample, whose steps are given a few at a time: membranes, and what is under way, stay in between.
"""

from math import gcd
from typing import Final

import numpy as np

from ..compiler import Array
from .block import Block
from .cells import Cell, Cells, make_cells, steps_at_once
from .counting import Counter
from .crew import Crew
from .kernels import count_spikes, count_visits, list_events, list_spikes, spread_events
from .plan import WORTH_SHARING, Plan, ProjectionPlan


class EventEngine:
    """Final. Runs blocks of samples; any graph. Those of a stream come one after the other.

    Args:
        plan: The graph, prepared.
        names: Populations whose spikes to keep.
        n_samples: of all blocks together.
    threads: that share the work in each block.
    """

    name: Final = "event"

    def __init__(self, plan: Plan, names: list[str], n_samples: int) -> None:
        self.plan, self.names, self.n_samples, self.threads = plan, names, n_samples, 1
        self._under_way: tuple[int, Cells] | None = None  # steps of a stream that are done, and what they left

    @property
    def samples_at_once(self) -> int:
        """Blocks hold so many samples, or a multiple: where steps are cut decides in which order sums are made."""
        n_block = 1 if self.plan.graph.reset_between_samples else steps_at_once(self.plan)
        return n_block // gcd(n_block, self.plan.n_steps)

    def load(self, sizes: set[int]) -> None:
        """Run no sample at all, so that compiling kernels, or loading them, is not counted as simulation."""
        if tuple(self.names) in self.plan.loaded:
            return
        source = self.plan.population(self.plan.graph.input.name)
        n_steps = 1 if self.plan.graph.is_recurrent else self.plan.n_steps
        number = source.number if source.emits_numbers else np.uint8
        inputs = np.empty((0, n_steps, source.n_neurons), number)
        with Crew(self.threads) as crew:
            crew.share(lambda *_: None, self.threads)
            run = _EventRun(self.plan, make_cells(self.plan, 0, n_steps), 0, inputs, False, self.names, crew)
            run.run()
        run.counter.counts(0)
        self.plan.loaded.add(tuple(self.names))

    def run(self, inputs: Array, constant: bool) -> Block:
        """Run a block, as `encode` makes it."""
        graph, n_steps = self.plan.graph, self.plan.n_steps
        n_samples = len(inputs)
        kind = n_samples, n_steps
        if not graph.reset_between_samples:  # a stream is one sample of many times T steps
            inputs, constant = inputs.reshape(1, n_samples * n_steps, -1), False
            kind = 1, self.n_samples * n_steps
        first, cells = self._under_way or (0, self.plan.spare.take(kind) or make_cells(self.plan, *kind))
        with Crew(self.threads) as crew:
            if self.plan.is_worth_sharing:
                crew.call()
            constant = constant and self.plan.input_is_immediate
            run = _EventRun(self.plan, cells, first, inputs, constant, self.names, crew)
            run.run()
        self._under_way = (run.last, cells) if run.last < cells.n_steps else None
        if self._under_way is None:
            self.plan.spare.give(kind, cells)
        return Block(
            counts=run.counter.counts(n_samples),
            readout=run.readout.reshape(n_samples, n_steps, -1),
            spikes={name: run.spikes[name].reshape(n_samples, n_steps, *graph[name].shape) for name in self.names},
        )


class _EventRun:
    """A run over one block of samples.

    Args:
        plan: The graph, prepared. cells: its populations at work, for so many samples and steps.
        first: of these steps, which are all, or some of a stream.
        inputs: (n_samples, n_steps, n_inputs), as `encode` makes them; of a stream, one sample of many times T steps.
        constant: True if every step is the same, and may be run once.
        names: Populations whose spikes to keep. crew: shares its work.
    """

    def __init__(
        self,
        plan: Plan,
        cells: Cells,
        first: int,
        inputs: Array,
        constant: bool,
        names: list[str],
        crew: Crew,
    ) -> None:
        self.plan, self.cells, self.inputs, self.constant, self.crew = plan, cells, inputs, constant, crew
        self.n, n_steps = inputs.shape[:2]
        self.first, self.last = first, first + n_steps
        output = plan.population(plan.graph.output)
        self.counter = Counter(plan, n_steps)
        self.readout = np.zeros((self.n, n_steps, output.n_neurons), output.number)
        self.spikes = {
            p.name: np.zeros((self.n, n_steps, p.n_neurons), p.record_dtype)
            for p in plan.populations
            if p.name in names
        }

    def run(self) -> None:
        """Run these steps, a block at a time; populations of a cycle step by step within it."""
        for first in range(self.first, self.last, self.cells.n_block):
            last = min(first + self.cells.n_block, self.last)
            for members, is_cycle in self.cells.groups:
                n_block = 1 if is_cycle else last - first
                for step in range(first, last, n_block):
                    for cell in members:
                        self._run_block(cell, step, step + n_block)

    def _run_block(self, cell: Cell, first: int, last: int) -> None:
        p, steps = cell.plan, slice(first - self.first, last - self.first)
        if first == 0:
            cell.reset()
        dense, same = None, False
        if p.kind == "input":
            same = self.constant
            emitted = self.inputs[:, :1] if same else self.inputs[:, steps]
            dense = np.require(emitted, requirements=("C", "W")) if p.emits_numbers else None
            ids, values, starts = _list(cell, emitted)
        elif p.kind == "spiking":
            ids, values, starts = cell.events[last - first]
            p.update(cell.current, first, last - first, cell.v, cell.u, ids, starts)
            if p.name == self.plan.graph.output:
                spread_events(ids, values, starts, self.readout[:, steps])
        else:
            seen = _integrate(cell, first, last)
            if p.name == self.plan.graph.output:
                self.readout[:, steps] = seen
            if p.kind == "readout":
                return
            ids, values, starts = _list(cell, seen)
        spikes = self.counter.spikes[cell.row, steps]
        count_spikes(starts, spikes[:1] if same else spikes)
        if same:
            spikes[1:] = spikes[0]
        if p.name in self.spikes:
            if same:
                self.spikes[p.name][:] = self.inputs
            else:
                spread_events(ids, values, starts, self.spikes[p.name][:, steps])
        for q, current in cell.targets:
            self._push(q, first, (ids, values, starts), dense, same, self.counter.visits[q.index, steps], current)

    def _push(
        self,
        q: ProjectionPlan,
        first: int,
        events: tuple[Array, Array, Array],
        dense: Array | None,
        same: bool,
        visits: Array,
        current: Array,
    ) -> None:
        """Deliver a block of events, or the numbers that they stand for; `same` is one step that stands for all."""
        ids, _, starts = events
        pushed, n_pushed = visits[:1] if same else visits, 0
        if dense is None or not q.push_all(dense, first, self.cells.n_steps, current):
            self._push_events(q, first, events, pushed, current)
            n_pushed = max(0, self.cells.n_steps - q.delay - first)  # what arrives later, no kernel has seen
        if n_pushed < len(pushed):
            count_visits(ids, starts, n_pushed, q.fan_out, pushed)
        if same:
            current[:, 1:] = current[:, :1]
            visits[1:] = visits[0]

    def _push_events(
        self, q: ProjectionPlan, first: int, events: tuple[Array, Array, Array], visits: Array, current: Array
    ) -> None:
        """Threads share the steps, or the targets of a single one; what they count, each has for itself."""
        ids, values, starts = events
        n_parts, n_block = self.crew.size, len(visits)
        n_visits = starts[0, -1] * q.mean_fan_out if self.crew.is_called and self.n == 1 else 0.0
        if n_visits >= WORTH_SHARING and q.can_share_steps and n_block >= n_parts:
            edges = np.searchsorted(starts[0], np.arange(n_parts + 1) * starts[0, -1] // n_parts)
            edges[-1] = n_block

            def push_steps(part: int, *_: int) -> None:
                a, b = edges[part : part + 2]
                q.push(ids, values, starts[:, a : b + 1], first + a, self.cells.n_steps, visits[a:b], current)

            self.crew.share(push_steps, n_parts)
        elif n_visits >= WORTH_SHARING and q.can_share_targets:
            by_part = np.zeros((n_parts, n_block), np.int64)
            n_targets, to_push = current.shape[-1], (*events, first, self.cells.n_steps)
            q.part(n_parts, n_targets)

            def push_targets(part: int, *_: int) -> None:
                q.push_part(part, n_parts, n_targets, to_push, by_part[part], current)

            self.crew.share(push_targets, n_parts)
            visits += by_part.sum(axis=0)
        else:
            q.push(ids, values, starts, first, self.cells.n_steps, visits, current)


def _list(cell: Cell, dense: Array) -> tuple[Array, Array, Array]:
    """The events of a block of steps, (n_samples, n_block, n_neurons)."""
    ids, values, starts = cell.events[dense.shape[1]]
    writable = np.require(dense, requirements=("C", "W"))  # Numba compiles anew for arrays that are read-only
    if writable.dtype == np.uint8:
        list_spikes(writable, ids, starts)
    else:
        list_events(writable, ids, values, starts)
    return ids, values, starts


def _integrate(cell: Cell, first: int, last: int) -> Array:
    """(n_samples, n_block, n_neurons) what neurons that do not spike show; empties their currents."""
    p, slots = cell.plan, np.arange(first, last) % cell.current.shape[1]
    if p.neuron is not None:  # a readout with a membrane
        return p.integrate(cell.current, first, last - first, cell.v, cell.u)
    arrived = cell.current[:, slots]
    cell.current[:, slots] = 0
    seen: Array = arrived + p.bias
    return np.maximum(seen, 0) if p.kind == "relu" else seen
