"""What is counted: against counts made by hand, and against NeuroBench."""

import json
from pathlib import Path

import numpy as np
import pytest
from networks import joined, small_convolutional

from gossamer.compiler import (
    AveragePool2d,
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Population,
    Scale,
    SumPool2d,
    canonicalize,
    compile_network,
    cuba,
    integrate_and_fire,
    quantize,
    to_synaptic_graph,
)
from gossamer.hwmodels import EVENT_NAMES
from gossamer.simulator import run_reference, simulate

JUDGES = Path(__file__).parent.parent / "judges"
EVENTS = InputCoding(kind="events")


def per_step(activity, name, event):
    """Counts of one event of one population, per step."""
    row = [layer.name for layer in activity.layers].index(name)
    return activity.counts[row, :, EVENT_NAMES.index(event)].tolist()


def pictures(*places, n_steps=1, shape=(1, 4, 4)):
    """One sample with a spike at each (step, channel, y, x)."""
    x = np.zeros((1, n_steps, *shape))
    for place in places:
        x[(0, *place)] = 1
    return x


def count(maps, shape, target, x, *, unroll=False, event="synaptic_ops", **options):
    """Counts per step of one connection; engine and reference must agree."""
    network = canonicalize(joined(maps, shape, target, n_steps=x.shape[1], coding=EVENTS, **options))
    activity = simulate(to_synaptic_graph(network, unroll=unroll), x)
    counted = per_step(activity, "p", event)
    trace = run_reference(network, x)
    assert counted == {"synaptic_ops": trace.synaptic_ops, "macs": trace.macs}[event]["p"].tolist()
    return counted


KERNEL = np.ones((2, 1, 3, 3), np.float32)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(
    ("maps", "target", "place", "expected"),
    [
        ((Conv2d(weight=KERNEL, padding=1),), (2, 4, 4), (1, 1), 18),
        ((Conv2d(weight=KERNEL, padding=1),), (2, 4, 4), (0, 0), 8),
        ((Conv2d(weight=KERNEL, padding=1),), (2, 4, 4), (0, 2), 12),
        ((Conv2d(weight=KERNEL),), (2, 2, 2), (0, 0), 2),
        ((Conv2d(weight=KERNEL),), (2, 2, 2), (1, 2), 8),
        ((Conv2d(weight=KERNEL, stride=2, padding=1),), (2, 2, 2), (1, 1), 8),
        ((Conv2d(weight=KERNEL, stride=2, padding=1),), (2, 2, 2), (0, 0), 2),
        ((Conv2d(weight=KERNEL, stride=2, padding=1),), (2, 2, 2), (3, 3), 2),
        ((Conv2d(weight=KERNEL, stride=2, padding=1),), (2, 2, 2), (2, 1), 4),
        ((Conv2d(weight=KERNEL, dilation=2, padding=2),), (2, 4, 4), (0, 0), 8),
        ((Conv2d(weight=KERNEL, stride=3),), (2, 1, 1), (3, 3), 0),
        ((Conv2d(weight=KERNEL * [[[1], [0], [0]]], padding=1),), (2, 4, 4), (1, 1), 6),
        ((SumPool2d(kernel=2, stride=2), Dense(weight=np.ones((3, 4)))), (3,), (1, 1), 3),
        ((SumPool2d(kernel=3, stride=3), Dense(weight=np.ones((3, 1)))), (3,), (2, 2), 3),
        ((SumPool2d(kernel=3, stride=3), Dense(weight=np.ones((3, 1)))), (3,), (3, 0), 0),
        ((AveragePool2d(kernel=2, stride=2), Conv2d(weight=KERNEL, padding=1)), (2, 2, 2), (0, 3), 8),
        ((AveragePool2d(kernel=2, stride=1), Dense(weight=np.eye(9))), (9,), (1, 1), 4),
        ((AveragePool2d(kernel=2, stride=1), Dense(weight=np.eye(9))), (9,), (0, 0), 1),
        ((Dense(weight=np.diag(np.arange(16.0))),), (16,), (0, 0), 0),
        ((Dense(weight=np.diag(np.arange(16.0))),), (16,), (0, 1), 1),
        ((Dense(weight=np.ones((5, 16)), mask=np.arange(80).reshape(5, 16) % 2 > 0),), (5,), (0, 1), 5),
        ((), (1, 4, 4), (2, 2), 1),
    ],
)
def test_one_spike_visits_the_synapses_that_are_really_there(maps, target, place, expected, unroll):
    assert count(maps, (1, 4, 4), target, pictures((0, 0, *place)), unroll=unroll) == [expected]


