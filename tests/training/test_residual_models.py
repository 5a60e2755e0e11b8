"""Residual networks: the layout, the arithmetic against plain PyTorch, training of the joins, every executor."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gossamer.compiler import (
    BatchNorm,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    Network,
    Population,
    Scale,
    canonicalize,
    compile_network,
    quantize,
    to_synaptic_graph,
)
from gossamer.energy_attacks import energy_attack
from gossamer.simulator import compare_spikes, run_reference, simulate, why_not_bits
from gossamer.training import (
    MODELS,
    TorchNetwork,
    TrainingError,
    add_biases,
    attach_scores,
    calibrate_thresholds,
    load_dataset,
    record_spikes,
    reestimate_batch_norm,
    to_spiking,
)

RESIDUAL = ["resnet20", "resnet32", "wrn16-4", "wrn28-4"]


def built(name, shape=(3, 8, 8), *, width, n_classes=5):
    return MODELS[name](shape, n_classes, seed=0, mean=[0.5] * shape[0], std=[0.25] * shape[0], width=width)


def unsettled(network, seed=0):
    """With batch norms, joins and biases that are not those of a new network."""
    rng = np.random.default_rng(seed)

    def other(m):
        if isinstance(m, BatchNorm):
            n = len(m.mean)
            return replace(
                m, mean=rng.normal(0, 0.2, n), variance=rng.uniform(0.5, 2, n), gamma=rng.uniform(0.5, 2, n),
                beta=rng.normal(0.2, 0.3, n),
            )  # fmt: skip
        if isinstance(m, Scale) and m.scale.shape == ():
            return replace(m, scale=np.asarray(rng.uniform(0.3, 0.9), np.float32))
        if isinstance(m, Dense):
            return replace(m, bias=rng.normal(0, 0.1, len(m.weight)).astype(np.float32))
        return m

    connections = tuple(replace(c, maps=tuple(other(m) for m in c.maps)) for c in network.connections)
    return replace(network, connections=connections)


def spiking(name, *, width, reset="zero", leak=1.0):
    """A converted network in which every population spikes, but not always."""
    network = unsettled(built(name, width=width))
    names = [p.name for p in network.populations if p.kind == "relu"]
    rng = np.random.default_rng(1)
    thresholds = dict(zip(names, rng.uniform(0.4, 1.2, len(names)), strict=True))
    return to_spiking(network, thresholds, n_steps=6, reset=reset, leak=leak)


def pictures(network, n=3):
    return np.random.default_rng(2).random((n, *network.input.shape), np.float32)


def maps_of(network, source, target):
    return next(c.maps for c in network.connections if (c.source, c.target) == (source, target))


def convolved(x, network, source, target):
    """A connection's maps up to its weight in the sum, by torch.nn.functional."""
    for m in maps_of(network, source, target):
        if isinstance(m, Conv2d):
            x = F.conv2d(x, torch.tensor(m.weight), stride=m.stride, padding=m.padding)
        elif isinstance(m, BatchNorm):
            mean, variance, gamma, beta = (torch.tensor(a) for a in (m.mean, m.variance, m.gamma, m.beta))
            x = F.batch_norm(x, mean, variance, gamma, beta, eps=m.eps)
        elif isinstance(m, Scale):
            scale, shift = torch.tensor(m.scale), 0 if m.shift is None else torch.tensor(m.shift)
            x = x * scale + shift if m.scale.ndim == 0 else x * scale[:, None, None] + shift[:, None, None]
    return x


def classified(x, network, source):
    (dense,) = (m for m in maps_of(network, source, "logits") if isinstance(m, Dense))
    return F.linear(x.mean((2, 3)), torch.tensor(dense.weight), torch.tensor(dense.bias))


