"""What the event engine holds between runs."""

import numpy as np

from gossamer.compiler import (
    Connection,
    InputCoding,
    Network,
    Population,
    Sparse,
    compile_network,
    integrate_and_fire,
)
from gossamer.simulator import simulate
from gossamer.simulator.buffers import Spares
from gossamer.simulator.cells import make_cells
from gossamer.simulator.crew import MOST, Crew
from gossamer.simulator.plan import bytes_per_sample, plan_graph


def tower(widths, n_steps):
    """A neuron of each layer leads into one of the next."""
    populations, connections = [Population(name="in", shape=(5,), kind="input")], []
    for i, width in enumerate(widths):
        starts = np.minimum(np.arange(populations[-1].n_neurons + 1), 1)
        one = Sparse(row_start=starts, targets=np.zeros(1, int), weights=np.ones(1, np.float32), shape=(width,))
        connections.append(Connection(source=populations[-1].name, target=f"p{i}", maps=(one,)))
        populations.append(Population(name=f"p{i}", shape=(width,), neuron=integrate_and_fire(1.0)))
    return compile_network(
        Network(
            name="tower",
            populations=tuple(populations),
            connections=tuple(connections),
            output=populations[-1].name,
            n_steps=n_steps,
            coding=InputCoding(kind="rate"),
        )
    )


def test_layers_of_different_widths_share_their_memory():
    graph, n = tower([2_000 + 7 * i for i in range(60)], n_steps=8), 5
    cells, held = make_cells(plan_graph(graph, 8), n, 8), {}
    for (cell,), _ in cells.groups:
        for array in (cell.current, cell.v, cell.u, *(a for events in cell.events.values() for a in events)):
            held[id(array.base)] = array.base.nbytes
    assert sum(held.values()) <= n * bytes_per_sample(graph, 8)


def test_runs_of_different_sizes_leave_nothing_to_each_other():
    graph = tower([40, 70, 10], n_steps=6)
    x = np.random.default_rng(0).random((9, 5), np.float32)
    alone = [simulate(graph, x[i : i + 1], engine="event", first_sample=i).logits for i in range(len(x))]
    for n in (9, 1, 4, 9):
        together = simulate(graph, x[:n], engine="event", threads=2).logits
        np.testing.assert_array_equal(together, np.concatenate(alone[:n]))


def test_spares_are_kept_of_the_last_two_new_kinds():
    spares = Spares()
    for kind in "abc":
        spares.give(kind, kind.upper())
    assert [spares.take(kind) for kind in "abcc"] == [None, "B", "C", None]


def test_a_crew_has_an_end():
    assert Crew(100_000).size == MOST
