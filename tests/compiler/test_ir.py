"""Networks: constructing one is verifying it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from networks import joined, refusal

from gossamer.compiler import (
    AveragePool2d,
    BatchNorm,
    CompileError,
    Connection,
    Dense,
    InputCoding,
    Network,
    Neuron,
    Population,
    Sparse,
    cuba,
    gate,
    integrate_and_fire,
    integrator,
    leaky_integrate_and_fire,
    topological_order,
)

ONE = Dense(weight=np.ones((1, 1), np.float32))
IF = integrate_and_fire(1.0)


def spiking(name, neuron=IF):
    return Population(name=name, shape=(1,), neuron=neuron)


def link(source, target, delay=0, maps=(ONE,)):
    return Connection(source=source, target=target, maps=maps, delay=delay)


def network(populations, connections, *, output="a", **options):
    return Network(
        name="test",
        populations=(Population(name="in", shape=(1,), kind="input"), *populations),
        connections=tuple(connections),
        output=output,
        n_steps=options.pop("n_steps", 3),
        **options,
    )


def whole_neuron(**options):
    return Neuron(**{"threshold": np.int32(1), "leak": np.int32(4096), **options})


def integer_network(weight=1, dtype=np.int8, neuron=None, bias=0, maps=None):
    maps = maps or (Dense(weight=np.full((1, 1), weight, dtype)),)
    return joined(maps, (1,), (1,), neuron=neuron or whole_neuron(), bias=bias, arithmetic="int")


def test_two_populations_of_one_name_are_refused():
    error = refusal(lambda: network([spiking("a"), spiking("a")], [link("in", "a")]), "GSM-204")
    assert error.found == "a"


def test_a_connection_to_nowhere_is_refused_by_name():
    error = refusal(lambda: network([spiking("a")], [link("in", "a"), link("a", "b")]), "GSM-204")
    assert (error.found, error.where, error.expected) == ("b", "'a' -> 'b'", "in, a")


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", "\ud800", "\x1b[2J", 7, None, np.array("a")])
def test_a_name_that_cannot_be_printed_is_refused(name):
    refusal(lambda: Population(name=name, shape=(1,), kind="input"), "GSM-204")
    refusal(lambda: replace(network([spiking("a")], [link("in", "a")]), name=name), "GSM-204")


def test_a_cycle_within_one_step_is_refused_and_named():
    populations = [spiking("a"), spiking("b"), spiking("c")]
    links = [link("in", "a"), link("a", "b"), link("b", "c")]
    error = refusal(lambda: network(populations, [*links, link("c", "a")]), "GSM-205")
    ring = error.found.split(" -> ")
    assert ring[0] == ring[-1]
    assert set(ring) == {"a", "b", "c"}
    assert all((s, t) in {("a", "b"), ("b", "c"), ("c", "a")} for s, t in pairwise(ring))
    assert "delay=1" in error.remedy


def test_a_cycle_with_one_step_of_delay_is_accepted():
    assert network([spiking("a"), spiking("b")], [link("in", "a"), link("a", "b"), link("b", "a", delay=1)])
    assert network([spiking("a")], [link("in", "a"), link("a", "a", delay=1)])


def test_the_delays_of_synapses_break_a_cycle_only_if_every_synapse_waits():
    def with_delays(delays, weight):
        loop = Dense(weight=np.array(weight, np.float32), delays=np.array(delays))
        pair = [Population(name="a", shape=(2,), neuron=IF)]
        start = link("in", "a", maps=(Dense(weight=np.ones((2, 1), np.float32)),))
        return network(pair, [start, link("a", "a", maps=(loop,))])

    assert with_delays([[1, 2], [3, 1]], [[1, 1], [1, 1]])
    assert with_delays([[0, 2], [3, 1]], [[0, 1], [1, 1]]), "a weight of 0 is no synapse"
    refusal(lambda: with_delays([[1, 0], [3, 1]], [[1, 1], [1, 1]]), "GSM-205")


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: Network(name="n", populations=(spiking("a"),), connections=(), output="a", n_steps=1), "GSM-206"),
        (lambda: network([Population(name="x", shape=(1,), kind="input"), spiking("a")], [link("in", "a")]), "GSM-206"),
        (lambda: network([spiking("a")], [link("in", "a"), link("a", "in", delay=1)]), "GSM-206"),
        (lambda: network([spiking("a"), spiking("b")], [link("in", "a")]), "GSM-206"),
        (lambda: network([spiking("a")], [link("in", "a")], output="in"), "GSM-206"),
        (lambda: network([spiking("a")], [link("in", "a")], output="z"), "GSM-206"),
        (lambda: network([spiking("a")], [link("in", "a")], output=["a"]), "GSM-206"),
        (lambda: network([spiking("a")], [link("in", "a")], n_steps=0), "GSM-203"),
        (lambda: network([spiking("a")], [link("in", "a")], n_steps=2.0), "GSM-203"),
        (lambda: network([spiking("a")], [link("in", "a")], n_steps=True), "GSM-203"),
        (lambda: network([spiking("a")], [link("in", "a")], arithmetic="float16"), "GSM-207"),
        (lambda: Population(name="a", shape=(1,)), "GSM-206"),
        (lambda: Population(name="a", shape=(1,), kind="join", neuron=IF), "GSM-206"),
        (lambda: Population(name="a", shape=(1,), kind="sigmoid"), "GSM-206"),
        (lambda: Population(name="a", shape=(1,), kind="readout", neuron=IF), "GSM-206"),
        (lambda: Population(name="a", shape=(2, 2), kind="join"), "GSM-201"),
        (lambda: Population(name="a", shape=(0,), kind="join"), "GSM-201"),
        (lambda: Population(name="a", shape="12", kind="join"), "GSM-201"),
        (lambda: Population(name="a", shape=(1.5,), kind="join"), "GSM-201"),
        (lambda: Population(name="a", shape=(2**16, 2**8, 2**8), kind="join"), "GSM-201"),
        (lambda: Population(name="a", shape=(3,), kind="join", bias=np.ones(2)), "GSM-201"),
        (lambda: Population(name="a", shape=(3,), kind="join", bias=np.nan), "GSM-202"),
        (lambda: Population(name="a", shape=(3,), kind="join", unit=0.0), "GSM-203"),
        (lambda: Population(name="a", shape=(3, 1, 1), neuron=integrate_and_fire(np.ones((1, 3)))), "GSM-201"),
        (lambda: link("in", "a", delay=-1), "GSM-203"),
        (lambda: link("in", "a", delay=0.5), "GSM-203"),
        (lambda: link("in", "a", delay=2**31), "GSM-203"),
        (lambda: joined((Dense(weight=np.ones((2, 3), np.float32)),), (3,), (3,)), "GSM-201"),
        (lambda: joined((), (1, 2, 3), (1, 3, 2)), "GSM-201"),
        (lambda: joined((), (1,), (1,), unit=2.0), "GSM-207"),
    ],
)
def test_a_network_that_makes_no_sense_cannot_be_built(build, code):
    refusal(build, code)


def test_a_readout_has_no_followers():
    readout = Population(name="r", shape=(1,), kind="readout")
    error = refusal(lambda: network([readout, spiking("a")], [link("in", "r"), link("r", "a")]), "GSM-206")
    assert "'r'" in error.where


def test_delays_per_synapse_stand_alone():
    delayed = Dense(weight=np.ones((1, 1), np.float32), delays=np.ones((1, 1), int))
    refusal(lambda: link("in", "a", maps=(ONE, delayed)), "GSM-201")


@pytest.mark.parametrize(
    "build",
    [
        lambda: network([spiking("a"), IF], [link("in", "a")]),
        lambda: network([spiking("a")], [spiking("in")]),
        lambda: network([spiking("a")], [link("in", "a")], coding="direct"),
        lambda: network([spiking("a")], [link("in", "a")], metadata=[]),
        lambda: network([spiking("a")], [link("in", "a")], reset_between_samples="no"),
        lambda: link("in", "a", maps=(np.ones((1, 1)),)),
        lambda: Neuron(reset_delay=1),
        lambda: InputCoding(weighted=0),
    ],
)
def test_a_part_of_the_wrong_type_is_a_type_error(build):
    with pytest.raises(TypeError):
        build()


@pytest.mark.parametrize("where", ["weight", "bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused_and_counted(where, value):
    arrays = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
    arrays[where].flat[1] = value
    error = refusal(lambda: Dense(**arrays), "GSM-202")
    assert error.where == f"Dense.{where}"


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.0},
        {"threshold": np.array([1.0, -0.5])},
        {"leak": 1.01},
        {"leak": -0.1},
        {"current_decay": 2.0},
        {"leak": np.int32(4097)},
        {"leak": np.int32(-1)},
        {"reset": "soft"},
        {"comparator": "="},
        {"update_order": "random"},
        {"bias_target": "soma"},
    ],
)
def test_a_coefficient_out_of_range_is_refused_with_its_name(options):
    error = refusal(lambda: Neuron(**options), "GSM-203")
    assert next(iter(options)) in error.where


def test_a_negative_threshold_says_what_was_found_and_what_to_do():
    error = refusal(lambda: integrate_and_fire(np.array([0.5, -2.0])), "GSM-203")
    assert (error.found, error.expected) == ("-2.0", "> 0")
    assert "bias" in error.remedy


def test_a_leak_in_4096ths_has_no_place_in_float32():
    refusal(lambda: joined((ONE,), (1,), (1,), neuron=Neuron(leak=np.int32(4096))), "GSM-203")
    assert joined((ONE,), (1,), (1,), neuron=Neuron(leak=np.int32(1)))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "morse"},
        {"phases": 0},
        {"phases": 17},
        {"phases": 2.5},
        {"levels": 0},
        {"levels": 65536},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_an_input_coding_out_of_range_is_refused(options):
    refusal(lambda: InputCoding(**options), "GSM-208")


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: integer_network(neuron=whole_neuron(threshold=np.int32(1 << 17))), "threshold"),
        (lambda: integer_network(neuron=whole_neuron(threshold=np.float32(2))), "threshold"),
        (lambda: integer_network(neuron=whole_neuron(leak=np.float32(1))), "leak"),
        (lambda: integer_network(neuron=whole_neuron(v_init=np.int32(-(1 << 17)))), "v_init"),
        (lambda: integer_network(bias=np.int64(-(2**63))), "bias"),
        (lambda: integer_network(bias=np.uint64(2**64 - 5)), "bias"),
        (lambda: integer_network(bias=0.5), "bias"),
        (lambda: integer_network(1.0, np.float32), "weight"),
        (lambda: integer_network(40_000, np.int32), "weight"),
        (lambda: integer_network(maps=(Dense(weight=np.ones((1, 1), np.int8), bias=[0.5]),)), "bias"),
        (lambda: joined((), (1,), (1,), kind="relu", arithmetic="int"), "ReLU"),
        (
            lambda: joined((AveragePool2d(kernel=1, stride=1),), (1, 1, 1), (1, 1, 1), kind="join", arithmetic="int"),
            "AveragePool2d",
        ),
        (
            lambda: integer_network(
                maps=(BatchNorm(mean=np.zeros(1), variance=np.ones(1), gamma=np.ones(1), beta=np.zeros(1)),)
            ),
            "BatchNorm",
        ),
    ],
)
def test_integer_arithmetic_refuses_what_24_bits_of_state_cannot_hold(build, names):
    assert names in str(refusal(build, "GSM-207"))


def test_integer_arithmetic_takes_17_bits_and_defaults_of_zero():
    assert integer_network(neuron=whole_neuron(threshold=np.int32((1 << 17) - 1)), bias=np.int32(-(1 << 17) + 1))


def test_a_numpy_number_is_as_good_as_a_python_one():
    n = network([spiking("a")], [link("in", "a", delay=np.int64(2))], n_steps=np.int32(5))
    assert (type(n.n_steps), type(n.connections[0].delay)) == (int, int)
    assert InputCoding(levels=np.uint8(7)).levels == 7


def test_coefficients_become_one_number_one_a_channel_or_one_a_neuron():
    p = Population(name="p", shape=(2, 1, 3), neuron=leaky_integrate_and_fire(0.5, np.array([1.0, 2.0])))
    assert p.neuron.threshold.shape == (2, 1, 1)
    assert p.neuron.leak.shape == ()


def test_the_neuron_models_are_rows_of_coefficients():
    assert not integrate_and_fire().has_current
    assert not leaky_integrate_and_fire(0.5).has_current
    model = cuba(0.9, 0.5)
    assert (model.has_current, model.reset, model.comparator) == (True, "zero", ">")
    assert (gate(2.0).leak, gate().reset) == (0, "none")
    assert integrator().reset == "none"
    assert Neuron(update_order="voltage-first").has_current


def test_populations_are_ordered_by_their_connections_and_then_as_declared():
    populations = [spiking(name) for name in "edcba"]
    links = [link("a", "b"), link("b", "c"), link("d", "c"), link("e", "a", delay=1)]
    assert topological_order(populations, links) == ["e", "d", "a", "b", "c"]
    assert topological_order(populations, [*links, link("c", "e", delay=1)]) == ["e", "d", "a", "b", "c"]
    assert topological_order(populations[::-1], links, all_links=True) == ["d", "e", "a", "b", "c"]
    with pytest.raises(CompileError):
        topological_order(populations, [*links, link("c", "e", delay=1)], all_links=True)


def test_an_unknown_population_is_asked_for_in_vain():
    n = network([spiking("a")], [link("in", "a")])
    assert refusal(lambda: n["b"], "GSM-204").expected == "in, a"


def test_a_delay_may_be_longer_than_the_sample():
    one = Sparse(row_start=np.array([0, 1]), targets=np.array([0]), weights=np.ones(1), shape=(1,))
    delayed = replace(one, delays=np.array([65535]))
    assert network([spiking("a")], [link("in", "a", delay=2**31 - 1, maps=(delayed,))]).connections[0].min_delay > 2**31
