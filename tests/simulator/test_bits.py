"""The bit-parallel engine: its kernels against plain twins, its rows against lists of synapses, its runs against the
reference, and the bounds at which its numbers become wider.
"""

from dataclasses import replace
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from agreement import assert_same, in_canonical_form, in_integers
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import joined, refusal, small_convolutional
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
from gossamer.simulator import SimulationError, dense, run_reference, simulate
from gossamer.simulator.bit_memory import _with_neighbours
from gossamer.simulator.bit_plan import BitPlan, why_not_bits
from gossamer.simulator.kernels import bit_counts, bits, planes
from gossamer.simulator.kernels.features import HAS_AVX512, HAS_GFNI
from gossamer.simulator.plan import plan_graph
from gossamer.simulator.rows import rows_by_target

RNG = np.random.default_rng(0)


@njit
def pull(tile, sums, fresh, source, base, pitch, scale, places, weights, first, last):
    bits.pull(tile, sums, fresh, source, base, pitch, scale, places, weights, first, last)


def fire(sums, offset, v, at, first, out, out_at, steps, coefficients, constant, wraps, leaks):
    number = v.dtype.type
    start, bias, fire_at = number(coefficients[0]), number(coefficients[1]), number(coefficients[2])
    drop, keep, leak = number(coefficients[3]), number(coefficients[4]), number(coefficients[5])
    place = (sums, np.int64(offset), v, np.int64(at), first, out, np.int64(out_at), np.uint8(steps))
    if constant and leaks:
        bits._fire_constant_leaking(*place, start, bias, fire_at, drop, keep, leak)
    elif constant and wraps:
        bits._fire_constant_wrapping(*place, start, bias, fire_at, drop, keep, leak)
    elif constant:
        bits._fire_constant(*place, start, bias, fire_at, drop, keep, leak)
    elif leaks:
        bits._fire_leaking(*place, start, bias, fire_at, drop, keep, leak)
    elif wraps:
        bits._fire_wrapping(*place, start, bias, fire_at, drop, keep, leak)
    else:
        bits._fire(*place, start, bias, fire_at, drop, keep, leak)


FIRE = {True: njit(fire), False: njit(fire)}  # with AVX-512, if this CPU has it, and without


@njit
def count_steps(memory, first, n, n_channels, weights, at, totals, weighed):
    bit_counts._count_steps(
        memory, np.int64(first), np.int64(n), np.int64(n_channels), weights, np.int64(at), totals, weighed
    )


@pytest.mark.parametrize("tile", range(len(bits.TILES)))
@pytest.mark.parametrize("number", [np.int16, np.int32, np.float32])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("as_bits", [False, True])
def test_pulling_equals_its_plain_twin(tile, number, fresh, as_bits):
    n_rows, n_vectors = bits.TILES[tile]
    n_lanes = bits.VECTOR_BITS // (8 * np.dtype(number).itemsize)
    n = n_vectors * n_lanes // (8 if as_bits else 1)  # bytes or numbers in a row
    source = RNG.integers(0, 256, 5000).astype(np.uint8) if as_bits else RNG.integers(-9, 9, 8000).astype(number)
    places, weights = RNG.integers(0, 60, 30).astype(np.int32), RNG.integers(-50, 50, 30).astype(number)
    sums = RNG.integers(-9, 9, n_rows * n_vectors * n_lanes).astype(number)
    expected = np.zeros_like(sums) if fresh else sums.copy()
    place = (np.int64(7), np.int64(n + 3), np.int64(5), places, weights, np.int64(2), np.int64(29))
    pull(tile, sums, fresh, source, *place)
    twin = bits.plain_pull if as_bits else bits.plain_multiply
    twin(expected, source, *place, n_rows, n)
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize(("wide", "narrow"), [(np.int16, np.int16), (np.int32, np.int16), (np.int32, np.int32)])
@pytest.mark.parametrize("keep", [0, -1])
@pytest.mark.parametrize("leak", [0, -1])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_firing_equals_its_plain_twin(wide, narrow, keep, leak, constant, first):
    n = bits.VECTOR_BITS // (8 * np.dtype(narrow).itemsize)  # neurons
    v, sums = RNG.integers(-500, 500, 2 * n).astype(wide), RNG.integers(-500, 500, 9 * n).astype(narrow)
    coefficients = np.array([20, -9, 100, 60, keep, leak], np.int64)
    out, expected = np.zeros(3 * n, np.uint8), np.zeros(n, np.uint8)
    twin_v = np.full(n, 20, wide) if first else v[n:].copy()
    FIRE[True](sums, n, v, n, first, out, n, 0b10111111, coefficients, constant, False, False)
    bits.plain_fire(sums[n:], constant, False, False, twin_v, expected, *coefficients[1:])
    np.testing.assert_array_equal(out[n : 2 * n], expected & 0b10111111)
    assert 0 < np.unpackbits(expected).mean() < 1
    assert not out[:n].any()
    assert not out[2 * n :].any()
    np.testing.assert_array_equal(v[n:], twin_v)


