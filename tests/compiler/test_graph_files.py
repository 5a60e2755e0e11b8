"""Synaptic graphs and their files: every field comes back; whatever can be constructed is safe to run."""

from dataclasses import replace

import numpy as np
import pytest
from forgery import forge
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import assert_identical, joined, refusal, small_convolutional
from strategies import networks, samples

from gossamer import simulator
from gossamer.compiler import (
    CompileError,
    Connection,
    Conv2d,
    Csr,
    Dense,
    Network,
    SharedCsr,
    SumPool2d,
    SynapticGraph,
    canonicalize,
    compile_network,
    gate,
    load_graph,
    projection_to_maps,
    quantize,
    to_synaptic_graph,
)
from gossamer.simulator import plan, run_reference, simulate
from gossamer.simulator.kernels import convolution, events, general_neurons, neurons, scatter

broad = settings(max_examples=80)


def compiled(network, unroll, quantized):
    """The graph of a random network, if it has one."""
    try:
        network = canonicalize(network)
        if quantized:
            network = quantize(network)
    except CompileError:
        assume(False)
    return to_synaptic_graph(network, unroll=unroll)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("graph") / "network.graph"


@broad
@given(network=networks(tangled=True), unroll=st.booleans(), quantized=st.booleans())
def test_any_graph_comes_back_in_every_field(network, unroll, quantized, path):
    graph = compiled(network, unroll, quantized)
    digest = graph.save(path)
    loaded = load_graph(path)
    assert_identical(loaded, graph)
    assert loaded.metadata["sha256"] == digest
    assert loaded.save(path) == digest


@broad
@given(network=networks(tangled=True), seed=st.integers(0, 100), unroll=st.booleans(), quantized=st.booleans())
def test_a_graph_holds_all_of_its_network(network, seed, unroll, quantized):
    """Its projections, as maps again, make a network that does the same."""
    graph = compiled(network, unroll, quantized)
    again = Network(
        name="again",
        populations=graph.populations,
        connections=tuple(
            Connection(
                source=p.source,
                target=p.target,
                maps=projection_to_maps(p, graph[p.source].shape, graph[p.target].shape),
                delay=p.delay,
            )
            for p in graph.projections
        ),
        output=graph.output,
        n_steps=graph.n_steps,
        coding=graph.coding,
        arithmetic=graph.arithmetic,
        reset_between_samples=graph.reset_between_samples,
    )
    x = samples(network, seed)
    trace, activity = run_reference(again, x), simulate(graph, x, record="*")
    for p in graph.populations:
        if p.kind != "readout":
            np.testing.assert_array_equal(trace.spikes[p.name], activity.spikes[p.name])
    np.testing.assert_array_equal(trace.logits, activity.logits)


@pytest.mark.parametrize("unroll", [False, True])
def test_synapses_and_memory_are_counted_as_stored_and_unrolled(unroll):
    kernels = np.zeros((2, 1, 3, 3), np.float32)
    kernels[0, 0, 1, 1] = kernels[1, 0, 0, 0] = 1  # a centre tap, and one that reaches out at the top and left
    maps = (SumPool2d(kernel=2, stride=2), Conv2d(weight=kernels, padding=1))
    graph = to_synaptic_graph(joined(maps, (1, 7, 9), (2, 3, 4)), unroll=unroll)
    n_synapses = 4 * (3 * 4 + 2 * 3)
    assert graph.n_synapses("p") == n_synapses
    assert graph.n_weights("p") == (n_synapses if unroll else 2)
    assert int(graph.fan_out(graph.projections[0]).sum()) == n_synapses
    unrolled = n_synapses * (4 + 2) + 8 * (63 + 1)
    stored = unrolled if unroll else 2 * (4 + 2 + 1 + 1) + 8 * (1 + 1)
    assert graph.memory("p") == (stored, unrolled)
    fan_out = graph.fan_out(graph.projections[0]).reshape(7, 9)
    assert fan_out[6].tolist() == [0] * 9, "the last row fills no window"
    assert fan_out[:6, 8].tolist() == [0] * 6, "nor does the last column"
    assert fan_out[0, 0] == 2
    assert fan_out[5, 0] == 1, "the other tap would lead below the picture"


def test_the_narrowest_index_that_reaches_every_neuron_is_taken():
    one = np.ones((1, 1), np.float32)
    for n, dtype in ((65535, np.uint16), (65536, np.uint32)):
        targets = joined((Dense(weight=np.repeat(one, n, 0)),), (1,), (n,))
        assert compile_network(targets).projections[0].targets.dtype == dtype