@pytest.mark.parametrize(("name", "n_blocks"), [("resnet20", 3), ("resnet32", 5)])
def test_a_resnet_computes_what_its_definition_says(name, n_blocks):
    network = unsettled(built(name, (3, 9, 8), width=4))
    pixels = torch.rand(4, 3, 9, 8)
    x, before = F.relu(convolved(pixels, network, "input", "stem")), "stem"
    for stage in (1, 2, 3):
        for block in range(1, n_blocks + 1):
            a, b = f"block{stage}.{block}a", f"block{stage}.{block}b"
            inner = F.relu(convolved(x, network, before, a))
            x, before = F.relu(convolved(inner, network, a, b) + convolved(x, network, before, b)), b
    torch.testing.assert_close(TorchNetwork(network).eval()(pixels), classified(x, network, before))
    shortcuts = [c.maps for c in network.connections if c.source.endswith("b") and c.target.endswith("b")]
    assert [len(maps) for maps in shortcuts].count(3) == 2, (
        "a 1x1 convolution, batch norm and weight where width changes"
    )


@pytest.mark.parametrize(("name", "n_blocks"), [("wrn16-4", 2), ("wrn28-4", 4)])
def test_a_wide_resnet_computes_what_its_definition_says(name, n_blocks):
    network = unsettled(built(name, (3, 9, 8), width=2))
    pixels = torch.rand(4, 3, 9, 8)
    x, before = pixels, "input"
    for stage in (1, 2, 3):
        for block in range(1, n_blocks + 1):
            a, b, total = (f"{kind}{stage}.{block}{end}" for kind, end in (("block", "a"), ("block", "b"), ("sum", "")))
            outer = F.relu(convolved(x, network, before, a))
            if block == 1:  # the width changes: x is replaced
                x, before = outer, a
            inner = F.relu(convolved(outer, network, a, b))
            x, before = convolved(x, network, before, total) + convolved(inner, network, b, total), total
    x = F.relu(convolved(x, network, before, "last"))
    torch.testing.assert_close(TorchNetwork(network).eval()(pixels), classified(x, network, "last"))
    assert all(c.delay == 0 for c in network.connections)


@pytest.mark.parametrize(
    ("name", "n_deep", "n_parameters"),
    [("resnet20", 20, 269_722), ("resnet32", 32, 464_154), ("wrn16-4", 14, 2_748_890), ("wrn28-4", 26, 5_849_050)],
)
def test_full_size_networks_have_the_numbers_of_weights_that_are_known(name, n_deep, n_parameters):
    """0.27, 0.46, 2.7 and 5.8 million (He et al. 2016, table 6; Zagoruyko & Komodakis 2016, tables 4 and 5).

    He et al.'s shortcuts have no weights; here they have 32 x 16 + 64 x 32, and 2 x 96 of batch norm.
    """
    network = MODELS[name]((3, 32, 32), 10, seed=0, mean=[0.5] * 3, std=[0.25] * 3)
    maps = [m for c in network.connections for m in c.maps]
    assert sum(isinstance(m, Dense) or (isinstance(m, Conv2d) and m.weight.shape[2] == 3) for m in maps) == n_deep
    n = sum(m.weight.size for m in maps if isinstance(m, (Conv2d, Dense)))
    n += sum(2 * m.gamma.size for m in maps if isinstance(m, BatchNorm)) + 10
    assert n - (32 * 16 + 64 * 32 + 2 * 96 if name.startswith("resnet") else 0) == n_parameters


@pytest.mark.parametrize("name", ["resnet20", "wrn16-4"])
def test_full_size_networks_convert_and_compile_to_spikes_alone(name):
    network = MODELS[name]((3, 32, 32), 10, seed=0, mean=[0.5] * 3, std=[0.25] * 3)
    names = [p.name for p in network.populations if p.kind == "relu"]
    snn = to_spiking(network, dict.fromkeys(names, 0.5))
    kept = [a.maps is b.maps for a, b in zip(network.connections, snn.connections, strict=True)]
    assert all(kept)
    for weight_bits in (None, 8):
        graph = compile_network(snn, weight_bits=weight_bits)
        assert [p.name for p in graph.populations] == ["input", *names, "logits"]
        real = [p.source for p in graph.projections if graph.is_graded(p)]
        assert real == ["input"]
    assert sum(graph.n_weights(n) for n in names) < 6_000_000, "convolutions stay shared"