def test_counts_of_spikes_add_up_per_step_and_over_samples():
    x = np.concatenate([pictures((0, 0, 1, 1), (0, 0, 0, 0), (2, 0, 1, 2), n_steps=3)] * 5)
    assert count((Conv2d(weight=KERNEL, padding=1),), (1, 4, 4), (2, 4, 4), x) == [5 * 26, 0, 5 * 18]


@pytest.mark.parametrize("delay", [1, 2, 10])
def test_an_operation_is_counted_when_its_spike_is_emitted_whatever_the_delay(delay):
    x = pictures((0, 0, 1, 1), (3, 0, 1, 1), n_steps=4)
    assert count((Conv2d(weight=KERNEL, padding=1),), (1, 4, 4), (2, 4, 4), x, delay=delay) == [18, 0, 0, 18]
    delays = np.arange(48).reshape(3, 16)
    assert count((Dense(weight=np.ones((3, 16)), delays=delays),), (1, 4, 4), (3,), x, delay=delay) == [3, 0, 0, 3]


def test_numbers_multiply_and_spikes_add():
    n = Network(
        name="residual",
        populations=(
            Population(name="in", shape=(2,), kind="input"),
            Population(name="a", shape=(2,), neuron=integrate_and_fire(1.0)),
            Population(name="sum", shape=(2,), kind="join"),
            Population(name="out", shape=(3,), kind="readout"),
        ),
        connections=(
            Connection(source="in", target="a", maps=(Scale(scale=1.0),)),
            Connection(source="in", target="sum", maps=()),
            Connection(source="a", target="sum", maps=()),
            Connection(source="sum", target="out", maps=(Dense(weight=np.ones((3, 2))),)),
        ),
        output="out",
        n_steps=2,
        coding=EVENTS,
    )
    activity = simulate(to_synaptic_graph(canonicalize(n)), np.array([[[1, 0], [1, 1]]]), record="sum")
    assert activity.spikes["sum"].tolist() == [[[2, 0], [2, 2]]]
    assert per_step(activity, "sum", "spikes") == [1, 2], "a graded spike is one event"
    assert per_step(activity, "sum", "synaptic_ops") == [2, 4], "one from the input and one from a"
    assert per_step(activity, "out", "macs") == [3, 6]
    assert per_step(activity, "out", "synaptic_ops") == [0, 0]
    assert per_step(activity, "a", "macs") == [0, 0]


def test_a_constant_input_is_counted_in_every_step_and_zeros_are_no_events():
    n = joined((Dense(weight=np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])),), (3,), (2,), n_steps=3)
    activity = simulate(compile_network(n), np.array([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]))
    assert per_step(activity, "in", "spikes") == [4, 4, 4]
    assert per_step(activity, "p", "macs") == [5, 5, 5]
    assert per_step(activity, "p", "synaptic_ops") == [0, 0, 0]


@pytest.mark.parametrize(
    ("coding", "event"),
    [
        (InputCoding(kind="direct"), "macs"),
        (InputCoding(kind="phase", weighted=True), "macs"),
        (InputCoding(kind="phase"), "synaptic_ops"),
        (InputCoding(kind="rate"), "synaptic_ops"),
        (InputCoding(kind="latency"), "synaptic_ops"),
    ],
)
def test_real_codings_multiply_and_spiking_codings_add(coding, event):
    activity = simulate(compile_network(joined((), (4,), (4,), coding=coding)), np.full((2, 4), 0.75))
    counts = activity.layer_counts("p")
    assert getattr(counts, event) == activity.layer_counts("in").spikes > 0
    assert counts.synaptic_ops + counts.macs == getattr(counts, event)


