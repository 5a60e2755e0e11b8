"""Samples that are one stream: one long sample, run block by block, in memory that does not grow with it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from agreement import assert_same, in_canonical_form, in_integers
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_identical, joined, refusal
from strategies import dyadic, networks, samples, sparse

from gossamer.compiler import (
    Connection,
    Dense,
    InputCoding,
    Network,
    Population,
    Scale,
    compile_network,
    integrate_and_fire,
    integrator,
    leaky_integrate_and_fire,
    to_synaptic_graph,
)
from gossamer.simulator import SimulationError, run_reference, simulate

WHOLE, CUT = 1 << 40, 1  # bytes of a block: 32 samples, or as few as can be
streams = networks(tangled=True).map(lambda network: stream(network))
lengths = st.sampled_from([1, 2, 5, 33, 70])


def stream(network):
    return replace(network, reset_between_samples=False)


def test_a_stream_carries_its_state_from_sample_to_sample():
    n = joined((Scale(scale=1.0),), (1,), (1,), neuron=integrate_and_fire(1.0), n_steps=2)
    x = np.full((3, 1), 0.3)
    apart = simulate(compile_network(n), x, record="p").spikes["p"]
    together = simulate(compile_network(stream(n)), x, record="p").spikes["p"]
    assert apart.ravel().tolist() == [0, 0, 0, 0, 0, 0]
    assert together.ravel().tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("delay", [0, 1, 3, 5, 47, 99, 2**31 - 1])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("neuron", [None, integrator(0.5)])
def test_a_stream_is_one_long_sample(delay, recurrent, neuron):
    """Spikes on their way at the end of a sample arrive in a later one, how many blocks later that may be."""
    rng = np.random.default_rng(delay)
    populations = [
        Population(name="in", shape=(4,), kind="input"),
        Population(name="a", shape=(5,), neuron=leaky_integrate_and_fire(0.5), bias=dyadic(rng, (5,)) / 4),
        Population(name="out", shape=(3,), kind="readout", neuron=neuron),
    ]
    connections = [
        Connection(source="in", target="a", maps=(Dense(weight=sparse(rng, (5, 4)) + 0.5),)),
        Connection(source="a", target="out", maps=(Dense(weight=dyadic(rng, (3, 5))),), delay=delay),
    ]
    if recurrent:
        connections.append(Connection(source="a", target="a", maps=(Dense(weight=sparse(rng, (5, 5))),), delay=2))
    n = Network(
        name="stream",
        populations=tuple(populations),
        connections=tuple(connections),
        output="out",
        n_steps=3,
        coding=InputCoding(kind="events"),
    )
    x = rng.integers(0, 2, (40, 3, 4))
    long = simulate(to_synaptic_graph(n), x.reshape(1, 120, 4), n_steps=120, record="a")
    trace = run_reference(stream(n), x)
    for block_bytes in (WHOLE, CUT):
        cut = simulate(to_synaptic_graph(stream(n)), x, record="a", block_bytes=block_bytes)
        np.testing.assert_array_equal(cut.spikes["a"].reshape(1, 120, 5), long.spikes["a"])
        assert long.spikes["a"].any()
        np.testing.assert_array_equal(cut.counts, long.counts.reshape(3, 40, 3, -1).sum(axis=1))
        np.testing.assert_array_equal(cut.logits, trace.logits)
        np.testing.assert_array_equal(cut.counts[1, :, 1], trace.synaptic_ops["a"])


def assert_blocks_equal_the_reference(network, n, seed):
    x = samples(network, seed, n)
    trace = run_reference(network, x)
    for block_bytes in (WHOLE, CUT):
        run = simulate(to_synaptic_graph(network), x, record=("*",), threads=2, block_bytes=block_bytes)
        assert_same(trace, run, network)


@settings(max_examples=60)
@given(streams, lengths, st.integers(0, 1000))
def test_a_stream_in_blocks_equals_the_reference_in_float32_with_dyadic_weights(network, n, seed):
    assert_blocks_equal_the_reference(in_canonical_form(network), n, seed)


@settings(max_examples=60)
@given(streams, lengths, st.integers(0, 1000), st.integers(4, 9))
def test_a_stream_in_blocks_equals_the_reference_in_integers(network, n, seed, bits):
    assert_blocks_equal_the_reference(in_integers(network, bits, "channel"), n, seed)


@settings(max_examples=60)
@given(streams, st.integers(2, 32), st.integers(0, 1000))
def test_where_a_stream_is_cut_changes_no_bit_of_any_sum(network, n, seed):
    """Weights are arbitrary here: sums of other orders would differ in their last bits."""
    rng = np.random.default_rng(seed)
    graph = to_synaptic_graph(in_canonical_form(network))
    arbitrary = (replace(p, weights=rng.normal(0, 1, p.weights.shape).astype(np.float32)) for p in graph.projections)
    graph = replace(graph, projections=tuple(arbitrary))
    x = samples(network, seed, n)
    whole, cut = (simulate(graph, x, record="*", block_bytes=block_bytes) for block_bytes in (WHOLE, CUT))
    np.testing.assert_array_equal(whole.counts, cut.counts)
    assert_identical(whole.logits, cut.logits)
    for name, spikes in whole.spikes.items():
        assert_identical(cut.spikes[name], spikes)


@pytest.mark.parametrize("recurrent", [False, True])
def test_memory_does_not_grow_with_a_stream(recurrent):
    """Of each sample only its logits are left."""
    n = joined((Dense(weight=np.eye(4, 500)),), (500,), (4,), coding=InputCoding(kind="events"), n_steps=2, delay=9)
    if recurrent:
        loop = Connection(source="p", target="p", maps=(Dense(weight=np.eye(4)),), delay=1)
        n = replace(n, connections=(*n.connections, loop))
    graph = to_synaptic_graph(stream(n))
    peaks = {}
    for n_samples in (100, 100, 1000):
        tracemalloc.start()
        simulate(graph, Silence((n_samples, 2, 500)))
        peaks[n_samples] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (peaks[1000] - peaks[100]) / 900 < 100, "bytes: 16 of logits, twice, and a block; the input alone is 1000"


class Silence:
    """Samples that are made when they are asked for."""

    dtype = np.dtype(np.bool_)

    def __init__(self, shape):
        self.shape = shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, part):
        return np.zeros((len(range(*part.indices(len(self)))), *self.shape[1:]), self.dtype)


def test_a_stream_tells_its_progress_and_stops_at_bad_data_in_a_late_block():
    n = stream(joined((Scale(scale=1.0),), (1,), (1,), neuron=integrate_and_fire(1.0), n_steps=2))
    graph, x, told = to_synaptic_graph(n), np.full((3, 1), 0.3, np.float32), []
    simulate(graph, x, threads=2, block_bytes=CUT, progress=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    expected = simulate(graph, x).logits
    refusal(lambda: simulate(graph, x * [[1], [1], [np.inf]], block_bytes=CUT), "GSM-402", error=SimulationError)
    assert_identical(simulate(graph, x, block_bytes=CUT).logits, expected)
