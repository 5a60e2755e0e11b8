"""The bit-parallel engine: its kernels against plain twins, its rows against lists of synapses, its runs against the
reference, and the bounds at which its numbers become wider.
"""

from dataclasses import replace

import numpy as np
import pytest
from agreement import assert_same, in_integers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import refusal, small_convolutional
from numba import njit
from strategies import networks, samples

from gossamer.compiler import (
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Population,
    SumPool2d,
    canonicalize,
    compile_network,
    integrate_and_fire,
    list_synapses,
    quantize,
    to_synaptic_graph,
)
from gossamer.simulator import SimulationError, run_reference, simulate
from gossamer.simulator.bit_engine import BitPlan, why_not_bits
from gossamer.simulator.kernels import bits
from gossamer.simulator.plan import plan_graph
from gossamer.simulator.rows import rows_by_target

RNG = np.random.default_rng(0)


@njit
def pull(sums, words, n_steps, places, weights):
    bits.pull_row(sums, words, np.int64(2), np.int64(n_steps), n_steps, places, weights, np.int64(0), places.size)


@njit
def fire(v, sums, at, drop, keep, leak):
    number = v.dtype.type
    return bits._fire(v, sums, np.int64(64), number(at), number(drop), number(keep), number(leak))


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16])
@pytest.mark.parametrize("number", [np.int16, np.int32])
@pytest.mark.parametrize("weight", [np.int8, np.int16])
def test_pulling_equals_its_plain_twin(n_steps, number, weight):
    words = RNG.integers(0, 2**64, 60 * n_steps, np.uint64, endpoint=False)
    places, weights = RNG.integers(0, 58, 30).astype(np.int32), RNG.integers(-127, 128, 30).astype(weight)
    sums = RNG.integers(-9, 9, n_steps * 64).astype(number)
    expected = sums.copy()
    pull(sums, words, n_steps, places, weights)
    bits.plain_pull(expected, words, 2, n_steps, n_steps, places, weights, 0, 30)
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize(("wide", "narrow"), [(np.int16, np.int16), (np.int32, np.int16), (np.int32, np.int32)])
@pytest.mark.parametrize("keep", [0, -1])
@pytest.mark.parametrize("leak", [0, -1])
def test_firing_equals_its_plain_twin(wide, narrow, keep, leak):
    v, sums = RNG.integers(-500, 500, 64).astype(wide), RNG.integers(-500, 500, 128).astype(narrow)
    expected = v.copy()
    word = fire(v, sums, 100, 60, keep, leak)
    assert word == bits.plain_fire(expected, sums, 64, wide(100), wide(60), wide(keep), wide(leak))
    assert 0 < word < 2**64 - 1
    np.testing.assert_array_equal(v, expected)


def picture(kernel=(3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1), pool=(1, 1)):
    """A pruned convolution of a 2 x 11 x 9 picture, with spikes as input."""
    pools = (SumPool2d(kernel=pool, stride=pool),) if pool != (1, 1) else ()
    weight = RNG.integers(-5, 6, (3, 2, *kernel)) * (RNG.random((3, 2, *kernel)) < 0.6)
    convolution = Conv2d(weight=weight.astype(np.float32), stride=stride, padding=padding, dilation=dilation)
    connection = Connection(source="in", target="out", maps=(*pools, convolution))
    shape = connection.output_shape((2, 11, 9))
    return Network(
        name="picture",
        populations=(
            Population(name="in", shape=(2, 11, 9), kind="input"),
            Population(name="out", shape=shape, neuron=integrate_and_fire(5.0)),
        ),
        connections=(connection,),
        output="out",
        n_steps=4,
        coding=InputCoding(kind="rate"),
    )


@pytest.mark.parametrize(
    "network",
    [
        small_convolutional(),
        picture(padding=(1, 1)),
        picture(kernel=(3, 2), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
        picture(padding=(1, 1), pool=(2, 2)),
        picture(kernel=(5, 5), stride=(2, 2), padding=(2, 2), pool=(2, 1)),
        picture(kernel=(1, 1), stride=(2, 2)),
        picture(kernel=(7, 7), padding=(6, 6)),
    ],
)
@pytest.mark.parametrize("unroll", [False, True])
def test_rows_hold_the_synapses_of_the_graph(network, unroll):
    graph = compile_network(network, weight_bits=8, unroll=unroll)
    for p in graph.projections:
        source, target = graph[p.source], graph[p.target]
        rows, n_channels = rows_by_target(graph, p), target.shape[0]
        n_pixels = target.n_neurons // n_channels
        found = np.zeros((target.n_neurons, source.n_neurons), int)
        for neuron in range(target.n_neurons):
            channel, pixel = divmod(neuron, n_pixels)
            row = rows.class_of[pixel] * n_channels + channel
            for j in range(rows.row_start[row], rows.row_start[row + 1]):
                found[neuron, rows.base[pixel] + rows.places[j]] += rows.weights[j]
        expected = np.zeros_like(found)
        sources, targets, weights, _ = list_synapses(p, source.shape, target.shape)
        np.add.at(expected, (targets, sources), weights)
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks(layered=True), st.integers(0, 1000), st.sampled_from(["layer", "channel"]), st.integers(3, 10))
def test_bits_equal_reference(network, seed, per, weight_bits):
    network = in_integers(network, weight_bits, per)
    x = samples(network, seed)
    trace = run_reference(network, x)
    for unroll in (False, True):
        graph = to_synaptic_graph(network, unroll=unroll)
        assert_same(trace, simulate(graph, x, record="*", threads=2, engine="bits"), network)


