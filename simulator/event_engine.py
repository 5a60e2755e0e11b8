"""The event-driven engine: every event is pushed to the targets that it meets.

Each population is run over a block of steps at once; what it emits is pushed at once into the currents of its
targets, `delay` steps later. Without a cycle the block is all T steps of a sample (layer by layer); with one it is a
single step.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..compiler import Array
from .block import Block
from .counting import Counter
from .kernels import LANES, count_visits, list_events, spread_events
from .plan import Plan, PopulationPlan, ProjectionPlan


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
    """

    name: Final = "event"

    def __init__(self, plan: Plan, names: list[str]) -> None:
        self.plan, self.names = plan, names

    def load(self) -> None:
        """Run no sample at all, so that compiling kernels, or loading them, is not counted as simulation."""
        if tuple(self.names) in self.plan.loaded:
            return
        source = self.plan.population(self.plan.graph.input.name)
        n_block = 1 if self.plan.graph.is_recurrent else self.plan.n_steps
        number = source.number if source.emits_numbers else np.uint8
        _EventRun(self.plan, np.empty((0, n_block, source.n_neurons), number), False, self.names).run()
        self.plan.loaded.add(tuple(self.names))

    def sharing(self, n_threads: int) -> AbstractContextManager[None]:
        """Blocks are run by one thread each."""
        return nullcontext()

    def run(self, inputs: Array, constant: bool) -> Block:
        """Run a block, as `encode` makes it."""
        graph, n_steps = self.plan.graph, self.plan.n_steps
        n_samples = len(inputs)
        if not graph.reset_between_samples:  # a stream is one sample of many times T steps
            inputs, constant = inputs.reshape(1, n_samples * n_steps, -1), False
        run = _EventRun(self.plan, inputs, constant and self.plan.input_is_immediate, self.names)
        run.run()
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
        names: Populations whose spikes to keep.
    """

    def __init__(self, plan: Plan, inputs: Array, constant: bool, names: list[str]) -> None:
        self.plan, self.inputs, self.constant = plan, inputs, constant
        self.n, self.n_steps = inputs.shape[:2]
        self.n_block = 1 if plan.graph.is_recurrent else plan.n_steps
        output = plan.population(plan.graph.output)
        self.counter = Counter(plan)
        self.readout = np.zeros((self.n, self.n_steps, output.n_neurons), output.number)
        self.spikes = {
            p.name: np.zeros((self.n, self.n_steps, p.n_neurons), p.record_dtype)
            for p in plan.populations
            if p.name in names
        }
        self.current: dict[str, Array] = {}
        self.state = {p.name: p.initial_state(self.n) for p in plan.populations}

    def run(self) -> None:
        """Run all steps, a block at a time."""
        for first_step in range(0, self.n_steps, self.n_block):
            for population in self.plan.populations:
                events = self._run_population(population, first_step)
                if events is not None:
                    self._count_spikes(population, first_step, events)
                    self._record(population, first_step, events)
                    for projection in population.outgoing:
                        self._push(projection, first_step, events)

    def _current_of(self, p: PopulationPlan) -> Array:
        if p.name not in self.current:
            ring = min(self.n_block + p.longest_delay, self.n_steps)
            self.current[p.name] = np.zeros((self.n, ring, p.n_neurons), p.number)
        return self.current[p.name]

    def _run_population(self, p: PopulationPlan, first_step: int) -> _Events | None:
        last_step = first_step + self.n_block
        if p.kind == "input":
            steps = self.inputs[:, first_step : first_step + 1 if self.constant else last_step]
            events = self._list(p, steps, real=p.emits_numbers)
            events.dense = np.require(steps, requirements=("C", "W")) if p.emits_numbers else None
            return events
        current = self._current_of(p)
        if p.kind == "spiking":
            capacity = p.n_neurons * self.n_block + LANES  # ids are written by whole vectors
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
        if events.dense is None or not q.push_all(events.dense, first_step, self.n_steps, current):
            q.push(events.ids, events.values, events.starts, first_step, self.n_steps, current)
        visits = count_visits(events.ids, events.starts, q.fan_out)
        if self.constant and q.source == self.plan.graph.input.name:
            current[:, 1:] = current[:, :1]
            visits = np.repeat(visits, self.n_steps)
        self.counter.visits[q.index, self._steps_from(first_step, len(visits))] += visits

    def _count_spikes(self, p: PopulationPlan, first_step: int, events: _Events) -> None:
        spikes = np.diff(events.starts, axis=1).sum(axis=0)
        if self.constant and p.kind == "input":
            spikes = np.repeat(spikes, self.n_steps)
        self.counter.spikes[self.plan.row(p.name), self._steps_from(first_step, len(spikes))] += spikes

    def _steps_from(self, first_step: int, n: int) -> slice:
        return slice(first_step % self.plan.n_steps, first_step % self.plan.n_steps + n)

    def _record(self, p: PopulationPlan, first_step: int, events: _Events) -> None:
        if p.name in self.spikes:
            if self.constant and p.kind == "input":
                self.spikes[p.name][:] = self.inputs
            else:
                part = self.spikes[p.name][:, first_step : first_step + self.n_block]
                spread_events(events.ids, events.values, events.starts, part)
