"""Engine, reference, shared and unrolled synapses must agree spike for spike and count for count."""

import numpy as np
import pytest
from agreement import assert_same, in_canonical_form, in_integers
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, samples

from gossamer.compiler import canonicalize, to_synaptic_graph
from gossamer.simulator import run_reference, simulate
from gossamer.simulator.bit_plan import why_not_bits

thorough = settings(max_examples=150)


@thorough
@given(networks(tangled=True), st.integers(0, 1000))
def test_engine_equals_reference_in_float32_with_dyadic_weights(network, seed):
    network = in_canonical_form(network)
    x = samples(network, seed)
    trace = run_reference(network, x)
    for unroll in (False, True):
        assert_same(trace, simulate(to_synaptic_graph(network, unroll=unroll), x, record=("*",), threads=2), network)


@thorough
@given(networks(tangled=True), st.integers(0, 1000), st.sampled_from(["layer", "channel"]), st.integers(4, 9))
def test_engine_equals_reference_in_integers(network, seed, per, bits):
    network = in_integers(network, bits, per)
    x = samples(network, seed)
    trace = run_reference(network, x)
    for unroll in (False, True):
        graph = to_synaptic_graph(network, unroll=unroll)
        for engine in ("event", "bits"):
            if engine == "event" or why_not_bits(graph) is None:
                assert_same(trace, simulate(graph, x, record=("*",), threads=2, engine=engine), network)


@thorough
@given(networks(tangled=True), st.integers(0, 1000))
def test_passes_leave_every_spike_as_it_was(network, seed):
    x = samples(network, seed)
    before, after = run_reference(network, x), run_reference(in_canonical_form(network), x)
    for name in after.spikes:  # real-valued joins are gone
        np.testing.assert_array_equal(before.spikes[name], after.spikes[name], err_msg=name)
    np.testing.assert_array_equal(before.readout, after.readout)


@pytest.mark.parametrize("block_bytes", [1, 1 << 30])
def test_counts_and_logits_do_not_depend_on_threads_or_blocks(block_bytes, small_network):
    network = canonicalize(small_network)
    graph = to_synaptic_graph(network)
    x = np.random.default_rng(0).random((13, *network.input.shape), np.float32)
    one = simulate(graph, x, threads=1)
    for threads in (2, 3):
        other = simulate(graph, x, threads=threads, block_bytes=block_bytes)
        np.testing.assert_array_equal(one.counts, other.counts)
        np.testing.assert_array_equal(one.logits, other.logits)
