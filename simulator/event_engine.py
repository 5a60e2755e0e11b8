"""The event-driven engine: every event is pushed to the targets that it meets.

Each population is run over a block of steps at once; what it emits is pushed at once into the currents of its
targets, `delay` steps later. Without a cycle the block is all T steps of a sample (layer by layer); with one it is a
few steps, which the populations of the cycle go through one by one. Threads share the targets where many events
arrive.
"""

from dataclasses import dataclass
from queue import Empty
from typing import Final

import numpy as np

from ..compiler import Array
from .block import Block
from .buffers import Buffers
from .counting import Counter
from .crew import Crew
from .kernels import LANES, count_spikes, count_visits, list_events, list_spikes, spread_events
from .plan import WORTH_SHARING, Plan, PopulationPlan, ProjectionPlan, block_steps


@dataclass(eq=False)
class _Events:
    """A block of events; see kernels/__init__.py for the layout."""

    ids: Array
    values: Array
    starts: Array
    dense: Array | None = None  # the same as numbers of all neurons, of an input that is a picture


class EventEngine:
    """Final. Runs blocks of samples; any graph.

    Args:
        plan: The graph, prepared.
        names: Populations whose spikes to keep.
    threads: that share the work in each block.
    """

    name: Final = "event"

    def __init__(self, plan: Plan, names: list[str]) -> None:
        self.plan, self.names, self.threads = plan, names, 1

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
            _EventRun(self.plan, inputs, False, self.names, crew, Buffers()).run()
        self.plan.loaded.add(tuple(self.names))

    def run(self, inputs: Array, constant: bool) -> Block:
        """Run a block, as `encode` makes it."""
        graph, n_steps = self.plan.graph, self.plan.n_steps
        n_samples = len(inputs)
        if not graph.reset_between_samples:  # a stream is one sample of many times T steps
            inputs, constant = inputs.reshape(1, n_samples * n_steps, -1), False
        try:
            buffers = self.plan.spare.get_nowait()
        except Empty:
            buffers = Buffers()
        constant = constant and self.plan.input_is_immediate
        with Crew(self.threads) as crew:
            if self.plan.is_worth_sharing:
                crew.call()
            run = _EventRun(self.plan, inputs, constant, self.names, crew, buffers)
            run.run()
        self.plan.spare.put(buffers)
        return Block(
            counts=run.counter.counts(n_samples),
            readout=run.readout.reshape(n_samples, n_steps, -1),
            spikes={name: run.spikes[name].reshape(n_samples, n_steps, *graph[name].shape) for name in self.names},
        )


