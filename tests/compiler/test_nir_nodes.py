"""Every NIR node against torch, or against NIR's own equations stepped in plain float64."""

from itertools import pairwise

import nir
import numpy as np
import pytest
import torch

from gossamer.compiler import InputCoding
from gossamer.compiler.exchange import NirChoices, from_nir
from gossamer.simulator import run_reference

REAL = InputCoding(kind="direct")
STATED = NirChoices(reset="zero", comparator=">", dt=0.125, integrator_input="scaled", n_steps=8, coding=REAL)


def graph(shape, nodes, edges=None):
    """A NIRGraph from named nodes; in a row from input to output unless edges are given."""
    names = ["input", *nodes, "output"]
    everything = {"input": nir.Input(np.array(shape)), **nodes, "output": nir.Output(None)}
    edges = list(pairwise(names)) if edges is None else edges
    return nir.NIRGraph(everything, edges, type_check=False)


def computed(shape, nodes, x, edges=None, **choices):
    """Readout of one step: what the stateless nodes make of x."""
    network = from_nir(graph(shape, nodes, edges), NirChoices(n_steps=1, coding=REAL, **choices))
    return run_reference(network, x).readout[:, 0]


def full(value, *shape):
    return np.full(shape, value, np.float64)


def rng():
    return np.random.default_rng(5)


def dyadic(*shape):
    return (rng().integers(-8, 9, shape) / 8).astype(np.float32)


def lif(n, tau=0.25, threshold=1.0, r=1.0, v_leak=0.0, v_reset=0.0):
    return nir.LIF(
        tau=full(tau, n), r=full(r, n), v_leak=full(v_leak, n), v_threshold=full(threshold, n), v_reset=full(v_reset, n)
    )


def cuba(n, v_leak=0.0):
    """tau_syn 1/4, tau_mem 1/2, r 4, w_in 2."""
    return nir.CubaLIF(
        tau_syn=full(0.25, n), tau_mem=full(0.5, n), r=full(4.0, n), v_leak=full(v_leak, n), v_threshold=full(1.0, n),
        w_in=2.0,
    )  # fmt: skip


CUBA = {"tau": 0.5, "tau_syn": 0.25, "r": 4.0, "w_in": 2.0}


def stepped(inputs, dt, *, threshold, reset, comparator, tau=None, tau_syn=None, r=1.0, w_in=1.0, v_leak=0.0,
            v_reset=0.0, late=False):  # fmt: skip
    """Spikes and membranes of NIR's equations under forward Euler. inputs: (n_steps, n)."""
    v = np.zeros(inputs.shape[1]) + (v_leak if tau is not None else v_reset)
    u = np.zeros(inputs.shape[1])
    spikes, membranes = [], []
    for x in inputs.astype(np.float64):
        before = u.copy()
        u = x if tau_syn is None else u + dt / tau_syn * (-u + w_in * x)
        current = before if late else u
        v = v + dt * r * current if tau is None else v + dt / tau * ((v_leak - v) + r * current)
        fired = v > threshold if comparator == ">" else v >= threshold
        v = np.where(fired, v - threshold if reset == "subtract" else v_reset, v)
        spikes.append(fired)
        membranes.append(v)
    return np.stack(spikes), np.stack(membranes)


# Neurons


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("comparator", [">", ">="])
@pytest.mark.parametrize(
    ("node", "parameters"),
    [
        (lif(6, r=2.0), {"tau": 0.25, "r": 2.0}),
        (lif(6, tau=0.5, r=4.0, v_leak=0.25), {"tau": 0.5, "r": 4.0, "v_leak": 0.25}),
        (nir.IF(r=full(8.0, 6), v_threshold=full(1.0, 6)), {"r": 8.0}),
        (cuba(6), CUBA),
        (cuba(6, v_leak=0.5), CUBA | {"v_leak": 0.5}),
    ],
    ids=["lif", "lif-with-v_leak", "if", "cuba", "cuba-with-v_leak"],
)  # fmt: skip
def test_a_neuron_follows_the_equations_of_nir(node, parameters, reset, comparator):
    x = rng().integers(-2, 5, (1, 8, 6)).astype(np.float32) / 2
    choices = NirChoices(
        reset=reset, comparator=comparator, dt=0.125, integrator_input="scaled", n_steps=8, coding=REAL
    )
    trace = run_reference(from_nir(graph((6,), {"n": node}), choices), x)
    spikes, membranes = stepped(x[0], 0.125, threshold=1.0, reset=reset, comparator=comparator, **parameters)
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(trace.spikes["n"][0], spikes)
    np.testing.assert_array_equal(trace.membranes["n"][0], membranes.astype(np.float32))