@pytest.mark.parametrize("narrow", [np.int16, np.int32])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("leak", [None, 0, 1, 2047, 4095, 4096])
@pytest.mark.parametrize("avx512", [False, HAS_AVX512])
def test_wrapping_and_clipping_equal_their_plain_twin(narrow, constant, leak, avx512):
    n = bits.VECTOR_BITS // (8 * np.dtype(narrow).itemsize)
    top = 1 << 23
    v = RNG.integers(1 - top, top, n).astype(np.int32)
    v[:2] = top - 1, 1 - top
    largest = np.iinfo(narrow).max if narrow == np.int16 else 400_000
    sums = RNG.integers(-largest, largest, 8 * n).astype(narrow)
    leaks = leak is not None
    coefficients = np.array([0, 64 * 9000, top // 2, top // 3, -1, leak if leaks else -1], np.int64)
    out, expected, twin_v = np.zeros(n, np.uint8), np.zeros(n, np.uint8), v.copy()
    with patch.object(bits, "HAS_AVX512", avx512):
        FIRE[avx512](sums, 0, v, 0, False, out, 0, 255, coefficients, constant, True, leaks)
    bits.plain_fire(sums, constant, True, leaks, twin_v, expected, *coefficients[1:])
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(v, twin_v)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 128, 200, 511, 512, 513, 1024, 1703])
def test_counting_equals_its_plain_twin(n):
    memory, weights = RNG.integers(0, 256, 3 * n + 200).astype(np.uint8), RNG.integers(-9, 9, 5)
    totals, weighed, expected, by_weight = np.arange(8), np.zeros(8, np.int64), np.arange(8), np.zeros(8, np.int64)
    count_steps(memory, 31, n, 3, weights, 2, totals, weighed)
    for channel in range(3):
        here = np.zeros(8, np.int64)
        bit_counts.plain_count(memory, 31 + channel * n, n, here)
        expected += here
        by_weight += weights[2 + channel] * here
    np.testing.assert_array_equal(totals, expected)
    np.testing.assert_array_equal(weighed, by_weight)


@njit
def weigh(memory, first, scale, together, places, weights, begin, end, totals):
    bit_counts._weigh(memory, np.int64(first), np.int64(scale), together, places, weights, begin, end, totals)


@pytest.mark.parametrize("number", [np.int16, np.int32])
@pytest.mark.parametrize("begin", [0, 5])
@pytest.mark.parametrize(
    ("scale", "together"), [(n, 1) for n in (1, 2, 3, 4, 7, 8, 13, 16, 31, 64, 65, 128)] + [(1, 4), (8, 4)]
)
def test_weighing_equals_its_plain_twin(number, begin, scale, together):
    memory, n = RNG.integers(0, 256, 74 * scale + 100).astype(np.uint8), 30
    places = np.sort(RNG.choice(70, n, replace=False)).astype(np.int32)
    weights, totals = RNG.integers(-100, 100, n * together).astype(number), np.arange(8)
    expected = totals.copy()
    arguments = memory, 31, scale, together, places, weights, begin, n - 1
    weigh(*arguments, totals)
    bit_counts.plain_weigh(*arguments, expected)
    np.testing.assert_array_equal(totals, expected)


@pytest.mark.parametrize("has_gfni", [False, HAS_GFNI])
def test_counting_does_not_depend_on_what_the_cpu_has(has_gfni):
    @njit
    def count_and_weigh(memory, n, places, weights, totals, weighed):
        bit_counts._count_steps(memory, np.int64(0), n, np.int64(1), np.ones(1, np.int64), np.int64(0), totals, weighed)
        bit_counts._weigh_neighbours_8(
            memory, np.int64(0), np.int64(8), np.uint32(0), places, weights, np.int64(0), len(places), weighed
        )

    memory, totals, weighed = RNG.integers(0, 256, 400).astype(np.uint8), *np.zeros((2, 8), np.int64)
    places, weights = np.arange(0, 20, 4, dtype=np.int32), np.arange(20, dtype=np.int32)
    with patch.object(bit_counts, "HAS_GFNI", has_gfni):
        count_and_weigh(memory, 300, places, weights, totals, weighed)
    expected = np.zeros(8, np.int64)
    bit_counts.plain_count(memory, 0, 300, expected)
    np.testing.assert_array_equal(totals, expected)
    bit_counts.plain_weigh(memory, 0, 8, 4, places, weights, 0, 5, expected)
    np.testing.assert_array_equal(weighed, expected)


