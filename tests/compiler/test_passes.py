"""Passes: each against torch or the reference, and none changes what it is given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import assert_identical, joined, refusal, small_convolutional
from strategies import networks, samples
from torch import nn

from gossamer.compiler import (
    AveragePool2d,
    BatchNorm,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Neuron,
    Population,
    Scale,
    Sparse,
    SumPool2d,
    apply_masks,
    canonicalize,
    compile_network,
    compose_maps,
    expand_joins,
    fold_batch_norm,
    fuse_average_pooling,
    integrate_and_fire,
    leaky_integrate_and_fire,
    load_checkpoint,
    quantize,
    save_checkpoint,
    to_synaptic_graph,
)
from gossamer.simulator import run_reference

broad = settings(max_examples=60)


def maps_of(network):
    return network.connections[0].maps


def output_of(network, x):
    """What a join emits in its one step: what the maps compute."""
    return run_reference(network, x).readout[:, 0]


def one_step(maps, shape, target):
    return joined(maps, shape, target, kind="relu", bias=100.0, n_steps=1)


@broad
@given(
    network=networks(tangled=True), name=st.sampled_from(["masks", "pooling", "joins", "norm", "compose", "quantize"])
)
def test_a_pass_leaves_its_input_alone(network, name, tmp_path_factory):
    before = tmp_path_factory.mktemp("pass") / "before"
    save_checkpoint(network, before)
    run = {
        "masks": apply_masks,
        "pooling": fuse_average_pooling,
        "joins": expand_joins,
        "norm": fold_batch_norm,
        "compose": compose_maps,
        "quantize": lambda n: quantize(canonicalize(n)),
    }[name]
    try:
        run(network)
    except CompileError:
        assume(False)
    assert_identical(network, load_checkpoint(before))


def test_masks_set_weights_to_zero_and_go():
    weight, mask = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[True, False], [False, True]])
    kernel, kernel_mask = np.array([[[[5.0, 6.0]]]]), np.array([[[[False, True]]]])
    n = joined((Dense(weight=weight, mask=mask),), (2,), (2,))
    (m,) = maps_of(apply_masks(n))
    assert m.mask is None
    np.testing.assert_array_equal(m.weight, [[1, 0], [0, 4]])
    n = joined((Conv2d(weight=kernel, mask=kernel_mask),), (1, 1, 2), (1, 1, 1))
    (m,) = maps_of(apply_masks(n))
    np.testing.assert_array_equal(m.weight, [[[[0, 6]]]])
    assert to_synaptic_graph(apply_masks(n)).projections[0].weights.tolist() == [6]


def torch_batch_norm(n, generator):
    module = nn.BatchNorm2d(n).eval()
    for tensor in (module.weight, module.bias, module.running_mean):
        tensor.data = torch.randn(n, generator=generator)
    module.running_var = torch.rand(n, generator=generator) + 0.3
    return module


def to_map(module):
    """A torch module's map."""

    def array(t):
        return None if t is None else t.detach().numpy()

    if isinstance(module, nn.Conv2d):
        return Conv2d(
            weight=array(module.weight),
            bias=array(module.bias),
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
        )
    if isinstance(module, nn.Linear):
        return Dense(weight=array(module.weight), bias=array(module.bias))
    if isinstance(module, nn.AvgPool2d):
        return AveragePool2d(kernel=module.kernel_size, stride=module.stride, padding=module.padding)
    return BatchNorm(
        mean=array(module.running_mean),
        variance=array(module.running_var),
        gamma=array(module.weight),
        beta=array(module.bias),
        eps=module.eps,
    )


SHAPE = (4, 7, 6)


def sequential(case):
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    norm = torch_batch_norm(4, g)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    modules = {
        "conv, norm": (conv, norm),
        "norm, conv": (norm, nn.Conv2d(4, 6, 3)),
        "norm, padded conv": (norm, conv),
        "norm, padded grouped strided conv": (norm, nn.Conv2d(4, 6, 3, padding=(2, 1), groups=2, stride=2)),
        "norm, conv, norm": (norm, conv, torch_batch_norm(4, g)),
        "norm, dense": (norm, nn.Flatten(), nn.Linear(4 * 7 * 6, 5)),
        "pool, conv": (nn.AvgPool2d(2), conv),
        "overlapping pool, conv": (nn.AvgPool2d(3, stride=2), conv),
        "padded pool, conv": (nn.AvgPool2d(3, stride=2, padding=1), conv),
        "pool, pool, conv": (nn.AvgPool2d(2), nn.AvgPool2d((3, 1), stride=1), conv),
        "pool, norm, dense": (nn.AvgPool2d(2), norm, nn.Flatten(), nn.Linear(4 * 3 * 3, 5)),
        "pool, norm, padded conv": (nn.AvgPool2d(2), norm, conv),
        "pool, two norms, conv": (nn.AvgPool2d(2), norm, torch_batch_norm(4, g), nn.Conv2d(4, 6, 2)),
        "conv, pool, norm": (conv, nn.AvgPool2d((2, 3)), norm),
        "norm alone": (norm,),
        "pool alone": (nn.AvgPool2d(2),),
    }[case]
    return nn.Sequential(*modules).eval()