def test_a_membrane_can_take_the_current_of_the_step_before():
    node = cuba(6)
    x = rng().integers(-1, 6, (1, 8, 6)).astype(np.float32) / 2
    found = {}
    for order in ("current-first", "voltage-first"):
        choices = NirChoices(reset="subtract", comparator=">", dt=0.125, update_order=order, n_steps=8, coding=REAL)
        found[order] = run_reference(from_nir(graph((6,), {"n": node}), choices), x).spikes["n"][0]
        spikes, _ = stepped(
            x[0], 0.125, threshold=1.0, reset="subtract", comparator=">", tau=0.5, tau_syn=0.25, r=4.0, w_in=2.0,
            late=order == "voltage-first",
        )  # fmt: skip
        np.testing.assert_array_equal(found[order], spikes)
    assert (found["current-first"] != found["voltage-first"]).any()


@pytest.mark.parametrize("v_reset", [-0.5, 0.25])
@pytest.mark.parametrize("v_leak", [-0.5, 0.0, 0.5])
def test_a_reset_to_another_voltage_is_shifted_to_zero(v_leak, v_reset):
    x = rng().integers(0, 5, (1, 8, 6)).astype(np.float32)
    node = lif(6, v_leak=v_leak, v_reset=v_reset)
    trace = run_reference(from_nir(graph((6,), {"n": node}), STATED), x)
    spikes, membranes = stepped(
        x[0], 0.125, threshold=1.0, reset="zero", comparator=">", tau=0.25, v_leak=v_leak, v_reset=v_reset
    )
    assert spikes.any()
    np.testing.assert_array_equal(trace.spikes["n"][0], spikes)
    np.testing.assert_array_equal(trace.membranes["n"][0], (membranes - v_reset).astype(np.float32))


def test_an_exponential_decay_is_exp_of_minus_dt_over_tau():
    choices = NirChoices(reset="zero", comparator=">", dt=0.5, decay="exponential")
    network = from_nir(graph((3,), {"n": lif(3, tau=2.0, r=3.0)}), choices)
    leak = np.exp(-0.25)
    assert network["n"].neuron.leak == np.float32(leak)
    (gain,) = network.connections[0].maps
    assert gain.scale == np.float32(3.0 * (1 - leak))


def test_input_can_count_whole_instead_of_scaled_by_the_step():
    whole = NirChoices(
        reset="zero", comparator=">", dt=0.125, integrator_input="whole", membrane_input="whole", synapse_input="whole"
    )
    for node, gain in ((lif(3, r=3.0), 3.0), (nir.IF(r=full(5.0, 3), v_threshold=full(1.0, 3)), 5.0), (cuba(3), 8.0)):
        (scale,) = from_nir(graph((3,), {"n": node}), whole).connections[0].maps
        assert scale.scale == gain


@pytest.mark.parametrize(
    ("node", "parameters"),
    [
        (nir.LI(tau=full(0.25, 4), r=full(2.0, 4), v_leak=full(0.5, 4)), {"tau": 0.25, "r": 2.0, "v_leak": 0.5}),
        (nir.I(r=full(4.0, 4)), {"r": 4.0}),
        (
            nir.CubaLI(tau_syn=full(0.25, 4), tau_mem=full(0.5, 4), r=full(4.0, 4), v_leak=full(0.0, 4), w_in=2.0),
            {"tau": 0.5, "tau_syn": 0.25, "r": 4.0, "w_in": 2.0},
        ),
    ],
    ids=["li", "i", "cubali"],
)
def test_an_integrator_before_the_output_is_read_as_a_membrane(node, parameters):
    x = rng().integers(-2, 5, (2, 8, 4)).astype(np.float32) / 2
    network = from_nir(graph((4,), {"readout": node}), STATED)
    assert (network.output, network["readout"].kind) == ("readout", "readout")
    trace = run_reference(network, x)
    for sample in range(2):
        _, membranes = stepped(x[sample], 0.125, threshold=np.inf, reset="zero", comparator=">", **parameters)
        np.testing.assert_array_equal(trace.membranes["readout"][sample], membranes.astype(np.float32))
        np.testing.assert_array_equal(trace.logits[sample], membranes[-1].astype(np.float32))