def test_populations_stand_in_an_order_that_follows_delays_too():
    n = joined((), (1,), (1,), delay=2)
    n = replace(n, populations=n.populations[::-1])
    assert [p.name for p in to_synaptic_graph(canonicalize(n)).populations] == ["in", "p"]


def small_graph(unroll=False, **options):
    return compile_network(small_convolutional(), unroll=unroll, **options)


def test_a_graph_says_what_it_holds():
    graph = small_graph()
    assert "3 populations" not in repr(graph)
    assert "4 populations" in repr(graph)
    lines = graph.summary().splitlines()
    assert [line.split()[0] for line in lines] == ["population", "in", "conv1", "conv2", "out"]
    assert f"{graph.n_synapses('conv1'):,}" in lines[2]
    assert refusal(lambda: graph["nobody"], "GSM-204").found == "nobody"


@pytest.mark.parametrize("pool", [(3, 1), (1, 9), (10**9, 1)])
def test_a_pool_larger_than_the_picture_is_refused(pool):
    graph = to_synaptic_graph(canonicalize(joined((SumPool2d(kernel=2, stride=2),), (1, 2, 2), (1, 1, 1))))
    refusal(lambda: with_projection(graph, 0, pool=pool), "GSM-201")


def with_projection(graph, i, **changes):
    """The graph with another projection i."""
    projections = list(graph.projections)
    projections[i] = replace(projections[i], **changes)
    return replace(graph, projections=tuple(projections))


def csr(**changes):
    """A graph of two sources and three targets, with other arrays."""
    maps = (Dense(weight=np.array([[1, 0], [2, 3], [0, 4]], np.float32)),)
    return with_projection(to_synaptic_graph(joined(maps, (2,), (3,))), 0, **changes)


def shared(**changes):
    """A graph of a convolution of two channels into two, with other arrays."""
    kernels = np.arange(1, 37, dtype=np.float32).reshape(2, 2, 3, 3)
    graph = to_synaptic_graph(joined((Conv2d(weight=kernels, padding=1),), (2, 4, 4), (2, 4, 4)))
    return with_projection(graph, 0, **changes)


def u16(*values):
    return np.array(values, np.uint16)


def at(name, place, value, graph=shared):
    """The array of that name with one other entry."""
    array = getattr(graph().projections[0], name).copy()
    array[place] = value
    return {name: array}


