"""Lowering of explicit synapses: what is dropped, and how much memory it takes."""

import tracemalloc

import numpy as np
import pytest

from gossamer.compiler import (
    Connection,
    InputCoding,
    Network,
    Population,
    Sparse,
    compile_network,
    integrate_and_fire,
)


def joined(n_in, m):
    """An input, and neurons that it reaches through one map."""
    return Network(
        name="joined",
        populations=(
            Population(name="in", shape=(n_in,), kind="input"),
            Population(name="all", shape=m.shape, neuron=integrate_and_fire(1.0)),
        ),
        connections=(Connection(source="in", target="all", maps=(m,)),),
        output="all",
        n_steps=4,
        coding=InputCoding(kind="events"),
    )


def test_weights_of_zero_are_dropped_from_their_rows():
    rng = np.random.default_rng(0)
    dense = rng.integers(-2, 3, (40, 30)) * (rng.random((40, 30)) < 0.5)
    dense[[0, 7, 39]] = 0
    present = rng.random((40, 30)) < 0.8  # synapses that are listed, some with a weight of 0
    present[5] = False
    rows, targets = np.nonzero(present)
    m = Sparse(
        row_start=np.searchsorted(rows, np.arange(41)),
        targets=targets,
        weights=dense[present].astype(np.float32),
        delays=np.arange(len(targets)) % 7,
        shape=(30,),
    )
    (projection,) = compile_network(joined(40, m)).projections
    kept = present & (dense != 0)
    assert (projection.row_start == np.concatenate([[0], np.cumsum(kept.sum(axis=1))])).all()
    assert (projection.targets == np.nonzero(kept)[1]).all()
    assert (projection.weights == dense[kept]).all()
    assert (projection.delays == m.delays[dense[present] != 0]).all()


@pytest.mark.parametrize(("writable", "most"), [(False, 0.1), (True, 1.1)])
def test_a_long_list_of_synapses_is_held_once(writable, most):
    """Memory newly taken at any time, as a share of the arrays' own; what could be written to is copied once."""
    n, fan_out = 70_000, 40
    first = np.arange(n, dtype=np.uint32) * 60_000 // n
    arrays = {
        "row_start": np.arange(n + 1) * fan_out,
        "targets": (first[:, None] + np.arange(fan_out, dtype=np.uint32)).ravel().astype(np.uint32),
        "weights": np.ones(n * fan_out, np.float32),
    }
    for array in arrays.values():
        array.flags.writeable = writable
    tracemalloc.start()
    graph = compile_network(joined(n, Sparse(**arrays, shape=(n,))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert graph.projections[0].weights.size == n * fan_out
    assert peak < most * sum(array.nbytes for array in arrays.values())