CASES = [
    "pool, norm, padded conv",
    "pool, two norms, conv",
    "conv, norm",
    "norm, conv",
    "norm, padded conv",
    "norm, padded grouped strided conv",
    "norm, conv, norm",
    "norm, dense",
    "pool, conv",
    "overlapping pool, conv",
    "padded pool, conv",
    "pool, pool, conv",
    "pool, norm, dense",
    "conv, pool, norm",
    "norm alone",
    "pool alone",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("run", [fold_batch_norm, fuse_average_pooling, compose_maps, canonicalize])
def test_a_chain_computes_what_torch_computes_after_every_pass(case, run):
    module = sequential(case)
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    expected = module(x).detach().numpy()
    maps = [to_map(m) for m in module if not isinstance(m, nn.Flatten)]
    n = one_step(maps, SHAPE, expected.shape[1:])
    y = output_of(run(n), x.numpy()) - 100
    np.testing.assert_allclose(y, expected.reshape(3, -1), atol=1e-4)


@pytest.mark.parametrize(
    ("case", "kinds", "bias_per_neuron"),
    [
        ("conv, norm", [Conv2d], False),
        ("norm, conv", [Conv2d], False),
        ("norm, padded conv", [Conv2d], True),
        ("pool, conv", [SumPool2d, Conv2d], False),
        ("overlapping pool, conv", [Sparse], False),
        ("pool alone", [SumPool2d, Scale], False),
        ("pool, norm, dense", [SumPool2d, Dense], True),
        ("pool, norm, padded conv", [SumPool2d, Conv2d], True),
        ("pool, two norms, conv", [SumPool2d, Conv2d], False),
    ],
)
def test_the_canonical_form_is_one_weight_map_at_most_one_pool_and_no_bias(case, kinds, bias_per_neuron):
    module = sequential(case)
    maps = [to_map(m) for m in module if not isinstance(m, nn.Flatten)]
    target = tuple(module(torch.rand(1, *SHAPE)).shape[1:])
    n = canonicalize(one_step(maps, SHAPE, target))
    maps = maps_of(n)
    assert [type(m) for m in maps] == kinds
    assert all(getattr(m, "bias", None) is None and getattr(m, "shift", None) is None for m in maps)
    assert (n["p"].bias.shape == target) == bias_per_neuron


def test_average_pooling_divides_the_weights_once():
    kernel = np.full((1, 1, 1, 1), 8.0, np.float32)
    pool = AveragePool2d(kernel=2, stride=2)
    fused = maps_of(fuse_average_pooling(joined((pool, pool, Conv2d(weight=kernel)), (1, 4, 4), (1, 1, 1))))
    assert [type(m) for m in fused] == [SumPool2d, SumPool2d, Conv2d]
    assert fused[-1].weight == 0.5


def test_a_bias_moves_into_its_population_whatever_their_shapes():
    kernels, bias = np.ones((2, 1, 2, 2), np.float32), np.array([1.0, 2.0])
    n = compose_maps(joined((Conv2d(weight=kernels, bias=bias),), (1, 3, 3), (8,), bias=np.arange(8.0)))
    np.testing.assert_array_equal(n["p"].bias, [1, 2, 3, 4, 6, 7, 8, 9])
    n = compose_maps(joined((Dense(weight=np.ones((4, 2)), bias=np.arange(4.0)),), (2,), (1, 2, 2), bias=0.5))
    np.testing.assert_array_equal(n["p"].bias, [[[0.5, 1.5], [2.5, 3.5]]])


def test_biases_of_whole_numbers_do_not_overflow_their_type():
    def dense():
        return Dense(weight=np.ones((1, 1), np.int8), bias=np.array([100], np.int8))

    neuron = Neuron(threshold=np.int32(1), leak=np.int32(4096))
    n = joined((dense(),), (1,), (1,), neuron=neuron, bias=np.int8(100), arithmetic="int")
    n = replace(n, connections=(*n.connections, replace(n.connections[0])))
    bias = canonicalize(n)["p"].bias
    assert (int(bias.ravel()[0]), bias.dtype.kind) == (300, "i")


def test_integer_networks_have_a_canonical_form_too():
    whole = Neuron(threshold=np.int32(3), leak=np.int32(4096))
    maps = (SumPool2d(kernel=2, stride=1), Conv2d(weight=np.ones((1, 1, 2, 2), np.int8)))
    n = canonicalize(joined(maps, (1, 4, 4), (1, 2, 2), neuron=whole, arithmetic="int"))
    assert to_synaptic_graph(n).projections[0].weights.dtype == np.int8
    assert canonicalize(joined((), (2,), (2,), neuron=whole, arithmetic="int")).arithmetic == "int"


def test_whole_weights_in_a_float_network_become_floats():
    n = joined((Dense(weight=np.array([[1, 2]])),), (2,), (1,))
    assert compile_network(n).projections[0].weights.dtype == np.float32


def test_delays_per_synapse_survive_masks_and_nothing_else():
    m = Dense(weight=np.ones((1, 2)), mask=np.array([[True, False]]), delays=np.array([[2, 1]]), bias=np.ones(1))
    n = joined((m,), (2,), (1,))
    assert canonicalize(n).connections[0].maps[0].delays.tolist() == [[2, 1]]
    refusal(lambda: compose_maps(n), "GSM-301")
    projection = compile_network(n).projections[0]
    assert (projection.delays.tolist(), projection.weights.tolist()) == ([2], [1])


def test_a_constant_that_enters_current_and_membrane_alike_is_refused():
    neuron = Neuron(current_decay=0.5, bias_target="membrane")
    m = Dense(weight=np.ones((1, 1)), bias=np.ones(1))
    assert canonicalize(joined((m,), (1,), (1,), neuron=neuron))["p"].neuron.bias_target == "current"
    refusal(lambda: canonicalize(joined((m,), (1,), (1,), neuron=neuron, bias=1.0)), "GSM-301")


def random_chain(rng, kind):
    """A two-layer network with arbitrary weights in canonical form."""
    weights = {
        "dense": (Dense(weight=rng.normal(0, 1, (6, 18))), (6,)),
        "conv": (Conv2d(weight=rng.normal(0, 1, (6, 2, 2, 2))), (6, 2, 2)),
        "sparse": (
            Sparse(
                row_start=np.arange(19),
                targets=np.arange(18) % 6,
                weights=rng.normal(0, 1, 18),
                shape=(6,),
            ),
            (6,),
        ),
        "scale": (Scale(scale=rng.uniform(0.1, 2, 2)), (2, 3, 3)),
        "pool": ((SumPool2d(kernel=2, stride=2), Conv2d(weight=rng.normal(0, 1, (6, 2, 1, 1)))), (6, 1, 1)),
    }
    maps, shape = weights[kind]
    maps = maps if isinstance(maps, tuple) else (maps,)
    return joined(
        maps,
        (2, 3, 3),
        shape,
        neuron=leaky_integrate_and_fire(0.9, rng.uniform(3, 4, shape[0])),
        bias=rng.normal(0, 0.1, shape[0]),
        n_steps=6,
        coding=InputCoding(kind="events"),
    )


def weights_of(network):
    m = maps_of(network)[-1]
    return next(getattr(m, name) for name in ("weight", "weights", "scale") if hasattr(m, name))


@pytest.mark.parametrize("kind", ["dense", "conv", "sparse", "scale", "pool"])
@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("bits", [2, 4, 8, 9, 16])
def test_weights_round_to_the_nearest_unit_within_their_bits(kind, per, bits):
    n = random_chain(np.random.default_rng(bits), kind)
    q = quantize(n, weight_bits=bits, per=per)
    top = 2 ** (bits - 1) - 1
    whole, unit = weights_of(q), q["p"].unit
    assert whole.dtype == (np.int8 if bits <= 8 else np.int16)
    assert np.abs(whole.astype(int)).max() == top or bits == 16  # 16 bits leave too little room for the current
    assert np.abs(whole.astype(int)).max() <= top
    assert unit.size == (n["p"].shape[0] if per == "channel" else 1)
    m = maps_of(n)[-1]
    per_weight = unit
    if per == "channel":
        per_weight = unit.ravel()[m.targets] if isinstance(m, Sparse) else unit.reshape(-1, *(1,) * (whole.ndim - 1))
    assert (np.abs(whole * per_weight - weights_of(n).reshape(whole.shape)) <= per_weight * 0.5001).all()
    assert (np.abs(q["p"].bias * unit - n["p"].bias) <= unit * 0.5001).all()
    threshold = n["p"].neuron.threshold
    assert (np.abs(q["p"].neuron.threshold * unit - threshold) <= unit * 0.5001).all()


def test_the_unit_leaves_room_for_the_current_before_it_wraps():
    weight = np.full((1, 40), 0.5)
    n = joined((Dense(weight=weight),), (40,), (1,), neuron=integrate_and_fire(1.0), coding=InputCoding(levels=255))
    bound = 40 * 0.5
    for bits, expected in ((8, 8 * 1.0), (4, 0.5 / 255 / 7 * 131071)):
        q = quantize(n, weight_bits=bits)
        assert float(q["p"].unit) * 131071 == pytest.approx(expected)
    x = np.full((1, 40), 0.3)
    assert 1 < 0.3 * bound < 8
    for bits in (2, 8, 12, 16):
        np.testing.assert_array_equal(
            run_reference(quantize(n, weight_bits=bits), x).spikes["p"], run_reference(n, x).spikes["p"]
        )


def test_the_unit_is_coarser_where_a_threshold_would_need_more_than_17_bits():
    weight = np.array([[0.01, -0.02], [1.0, 0.5]])
    n = joined((Dense(weight=weight),), (2,), (2,), neuron=integrate_and_fire(10.0), coding=InputCoding(levels=255))
    q = quantize(n, per="channel")
    np.testing.assert_allclose(q["p"].unit, [10 / 131071, 10 / 131071], rtol=1e-6)
    np.testing.assert_array_equal(q["p"].neuron.threshold, [131071, 131071])
    np.testing.assert_array_equal(maps_of(q)[0].weight, np.rint(weight / 255 / 10 * 131071))


def test_every_channel_has_its_own_unit_if_asked():
    weight = np.array([[1.0, -0.5], [10.0, 5.0], [0.0, 0.0]])
    finest = 1 / 131071
    n = joined((Dense(weight=weight),), (2,), (3,), coding=InputCoding(kind="events"))
    per_layer, per_channel = quantize(n), quantize(n, per="channel")
    np.testing.assert_array_equal(maps_of(per_layer)[0].weight, [[13, -6], [127, 64], [0, 0]])
    np.testing.assert_array_equal(maps_of(per_channel)[0].weight, [[127, -64], [127, 64], [0, 0]])
    np.testing.assert_allclose(per_channel["p"].unit, [1 / 127, 10 / 127, finest], rtol=1e-6)


def test_decays_are_rounded_to_4096ths_and_the_unit_covers_threshold_bias_and_start():
    neuron = Neuron(threshold=1.5, leak=0.9, current_decay=1 / 3, v_init=-0.25)
    n = joined((Dense(weight=[[1.27]]),), (1,), (1,), neuron=neuron, bias=0.1, coding=InputCoding(kind="events"))
    p = quantize(n)["p"]
    assert (int(p.neuron.threshold), int(p.neuron.v_init), int(p.bias)) == (150, -25, 10)
    assert (int(p.neuron.leak), int(p.neuron.current_decay)) == (3686, 1365)


def test_what_is_whole_already_keeps_its_unit():
    def population(name, **options):
        return Population(name=name, shape=(2,), **options)

    n = Network(
        name="whole",
        populations=(
            population("in", kind="input"),
            population("a", neuron=integrate_and_fire(0.7)),
            population("or", neuron=integrate_and_fire(1.0)),
            population("sum", kind="join"),
        ),
        connections=(
            Connection(source="in", target="a", maps=(Scale(scale=0.3),)),
            Connection(source="a", target="or", maps=(Dense(weight=np.eye(2)),)),
            Connection(source="a", target="sum", maps=()),
            Connection(source="or", target="sum", maps=()),
        ),
        output="sum",
        n_steps=4,
    )
    q = quantize(canonicalize(n))
    units = {p.name: float(p.unit) for p in q.populations}
    assert units.pop("a") == pytest.approx(0.3 / 255 / 127)
    assert units == {"in": pytest.approx(1 / 255), "or": 1, "sum": 1}
    assert int(q["or"].neuron.threshold) == 1


@pytest.mark.parametrize(
    ("connection", "coding"),
    [
        ((), InputCoding(kind="direct")),
        ((Scale(scale=0.5),), InputCoding(kind="events")),
        ((Scale(scale=200.0),), InputCoding(kind="events")),
        ((Scale(scale=1.0, shift=0.5),), InputCoding(kind="events")),
    ],
)
def test_a_join_of_anything_but_whole_spikes_cannot_be_quantized(connection, coding):
    n = canonicalize(joined(connection, (2,), (2,), kind="join", coding=coding))
    assert "'p'" in refusal(lambda: quantize(n), "GSM-302").where


def whole_but_large():
    return joined((), (1,), (1,), neuron=integrate_and_fire(2.0**17), coding=InputCoding(kind="events"))


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: quantize(quantize(random_chain(np.random.default_rng(0), "dense"))), "GSM-301"),
        (lambda: quantize(joined((), (1,), (1,))), "GSM-301"),
        (lambda: quantize(small_convolutional()), "GSM-301"),
        (lambda: quantize(joined((Conv2d(weight=np.full((8, 1, 1, 1), 0.3)),), (1, 1, 1), (8,))), "GSM-301"),
        (lambda: quantize(joined((Scale(scale=0.3),), (1,), (1,)), weight_bits=1), "GSM-302"),
        (lambda: quantize(joined((Scale(scale=0.3),), (1,), (1,)), weight_bits=17), "GSM-302"),
        (lambda: quantize(joined((Scale(scale=0.3),), (1,), (1,)), weight_bits=4.5), "GSM-302"),
        (lambda: quantize(joined((Scale(scale=0.3),), (1,), (1,)), per="row"), "GSM-302"),
        (lambda: quantize(joined((Scale(scale=0.3),), (1,), (1,), kind="relu")), "GSM-302"),
        (lambda: quantize(joined((), (1,), (1,), neuron=integrate_and_fire(2.0**17))), "GSM-301"),
        (lambda: quantize(canonicalize(whole_but_large())), "GSM-207"),
        (lambda: to_synaptic_graph(small_convolutional()), "GSM-301"),
        (
            lambda: to_synaptic_graph(joined((Conv2d(weight=np.ones((1, 1, 1, 256))),), (1, 1, 256), (1, 1, 1))),
            "GSM-301",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused(build, code):
    refusal(build, code)


def test_a_threshold_that_rounds_to_nothing_is_refused_with_a_remedy():
    n = joined((Scale(scale=100.5),), (1,), (1,), neuron=integrate_and_fire(0.3), coding=InputCoding(kind="events"))
    error = refusal(lambda: quantize(n, weight_bits=8), "GSM-302")
    assert error.what == "threshold rounds to zero"
    assert "more weight bits" in error.remedy
    assert quantize(n, weight_bits=12)["p"].neuron.threshold > 0


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("coding", [InputCoding(), InputCoding(kind="phase", weighted=True), InputCoding(kind="rate")])
def test_integer_logits_are_in_the_units_of_the_float_network(per, coding):
    n = canonicalize(replace(small_convolutional(), coding=coding))
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8)) / 255
    exact, rounded = run_reference(n, x).logits, run_reference(quantize(n, weight_bits=12, per=per), x).logits
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.99
    assert np.abs(exact - rounded).mean() < 0.1 * np.abs(exact).mean()