def test_a_threshold_is_a_memoryless_gate():
    weight = dyadic(5, 4)
    nodes = {"w": nir.Linear(weight), "gate": nir.Threshold(threshold=full(0.5, 5))}
    x = rng().integers(0, 2, (3, 8, 4)).astype(np.float32)
    for comparator, compare in ((">", np.greater), (">=", np.greater_equal)):
        network = from_nir(graph((4,), nodes), NirChoices(comparator=comparator, n_steps=8))
        np.testing.assert_array_equal(run_reference(network, x).spikes["gate"], compare(x @ weight.T, 0.5))


def test_an_integrator_with_a_threshold_of_its_own_is_a_neuron_without_reset():
    nodes = {
        "membrane": nir.LI(tau=full(0.25, 4), r=full(2.0, 4), v_leak=full(0.0, 4)),
        "spikes": nir.Threshold(threshold=full(0.75, 4)),
        "w": nir.Linear(dyadic(3, 4)),
    }
    x = rng().integers(-2, 4, (1, 8, 4)).astype(np.float32) / 2
    network = from_nir(graph((4,), nodes), STATED)
    assert (network["membrane"].kind, network["membrane"].neuron.reset) == ("spiking", "none")
    _, membranes = stepped(x[0], 0.125, threshold=np.inf, reset="zero", comparator=">", tau=0.25, r=2.0)
    trace = run_reference(network, x)
    assert 0 < (membranes > 0.75).mean() < 1
    np.testing.assert_array_equal(trace.spikes["membrane"][0], membranes > 0.75)
    np.testing.assert_array_equal(trace.readout[0], (membranes > 0.75) @ dyadic(3, 4).T)


def test_parameters_may_be_scalars_one_per_channel_or_one_per_neuron():
    x = rng().integers(0, 3, (2, 8, 2, 3, 3)).astype(np.float32)
    threshold = np.array([0.5, 1.0])
    reference = None
    for shape in ((2,), (2, 1, 1), (2, 3, 3), (1, 2, 3, 3)):
        parameters = {
            name: np.broadcast_to(np.reshape(value, (-1, 1, 1)) if len(shape) > 1 else value, shape).astype(np.float64)
            for name, value in (
                ("tau", 0.25),
                ("r", 2.0),
                ("v_leak", 0.0),
                ("v_threshold", threshold),
                ("v_reset", 0.0),
            )
        }
        network = from_nir(graph((2, 3, 3), {"n": nir.LIF(**parameters)}), STATED)
        assert network["n"].shape == (2, 3, 3)
        assert network["n"].neuron.threshold.shape == (2, 1, 1)
        spikes = run_reference(network, x).spikes["n"]
        reference = spikes if reference is None else reference
        np.testing.assert_array_equal(spikes, reference)
    scalars = nir.LIF(**{k: np.float64(v) for k, v in {"tau": 0.25, "r": 2.0, "v_leak": 0, "v_threshold": 1}.items()})
    assert from_nir(graph((2, 3, 3), {"n": scalars}), STATED)["n"].shape == (2, 3, 3)


def test_a_gain_per_neuron_of_a_picture_fits_the_flat_values_of_a_matrix():
    r = rng().integers(1, 5, (2, 1, 3)).astype(np.float64)
    same = {name: full(value, 2, 1, 3) for name, value in {"tau": 0.25, "v_leak": 0.0, "v_threshold": 1.0}.items()}
    weight = dyadic(6, 4)
    network = from_nir(graph((4,), {"w": nir.Linear(weight), "n": nir.LIF(r=r, **same)}), STATED)
    x = rng().integers(0, 3, (1, 8, 4)).astype(np.float32)
    currents = x[0] @ weight.T
    spikes, _ = stepped(currents * r.ravel(), 0.125, threshold=1.0, reset="zero", comparator=">", tau=0.25)
    assert spikes.any()
    np.testing.assert_array_equal(run_reference(network, x).spikes["n"][0].reshape(8, 6), spikes)


def test_torch_tensors_are_read_as_arrays():
    node = nir.LIF(
        tau=torch.full((3,), 0.25),
        r=torch.ones(3),
        v_leak=torch.zeros(3),
        v_threshold=torch.ones(3),
        v_reset=torch.zeros(3),
    )
    network = from_nir(graph((3,), {"w": nir.Linear(torch.eye(3)), "n": node}), STATED)
    assert network["n"].neuron.leak == 0.5


