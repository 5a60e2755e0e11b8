"""The engine: what it refuses, what it takes, and that nothing but the samples decides the result."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import joined, refusal, small_convolutional
from strategies import dyadic, sparse

from gossamer.compiler import (
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Population,
    Scale,
    Sparse,
    SumPool2d,
    canonicalize,
    compile_network,
    gate,
    integrate_and_fire,
    to_synaptic_graph,
)
from gossamer.simulator import SimulationError, event_engine, plan, run_reference, simulate

X = np.random.default_rng(0).random((5, 3, 8, 8), np.float32)
LABELS = np.array([0, 3, 9, 1, 1])


@pytest.fixture(scope="module")
def graph():
    return compile_network(small_convolutional())


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        ({"x": X[:0]}, "GSM-401", "no samples"),
        ({"x": np.float32(3)}, "GSM-401", "no samples"),
        ({"x": X[:, :2]}, "GSM-401", "x"),
        ({"x": X[0]}, "GSM-401", "x"),
        ({"x": X[:, None]}, "GSM-401", "x"),
        ({"x": X * np.nan}, "GSM-402", "x"),
        ({"y": LABELS[:4]}, "GSM-401", "y"),
        ({"y": LABELS.astype(float)}, "GSM-401", "y"),
        ({"y": LABELS[:, None]}, "GSM-401", "y"),
        ({"y": LABELS + 1}, "GSM-402", "data set"),
        ({"y": LABELS - 1}, "GSM-402", "0..9"),
        ({"y": np.full(5, 2**64 - 1, np.uint64)}, "GSM-402", "y"),
        ({"n_steps": 0}, "GSM-404", "n_steps"),
        ({"n_steps": 2.0}, "GSM-404", "n_steps"),
        ({"n_steps": True}, "GSM-404", "n_steps"),
        ({"threads": 0}, "GSM-404", "threads"),
        ({"threads": "all"}, "GSM-404", "threads"),
        ({"record": ["nobody"]}, "GSM-404", "nobody"),
        ({"record": "conv"}, "GSM-404", "conv1"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(options, code, names, graph):
    error = refusal(lambda: simulate(graph, **{"x": X, **options}), code, error=SimulationError)
    assert names in str(error)


@pytest.mark.parametrize("bad", [0, True, 1.5])
def test_the_reference_refuses_the_same_steps(bad):
    refusal(lambda: run_reference(small_convolutional(), X, bad), "GSM-404", error=SimulationError)


def test_bad_data_in_a_late_block_stop_the_run(graph):
    x = X.copy()
    x[-1, 0, 0, 0] = np.inf
    refusal(lambda: simulate(graph, x, threads=2, block_bytes=1), "GSM-402", error=SimulationError)


def test_labels_give_an_accuracy(graph):
    activity = simulate(graph, X, LABELS)
    assert activity.accuracy == np.mean(activity.logits.argmax(1) == LABELS)
    assert simulate(graph, X, activity.predictions.astype(np.uint8)).accuracy == 1.0
    assert simulate(graph, X, LABELS.tolist()).labels.dtype == np.int64
    assert simulate(graph, X).accuracy is None


def test_spikes_are_kept_of_the_populations_asked_for(graph):
    assert simulate(graph, X).spikes == {}
    kept = simulate(graph, X, record=["conv2", "in", "conv2"]).spikes
    assert {name: (a.shape, a.dtype) for name, a in kept.items()} == {
        "conv2": ((5, 8, 6, 4, 4), np.uint8),
        "in": ((5, 8, 3, 8, 8), np.float32),
    }
    np.testing.assert_array_equal(kept["in"], np.repeat(X[:, None], 8, axis=1))
    everything = simulate(graph, X, record="*").spikes
    assert set(everything) == {"in", "conv1", "conv2", "out"}
    np.testing.assert_array_equal(everything["conv2"], kept["conv2"])
    assert set(simulate(graph, X, record=["*", "in"]).spikes) == set(everything)
    assert set(simulate(graph, X, record="conv1").spikes) == {"conv1"}


@pytest.mark.parametrize("n_steps", [1, 3, 20, np.int64(5)])
def test_a_run_may_take_other_steps_than_the_network_was_made_for(n_steps, graph):
    activity = simulate(graph, X, n_steps=n_steps, record="conv1")
    assert activity.counts.shape[1] == activity.n_steps == n_steps
    assert type(activity.n_steps) is int
    whole = simulate(graph, X, n_steps=20, record="conv1")
    np.testing.assert_array_equal(activity.counts, whole.counts[:, :n_steps])
    np.testing.assert_array_equal(activity.spikes["conv1"], whole.spikes["conv1"][:, :n_steps])


def test_samples_may_have_any_layout_and_type(graph):
    expected = simulate(graph, X).logits
    for x in (np.asfortranarray(X), X.astype(np.float64), X.tolist(), np.repeat(X, 2, axis=0)[::2], X.reshape(5, -1)):
        np.testing.assert_array_equal(simulate(graph, x).logits, expected)
    binary = X > 0.5
    for dtype in (np.bool_, np.uint8, np.int64, np.float64):
        x = binary.astype(dtype)
        np.testing.assert_array_equal(simulate(graph, x).logits, simulate(graph, binary.astype(np.float32)).logits)


def test_samples_given_as_steps_are_the_same_as_their_coding(graph):
    in_steps = np.repeat(X[:, None], 8, axis=1)
    a, b = simulate(graph, X), simulate(graph, in_steps)
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.logits, b.logits)


@settings(max_examples=25)
@given(
    n=st.integers(1, 9),
    threads=st.integers(1, 12),
    block_bytes=st.sampled_from([1, 40_000, 1 << 30]),
    kind=st.sampled_from(["direct", "rate"]),
)
def test_threads_and_blocks_change_no_count_and_no_logit(n, threads, block_bytes, kind):
    network = replace(small_convolutional(), coding=InputCoding(kind=kind))
    graph = compile_network(network)
    x = np.random.default_rng(n).random((n, 3, 8, 8), np.float32)
    one = simulate(graph, x, threads=1, record="conv1")
    other = simulate(graph, x, threads=threads, block_bytes=block_bytes, record="conv1")
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.spikes["conv1"], other.spikes["conv1"])
    assert 1 <= other.threads <= threads


@pytest.mark.parametrize("n_neurons", [65_535, 65_536, 70_001])
def test_populations_past_16_bits_of_ids_work(n_neurons):
    maps = (Dense(weight=np.linspace(-1, 1, n_neurons)[:, None]),)
    n = joined(maps, (1,), (n_neurons,), neuron=integrate_and_fire(0.9), n_steps=1)
    graph = compile_network(n)
    activity = simulate(graph, np.ones((1, 1)), record="p")
    np.testing.assert_array_equal(activity.spikes["p"], run_reference(n, np.ones((1, 1))).spikes["p"])
    assert activity.spikes["p"][0, 0, -1] == 1
    index = 2 if n_neurons < 65_536 else 4
    assert activity.layer_counts("p").index_read_bytes == index * activity.layer_counts("p").macs


def test_a_picture_past_16_bits_of_ids_works_shared_and_unrolled():
    window = Conv2d(weight=np.ones((1, 1, 2, 2), np.float32), stride=2)
    n = canonicalize(joined((window,), (1, 512, 520), (1, 256, 260), neuron=gate(), coding=InputCoding(kind="events")))
    x = np.zeros((1, 1, 1, 512, 520))
    x[0, 0, 0, [0, 511, 300], [0, 519, 7]] = 1
    for unroll in (False, True):
        spikes = simulate(to_synaptic_graph(n, unroll=unroll), x, n_steps=1, record="p").spikes["p"][0, 0, 0]
        assert np.argwhere(spikes).tolist() == [[0, 0], [150, 3], [255, 259]]


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("weight_bits", [None, 8])
def test_a_network_that_is_pruned_away_is_silent(unroll, weight_bits):
    maps = (SumPool2d(kernel=2, stride=2), Conv2d(weight=np.zeros((2, 1, 3, 3)), padding=1))
    graph = compile_network(joined(maps, (1, 4, 4), (2, 2, 2)), unroll=unroll, weight_bits=weight_bits)
    assert graph.projections[0].weights.size == graph.n_synapses("p") == 0
    activity = simulate(graph, np.ones((2, 1, 4, 4)))
    assert activity.total.synaptic_ops == activity.total.macs == activity.layer_counts("p").spikes == 0
    assert not activity.logits.any()


@pytest.mark.parametrize("n_samples", [1, 3])
def test_the_smallest_network_is_one_neuron_and_one_step(n_samples):
    n = joined((Dense(weight=[[2.0]]),), (1,), (1,), n_steps=1)
    activity = simulate(compile_network(n), np.full((n_samples, 1), 0.5), record="*")
    assert activity.spikes["p"].shape == (n_samples, 1, 1)
    assert activity.spikes["p"].all()
    assert activity.logits.tolist() == [[1.0]] * n_samples


def test_two_projections_between_the_same_populations_add_up():
    n = joined((Dense(weight=[[1.0]]),), (1,), (1,), kind="readout", coding=InputCoding(kind="direct"))
    n = replace(n, connections=(*n.connections, replace(n.connections[0], maps=(Dense(weight=[[2.0]]),))))
    activity = simulate(compile_network(n), np.ones((1, 1)))
    assert activity.logits.tolist() == [[3.0]]
    assert activity.layer_counts("p").macs == 8
    late = replace(n, connections=(n.connections[0], replace(n.connections[1], delay=1)))
    assert simulate(compile_network(late), np.ones((1, 1))).logits.tolist() == [[(1 + 3 + 3 + 3) / 4]]


def test_a_population_that_is_declared_before_its_source_still_comes_after_it():
    """Also where only a delay connects them: over a block of steps the source must run first."""
    n = joined((Dense(weight=[[1.0]]),), (1,), (1,), delay=1, n_steps=5)
    b = Population(name="b", shape=(1,), neuron=integrate_and_fire(1.0))
    n = replace(
        n,
        populations=(b, n["p"], n["in"]),
        connections=(Connection(source="p", target="b", maps=(Scale(scale=1.0),), delay=1), *n.connections),
        output="b",
    )
    activity = simulate(compile_network(n), np.ones((1, 1)), record="*")
    assert activity.spikes["p"].ravel().tolist() == [0, 1, 1, 1, 1]
    assert activity.spikes["b"].ravel().tolist() == [0, 0, 1, 1, 1]


def relu_network(rng):
    return Network(
        name="ann",
        populations=(
            Population(name="in", shape=(2, 5, 5), kind="input"),
            Population(name="hidden", shape=(3, 5, 5), kind="relu", bias=dyadic(rng, (3,))),
            Population(name="out", shape=(4,), kind="relu"),
        ),
        connections=(
            Connection(source="in", target="hidden", maps=(Conv2d(weight=sparse(rng, (3, 2, 3, 3)), padding=1),)),
            Connection(source="hidden", target="out", maps=(Dense(weight=sparse(rng, (4, 75))),)),
        ),
        output="out",
        n_steps=1,
    )


def test_an_ann_is_a_network_too():
    rng = np.random.default_rng(0)
    n = relu_network(rng)
    x = dyadic(rng, (6, 2, 5, 5))
    activity, trace = simulate(to_synaptic_graph(n), x, record="*"), run_reference(n, x)
    for name in ("hidden", "out"):
        np.testing.assert_array_equal(activity.spikes[name], trace.spikes[name])
        assert activity.spikes[name].min() == 0
        assert activity.layer_counts(name).macs == trace.macs[name].sum()
    np.testing.assert_array_equal(activity.logits, trace.logits)
    np.testing.assert_array_equal(activity.logits, activity.spikes["out"][:, 0])


def test_sums_of_integers_past_32_bits_are_exact_where_they_are_the_result():
    weight = np.full((1, 4), 32_767, np.int16)
    n = joined((Dense(weight=weight),), (4,), (1,), kind="join", arithmetic="int", coding=InputCoding(levels=65_535))
    activity = simulate(to_synaptic_graph(n), np.ones((1, 4)), record="p")
    assert activity.spikes["p"].ravel().tolist() == [4 * 32_767 * 65_535] * 4
    readout = replace(n, populations=(n["in"], Population(name="p", shape=(1,), kind="readout")))
    expected = run_reference(readout, np.ones((1, 4))).logits
    np.testing.assert_array_equal(simulate(to_synaptic_graph(readout), np.ones((1, 4))).logits, expected)
    assert expected > 2**32


def test_progress_is_told_block_by_block_in_order(graph):
    calls = []
    simulate(graph, X, threads=2, block_bytes=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_stops_all_threads(error, graph):
    def interrupt(done, total):
        raise error

    before = threading.active_count()
    x = np.repeat(X, 40, axis=0)
    with pytest.raises(error):
        simulate(graph, x, threads=3, block_bytes=1, progress=interrupt)
    assert threading.active_count() == before
    np.testing.assert_array_equal(simulate(graph, X).logits, simulate(graph, x[::40]).logits)


def test_a_delay_longer_than_the_run_takes_no_memory():
    n = joined((Dense(weight=[[1.0]]),), (1,), (1,), delay=2**31 - 1)
    loop = Connection(source="p", target="p", maps=(Scale(scale=1.0),), delay=2**31 - 1)
    n = replace(n, connections=(*n.connections, loop))
    assert simulate(compile_network(n), np.ones((1, 1))).total.spikes == 4


@pytest.mark.parametrize("unroll", [False, True])
def test_average_pooling_over_a_picture_that_it_does_not_tile(unroll):
    pool = SumPool2d(kernel=(2, 3), stride=(2, 3))
    n = canonicalize(joined((pool, Conv2d(weight=np.ones((1, 1, 1, 1)))), (1, 5, 7), (1, 2, 2), kind="join"))
    x = np.arange(35.0).reshape(1, 1, 5, 7)
    spikes = simulate(to_synaptic_graph(n, unroll=unroll), x, n_steps=1, record="p").spikes["p"][0, 0, 0]
    expected = [[x[0, 0, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].sum() for j in range(2)] for i in range(2)]
    assert spikes.tolist() == expected


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("size", [(16, 16), (17, 17), (7, 5)])
def test_events_reach_planes_of_any_size(size, pool, stride):
    """Also those of a power of two, which are summed elsewhere; and from pixels that no pooled one is made of, none."""
    rng = np.random.default_rng(9)
    maps = [SumPool2d(kernel=(pool, pool), stride=(pool, pool))] if pool > 1 else []
    maps.append(Conv2d(weight=dyadic(rng, (6, 2, 3, 3)), stride=(stride, stride), padding=(1, 3)))
    height, width = ((n // pool + 2 * p - 3) // stride + 1 for n, p in zip(size, (1, 3), strict=True))
    coding = InputCoding(kind="events")
    network = joined(maps, (2, *size), (6, height, width), neuron=integrate_and_fire(2.0), coding=coding)
    x = rng.integers(0, 2, (3, 4, 2, *size))
    found = simulate(compile_network(network), x, engine="event", record="p").spikes["p"]
    np.testing.assert_array_equal(found, run_reference(canonicalize(network), x).spikes["p"])
    assert found.any()


def test_seconds_hold_no_compiling_or_loading_of_kernels():
    """Before the clock starts, every kernel has met the types that it will be called with."""
    code = """