UNSAFE = {
    "targets past the population": lambda: csr(targets=u16(0, 1, 3)),
    "targets far past the population": lambda: csr(targets=np.array([0, 1, 2**16 - 1], np.uint16)),
    "targets negative": lambda: csr(targets=np.array([0, 1, -1], np.int16)),
    "targets of 64 bits": lambda: csr(targets=np.array([0, 1, 2], np.int64)),
    "targets of 32 bits where 16 do": lambda: csr(targets=np.array([0, 1, 1, 2], np.uint32)),
    "targets of 8 bits": lambda: csr(targets=np.array([0, 1, 1, 2], np.uint8)),
    "targets real": lambda: csr(targets=np.array([0, 1, 1, 2], np.float32)),
    "targets a table": lambda: csr(targets=np.zeros((4, 1), np.uint16)),
    "targets too many": lambda: csr(targets=u16(0, 1, 1, 2, 2)),
    "targets too few": lambda: csr(targets=u16(0, 1, 1)),
    "targets twice in a row": lambda: csr(targets=u16(1, 1, 1, 2)),
    "targets descending in a row": lambda: csr(targets=u16(1, 0, 1, 2)),
    "row starts descending": lambda: csr(row_start=np.array([0, 5, 4])),
    "row starts not from 0": lambda: csr(row_start=np.array([1, 2, 4])),
    "row starts negative": lambda: csr(row_start=np.array([0, -2, 4])),
    "row starts past the end": lambda: csr(row_start=np.array([0, 2, 5])),
    "row starts short of the end": lambda: csr(row_start=np.array([0, 2, 3])),
    "row starts that overflow": lambda: csr(row_start=np.array([0, 2**63 - 1, -2, 4])),
    "row starts of 64 unsigned bits": lambda: csr(row_start=np.array([0, 2**64 - 1, 4], np.uint64)),
    "row starts real": lambda: csr(row_start=np.array([0.0, 2.0, 4.0])),
    "row starts a table": lambda: csr(row_start=np.array([[0, 2, 4]])),
    "row starts empty": lambda: csr(row_start=np.array([], np.int64)),
    "too few rows": lambda: csr(row_start=np.array([0, 4])),
    "too many rows": lambda: csr(row_start=np.array([0, 2, 4, 4])),
    "weights of 0": lambda: csr(weights=np.array([1, 2, 0, 4], np.float32)),
    "weights unsigned": lambda: csr(weights=np.array([1, 2, 3, 4], np.uint8)),
    "weights of 32 bits": lambda: csr(weights=np.array([1, 2, 3, 4], np.int32)),
    "weights true": lambda: csr(weights=np.ones(4, bool)),
    "weights a table": lambda: csr(weights=np.ones((2, 2), np.float32)),
    "weights too many": lambda: csr(weights=np.ones(5, np.float32)),
    "delays too few": lambda: csr(delays=u16(1, 2)),
    "delays signed": lambda: csr(delays=np.array([1, 2, 3, -4], np.int16)),
    "delays of 64 bits": lambda: csr(delays=np.array([1, 2, 3, 2**64 - 1], np.uint64)),
    "pool of a flat population": lambda: csr(pool=(2, 1)),
    "taps past the channels": lambda: shared(**at("out_channels", -1, 2)),
    "taps below the kernel": lambda: shared(**at("ky", -1, 3)),
    "taps right of the kernel": lambda: shared(**at("kx", -1, 3)),
    "taps not sorted": lambda: shared(**at("kx", 1, 2)),
    "taps twice": lambda: shared(**at("out_channels", 1, 0)),
    "taps of 64 bits": lambda: shared(ky=np.zeros(36, np.int64)),
    "taps of 16 bits": lambda: shared(kx=shared().projections[0].kx.astype(np.uint16)),
    "channels of 32 bits": lambda: shared(out_channels=shared().projections[0].out_channels.astype(np.uint32)),
    "rows for other channels": lambda: shared(row_start=np.array([0, 36])),
    "rows past the end": lambda: shared(row_start=np.array([0, 40, 36])),
    "kernel too small": lambda: shared(kernel=(2, 3), padding=(0, 1), stride=1),
    "kernel too wide for a byte": lambda: shared(kernel=(3, 300), padding=(1, 150)),
    "kernel huge": lambda: shared(kernel=(2**31 - 1, 2**31 - 1), padding=2**30 - 1),
    "kernel past 64 bits": lambda: shared(kernel=2**70),
    "stride 0": lambda: shared(stride=0),
    "another stride": lambda: shared(stride=(1, 2)),
    "padding past 64 bits": lambda: shared(padding=2**64, stride=2**65),
    "padding huge": lambda: shared(padding=2**31 - 1),
    "dilation huge": lambda: shared(dilation=2**30),
    "pool past the picture": lambda: shared(pool=8),
    "pool 0": lambda: shared(pool=0),
    "delay negative": lambda: csr(delay=-1),
    "delay past 31 bits": lambda: csr(delay=2**31),
}


@pytest.mark.parametrize("title", UNSAFE)
def test_synapses_that_would_lead_a_kernel_astray_cannot_be_held(title):
    with pytest.raises(CompileError) as caught:
        UNSAFE[title]()
    assert caught.value.code in ("GSM-201", "GSM-203")
    assert caught.value.where


def test_weights_are_of_the_arithmetic():
    refusal(lambda: csr(weights=np.array([1, 2, 3, 4], np.int8)), "GSM-207")
    refusal(lambda: replace(csr(), arithmetic="int"), "GSM-207")


def test_a_graph_keeps_copies_that_nobody_can_write_to():
    targets = u16(0, 1, 1, 2)
    graph = csr(targets=targets)
    targets[:] = 60_000
    assert graph.projections[0].targets.tolist() == [0, 1, 1, 2]
    for array in vars(graph.projections[0]).values():
        assert not isinstance(array, np.ndarray) or not array.flags.writeable


class Strict(np.ndarray):
    """An array that does not count negative indices from its end."""

    def __getitem__(self, key):
        for k in key if isinstance(key, tuple) else (key,):
            assert isinstance(k, slice) or k >= 0, f"index {key}"
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        for k in key if isinstance(key, tuple) else (key,):
            assert isinstance(k, slice) or k >= 0, f"index {key}"
        super().__setitem__(key, value)


def checked(kernel):
    """The kernel as plain Python, every index of every array checked."""

    def run(*arguments):
        return kernel.py_func(*(a.view(Strict) if isinstance(a, np.ndarray) else a for a in arguments))

    return run


def fire(*arguments):
    """What the intrinsics do, in plain Python."""
    plain = neurons.plain_fire_float if arguments[0].dtype == np.float32 else neurons.plain_fire_integer
    plain(*arguments)