def test_neurons_are_counted_with_their_neighbours():
    places, weights = np.array([0, 1, 7, 8, 15, 16, 31], np.int32), np.arange(1, 8, dtype=np.int32)
    fours, by_four = _with_neighbours(places, weights)
    found = {
        int(p) + i: int(w)
        for p, four in zip(fours, by_four.reshape(-1, 4), strict=True)
        for i, w in enumerate(four)
        if w
    }
    assert found == dict(zip(places.tolist(), weights.tolist(), strict=True))
    assert fours.tolist() == [-2, 6, 14, 30]


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
@pytest.mark.parametrize("unit", [1, 3])
def test_rows_hold_the_synapses_of_the_graph(network, unroll, unit):
    graph = compile_network(network, weight_bits=8, unroll=unroll)
    for p in graph.projections:
        source, target = graph[p.source], graph[p.target]
        rows = rows_by_target(graph, p, by_neuron=unroll)
        found = np.zeros((target.n_neurons, source.n_neurons), int)
        # Every source neuron's number lies where its row says, 0 wherever there is none.
        numbers = np.arange(1, source.n_neurons + 1, dtype=np.int32).repeat(unit)
        if rows.planes is not None:
            laid = np.zeros(rows.planes.size * unit, np.int32)
            planes.lay_out(numbers, *rows.planes.arguments(unit), laid)
            numbers, (height, width), pitch = laid, target.shape[1:], rows.planes.plane[1]
        else:
            height = width = pitch = 1
        for row, (y, x) in product(range(len(rows.row_start) - 1), np.ndindex(height, width)):
            before = -1
            for j in range(rows.row_start[row], rows.row_start[row + 1]):
                seen = numbers[(rows.places[j] + y * pitch + x) * unit :][:unit]
                assert (seen == seen[0]).all()
                if seen[0] > 0:
                    assert seen[0] > before, "not in the order of the source's neurons"
                    before = seen[0]
                    found[(row * height + y) * width + x, seen[0] - 1] += rows.weights[j]
        expected = np.zeros_like(found)
        sources, targets, weights, _ = list_synapses(p, source.shape, target.shape)
        np.add.at(expected, (targets, sources), weights)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 3), (0, 1)), ((4, 4), (2, 2), (3, 3))],
)
def test_merging_is_the_or_of_each_window(unit, kernel, stride, padding):
    picture = (RNG.integers(0, 256, (3, 9, 7, unit)) * (RNG.random((3, 9, 7, unit)) < 0.3)).astype(np.uint8)
    framed = np.pad(picture, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, kernel, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    expected = np.bitwise_or.reduce(windows, axis=(-2, -1))
    out = np.full(expected.size, 255, np.uint8)
    planes.merge(picture.reshape(-1), (3, 9, 7), unit, expected.shape[:3], kernel, stride, padding, out)
    np.testing.assert_array_equal(out.reshape(expected.shape), expected)


@pytest.mark.parametrize("delay", [0, 1, 7, 8, 9, 16, 23])
def test_delayed_bytes_are_those_of_earlier_steps(delay):
    steps = RNG.integers(0, 2, (24, 5)).astype(np.uint8)
    chunks = np.packbits(steps.reshape(3, 8, 5), axis=1, bitorder="little").reshape(-1)
    late = np.concatenate([np.zeros((delay, 5), np.uint8), steps])[:24]
    expected = np.packbits(late.reshape(3, 8, 5), axis=1, bitorder="little").reshape(3, 5)
    for k in range(3):
        out = np.empty(5, np.uint8)
        planes.delay_steps(chunks, 5, k, delay, out)
        np.testing.assert_array_equal(out, expected[k])


@settings(max_examples=40)
@given(networks(layered=True), st.integers(0, 1000), st.sampled_from(["layer", "channel"]), st.integers(3, 10))
def test_integers_equal_the_reference(network, seed, per, weight_bits):
    network = in_integers(network, weight_bits, per)
    x = samples(network, seed)
    trace = run_reference(network, x)
    for unroll in (False, True):
        graph = to_synaptic_graph(network, unroll=unroll)
        if why_not_bits(graph) is None:
            assert_same(trace, simulate(graph, x, record="*", threads=2, engine="bits"), network)


@settings(max_examples=40)
@given(networks(layered=True), st.integers(0, 1000))
def test_floats_depend_neither_on_the_engine_nor_on_how_synapses_are_stored(network, seed):
    network = in_canonical_form(network)
    x, runs = samples(network, seed), []
    for unroll in (False, True):
        graph = to_synaptic_graph(network, unroll=unroll)
        engines = ("event", "bits") if why_not_bits(graph) is None else ("event",)
        runs += [simulate(graph, x, record="*", threads=2, engine=engine) for engine in engines]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.counts[:, :, :4], runs[0].counts[:, :, :4])
        np.testing.assert_array_equal(run.logits, runs[0].logits)
        for name, spikes in runs[0].spikes.items():
            np.testing.assert_array_equal(run.spikes[name], spikes, err_msg=name)


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
    assert told[-1] == (n_samples, n_samples)
    assert sorted(told) == told


