"""Networks said in NIR and read back: the same spikes, and what NIR cannot say is refused or written beside it."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import small_convolutional
from strategies import networks, samples

from gossamer.compiler import (
    AveragePool2d,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Neuron,
    Population,
    canonicalize,
    gate,
    integrate_and_fire,
    integrator,
    leaky_integrate_and_fire,
    quantize,
)
from gossamer.compiler.exchange import NirChoices, from_nir, to_nir, unsaid_in_nir, write_nir
from gossamer.simulator import run_reference

REFUSED = {  # what NIR cannot say, as random networks meet it
    "NIR has no delay per synapse", "NIR has no graded spikes",
    "NIR has no node that gives flat values a picture's shape",
    "NIR has neurons without a leak only where no neighbour leaks and no current decays",
}  # fmt: skip


def dense(neuron, *, kind="spiking", n_steps=8, **connection):
    """in (3) -> p (4)."""
    weight = (np.random.default_rng(1).integers(-4, 9, (4, 3)) / 8).astype(np.float32)
    return Network(
        name="one",
        populations=(
            Population(name="in", shape=(3,), kind="input"),
            Population(name="p", shape=(4,), kind=kind, neuron=neuron, bias=np.full(4, 0.125, np.float32)),
        ),
        connections=(Connection(source="in", target="p", maps=(Dense(weight=weight),), **connection),),
        output="p",
        n_steps=n_steps,
        coding=InputCoding(kind="events"),
    )


def refused(network, **options):
    with pytest.raises(CompileError) as refusal:
        to_nir(network, **options)
    return refusal.value


def assert_same(network, again, x):
    one, other = run_reference(network, x), run_reference(again, x)
    for p in network.populations:
        if p.kind == "spiking":
            np.testing.assert_array_equal(one.spikes[p.name].ravel(), other.spikes[p.name].ravel(), err_msg=p.name)
    np.testing.assert_array_equal(one.logits, other.logits)


def said(network, **options):
    """The network in NIR; the example is dropped where NIR cannot say it."""
    try:
        return to_nir(network, **options)
    except CompileError as error:
        if error.code != "GSM-304" or error.what not in REFUSED:
            raise
        assume(False)
        raise


@settings(max_examples=80)
@given(networks(), st.integers(0, 1000), st.sampled_from([1e-4, 1.0, 0.003]))
def test_any_network_that_nir_can_say_comes_back_with_the_same_spikes(network, seed, dt):
    graph = said(network, dt=dt)
    assert_same(network, from_nir(graph), samples(network, seed))


@settings(max_examples=25)
@given(networks(), st.integers(0, 1000))
def test_a_written_file_says_the_same_as_the_graph(network, seed):
    said(network)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        write_nir(network, path)
        again, by_nir = from_nir(path), from_nir(nir.read(path, type_check=False))
    assert_same(network, again, samples(network, seed))
    assert_same(network, by_nir, samples(network, seed))


def test_what_is_not_computed_comes_back_too():
    network = replace(
        small_convolutional(), coding=InputCoding(kind="rate", seed=7), n_steps=5, reset_between_samples=False
    )
    again = from_nir(to_nir(network))
    assert (again.name, again.n_steps, again.coding, again.reset_between_samples) == ("small", 5, network.coding, False)
    assert [p.name for p in again.populations] == [p.name for p in network.populations]


def test_a_convolutional_network_is_written_with_the_nodes_that_other_tools_know(tmp_path):
    write_nir(small_convolutional(), tmp_path / "small.nir")
    graph = nir.read(tmp_path / "small.nir")  # with its own check of all shapes
    kinds = sorted(type(node).__name__ for node in graph.nodes.values())
    for_the_bias = ["Conv2d", "Scale"]  # the normalised input is padded with zeros, so its bias differs by pixel
    known = ["Affine", "AvgPool2d", "AvgPool2d", "Conv2d", "Conv2d", "Flatten", "IF", "IF", "Input", "Output"]
    assert kinds == sorted(known + for_the_bias)


def test_a_leak_is_written_so_that_nirs_euler_step_gives_it_back():
    network = dense(leaky_integrate_and_fire(np.array([0.5, 0.75, 0.9, 0.0]), 2.0, reset="zero", comparator=">"))
    node = to_nir(network, dt=1e-3).nodes["p"]
    assert isinstance(node, nir.LIF)
    np.testing.assert_allclose(1 - 1e-3 / node.tau, [0.5, 0.75, 0.9, 0.0], rtol=1e-7)
    np.testing.assert_allclose(node.r * 1e-3 / node.tau, 1, rtol=1e-12)
    np.testing.assert_array_equal(node.v_threshold, 2.0)
    np.testing.assert_array_equal(from_nir(to_nir(network))["p"].neuron.leak, network["p"].neuron.leak)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_at_least_a_threshold_is_written_as_above_the_number_before_unless_it_is_subtracted(reset):
    network = dense(integrate_and_fire(0.75, reset=reset, comparator=">="))
    graph = to_nir(network)
    written = graph.nodes["p"].v_threshold
    expected = np.nextafter(np.float32(0.75), np.float32(0)) if reset == "zero" else np.float32(0.75)
    np.testing.assert_array_equal(written, expected)
    assert from_nir(graph)["p"].neuron.threshold == 0.75
    if reset == "zero":  # so who goes by NIR's equations alone gets the same spikes
        graph.nodes["p"].metadata.clear()
        plain = from_nir(graph, NirChoices(reset="zero", comparator=">", dt=1e-4, integrator_input="scaled"))
        assert_same(network, plain, np.random.default_rng(0).integers(0, 2, (4, 8, 3)))
        assert unsaid_in_nir(network) == ()


def test_a_maximum_over_spikes_is_a_threshold_that_any_reader_understands():
    window = Conv2d(weight=np.ones((2, 1, 2, 2), np.float32), stride=(2, 2), groups=2)
    network = Network(
        name="max",
        populations=(
            Population(name="in", shape=(2, 4, 4), kind="input"),
            Population(name="max", shape=(2, 2, 2), neuron=gate(1.0)),
        ),
        connections=(Connection(source="in", target="max", maps=(window,)),),
        output="max",
        n_steps=3,
        coding=InputCoding(kind="events"),
    )
    graph = to_nir(network)
    node = graph.nodes["max"]
    assert isinstance(node, nir.Threshold)
    assert ((node.threshold < 1) & (node.threshold > 0)).all()
    assert_same(network, from_nir(graph), np.random.default_rng(0).integers(0, 2, (4, 3, 2, 4, 4)))


def test_a_neuron_without_reset_is_an_integrator_and_a_threshold():
    network = dense(Neuron(leak=np.asarray(0.5), threshold=np.asarray(0.75), reset="none"))
    graph = to_nir(network)
    assert [type(n).__name__ for n in graph.nodes.values()][1:3] == ["LI", "Threshold"]
    assert_same(network, from_nir(graph), np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


@pytest.mark.parametrize(
    ("neuron", "kind"),
    [(integrator(0.5), "LI"), (integrator(1.0), "I"), (integrator(0.5, current_decay=0.5), "CubaLI")],
)
def test_a_readout_with_a_membrane_is_an_integrator(neuron, kind):
    network = dense(neuron, kind="readout")
    graph = to_nir(network)
    assert type(graph.nodes["p"]).__name__ == kind
    assert_same(network, from_nir(graph), np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


@pytest.mark.parametrize("neuron", [leaky_integrate_and_fire(0.75, 1.0), integrate_and_fire(1.0), gate(1.0)])
def test_a_bias_that_differs_from_pixel_to_pixel_needs_no_matrix(neuron):
    bias = (np.arange(32).reshape(2, 4, 4) / 64).astype(np.float32)
    weight = (np.random.default_rng(2).integers(-4, 9, (2, 1, 3, 3)) / 8).astype(np.float32)
    network = Network(
        name="biased",
        populations=(
            Population(name="in", shape=(1, 4, 4), kind="input"),
            Population(name="p", shape=(2, 4, 4), neuron=neuron, bias=bias),
        ),
        connections=(Connection(source="in", target="p", maps=(Conv2d(weight=weight, padding=(1, 1)),)),),
        output="p",
        n_steps=6,
        coding=InputCoding(kind="events"),
    )
    graph = to_nir(network)
    assert not any(isinstance(n, (nir.Linear, nir.Affine)) for n in graph.nodes.values())
    again = from_nir(graph)
    assert_same(network, again, np.random.default_rng(0).integers(0, 2, (4, 6, 1, 4, 4)))
    np.testing.assert_array_equal(canonicalize(again)["p"].bias, bias)


def test_a_bias_on_the_membrane_behind_a_current_is_written_as_v_leak():
    neuron = Neuron(leak=np.asarray(0.75), current_decay=np.asarray(0.5), bias_target="membrane", reset="zero")
    network = dense(neuron)
    node = to_nir(network).nodes["p"]
    np.testing.assert_allclose(node.v_leak, 0.125 / 0.25)
    assert_same(network, from_nir(to_nir(network)), np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


@pytest.mark.parametrize(("delay", "n_delays"), [(1, 0), (3, 1)])
def test_a_recurrent_delay_of_one_step_goes_without_saying(delay, n_delays):
    network = dense(integrate_and_fire(1.0))
    loop = Connection(source="p", target="p", maps=(Dense(weight=np.eye(4, dtype=np.float32) / 2),), delay=delay)
    network = replace(network, connections=(*network.connections, loop))
    graph = to_nir(network)
    assert sum(isinstance(n, nir.Delay) for n in graph.nodes.values()) == n_delays
    again = from_nir(graph)
    assert {(c.source, c.delay) for c in again.connections} == {("in", 0), ("p", delay)}
    assert_same(network, again, np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


def test_spikes_that_are_averaged_and_not_counted_come_back_as_an_average():
    """A population right before the Output would be read by its spike counts."""
    network = dense(integrate_and_fire(1.0))
    read = Population(name="read", shape=(4,), kind="readout")
    straight = Connection(source="p", target="read", maps=())
    for connections in ((straight,), (straight, straight)):
        averaged = replace(
            network,
            populations=(*network.populations, read),
            connections=(*network.connections, *connections),
            output="read",
        )
        again = from_nir(to_nir(averaged))
        assert again["read"].kind == "readout"
        assert_same(averaged, again, np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


def test_two_connections_that_change_nothing_are_two_edges_nonetheless():
    network = dense(integrate_and_fire(1.0))
    twice = Connection(source="p", target="q", maps=())
    network = replace(
        network,
        populations=(*network.populations, Population(name="q", shape=(4,), neuron=integrate_and_fire(1.5))),
        connections=(*network.connections, twice, twice),
        output="q",
    )
    assert_same(network, from_nir(to_nir(network)), np.random.default_rng(0).integers(0, 2, (4, 8, 3)))


def test_a_delay_that_a_reader_would_put_elsewhere_is_written_down():
    """The walk from the input goes to "a" first, and would take the way from "z" for the one that leads back."""
    one = np.eye(3, dtype=np.float32)

    def link(source, target, delay=0):
        return Connection(source=source, target=target, maps=(Dense(weight=one),), delay=delay)

    neurons = [Population(name=name, shape=(3,), neuron=integrate_and_fire(1.0)) for name in ("a", "z")]
    network = Network(
        name="loop",
        populations=(Population(name="in", shape=(3,), kind="input"), *neurons),
        connections=(link("in", "a"), link("in", "z"), link("z", "a"), link("a", "z", delay=1)),
        output="z",
        n_steps=4,
        coding=InputCoding(kind="events"),
    )
    graph = to_nir(network)
    assert sum(isinstance(n, nir.Delay) for n in graph.nodes.values()) == 1
    delays = {(c.source, c.target): c.delay for c in from_nir(graph).connections}
    assert delays == {("in", "a"): 0, ("in", "z"): 0, ("z", "a"): 0, ("a", "z"): 1}


def test_a_delay_of_one_step_outside_a_loop_is_a_node():
    graph = to_nir(dense(integrate_and_fire(1.0), delay=1), dt=0.5)
    (node,) = [n for n in graph.nodes.values() if isinstance(n, nir.Delay)]
    np.testing.assert_array_equal(node.delay, 0.5)
    assert from_nir(graph).connections[0].delay == 1


def test_names_that_hdf5_reads_as_paths_are_written_plainly(tmp_path):
    network = dense(integrate_and_fire(1.0))
    p = replace(network["p"], name="block/1")
    twin = replace(network["p"], name="block_1")
    c = network.connections[0]
    network = replace(
        network,
        populations=(network.input, p, twin),
        connections=(replace(c, target="block/1"), replace(c, target="block_1")),
        output="block/1",
    )
    write_nir(network, tmp_path / "named.nir")
    again = from_nir(tmp_path / "named.nir")
    assert sorted(p.name for p in again.populations) == ["block_1", "block_1_2", "in"]
    x = np.random.default_rng(0).integers(0, 2, (4, 8, 3))
    np.testing.assert_array_equal(run_reference(network, x).logits, run_reference(again, x).logits)


def test_what_nirs_equations_lack_is_told():
    slow = Neuron(
        leak=np.asarray(0.5), current_decay=np.asarray(0.5), v_init=np.asarray(0.25), reset="subtract",
        reset_delay=True, update_order="voltage-first", comparator=">=",
    )  # fmt: skip
    told = unsaid_in_nir(replace(dense(slow), coding=InputCoding(kind="rate"), reset_between_samples=False))
    assert len(told) == 7
    assert all(entry.startswith(("population 'p': ", "input: ", "network: ")) for entry in told)
    assert unsaid_in_nir(dense(leaky_integrate_and_fire(0.5, reset="zero", comparator=">"))) == ()


def test_writing_twice_gives_the_same_bytes_and_a_failed_write_leaves_the_old_file(tmp_path):
    first, second = tmp_path / "a.nir", tmp_path / "b.nir"
    write_nir(small_convolutional(), first)
    write_nir(small_convolutional(), second)
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(CompileError):
        write_nir(quantize(canonicalize(small_convolutional()), weight_bits=8), first)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.nir", "b.nir"]
    with pytest.raises(CompileError) as refusal:
        write_nir(small_convolutional(), tmp_path / "nowhere" / "a.nir")
    assert refusal.value.code == "GSM-106"


# Refused


def test_an_integer_network_is_refused():
    error = refused(quantize(canonicalize(dense(integrate_and_fire(1.0))), weight_bits=8))
    assert (error.code, error.what) == ("GSM-304", "NIR has no integer arithmetic")


@pytest.mark.parametrize("kind", ["join", "relu"])
def test_graded_populations_are_refused_by_name(kind):
    error = refused(dense(None, kind=kind))
    assert (error.code, "'p'" in error.where) == ("GSM-304", True)


def test_delays_per_synapse_are_refused_unless_they_are_all_the_same():
    network = dense(integrate_and_fire(1.0))
    weight = network.connections[0].maps[0].weight
    for delays in (np.full(weight.shape, 2), np.arange(12).reshape(weight.shape)):
        c = replace(network.connections[0], maps=(Dense(weight=weight, delays=delays),))
        delayed = replace(network, connections=(c,))
        if np.ptp(delays):
            assert refused(delayed).where == "connection 'in' -> 'p'"
        else:
            assert from_nir(to_nir(delayed)).connections[0].delay == 2


def test_a_leak_of_one_beside_a_current_or_other_leaks_is_refused():
    for neuron in (
        Neuron(leak=np.array([1.0, 0.5, 0.5, 0.5])),
        Neuron(leak=np.asarray(1.0), current_decay=np.asarray(0.5)),
        Neuron(leak=np.asarray(0.5), current_decay=np.asarray(1.0)),
        Neuron(leak=np.asarray(1e-12)),
    ):
        error = refused(dense(neuron))
        assert (error.code, error.where) == ("GSM-304", "population 'p'")


def test_a_matrix_before_a_picture_is_refused():
    network = Network(
        name="decoder",
        populations=(
            Population(name="in", shape=(3,), kind="input"),
            Population(name="p", shape=(1, 2, 2), neuron=integrate_and_fire(1.0)),
            Population(name="q", shape=(1, 1, 1), neuron=integrate_and_fire(1.0)),
        ),
        connections=(
            Connection(source="in", target="p", maps=(Dense(weight=np.ones((4, 3), np.float32)),)),
            Connection(source="p", target="q", maps=(AveragePool2d(kernel=(2, 2), stride=(2, 2)),)),
        ),
        output="q",
        n_steps=2,
        coding=InputCoding(kind="events"),
    )
    error = refused(network)
    assert (error.code, error.where) == ("GSM-304", "population 'p'")
    assert "AveragePool2d" in error.found


def test_a_time_step_that_is_none_is_refused():
    for dt in (0.0, -1.0, np.nan, np.inf):
        assert refused(dense(integrate_and_fire(1.0)), dt=dt).code == "GSM-305"