def advance(current, slot, n_steps, v, u, i, coefficients, bias, *options):
    """What the intrinsics do, in plain Python: of neurons i ... of which each has coefficients of its own."""
    here = slice(i, i + general_neurons.TOGETHER)
    *options, fired, seen = options
    keep, late, voltage_first, reset_delay = options
    floats = v.dtype == np.float32
    plain = general_neurons.plain_advance_float if floats else general_neurons.plain_advance_integer
    state = current[:, here], slot, n_steps, v[here], u[here], 0, general_neurons.TOGETHER, 1
    plain(
        *state,
        *coefficients,
        bias[here],
        keep,
        late,
        u.size > 0,
        voltage_first,
        reset_delay,
        fired[here],
        seen[:, here],
    )


def list_16(flags, mask, i, ids, k):
    """What the intrinsic does, in plain Python."""
    for lane in range(neurons.LANES):
        if flags[i + lane] & mask:
            ids[k] = i + lane
            k += 1
    return k


def move(ids, to, begin, n):
    """What the intrinsic does, in plain Python."""
    ids[to : to + n] = ids[begin : begin + n].copy()


def changed(draw, graph):
    """A graph with one thing in one projection changed at random, towards what could do harm."""
    i = draw(st.integers(0, len(graph.projections) - 1))
    p = graph.projections[i]
    names = ["row_start", "targets", "delays", "pool", "delay"]
    if isinstance(p, SharedCsr):
        names = ["row_start", "out_channels", "ky", "kx", "kernel", "stride", "padding", "dilation", "pool", "delay"]
    name = draw(st.sampled_from(names))
    value = getattr(p, name)
    if name == "delay":
        value = draw(st.integers(0, 9))
    elif isinstance(value, tuple):
        value = (draw(st.integers(0, 5)), draw(st.integers(0, 5)))
    elif value is None or not value.size:
        return graph
    else:
        value = value.copy()
        largest = np.iinfo(value.dtype).max
        value[draw(st.integers(0, value.size - 1))] = draw(st.sampled_from([0, 1, 2, 3, 5, 8, largest - 1, largest]))
    return with_projection(graph, i, **{name: value})


@settings(max_examples=60)
@given(data=st.data(), network=networks(tangled=True), unroll=st.booleans(), quantized=st.booleans())
def test_whatever_graph_can_be_constructed_runs_within_its_arrays(data, network, unroll, quantized):
    """Attack: graphs with hostile entries are refused, or every index that the kernels take is inside."""
    graph = compiled(network, unroll, quantized)
    try:
        graph = changed(data.draw, graph)
    except CompileError:
        return
    x = samples(network, 0, n=2)
    fast = simulate(graph, x, threads=1, record="*", engine="event")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in list(vars(plan).items()):
            if hasattr(value, "py_func"):
                patch.setattr(plan, name, checked(value))
        for module in (convolution, events, general_neurons, neurons, scatter):  # what kernels call
            for name, value in list(vars(module).items()):
                if hasattr(value, "py_func"):
                    patch.setattr(module, name, value.py_func)
        patch.setattr(scatter, "_prefetch", lambda array, i: None)  # may look past the end
        patch.setattr(neurons, "_fire", fire)
        patch.setattr(neurons, "_fire_leaking", fire)
        patch.setattr(general_neurons, "_advance", advance)
        patch.setattr(general_neurons, "_advance_with_current", advance)
        patch.setattr(events, "_list_16", list_16)
        patch.setattr(neurons, "_move", move)
        plan.plan_graph.cache_clear()  # kernels are chosen with the plan
        slow = simulate(graph, x, threads=1, record="*", engine="event")
    plan.plan_graph.cache_clear()
    np.testing.assert_array_equal(fast.counts, slow.counts)
    np.testing.assert_array_equal(fast.logits, slow.logits)


