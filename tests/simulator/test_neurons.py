"""The neuron's equation against traces computed by hand, and Loihi's integers against Lava's equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import joined

from gossamer.compiler import (
    Dense,
    InputCoding,
    Neuron,
    Scale,
    compile_network,
    cuba,
    integrator,
    to_synaptic_graph,
)
from gossamer.simulator import run_reference, simulate


def run(neuron, inputs, **options):
    """(spikes, membranes) of one neuron that gets these inputs, one a step; the engine must agree on the spikes."""
    integer = neuron.threshold.dtype.kind == "i"
    network = joined(
        (Scale(scale=np.int8(1) if integer else 1.0),),
        (1,),
        (1,),
        neuron=neuron,
        n_steps=len(inputs),
        coding=InputCoding(kind="direct", levels=1),
        arithmetic="int" if integer else "float32",
        **options,
    )
    x = np.array(inputs, float).reshape(1, -1, 1)
    trace = run_reference(network, x)
    activity = simulate(to_synaptic_graph(network), x, record="p")
    np.testing.assert_array_equal(activity.spikes["p"], trace.spikes["p"])
    return trace.spikes["p"].ravel().tolist(), trace.membranes["p"].ravel().tolist()


@pytest.mark.parametrize(
    ("options", "inputs", "spikes", "membranes"),
    [
        ({}, [0.5, 0.75, 0.0, 2.5], [0, 1, 0, 1], [0.5, 0.25, 0.25, 1.75]),
        ({"reset": "zero"}, [0.5, 0.75, 0.0, 2.5], [0, 1, 0, 1], [0.5, 0.0, 0.0, 0.0]),
        ({"reset": "none"}, [0.5, 0.75, 0.0, -1.0], [0, 1, 1, 0], [0.5, 1.25, 1.25, 0.25]),
        ({}, [1.0, 0.0], [1, 0], [0.0, 0.0]),
        ({"comparator": ">"}, [1.0, 0.0, 0.25], [0, 0, 1], [1.0, 1.0, 0.25]),
        ({"leak": 0.5}, [0.75, 0.5, 0.0, 1.0], [0, 0, 0, 1], [0.75, 0.875, 0.4375, 0.21875]),
        ({"leak": 0.0, "reset": "none"}, [0.75, 1.0, 0.0, 2.0], [0, 1, 0, 1], [0.75, 1.0, 0.0, 2.0]),
        ({"v_init": 0.5}, [0.25, 0.25], [0, 1], [0.75, 0.0]),
        ({"v_init": 2.0}, [-1.5, 0.0], [0, 0], [0.5, 0.5]),
        ({"current_decay": 0.5, "threshold": 2.0}, [1.0, 0.0, 0.0, 1.0], [0, 0, 0, 1], [1.0, 1.5, 1.75, 0.875]),
        (
            {"current_decay": 0.5, "update_order": "voltage-first", "threshold": 2.0},
            [1.0, 0.0, 0.0, 1.0],
            [0, 0, 0, 0],
            [0.0, 1.0, 1.5, 1.75],
        ),
        ({"update_order": "voltage-first"}, [1.0, 0.5, 0.0], [0, 1, 0], [0.0, 0.0, 0.5]),
        ({"reset_delay": True}, [1.5, 0.0, 0.0], [1, 0, 0], [1.5, 0.5, 0.5]),
        ({"reset_delay": True, "reset": "zero"}, [1.5, 0.75, 0.25], [1, 0, 0], [1.5, 0.0, 0.25]),
        ({"reset_delay": True}, [2.5, 0.0, 0.0], [1, 1, 0], [2.5, 1.5, 0.5]),
        ({"reset_delay": True, "v_init": 1.0}, [0.5, 0.75], [0, 1], [0.5, 1.25]),
        ({"threshold": 0.5, "leak": 0.5, "reset_delay": True}, [1.0, 0.5, 0.0], [1, 1, 0], [1.0, 0.5, -0.25]),
    ],
)
def test_a_neuron_follows_its_equation(options, inputs, spikes, membranes):
    assert run(Neuron(**options), inputs) == (spikes, membranes)


def test_a_bias_is_an_input_of_every_step():
    assert run(Neuron(), [0.0, 0.0, 0.5, 0.0], bias=0.25) == ([0, 0, 1, 0], [0.25, 0.5, 0.25, 0.5])


def test_a_bias_of_the_membrane_is_not_remembered_by_the_current():
    options = {"current_decay": 0.5, "threshold": 8.0}
    to_current = run(Neuron(**options), [0.0, 0.0, 0.0], bias=1.0)[1]
    to_membrane = run(Neuron(**options, bias_target="membrane"), [0.0, 0.0, 0.0], bias=1.0)[1]
    assert to_current == [1.0, 2.5, 4.25]
    assert to_membrane == [1.0, 2.0, 3.0]


def test_thresholds_and_leaks_may_differ_by_neuron():
    neuron = Neuron(threshold=np.array([1.0, 2.0, 3.0]), leak=np.array([1.0, 0.5, 1.0]))
    network = joined((), (3,), (3,), neuron=neuron, n_steps=4, coding=InputCoding(kind="direct"))
    x = np.ones((1, 3))
    expected = [[1, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 0]]
    assert run_reference(network, x).spikes["p"][0].tolist() == expected


def test_a_readout_gives_the_mean_of_its_input_or_its_last_membrane():
    x = np.array([[[1.0], [2.0], [6.0]]])

    def logits(neuron, bias=0.0):
        network = joined((Dense(weight=[[1.0]]),), (1,), (1,), kind="readout", neuron=neuron, n_steps=3, bias=bias)
        return float(run_reference(network, x).logits[0, 0]), float(simulate(compile_network(network), x).logits[0, 0])

    assert logits(None) == (3.0, 3.0)
    assert logits(None, bias=0.5) == (3.5, 3.5)
    assert logits(integrator()) == (9.0, 9.0)
    assert logits(integrator(0.5)) == (7.25, 7.25)
    assert logits(integrator(0.5, current_decay=0.5)) == (8.75, 8.75)
    assert logits(integrator(), bias=-1.0) == (6.0, 6.0)


def whole(**options):
    integers = {k: np.int32(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in options.items()}
    return Neuron(**{"leak": np.int32(4096), **integers})


def test_integer_decay_is_truncated_toward_zero_at_every_step():
    leaky = whole(threshold=1000, leak=3000)
    steps = [100 << 6]
    for _ in range(36):
        steps.append(steps[-1] * 3000 >> 12)
    assert run(leaky, [100] + 36 * [0])[1] == steps
    assert run(leaky, [-100] + 36 * [0])[1] == [-v for v in steps]
    closed = [int((100 << 6) * (3000 / 4096) ** k) for k in range(37)]
    assert steps != closed, "truncation at every step is not truncation at the end"


def test_integer_current_wraps_at_24_bits():
    """Two inputs of 65,535 x 64 are 128 short of 2^23; a third unit makes them wrap."""
    full = 131_070 << 6
    network = joined(
        (Dense(weight=np.ones((1, 3), np.int8)),),
        (3,),
        (1,),
        neuron=whole(threshold=131_071, reset="none"),
        n_steps=1,
        coding=InputCoding(levels=1),
        arithmetic="int",
    )
    for third, membrane in ((0, full), (1, full + 64), (2, (1 << 23) - 1), (3, -(1 << 23) + 64), (5, -(1 << 23) + 192)):
        x = np.array([[65_535, 65_535, third]])
        trace = run_reference(network, x)
        assert int(trace.membranes["p"].item()) == membrane, third
        spikes = simulate(to_synaptic_graph(network), x, record="p").spikes["p"].item()
        assert spikes == trace.spikes["p"].item() == (membrane >= 131_071 << 6)


def test_integer_membrane_is_clipped_and_does_not_wrap():
    top = (1 << 23) - 1
    assert run(whole(threshold=131_071, reset="none", comparator=">"), 4 * [60_000])[1] == [
        60_000 << 6,
        120_000 << 6,
        top,
        top,
    ]
    assert run(whole(threshold=131_071), 4 * [-60_000])[1] == [-60_000 << 6, -120_000 << 6, -top, -top]


def lava_lif(a, du, dv, vth, bias, reset="zero"):
    """lava-nc's AbstractPyLifModelFixed, its equations as they are: (spikes, v) for inputs a[t]."""
    u, v, spikes, membranes = 0, 0, [], []
    for t in range(len(a)):
        decayed_u = int(np.sign(u)) * ((abs(u) * (4096 - du)) >> 12) + (int(a[t]) << 6)
        if decayed_u > 1 << 23:
            decayed_u -= 1 << 24
        elif decayed_u <= -(1 << 23):
            decayed_u += 1 << 24
        u = decayed_u
        v = int(np.sign(v)) * ((abs(v) * (4096 - dv)) >> 12) + u + (bias << 6)
        v = max(-(1 << 23) + 1, min((1 << 23) - 1, v))
        s = v > vth << 6
        if s:
            v = {"zero": 0, "subtract": v - (vth << 6)}[reset]
        spikes.append(int(s))
        membranes.append(v)
    return spikes, membranes