@pytest.mark.parametrize(("weight", "v_init"), [(3e38, 0), (1e38, 3e38)])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_float_that_overflows_is_reset_alike(weight, v_init, reset):
    """Infinity is reset to zero, not to 0 times infinity; less the threshold it is infinity."""
    neuron = integrate_and_fire(1.0, reset=reset, v_init=v_init)
    maps, coding = (Dense(weight=np.full((64, 2), weight)),), InputCoding(kind="events")
    network = canonicalize(joined(maps, (2,), (64,), neuron=neuron, n_steps=4, coding=coding))
    x = np.ones((1, 4, 2), np.uint8)
    with np.errstate(over="ignore"):
        expected = run_reference(network, x).spikes["p"]
    assert expected.all()
    for engine in ("event", "bits"):
        found = simulate(to_synaptic_graph(network), x, engine=engine, record="*").spikes["p"]
        np.testing.assert_array_equal(found, expected)


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


@pytest.mark.parametrize("weight", [2, 14_563, 14_564, 32_767])
def test_a_window_whose_sum_may_wrap_is_no_maximum(weight):
    row = in_a_row([1], 1, n_steps=3)
    alone = Conv2d(weight=np.full((1, 1, 1, 1), 2, np.int8))
    window = Conv2d(weight=np.full((1, 1, 3, 3), weight, np.int16), stride=(3, 3))
    neuron = row.populations[1].neuron
    network = replace(
        row,
        populations=(
            Population(name="in", shape=(1, 3, 3), kind="input"),
            Population(name="all", shape=(1, 3, 3), neuron=replace(neuron, reset="zero")),
            Population(name="out", shape=(1, 1, 1), neuron=replace(neuron, leak=np.asarray(0, np.int32))),
        ),
        connections=(
            Connection(source="in", target="all", maps=(alone,)),
            Connection(source="all", target="out", maps=(window,)),
        ),
    )
    x = np.zeros((2, 3, 1, 3, 3), np.uint8)
    x[0], x[1, :, 0, :2] = 1, 1
    graph, trace = to_synaptic_graph(network), run_reference(network, x)
    _, target = BitPlan(plan_graph(graph, 3), 1).targets
    assert (target.kernel == "merge") == (9 * weight < 1 << 17)
    for engine in ("bits", "event"):
        assert_same(trace, simulate(graph, x, engine=engine, record="*"), network)


@pytest.mark.parametrize(("start", "weight"), [(131_071, 1), (32_768, 1), (32_767, 1), (32_700, 127), (-131_071, 1)])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_membrane_may_start_anywhere(start, weight, reset):
    network = in_a_row([weight], 1, reset=reset)
    source, target = network.populations
    target = replace(target, neuron=replace(target.neuron, v_init=np.asarray(start, np.int32)))
    network = replace(network, populations=(source, target))
    x = np.ones((2, 3, 1), np.uint8)
    x[1, 0] = 0
    trace = run_reference(network, x)
    for engine in ("bits", "event"):
        assert_same(trace, simulate(to_synaptic_graph(network), x, engine=engine, record="*"), network)


def scratch(network):
    """(kernel, bits of the sums, bits of the membrane) of the only target."""
    graph = to_synaptic_graph(network)
    with patch.object(dense, "WORTH", {}):  # products have 32 bits
        (target,) = BitPlan(plan_graph(graph, graph.n_steps), 1).targets
    kernel = "wraps" if target.kernel == "fire" and target.options[0] else target.kernel
    return kernel, 8 * np.dtype(target.number).itemsize, 8 * np.dtype(target.membrane).itemsize


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
        (in_a_row([127] * 1033, 1, n_steps=1), ("wraps", 32, 32)),
        (in_a_row([-127] * 600, 1, n_steps=2), ("wraps", 32, 32)),  # may be clipped
        (in_a_row([1], 131_071, n_steps=1), ("wraps", 16, 32)),
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


def test_what_it_cannot_run_is_refused_with_the_reason_and_run_by_events_if_it_may_choose():
    network = replace(quantize(canonicalize(small_convolutional())), reset_between_samples=False)
    graph = to_synaptic_graph(network)
    x = np.random.default_rng(0).random((30, 3, 8, 8), np.float32)
    error = refusal(lambda: simulate(graph, x, engine="bits"), "GSM-404", error=SimulationError)
    assert "stream" in str(error.found)
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