# Rounding of time constants


@pytest.mark.parametrize("beta", [0.5, 0.75, 0.9375, 1 - 1 / 4096])
@pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.003])
def test_float32_time_constants_give_dyadic_decays_and_a_gain_of_one_back(beta, dt):
    tau = np.full(3, np.float32(dt) / (np.float32(1) - np.float32(beta)), np.float32)
    node = nir.LIF(tau=tau, r=tau / np.float32(dt), v_leak=np.zeros(3, np.float32), v_threshold=np.ones(3, np.float32))
    network = from_nir(graph((3,), {"n": node}), NirChoices(reset="zero", comparator=">", dt=dt))
    assert network["n"].neuron.leak == np.float32(beta)
    assert network.connections[0].maps == ()


def test_float32_time_constants_give_other_decays_back_to_two_units_in_the_last_place():
    beta = rng().uniform(0.1, 0.99, 1000).astype(np.float32)
    tau = np.float32(1e-4) / (1 - beta)
    node = nir.LIF(tau=tau, r=tau / np.float32(1e-4), v_leak=np.zeros_like(tau), v_threshold=np.ones_like(tau))
    leak = from_nir(graph((1000,), {"n": node}), NirChoices(reset="zero", comparator=">", dt=1e-4))["n"].neuron.leak
    assert np.abs(leak - beta).max() <= 2 * np.finfo(np.float32).eps
    assert (leak == beta).mean() > 0.5


def test_float64_time_constants_are_not_rounded_to_dyadic_decays():
    beta = 0.5 + 1e-6
    node = lif(3, tau=1e-4 / (1 - beta))
    network = from_nir(graph((3,), {"n": node}), NirChoices(reset="zero", comparator=">", dt=1e-4))
    assert network["n"].neuron.leak == np.float32(beta)
    assert network["n"].neuron.leak != 0.5