@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 150])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_blocks_and_threads_change_nothing(n_samples, threads):
    graph = compile_network(small_convolutional(), weight_bits=8)
    x = np.random.default_rng(1).random((n_samples, 3, 8, 8), np.float32)
    by_events = simulate(graph, x, engine="event", record="*")
    told = []
    by_bits = simulate(
        graph, x, engine="bits", record="*", threads=threads, progress=lambda done, total: told.append((done, total))
    )
    np.testing.assert_array_equal(by_bits.counts, by_events.counts)
    np.testing.assert_array_equal(by_bits.logits, by_events.logits)
    for name, spikes in by_events.spikes.items():
        np.testing.assert_array_equal(by_bits.spikes[name], spikes)
        assert by_bits.spikes[name].dtype == spikes.dtype
    assert told == [(min(n, n_samples), n_samples) for n in range(64, n_samples + 64, 64)]


def in_a_row(weights, threshold, *, n_steps=3, reset="subtract", bias=0):
    """Integers as they are: one neuron that all inputs reach."""
    weights = np.asarray(weights, np.int8)[None, :]
    neuron = replace(
        integrate_and_fire(1.0, reset=reset),
        threshold=np.asarray(threshold, np.int32),
        leak=np.asarray(4096, np.int32),
        current_decay=np.asarray(0, np.int32),
        v_init=np.asarray(0, np.int32),
    )
    return Network(
        name="row",
        populations=(
            Population(name="in", shape=(weights.shape[1],), kind="input"),
            Population(name="out", shape=(1,), neuron=neuron, bias=np.asarray(bias, np.int32)),
        ),
        connections=(Connection(source="in", target="out", maps=(Dense(weight=weights),)),),
        output="out",
        n_steps=n_steps,
        coding=InputCoding(kind="events"),
        arithmetic="int",
    )


def scratch(network):
    """(kernel, bits of the sums, bits of the membrane) of the only target."""
    graph = to_synaptic_graph(network)
    (target,) = BitPlan(plan_graph(graph, graph.n_steps), 1).targets
    return target.kernel, 8 * np.dtype(target.sums).itemsize, 8 * np.dtype(target.membrane).itemsize


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (in_a_row([127] * 258, 1, n_steps=1), ("fire", 16, 16)),  # 32,766
        (in_a_row([127] * 258 + [1], 1, n_steps=1), ("fire", 16, 16)),  # 32,767
        (in_a_row([127] * 258 + [2], 1, n_steps=1), ("fire", 32, 32)),
        (in_a_row([127] * 258, 1, n_steps=2), ("fire", 16, 32)),
        (in_a_row([127] * 258, 1, n_steps=2, reset="zero"), ("fire", 16, 16)),  # up to 1 + 32,766
        (in_a_row([127] * 258, 2, n_steps=2, reset="zero"), ("fire", 16, 32)),
        (in_a_row([100] * 100, 1, n_steps=4, reset="zero"), ("fire", 16, 16)),  # but never far above the threshold
        (in_a_row([-100] * 100, 1, n_steps=4, reset="zero"), ("fire", 16, 32)),  # below it there is no limit
        (in_a_row([127] * 1032, 1, n_steps=1), ("fire", 32, 32)),  # 131,064 < 2^17
        (in_a_row([127] * 1033, 1, n_steps=1), ("update", 32, 64)),  # may wrap
        (in_a_row([-127] * 600, 1, n_steps=2), ("update", 32, 64)),  # may be clipped
        (in_a_row([1], 131_071, n_steps=1), ("update", 16, 64)),
        (in_a_row([1] * 9, 32_767, n_steps=1, bias=-32_000), ("fire", 16, 32)),
    ],
)
def test_numbers_are_as_narrow_as_bounds_allow_and_right_at_the_bound(network, expected):
    assert scratch(network) == expected
    n = network.input.n_neurons
    x = np.zeros((3, network.n_steps, n), np.uint8)
    x[0], x[1, -1], x[2, :, ::2] = 1, 1, 1
    trace = run_reference(network, x)
    graph = to_synaptic_graph(network)
    assert_same(trace, simulate(graph, x, record="*", engine="bits"), network)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (canonicalize(small_convolutional()), "float32"),
        (replace(quantize(canonicalize(small_convolutional())), reset_between_samples=False), "stream"),
    ],
)
def test_what_it_cannot_run_is_refused_with_the_reason_and_run_by_events_if_it_may_choose(network, reason):
    graph = to_synaptic_graph(network)
    x = np.random.default_rng(0).random((30, 3, 8, 8), np.float32)
    error = refusal(lambda: simulate(graph, x, engine="bits"), "GSM-404", error=SimulationError)
    assert reason in str(error.found)
    np.testing.assert_array_equal(simulate(graph, x).counts, simulate(graph, x, engine="event").counts)


def test_an_unknown_engine_is_refused():
    graph = compile_network(small_convolutional())
    assert "bits" in str(
        refusal(lambda: simulate(graph, np.ones((1, 3, 8, 8)), engine="gpu"), "GSM-404", error=SimulationError).expected
    )


def test_why_not_names_cycles_and_delays_of_synapses():
    flat = picture()
    loop = Connection(
        source="out",
        target="out",
        maps=(
            Conv2d(
                weight=np.ones((3, 3, 1, 1)),
            ),
        ),
        delay=1,
    )
    assert "cycle" in why_not_bits(compile_network(replace(flat, connections=(*flat.connections, loop)), weight_bits=8))
    delayed = in_a_row([1, 2], 3)
    maps = (Dense(weight=np.ones((1, 2), np.int8), delays=np.array([[0, 1]])),)
    delayed = replace(delayed, connections=(replace(delayed.connections[0], maps=maps),))
    assert "delays" in why_not_bits(compile_network(delayed))