@pytest.mark.parametrize("name", RESIDUAL)
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_pictures_of_any_size_and_depth(name, size, n_channels):
    network = built(name, (n_channels, size, size), width=1)
    assert TorchNetwork(network)(torch.rand(2, n_channels, size, size)).shape == (2, 5)


@pytest.mark.parametrize(("name", "width"), [("resnet20", 3), ("resnet32", 2), ("wrn16-4", 2), ("wrn28-4", 1)])
@pytest.mark.parametrize(("reset", "leak"), [("zero", 1.0), ("subtract", 0.9)])
def test_every_executor_emits_the_same_spikes_in_integers(name, width, reset, leak):
    snn = spiking(name, width=width, reset=reset, leak=leak)
    integer = quantize(canonicalize(snn), weight_bits=8)
    graph = to_synaptic_graph(integer)
    emitting = [p.name for p in graph.populations if p.kind != "readout"]
    assert set(emitting) == {p.name for p in snn.populations if p.kind in ("input", "spiking")}
    x = pictures(snn)
    plain = run_reference(integer, x)
    assert why_not_bits(graph) is None
    others = {engine: simulate(graph, x, record=emitting, engine=engine) for engine in ("event", "bits")}
    runs = {engine: (run.spikes, run.logits) for engine, run in others.items()} | {"torch": record_spikes(integer, x)}
    for engine, (spikes, logits) in runs.items():
        found = compare_spikes({p: plain.spikes[p] for p in emitting}, {p: spikes[p] for p in emitting})
        assert found.equal, (engine, str(found.first))
        np.testing.assert_allclose(logits, plain.logits, rtol=1e-6, err_msg=engine)
    rates = {p: plain.spikes[p].mean() for p in emitting[1:]}
    assert 0.02 < np.mean(list(rates.values())) < 0.9, "populations spike, and not always"
    assert sum(0 < rate < 1 for rate in rates.values()) > 0.8 * len(rates)


@pytest.mark.parametrize(("name", "width"), [("resnet20", 3), ("wrn16-4", 2), ("wrn28-4", 1)])
def test_in_float32_the_last_bit_of_a_sum_is_all_that_differs(name, width):
    """The trained network with its joins, in torch and as written, against the compiled one without."""
    snn = spiking(name, width=width)
    graph = compile_network(snn)
    emitting = [p.name for p in graph.populations if p.kind == "spiking"]
    x = pictures(snn)
    event, bits = (simulate(graph, x, record=emitting, engine=engine) for engine in ("event", "bits"))
    assert compare_spikes(event.spikes, bits.spikes).equal
    plain, (in_torch, logits) = run_reference(snn, x), record_spikes(snn, x)
    for spikes in (plain.spikes, in_torch):
        found = compare_spikes(event.spikes, {p: spikes[p] for p in emitting})
        assert found.share_different < 1e-3, (found.n_different, found.n_compared)
    assert (logits.argmax(1) == event.logits.argmax(1)).all()


def test_an_artificial_network_keeps_its_joins_and_computes_the_same():
    network = unsettled(built("wrn16-4", width=2))
    graph = compile_network(network)
    assert sum(p.kind == "join" for p in graph.populations) == 6
    x = pictures(network)
    expected = TorchNetwork(network).eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(simulate(graph, x, n_steps=1).logits, expected, atol=1e-4)
    np.testing.assert_allclose(run_reference(network, x).logits, expected, atol=1e-4)