# Stateless nodes


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch, for even kernels
@pytest.mark.parametrize("padding", [0, 1, (2, 0), "same", "valid"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3), (1, 4)])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_is_torchs(padding, kernel, dilation, groups):
    weight, bias = dyadic(4, 4 // groups, *kernel), dyadic(4)
    x = rng().integers(0, 3, (2, 4, 7, 8)).astype(np.float32)
    strides = [1] if padding == "same" else [1, (2, 3)]
    for stride in strides:
        node = nir.Conv2d(
            input_shape=None, weight=weight, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
        expected = torch.nn.functional.conv2d(
            torch.tensor(x), torch.tensor(weight), torch.tensor(bias), stride, padding, dilation, groups
        )
        found = computed((4, 7, 8), {"conv": node}, x)
        np.testing.assert_array_equal(found, expected.flatten(1).numpy())


@pytest.mark.parametrize("padding", [0, 2, "same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv1d_is_torchs_and_a_picture_of_height_one(padding, stride):
    weight, bias = dyadic(4, 3, 4), dyadic(4)
    if padding == "same":
        stride = 1
    x = rng().integers(0, 3, (2, 3, 9)).astype(np.float32)
    node = nir.Conv1d(input_shape=9, weight=weight, bias=bias, stride=stride, padding=padding, dilation=1, groups=1)
    expected = torch.nn.functional.conv1d(torch.tensor(x), torch.tensor(weight), torch.tensor(bias), stride, padding)
    network = from_nir(graph((3, 9), {"conv": node}), NirChoices(n_steps=1, coding=REAL))
    assert network.input.shape == (3, 1, 9)
    np.testing.assert_array_equal(run_reference(network, x[:, :, None, :]).readout[:, 0], expected.flatten(1).numpy())


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), ((2, 3), (1, 2), (1, 1)), (3, 1, 1)])
def test_pools_are_torchs(kernel, stride, padding):
    x = rng().integers(0, 5, (2, 3, 6, 7)).astype(np.float32)
    mean = torch.nn.functional.avg_pool2d(torch.tensor(x), kernel, stride, padding, divisor_override=1)
    size = np.prod(np.broadcast_to(kernel, 2))
    as_pair = [np.broadcast_to(np.asarray(v), 2) for v in (kernel, stride, padding)]
    for values in ([np.asarray(kernel), np.asarray(stride), np.asarray(padding)], as_pair):
        found = computed((3, 6, 7), {"pool": nir.SumPool2d(*values)}, x)
        np.testing.assert_array_equal(found, mean.flatten(1).numpy())
        found = computed((3, 6, 7), {"pool": nir.AvgPool2d(*values)}, x)
        np.testing.assert_allclose(found, mean.flatten(1).numpy() / size, rtol=1e-6)


def test_linear_affine_and_scale_are_what_nir_says():
    x, weight, bias, scale = dyadic(3, 6), dyadic(4, 6), dyadic(4), dyadic(4)
    np.testing.assert_array_equal(computed((6,), {"w": nir.Linear(weight)}, x), x @ weight.T)
    nodes = {"w": nir.Affine(weight, bias), "scale": nir.Scale(scale)}
    np.testing.assert_array_equal(computed((6,), nodes, x), (x @ weight.T + bias) * scale)


@pytest.mark.parametrize(
    ("start", "end", "given"), [(0, -1, None), (0, 2, (2, 3, 4)), (1, -1, None), (1, 3, (1, 2, 3, 4))]
)
def test_flatten_is_channel_major_with_or_without_a_batch(start, end, given):
    x, weight = dyadic(2, 2, 3, 4), dyadic(5, 24)
    flatten = nir.Flatten({"input": None if given is None else np.array(given)}, start_dim=start, end_dim=end)
    found = computed((2, 3, 4), {"flat": flatten, "w": nir.Linear(weight)}, x)
    np.testing.assert_array_equal(found, x.reshape(2, 24) @ weight.T)


# Ways through the graph


def test_edges_that_meet_are_summed_and_those_that_part_carry_the_same():
    a, b, c = dyadic(4, 5), dyadic(4, 5), dyadic(3, 4)
    nodes = {"a": nir.Linear(a), "b": nir.Linear(b), "c": nir.Linear(c)}
    edges = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c"), ("c", "output")]
    x = dyadic(2, 5)
    np.testing.assert_array_equal(computed((5,), nodes, x, edges), (x @ a.T + x @ b.T) @ c.T)


def test_a_skip_connection_adds_to_the_input_of_a_neuron():
    weight = np.eye(4, dtype=np.float32)
    nodes = {"w": nir.Linear(weight), "a": lif(4, r=4.0), "b": lif(4, r=2.0)}
    edges = [("input", "w"), ("w", "a"), ("a", "b"), ("w", "b"), ("b", "output")]
    x = rng().integers(0, 2, (1, 8, 4)).astype(np.float32)
    trace = run_reference(from_nir(graph((4,), nodes, edges), STATED), x)
    a, _ = stepped(x[0], 0.125, threshold=1.0, reset="zero", comparator=">", tau=0.25, r=4.0)
    b, _ = stepped(x[0] + a, 0.125, threshold=1.0, reset="zero", comparator=">", tau=0.25, r=2.0)
    assert a.any()
    assert b.any()
    np.testing.assert_array_equal(trace.spikes["b"][0], b)


def test_a_graph_within_a_graph_is_the_same_as_its_nodes():
    weight, recurrent = dyadic(4, 5), dyadic(4, 4)
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([4]))}
    inner = nir.NIRGraph(
        {**ends, "lif": lif(4, r=4.0), "w_rec": nir.Linear(recurrent)},
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )  # fmt: skip
    nested = graph((5,), {"w": nir.Linear(weight), "rnn": inner})
    flat = graph(
        (5,), {"w": nir.Linear(weight), "rnn.lif": lif(4, r=4.0), "rnn.w_rec": nir.Linear(recurrent)},
        [("input", "w"), ("w", "rnn.lif"), ("rnn.lif", "rnn.w_rec"), ("rnn.w_rec", "rnn.lif"), ("rnn.lif", "output")],
    )  # fmt: skip
    x = rng().integers(0, 3, (1, 8, 5)).astype(np.float32)
    one, other = (run_reference(from_nir(g, STATED), x) for g in (nested, flat))
    assert one.spikes["rnn.lif"].any()
    np.testing.assert_array_equal(one.spikes["rnn.lif"], other.spikes["rnn.lif"])