@settings(max_examples=300)
@given(
    st.lists(st.integers(-65_535, 65_535), min_size=1, max_size=30),
    st.integers(0, 4096),
    st.integers(0, 4096),
    st.integers(1, 131_071),
    st.integers(-2000, 2000),
    st.sampled_from(["zero", "subtract"]),
)
def test_a_loihi_neuron_does_what_lava_does(a, du, dv, vth, bias, reset):
    neuron = whole(
        threshold=vth, leak=4096 - dv, current_decay=4096 - du, reset=reset, comparator=">", bias_target="membrane"
    )
    assert run(neuron, a, bias=np.int32(bias)) == lava_lif(a, du, dv, vth, bias, reset)


def test_lava_example_of_the_documentation():
    """du = 4096: no memory of the current; dv = 0: no leak. An IF neuron that fires above 10."""
    neuron = cuba(np.int32(4096), np.int32(0), np.int32(10))
    assert run(neuron, [4, 4, 4, 4, 10, 11]) == ([0, 0, 1, 0, 1, 1], [256, 512, 0, 256, 0, 0])


@settings(max_examples=200)
@given(
    st.lists(st.integers(-65_535, 65_535), min_size=1, max_size=12),
    st.integers(0, 4096),
    st.integers(0, 4096),
    st.integers(1, 131_071),
    st.integers(-131_071, 131_071),
    st.integers(-131_071, 131_071),
    st.sampled_from(["subtract", "zero", "none"]),
    st.sampled_from([">", ">="]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["current", "membrane"]),
)
def test_engine_and_reference_agree_on_every_integer_however_extreme(
    a, leak, decay, threshold, v_init, bias, reset, comparator, delayed, voltage_first, bias_target
):
    neuron = whole(
        threshold=threshold,
        leak=leak,
        current_decay=decay,
        v_init=v_init,
        reset=reset,
        comparator=comparator,
        reset_delay=delayed,
        update_order="voltage-first" if voltage_first else "current-first",
        bias_target=bias_target,
    )
    _, membranes = run(neuron, a, bias=np.int32(bias))
    assert all(abs(v) < 1 << 24 for v in membranes)