import numpy as np
from networks import small_convolutional
from gossamer.compiler import compile_network
from gossamer.simulator import engine, simulate
from gossamer.simulator.kernels import bit_counts, bits, convolution, events, general_neurons, neurons, planes, scatter

modules = (bit_counts, bits, convolution, events, general_neurons, neurons, planes, scatter)
kernels = {f for m in modules for f in vars(m).values() if hasattr(f, "signatures")}
assert len(kernels) >= 14
met = lambda: {k: len(k.signatures) for k in kernels}
run_block, before = engine._run_block, []
engine._run_block = lambda *arguments: before.append(met()) or run_block(*arguments)
x = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
x.setflags(write=False)
for bits, name in ((None, "event"), (8, "event"), (None, "bits"), (8, "bits")):
    simulate(compile_network(small_convolutional(), weight_bits=bits), x, threads=1, record="*", engine=name)
    assert sum(met().values()) > 0 and before[-1] == met(), name
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_targets_of_a_projection_that_16_bits_cannot_count(threads):
    n, fan_out, rng = 70_000, 3, np.random.default_rng(2)
    targets = np.sort(rng.integers(0, n - 5, (n, fan_out)), axis=1) + np.arange(fan_out)
    targets[0] = 0, (n - 1) // 2, n - 1
    others = Sparse(
        row_start=fan_out * np.arange(n + 1),
        targets=targets.reshape(-1),
        weights=rng.integers(-8, 9, n * fan_out).astype(np.float32) / 8,
        shape=(n,),
    )
    network = joined((Scale(scale=1.0),), (n,), (n,), neuron=integrate_and_fire(1.0), n_steps=3)
    loop = Connection(source="p", target="p", maps=(others,), delay=1)
    graph = compile_network(replace(network, connections=(*network.connections, loop)))
    x = rng.integers(0, 2, (1, 3, n), np.uint8)
    alone = simulate(graph, x, record="*", threads=1)
    with patch.object(event_engine, "WORTH_SHARING", 0), patch.object(plan, "WORTH_SHARING", 0):
        shared = simulate(graph, x, record="*", threads=threads)
    np.testing.assert_array_equal(shared.counts, alone.counts)
    np.testing.assert_array_equal(shared.spikes["p"], alone.spikes["p"])