def test_a_recurrent_connection_waits_one_step_and_its_bias_does_not():
    weight, recurrent, bias = dyadic(4, 4), dyadic(4, 4), np.full(4, 0.25, np.float32)
    nodes = {
        "w": nir.Linear(weight),
        "n": nir.IF(r=full(8.0, 4), v_threshold=full(1.0, 4)),
        "rec": nir.Affine(recurrent, bias),
    }
    edges = [("input", "w"), ("w", "n"), ("n", "rec"), ("rec", "n"), ("n", "output")]
    network = from_nir(graph((4,), nodes, edges), STATED)
    assert {(c.source, c.target): c.delay for c in network.connections} == {("input", "n"): 0, ("n", "n"): 1}
    x = rng().integers(0, 3, (1, 8, 4)).astype(np.float32)
    v, before = np.zeros(4), np.zeros(4)
    for t, spikes in enumerate(run_reference(network, x).spikes["n"][0]):
        v = v + x[0, t] @ weight.T + before @ recurrent.T + bias
        before = (v > 1).astype(float)
        v = np.where(v > 1, 0, v)
        np.testing.assert_array_equal(spikes, before)
    assert before.any()


def test_of_a_longer_loop_only_the_connection_back_is_delayed_whatever_the_order_of_nodes():
    nodes = {"z": lif(3), "wza": nir.Linear(dyadic(3, 3)), "a": lif(3), "waz": nir.Linear(dyadic(3, 3))}
    edges = [("input", "z"), ("z", "wza"), ("wza", "a"), ("a", "waz"), ("waz", "z"), ("a", "output")]
    for order in (edges, edges[::-1]):
        network = from_nir(graph((3,), dict(reversed(nodes.items())), order), STATED)
        delays = {(c.source, c.target): c.delay for c in network.connections}
        assert delays == {("input", "z"): 0, ("z", "a"): 0, ("a", "z"): 1}
        assert [p.name for p in network.populations] == ["input", "z", "a"]


def test_a_loop_with_a_delay_of_its_own_gets_no_other():
    nodes = {"n": lif(3), "wait": nir.Delay(full(0.375, 3)), "w": nir.Linear(dyadic(3, 3))}
    edges = [("input", "n"), ("n", "wait"), ("wait", "w"), ("w", "n"), ("n", "output")]
    network = from_nir(graph((3,), nodes, edges), STATED)
    assert {(c.source, c.target): c.delay for c in network.connections} == {("input", "n"): 0, ("n", "n"): 3}


def test_a_loop_of_two_with_a_delay_on_the_way_there_gets_none_on_the_way_back():
    nodes = {"a": lif(3), "wait": nir.Delay(full(0.25, 3)), "b": lif(3), "w": nir.Linear(dyadic(3, 3))}
    edges = [("input", "a"), ("a", "wait"), ("wait", "b"), ("b", "w"), ("w", "a"), ("b", "output")]
    network = from_nir(graph((3,), nodes, edges), STATED)
    assert {(c.source, c.target): c.delay for c in network.connections} == {
        ("input", "a"): 0,
        ("a", "b"): 2,
        ("b", "a"): 0,
    }


def test_a_loop_behind_a_delayed_connection_is_found():
    nodes = {"a": lif(3), "wait": nir.Delay(full(0.25, 3)), "b": lif(3), "w": nir.Linear(dyadic(3, 3))}
    edges = [("input", "a"), ("a", "wait"), ("wait", "b"), ("b", "w"), ("w", "b"), ("b", "output")]
    network = from_nir(graph((3,), nodes, edges), STATED)
    assert {(c.source, c.target): c.delay for c in network.connections} == {
        ("input", "a"): 0,
        ("a", "b"): 2,
        ("b", "b"): 1,
    }


# Delays


def shifted(x, steps):
    """x of shape (n_steps, n), each column later by its number of steps."""
    out = np.zeros_like(x)
    for i, s in enumerate(np.broadcast_to(steps, x.shape[1])):
        out[s:, i] = x[: len(x) - s, i]
    return out


@pytest.mark.parametrize("steps", [[2], [0, 1, 3, 1]], ids=["one", "per neuron"])
def test_delays_before_the_weights_shift_the_spikes_of_each_source(steps):
    weight, bias = dyadic(3, 4), dyadic(3)
    seconds = np.array(steps) * 0.125
    nodes = {
        "wait": nir.Delay(np.broadcast_to(seconds, 4).copy()),
        "w": nir.Affine(weight, bias),
        "gate": nir.Threshold(full(0.25, 3)),
    }
    x = rng().integers(0, 2, (1, 8, 4)).astype(np.float32)
    trace = run_reference(from_nir(graph((4,), nodes), NirChoices(dt=0.125, comparator=">", n_steps=8)), x)
    expected = shifted(x[0], steps) @ weight.T + bias > 0.25
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(trace.spikes["gate"][0], expected)


