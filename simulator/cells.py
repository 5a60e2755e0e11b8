"""Where the event engine's populations keep currents, states and events, block after block."""

from dataclasses import dataclass

import numpy as np

from ..compiler import Array
from .buffers import Buffers
from .kernels import LANES
from .plan import Plan, PopulationPlan, ProjectionPlan, block_steps

Events = tuple[Array, Array, Array]  # ids, values, starts: see kernels/__init__.py


@dataclass(frozen=True, eq=False, kw_only=True)
class Cell:
    """A population at work.

    row: of its counts. current: (n_samples, ring, n_neurons), zeros between runs; v, u: (n_samples, n_neurons)
    membranes and synaptic currents, either of which may be none. events: room for those of a block of so many steps.
    targets: the projections that it feeds, and the currents of their targets.
    """

    plan: PopulationPlan
    row: int
    current: Array
    v: Array
    u: Array
    events: dict[int, Events]
    targets: tuple[tuple[ProjectionPlan, Array], ...]

    def reset(self) -> None:
        """As a sample finds it."""
        if self.v.size:
            self.v[:] = self.plan.v_init
        if self.u.size:
            self.u[:] = 0


@dataclass(frozen=True, eq=False)
class Cells:
    """All populations of a graph, for so many samples and steps.

    n_steps: in all, after which nothing arrives. n_block: of them that are run at a time. groups: as in the plan.
    """

    n_steps: int
    n_block: int
    groups: tuple[tuple[tuple[Cell, ...], bool], ...]


def steps_at_once(plan: Plan) -> int:
    """Steps that a population is run over at a time: all of a sample, if there is no cycle."""
    return block_steps(plan.graph) if plan.graph.is_recurrent else plan.n_steps


def make_cells(plan: Plan, n: int, n_steps: int) -> Cells:
    """Room for n samples of n_steps; in a single block, each population takes what those before it have done with."""
    graph, n_block = plan.graph, steps_at_once(plan)
    buffers, currents, groups = Buffers(), {}, []
    for populations, is_cycle in plan.groups:
        sizes = {1} if is_cycle else {min(n_block, n_steps), n_steps % n_block or n_block}
        targets = (plan.population(q.target) for p in populations for q in p.outgoing)
        for p in (*populations, *targets):
            if p.name not in currents:
                ring = 0 if p.kind == "input" else min(n_block + p.longest_delay, n_steps)
                currents[p.name] = buffers.zeros((n, ring, p.n_neurons), p.number)
        members = tuple(_cell(plan, p, n, sizes, currents, buffers) for p in populations)
        groups.append((members, is_cycle))
        if n_steps <= n_block and not graph.is_recurrent:
            for cell in members:
                buffers.give_zeros(cell.current)
                for array in (cell.v, cell.u, *(a for events in cell.events.values() for a in events)):
                    buffers.give(array)
    return Cells(n_steps, n_block, tuple(groups))


def _cell(plan: Plan, p: PopulationPlan, n: int, sizes: set[int], currents: dict[str, Array], buffers: Buffers) -> Cell:
    return Cell(
        plan=p,
        row=plan.row(p.name),
        current=currents[p.name],
        v=buffers.empty((n, p.n_neurons if p.neuron is not None else 0), p.number),
        u=buffers.empty((n, p.n_neurons if p.has_current else 0), p.number),
        events={size: _events(p, n, size, buffers) for size in sizes | ({1} if p.kind == "input" else set())},
        targets=tuple((q, currents[q.target]) for q in p.outgoing),
    )


def _events(p: PopulationPlan, n: int, n_block: int, buffers: Buffers) -> Events:
    n_most = p.n_neurons * n_block
    return (
        buffers.empty((n, n_most + LANES), np.int32),  # ids are written by whole vectors
        buffers.empty((n, n_most if p.emits_numbers else 0), p.number),
        buffers.empty((n, n_block + 1), np.int64),
    )