def test_logits_of_a_linear_readout_differ_by_less_than_rounding_can_explain():
    rng = np.random.default_rng(4)
    n = joined((Dense(weight=rng.normal(0, 1, (3, 50))),), (50,), (3,), kind="readout", bias=rng.normal(0, 1, 3))
    x = rng.integers(0, 256, (10, 50)) / 255
    for per in ("layer", "channel"):
        q = quantize(n, per=per)
        bound = (x.sum(axis=1, keepdims=True) + 1) * np.max(q["p"].unit) * 255 / 2
        assert (np.abs(run_reference(q, x).logits - run_reference(n, x).logits) <= bound).all()


def test_a_graph_names_the_checkpoint_that_it_came_from(tmp_path):
    digest = save_checkpoint(small_convolutional(), tmp_path / "n")
    graph = compile_network(load_checkpoint(tmp_path / "n"), weight_bits=8)
    assert graph.metadata["checkpoint_sha256"] == digest
    assert "sha256" not in graph.metadata
    assert graph.metadata["quantized"] == {"weight_bits": 8, "per": "layer"}


@broad
@given(networks(tangled=True), st.integers(0, 100))
def test_masks_change_no_spike(network, seed):
    rng = np.random.default_rng(seed)

    def masked(m):
        if not isinstance(m, (Dense, Conv2d)):
            return m
        return replace(m, mask=rng.random(m.weight.shape) < 0.5)

    network = replace(
        network, connections=tuple(replace(c, maps=tuple(masked(m) for m in c.maps)) for c in network.connections)
    )
    x = samples(network, seed)
    before, after = run_reference(network, x), run_reference(apply_masks(network), x)
    for name, spikes in before.spikes.items():
        np.testing.assert_array_equal(spikes, after.spikes[name])