def test_delays_behind_the_weights_shift_the_input_of_each_target():
    weight, steps = dyadic(3, 4), [2, 0, 1]
    nodes = {"w": nir.Linear(weight), "wait": nir.Delay(np.array(steps) * 0.125), "n": lif(3, r=4.0)}
    x = rng().integers(0, 2, (1, 8, 4)).astype(np.float32)
    network = from_nir(graph((4,), nodes), STATED)
    (synapses,) = network.connections[0].maps
    assert synapses.delays is not None
    spikes, _ = stepped(
        shifted(x[0] @ weight.T, steps), 0.125, threshold=1.0, reset="zero", comparator=">", tau=0.25, r=4.0
    )
    assert spikes.any()
    np.testing.assert_array_equal(run_reference(network, x).spikes["n"][0], spikes)


# Ends


def test_spiking_neurons_before_the_output_are_counted():
    network = from_nir(graph((3,), {"n": lif(3, r=4.0)}), STATED)
    x = rng().integers(0, 3, (2, 8, 3)).astype(np.float32)
    trace = run_reference(network, x)
    assert network.output == "n"
    np.testing.assert_array_equal(trace.logits, trace.spikes["n"].sum(axis=1))


def test_weights_before_the_output_average_over_time():
    weight = dyadic(2, 3)
    network = from_nir(graph((3,), {"n": lif(3, r=4.0), "w": nir.Linear(weight)}), STATED)
    x = rng().integers(0, 3, (2, 8, 3)).astype(np.float32)
    trace = run_reference(network, x)
    assert (network.output, network["output"].kind, network["output"].neuron) == ("output", "readout", None)
    np.testing.assert_array_equal(trace.logits, (trace.spikes["n"] @ weight.T).mean(axis=1))


def test_one_of_several_outputs_is_read_where_it_is_stated():
    nodes = {"n": lif(3, r=4.0), "w": nir.Linear(dyadic(2, 3)), "also": nir.Output(np.array([3]))}
    edges = [("input", "n"), ("n", "w"), ("w", "output"), ("n", "also")]
    for output, read in (("output", "output"), ("also", "n")):
        choices = NirChoices(reset="zero", comparator=">", dt=0.125, output=output)
        assert from_nir(graph((3,), nodes, edges), choices).output == read


def test_a_missing_output_is_added_where_the_graph_ends():
    everything = {"input": nir.Input(np.array([3])), "n": lif(3)}
    network = from_nir(nir.NIRGraph(everything, [("input", "n")], type_check=False), STATED)
    assert network.output == "n"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6,), (6,)), ((1, 6), (6,)), ((2, 3), (2, 1, 3)), ((1, 2, 3), (1, 2, 3)), ((1, 2, 1, 3), (2, 1, 3))],
)
def test_an_input_is_read_without_its_batch(shape, expected):
    nodes = {"w": nir.Linear(dyadic(4, 6)), "n": lif(4)}
    assert from_nir(graph(shape, nodes), STATED).input.shape == expected


def test_a_one_dimensional_picture_keeps_its_single_channel():
    node = nir.Conv1d(input_shape=6, weight=dyadic(2, 1, 3), bias=dyadic(2), stride=1, padding=1, dilation=1, groups=1)
    assert from_nir(graph((1, 6), {"conv": node}), STATED).input.shape == (1, 1, 6)
    assert from_nir(graph((1, 1, 6), {"conv": node}), STATED).input.shape == (1, 1, 6)


def test_the_shape_of_the_input_can_be_stated():
    nodes = {"w": nir.Linear(dyadic(4, 6)), "n": lif(4)}
    choices = NirChoices(reset="zero", comparator=">", dt=0.125, input_shape=(1, 2, 3))
    assert from_nir(graph((6,), nodes), choices).input.shape == (1, 2, 3)


def test_what_was_stated_is_kept_in_the_networks_metadata():
    network = from_nir(graph((3,), {"n": lif(3)}), STATED)
    assert network.metadata["nir"]["choices"]["reset"] == "zero"
    assert network.metadata["nir"]["choices"]["dt"] == 0.125