def test_weights_of_a_join_are_trained_and_written_back():
    network = built("wrn16-4", width=1)
    model = TorchNetwork(network).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    F.cross_entropy(model(torch.rand(8, 3, 8, 8)), torch.arange(8) % 5).backward()
    optimizer.step()
    before, after = (
        [m.scale for c in n.connections for m in c.maps if isinstance(m, Scale)] for n in (network, model.to_network())
    )
    assert [a.shape for a in after] == [a.shape for a in before]
    assert all((a == b).all() for a, b in zip(before[:1], after[:1], strict=True)), "normalisation is fixed"
    assert all(a != b for a, b in zip(before[1:], after[1:], strict=True))
    assert len(after) == 1 + 2 * 6


@pytest.mark.parametrize("name", ["resnet20", "wrn16-4"])
def test_layers_that_are_computed_again_have_the_same_gradients(name):
    network, x = spiking(name, width=1), torch.rand(4, 3, 8, 8)
    gradients = []
    for low_memory in (False, True):
        model = TorchNetwork(network, low_memory=low_memory).train()
        F.cross_entropy(model(x), torch.arange(4)).backward()
        gradients.append([p.grad for p in model.parameters()] + [n.mean for n in model.batch_norms()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert all(g.abs().sum() > 0 for g in gradients[0][-4:])


def test_scales_of_every_form_are_trained_in_their_form():
    shape = (2, 3, 3)
    forms = [np.full(s, 2.0, np.float32) for s in ((), (2,), shape)]
    network = Network(
        name="scales",
        populations=(
            Population(name="in", shape=shape, kind="input"),
            Population(name="a", shape=shape, kind="relu"),
            Population(name="out", shape=shape, kind="readout"),
        ),
        connections=(
            Connection(source="in", target="a", maps=(Scale(scale=forms[1], shift=forms[2]),)),
            Connection(source="a", target="out", maps=tuple(Scale(scale=f, shift=f) for f in forms)),
        ),
        output="out",
        n_steps=1,
    )
    model = TorchNetwork(network)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    again = model.to_network()
    assert again.connections[0].maps[0].scale.tolist() == [2.0, 2.0]
    for f, m in zip(forms, again.connections[1].maps, strict=True):
        np.testing.assert_array_equal(m.scale, f + 1)
        np.testing.assert_array_equal(m.shift, f + 1)
        assert m.scale.shape == f.shape


def test_pruning_leaves_the_weights_of_a_join_alone():
    network = built("resnet20", width=2)
    model = TorchNetwork(network)
    attach_scores(model, 0.1)
    pruned = model.to_network()
    for a, b in zip(network.connections, pruned.connections, strict=True):
        for m, n in zip(a.maps, b.maps, strict=True):
            if isinstance(m, Scale):
                np.testing.assert_array_equal(m.scale, n.scale)
            elif isinstance(m, Conv2d):
                assert n.mask.mean() == pytest.approx(0.1, abs=0.1)


def added(*, first, second):
    """in (2,) -> a (2,) -> b (2,), and in -> b: b receives `second` times a's spikes and `first` times the input."""
    eye = np.eye(2, dtype=np.float32)
    return Network(
        name="added",
        populations=(
            Population(name="in", shape=(2,), kind="input"),
            Population(name="a", shape=(2,), kind="relu"),
            Population(name="b", shape=(2,), kind="relu"),
            Population(name="out", shape=(2,), kind="readout"),
        ),
        connections=(
            Connection(source="in", target="a", maps=(Dense(weight=eye),)),
            Connection(source="a", target="b", maps=(Dense(weight=eye * second),)),
            Connection(source="in", target="b", maps=(Dense(weight=eye * first),)),
            Connection(source="b", target="out", maps=(Dense(weight=eye),)),
        ),
        output="out",
        n_steps=1,
    )


def test_a_threshold_is_measured_on_the_sum_of_what_arrives():
    """a receives 1 and 2, so its threshold is 2 and its neurons spike every second step, and in every step.

    b receives 3 x (1, 2) and, when a spikes, -4 more: at most 3 in the first neuron, 6 - 4 = 2 in the second. One path
    alone has its largest values at 6 and 0, both paths' largest values add up to 6.
    """
    thresholds = calibrate_thresholds(
        added(first=3.0, second=-4.0), [torch.tensor([[1.0, 2.0]])], n_steps=4, percentile=100, scale=1.0
    )
    assert thresholds == {"a": 2.0, "b": 3.0}


def test_two_activations_of_a_block_have_thresholds_of_their_own():
    """Each is the percentile of its own sum, as a plain run of the network up to there gives it."""
    network = unsettled(built("resnet20", width=2))
    x = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    thresholds = calibrate_thresholds(network, [x], n_steps=5, scale=1.0)
    model = TorchNetwork(to_spiking(network, thresholds, n_steps=5)).eval()
    for norm in model.batch_norms():
        norm.statistics = "batch"
    with torch.no_grad():
        _, emitted = model(x, record=True)
        outer = {c.like.source: c(emitted[c.like.source], 5) for c in model.connections if c.like.target == "block1.1b"}
    assert set(outer) == {"block1.1a", "stem"}
    assert thresholds["block1.1b"] == pytest.approx(np.percentile(sum(outer.values()).numpy(), 99.7), rel=1e-5)
    assert thresholds["block1.1a"] != thresholds["block1.1b"]


@pytest.mark.parametrize("name", ["resnet20", "wrn16-4"])
def test_calibration_conversion_and_batch_norm_give_a_network_that_spikes_throughout(name):
    network = built(name, width=2)
    batches = [torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(s)) for s in range(2)]
    thresholds = calibrate_thresholds(network, batches, n_steps=20, scale=0.3)
    model = TorchNetwork(to_spiking(network, thresholds, n_steps=8))
    reestimate_batch_norm(model, batches)
    _, emitted = model.eval()(batches[0], record=True)
    assert all(0 < emitted[name].mean() < 1 for name in thresholds)


def test_zero_biases_change_nothing_and_are_trained():
    network = unsettled(built("resnet20", width=1))
    biased = add_biases(network)
    maps = [m for c in biased.connections for m in c.maps if isinstance(m, (Conv2d, Dense))]
    assert all(m.bias is not None for m in maps)
    kept = maps_of(biased, "block3.3b", "logits")[-1].bias
    np.testing.assert_array_equal(kept, maps_of(network, "block3.3b", "logits")[-1].bias)
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(TorchNetwork(network).eval()(x), TorchNetwork(biased).eval()(x))
    assert len(list(TorchNetwork(biased).parameters())) == len(list(TorchNetwork(network).parameters())) + len(maps) - 1


def test_biases_are_not_added_to_integers():
    snn = quantize(canonicalize(spiking("resnet20", width=1)), weight_bits=8)
    with pytest.raises(TrainingError, match=r"GSM-608.*int"):
        add_biases(snn)


def test_a_stream_that_is_read_cannot_be_quantized_and_says_why():
    snn = spiking("wrn16-4", width=1)
    with pytest.raises(CompileError, match=r"GSM-302.*sum3.2"):
        compile_network(replace(snn, output="sum3.2"), weight_bits=8)


def test_the_energy_of_a_network_with_joins_is_attacked():
    network = unsettled(built("wrn16-4", width=4, n_classes=10))
    names = [p.name for p in network.populations if p.kind == "relu"]
    spiking = to_spiking(network, dict.fromkeys(names, 0.4), n_steps=3, reset="zero", leak=1.0)
    digits = load_dataset("digits", "test").limit(4)
    coloured = replace(digits, x=np.repeat(digits.x, 3, axis=1))
    found = energy_attack(spiking, coloured, eps=0.1, n_steps=2)
    assert found.runs["attacked"].total.synaptic_ops > found.runs["clean"].total.synaptic_ops > 0