class _EventRun:
    """A run over one block of samples.

    Args:
        plan: The graph, prepared.
        inputs: (n_samples, n_steps, n_inputs), as `encode` makes them; of a stream, one sample of many times T steps.
        constant: True if every step is the same, and may be run once.
        names: Populations whose spikes to keep. crew: shares its work. buffers: that it has for itself.
    """

    def __init__(
        self, plan: Plan, inputs: Array, constant: bool, names: list[str], crew: Crew, buffers: Buffers
    ) -> None:
        self.plan, self.inputs, self.constant, self.crew, self.buffers = plan, inputs, constant, crew, buffers
        self.n, self.n_steps = inputs.shape[:2]
        self.n_block = block_steps(plan.graph) if plan.graph.is_recurrent else plan.n_steps
        output = plan.population(plan.graph.output)
        self.counter = Counter(plan, self.n_steps)
        self.readout = np.zeros((self.n, self.n_steps, output.n_neurons), output.number)
        self.spikes = {
            p.name: np.zeros((self.n, self.n_steps, p.n_neurons), p.record_dtype)
            for p in plan.populations
            if p.name in names
        }
        self.current: dict[str, Array] = {}
        self.events: dict[str, _Events] = {}
        self.state: dict[str, tuple[Array, Array]] = {}

    def run(self) -> None:
        """Run all steps, a block at a time; populations of a cycle step by step within it."""
        for first_step in range(0, self.n_steps, self.n_block):
            last_step = min(first_step + self.n_block, self.n_steps)
            for populations, is_cycle in self.plan.groups:
                n_block = 1 if is_cycle else last_step - first_step
                for step in range(first_step, last_step, n_block):
                    for population in populations:
                        self._run_block(population, slice(step, step + n_block))
                if last_step == self.n_steps:
                    for population in populations:
                        self._release(population)

    def _run_block(self, p: PopulationPlan, steps: slice) -> None:
        events = self._run_population(p, steps)
        if events is None:
            return
        self._count_spikes(p, steps, events)
        self._record(p, steps, events)
        for projection in p.outgoing:
            self._push(projection, steps, events)
        if p.name not in self.events:
            self._give(events)

    def _current_of(self, p: PopulationPlan) -> Array:
        if p.name not in self.current:
            ring = min(self.n_block + p.longest_delay, self.n_steps)
            self.current[p.name] = self.buffers.zeros((self.n, ring, p.n_neurons), p.number)
        return self.current[p.name]

    def _run_population(self, p: PopulationPlan, steps: slice) -> _Events | None:
        if p.kind == "input":
            emitted = self.inputs[:, steps.start : steps.start + 1 if self.constant else steps.stop]
            events = self._list(p, emitted, real=p.emits_numbers)
            events.dense = np.require(emitted, requirements=("C", "W")) if p.emits_numbers else None
            return events
        current, n_block = self._current_of(p), steps.stop - steps.start
        if p.kind == "spiking":
            events = self._events_of(p, n_block)
            p.update(current, steps.start, n_block, self._state_of(p), events.ids, events.starts)
            if p.name == self.plan.graph.output:
                spread_events(events.ids, events.values, events.starts, self.readout[:, steps])
            return events
        slots = np.arange(steps.start, steps.stop) % current.shape[1]
        arrived = current[:, slots]
        current[:, slots] = 0
        if p.neuron is not None:  # a readout with a membrane
            seen = p.integrate(arrived, self._state_of(p))
        else:
            seen = arrived + p.bias
        if p.kind == "relu":
            seen = np.maximum(seen, 0)
        if p.name == self.plan.graph.output:
            self.readout[:, steps] = seen
        return None if p.kind == "readout" else self._list(p, seen, real=True)

    def _state_of(self, p: PopulationPlan) -> tuple[Array, Array]:
        """Membranes and currents (n_samples, n_neurons), as they were left; there may be no currents."""
        if p.name not in self.state:
            v = self.buffers.empty((self.n, p.n_neurons), p.number)
            u = self.buffers.zeros((self.n, p.n_neurons if p.has_current else 0), p.number)
            v[:] = p.v_init
            self.state[p.name] = v, u
        return self.state[p.name]

    def _release(self, p: PopulationPlan) -> None:
        """All steps of a population are done: its currents have all been read, and left at zero."""
        if p.name in self.events:
            self._give(self.events.pop(p.name))
        if p.name in self.current:
            self.buffers.give_zeros(self.current.pop(p.name))
        if p.name in self.state:
            v, u = self.state.pop(p.name)
            u[:] = 0
            self.buffers.give(v)
            self.buffers.give_zeros(u)

    def _events_of(self, p: PopulationPlan, n_block: int) -> _Events:
        """Room for what a population may emit in a block; used again for its next block."""
        events = self.events.get(p.name)
        if events is None or events.starts.shape[1] != n_block + 1:
            capacity = p.n_neurons * n_block + LANES  # ids are written by whole vectors
            events = self._room(n_block, capacity, 0, p)
            if self.n_block < self.n_steps:
                self.events[p.name] = events
        return events

    def _room(self, n_block: int, capacity: int, n_values: int, p: PopulationPlan) -> _Events:
        return _Events(
            self.buffers.empty((self.n, capacity), np.int32),
            self.buffers.empty((self.n, n_values), p.number),
            self.buffers.empty((self.n, n_block + 1), np.int64),
        )

    def _give(self, events: _Events) -> None:
        for array in (events.ids, events.values, events.starts):
            self.buffers.give(array)

    def _list(self, p: PopulationPlan, dense: Array, *, real: bool) -> _Events:
        _, n_block, n_neurons = dense.shape
        events = self._room(n_block, n_neurons * n_block, n_neurons * n_block * real, p)
        writable = np.require(dense, requirements=("C", "W"))  # Numba compiles anew for arrays that are read-only
        if writable.dtype == np.uint8:
            list_spikes(writable, events.ids, events.starts)
        else:
            list_events(writable, events.ids, events.values, events.starts)
        return events

    def _push(self, q: ProjectionPlan, steps: slice, events: _Events) -> None:
        current = self._current_of(self.plan.population(q.target))
        visits = self.counter.visits[q.index, steps]
        constant = self.constant and q.source == self.plan.graph.input.name
        pushed, n_pushed = visits[:1] if constant else visits, 0
        if events.dense is None or not q.push_all(events.dense, steps.start, self.n_steps, current):
            self._push_events(q, steps.start, events, pushed, current)
            n_pushed = max(0, self.n_steps - q.delay - steps.start)  # what arrives later, no kernel has seen
        if n_pushed < len(pushed):
            count_visits(events.ids, events.starts, n_pushed, q.fan_out, pushed)
        if constant:
            current[:, 1:] = current[:, :1]
            visits[1:] = visits[0]

    def _push_events(self, q: ProjectionPlan, first_step: int, events: _Events, visits: Array, current: Array) -> None:
        """Threads share the steps, or the targets of a single one; what they count, each has for itself."""
        ids, values, starts = events.ids, events.values, events.starts
        n_parts, n_block = self.crew.size, len(visits)
        n_visits = starts[0, -1] * q.mean_fan_out if self.crew.is_called and self.n == 1 else 0.0
        if n_visits >= WORTH_SHARING and q.can_share_steps and n_block >= n_parts:
            edges = np.searchsorted(starts[0], np.arange(n_parts + 1) * starts[0, -1] // n_parts)
            edges[-1] = n_block

            def push_steps(part: int, *_: int) -> None:
                a, b = edges[part : part + 2]
                q.push(ids, values, starts[:, a : b + 1], first_step + a, self.n_steps, visits[a:b], current)

            self.crew.share(push_steps, n_parts)
        elif n_visits >= WORTH_SHARING and q.can_share_targets:
            by_part = np.zeros((n_parts, n_block), np.int64)
            n_targets, to_push = current.shape[-1], (ids, values, starts, first_step, self.n_steps)

            def push_targets(part: int, *_: int) -> None:
                q.push_part(part, n_parts, n_targets, to_push, by_part[part], current)

            self.crew.share(push_targets, n_parts)
            visits += by_part.sum(axis=0)
        else:
            q.push(ids, values, starts, first_step, self.n_steps, visits, current)

    def _count_spikes(self, p: PopulationPlan, steps: slice, events: _Events) -> None:
        spikes = self.counter.spikes[self.plan.row(p.name), steps]
        if self.constant and p.kind == "input":
            spikes += events.starts[:, -1].sum()
        else:
            count_spikes(events.starts, spikes, 1)

    def _record(self, p: PopulationPlan, steps: slice, events: _Events) -> None:
        if p.name in self.spikes:
            if self.constant and p.kind == "input":
                self.spikes[p.name][:] = self.inputs
            else:
                spread_events(events.ids, events.values, events.starts, self.spikes[p.name][:, steps])