@pytest.mark.parametrize(
    ("weight_bits", "bytes_per_weight"), [(None, 4), (8, 1), (12, 2)], ids=["float32", "8 bits", "12 bits"]
)
def test_bytes_follow_from_operations_and_updates(weight_bits, bytes_per_weight):
    graph = compile_network(small_convolutional(), weight_bits=weight_bits)
    x = np.random.default_rng(0).random((3, 3, 8, 8))
    activity = simulate(graph, x)
    for name, neurons in (("conv1", 256), ("conv2", 96), ("out", 10)):
        counts = activity.layer_counts(name)
        visits = counts.synaptic_ops + counts.macs
        assert visits > 0
        assert counts.neuron_updates == neurons * 3 * 8
        assert counts.weight_read_bytes == visits * bytes_per_weight
        assert counts.index_read_bytes == visits * 2
        assert counts.state_read_bytes == counts.state_write_bytes == 4 * visits + 4 * counts.neuron_updates
        assert counts.packets == counts.hops == 0
    assert activity.layer_counts("in").neuron_updates == 0
    assert activity.layer_counts("in").synaptic_ops == activity.layer_counts("in").macs == 0


def test_a_synaptic_current_is_a_second_state_variable():
    plain = simulate(compile_network(joined((), (4,), (4,))), np.zeros((1, 4))).layer_counts("p")
    with_current = joined((), (4,), (4,), neuron=cuba(0.5, 0.5))
    current = simulate(compile_network(with_current), np.zeros((1, 4))).layer_counts("p")
    assert (plain.state_read_bytes, current.state_read_bytes) == (4 * 4 * 4, 2 * 4 * 4 * 4)


def test_weights_that_round_to_zero_cost_nothing():
    weight = np.array([[1.0, 0.001], [0.5, 0.001]])
    n = canonicalize(joined((Dense(weight=weight),), (2,), (2,), coding=EVENTS))
    x = np.ones((1, 4, 2))
    assert simulate(to_synaptic_graph(n), x).layer_counts("p").synaptic_ops == 16
    assert simulate(to_synaptic_graph(quantize(n)), x).layer_counts("p").synaptic_ops == 8


def neurobench_network(case, arrays):
    """The network that NeuroBench counted in, from its weights."""
    populations = [Population(name="in", shape=arrays["x"].shape[2:], kind="input")]
    connections = []
    for k, layer in enumerate(case["layers"]):
        weight, bias = arrays[f"weight_{k}"], arrays.get(f"bias_{k}")
        if layer["kind"] == "conv":
            m = Conv2d(weight=weight, bias=bias, stride=tuple(layer["stride"]), padding=tuple(layer["padding"]))
        else:
            m = Dense(weight=weight, bias=bias)
        neuron = integrate_and_fire(layer["threshold"], comparator=case["comparator"], reset=case["reset"])
        populations.append(Population(name=f"p{k}", shape=tuple(layer["shape"]), neuron=neuron))
        connections.append(Connection(source=populations[-2].name, target=f"p{k}", maps=(m,)))
    is_binary = set(np.unique(arrays["x"])) <= {0, 1}
    return Network(
        name=case["case"],
        populations=tuple(populations),
        connections=tuple(connections),
        output=populations[-1].name,
        n_steps=case["n_steps"],
        coding=EVENTS if is_binary else InputCoding(kind="direct"),
    )


@pytest.mark.parametrize("file", sorted(JUDGES.glob("neurobench_*.json")), ids=lambda f: f.stem)
@pytest.mark.parametrize("unroll", [False, True])
def test_operations_equal_those_that_neurobench_counts(file, unroll):
    case = json.loads(file.read_text())
    with np.load(file.with_suffix(".npz")) as stored:
        arrays = dict(stored)
    activity = simulate(compile_network(neurobench_network(case, arrays), unroll=unroll), arrays["x"], record="*")
    for k, layer in enumerate(case["layers"]):
        np.testing.assert_array_equal(activity.spikes[f"p{k}"], arrays[f"spikes_{k}"])
        counts = activity.layer_counts(f"p{k}")
        assert counts.synaptic_ops == layer["Effective_ACs"]
        assert counts.macs == layer["Effective_MACs"]
    assert activity.total.synaptic_ops == case["total"]["Effective_ACs"]
    assert activity.total.macs == case["total"]["Effective_MACs"]


def test_neurobench_judged_a_dense_and_a_convolutional_network():
    assert {"neurobench_dense", "neurobench_conv"} <= {f.stem for f in JUDGES.glob("neurobench_*.json")}