HOSTILE = {
    "graph of a network": lambda h, a: h["graph"].update(type="Network"),
    "projection of a population": lambda h, a: h["graph"]["projections"].__setitem__(0, h["graph"]["populations"][0]),
    "no projections": lambda h, a: h["graph"].update(projections=[]),
    "targets past the population": lambda h, a: set_array(h, a, 2, "targets", lambda t: t + 60_000),
    "targets of 64 bits": lambda h, a: set_array(h, a, 2, "targets", lambda t: t.astype(np.int64) - 1),
    "weights cut": lambda h, a: set_array(h, a, 2, "weights", lambda w: w[:-1]),
    "weights empty": lambda h, a: set_array(h, a, 2, "weights", lambda w: w[:0]),
    "weights NaN": lambda h, a: set_array(h, a, 2, "weights", lambda w: w * np.nan),
    "row starts reversed": lambda h, a: set_array(h, a, 2, "row_start", lambda r: r[::-1]),
    "row starts overflow": lambda h, a: set_array(h, a, 2, "row_start", lambda r: np.where(r == r[3], 2**63 - 1, r)),
    "taps outside": lambda h, a: set_array(h, a, 1, "ky", lambda k: k + 1),
    "taps reversed": lambda h, a: set_array(h, a, 1, "kx", lambda k: k[::-1]),
    "channels outside": lambda h, a: set_array(h, a, 1, "out_channels", lambda c: c + 3),
    "kernel a text": lambda h, a: h["graph"]["projections"][1].update(kernel="33"),
    "kernel huge": lambda h, a: h["graph"]["projections"][1].update(kernel=[2**31 - 1] * 2, padding=[2**30] * 2),
    "stride missing": lambda h, a: h["graph"]["projections"][1].pop("row_start"),
    "surplus": lambda h, a: h["graph"]["projections"][1].update(bits=8),
    "delay a list": lambda h, a: h["graph"]["projections"][1].update(delay=[1]),
    "delays nowhere": lambda h, a: h["graph"]["projections"][2].update(delays={"array": "graph.delays"}),
    "input huge": lambda h, a: h["graph"]["populations"][0].update(shape=[3, 2**14, 2**14]),
    "target huge": lambda h, a: h["graph"]["populations"][2].update(shape=[6, 2**20, 2**20]),
    "swapped populations": lambda h, a: h["graph"]["projections"][1].update(source="conv2", target="conv1"),
    "a cycle": lambda h, a: h["graph"]["projections"][0].update(source="conv1"),
    "arithmetic": lambda h, a: h["graph"].update(arithmetic="int"),
    "metadata a text": lambda h, a: h["graph"].update(metadata="none"),
    "n_steps huge": lambda h, a: h["graph"].update(n_steps=10**30),
    "surplus header": lambda h, a: h.update(network={}),
}


def set_array(header, arrays, i, name, change):
    key = header["graph"]["projections"][i][name]["array"]
    arrays[key] = np.ascontiguousarray(change(arrays[key]))


@pytest.mark.parametrize("title", HOSTILE)
def test_a_graph_file_with_hostile_contents_is_refused(title, tmp_path):
    path = tmp_path / "file"
    small_graph().save(path)
    forge(path, HOSTILE[title])
    with pytest.raises(CompileError) as caught:
        load_graph(path)
    assert caught.value.code in ("GSM-105", "GSM-201", "GSM-202", "GSM-203", "GSM-204", "GSM-205", "GSM-206", "GSM-207")
    assert str(path) in caught.value.where


def test_the_message_names_the_projection_at_fault(tmp_path):
    small_graph().save(tmp_path / "file")
    forge(tmp_path / "file", HOSTILE["weights NaN"])
    where = refusal(lambda: load_graph(tmp_path / "file"), "GSM-202").where
    assert "projections[2] ('conv2' -> 'out')" in where


def test_a_graph_too_large_for_the_machine_is_refused_before_it_fills_the_memory(tmp_path):
    """A file of a few hundred bytes that asks for 2^31 neurons and as many steps."""
    one = Conv2d(weight=np.ones((1, 1, 1, 1), np.float32), padding=(2**14, 2**14))
    size = (1, 2**15 + 1, 2**15 + 1)
    graph = to_synaptic_graph(joined((one,), (1, 1, 1), size, n_steps=2**31 - 1))
    graph.save(tmp_path / "file")
    graph = load_graph(tmp_path / "file")
    assert (tmp_path / "file").stat().st_size < 10_000
    assert graph.n_synapses("p") == 1
    assert "1" in graph.summary()
    error = refusal(lambda: simulate(graph, np.ones((1, 1, 1, 1))), "GSM-403", error=simulator.SimulationError)
    assert "fewer steps" in error.remedy


def test_a_maximum_is_a_threshold_population_like_any_other():
    window = Conv2d(weight=np.ones((1, 1, 2, 2), np.float32), stride=2)
    graph = compile_network(joined((window,), (1, 4, 4), (1, 2, 2), neuron=gate(1.0)))
    assert isinstance(graph, SynapticGraph)
    assert isinstance(graph.projections[0], SharedCsr)
    assert isinstance(to_synaptic_graph(canonicalize(joined((), (2,), (2,)))).projections[0], Csr)
