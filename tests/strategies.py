"""Random networks over the whole of the semantics, for Hypothesis.

Weights, thresholds and decays are dyadic, so float32 sums are exact and every executor must agree spike for spike.
"""

import numpy as np
from hypothesis import strategies as st

from gossamer.compiler import (
    AveragePool2d,
    BatchNorm,
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Neuron,
    Population,
    Scale,
    SumPool2d,
    gate,
    integrator,
)


@st.composite
def networks(draw, tangled=False, layered=False):
    """A network of 2 to 6 populations: pictures or flat, with joins, delays, cycles and every neuron option.

    tangled: also connections that skip forward or lead back, pictures into flat populations and the reverse, any
    population as output, and parts that are declared in any order.
    layered: no cycles, no delays of single synapses, every sample by itself, and mostly integrate-and-fire neurons.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coding = draw(codings())
    as_picture = draw(st.booleans())
    shape = (draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(3, 7)] * 2)))
    if not as_picture:
        shape = (draw(st.integers(2, 9)),)
    populations = [Population(name="in", shape=shape, kind="input")]
    connections = []
    for i in range(draw(st.integers(1, 3))):
        source = populations[-1]
        name = f"p{i}"
        if source.kind == "spiking" and len(source.shape) == 3 and min(source.shape[1:]) >= 2 and draw(st.booleans()):
            add_maximum(populations, connections, f"max{i}")
            source = populations[-1]
        maps, shape = draw(chains(rng, source.shape))
        if isinstance(maps[0], Dense) and len(maps) == 1 and not layered and draw(st.booleans()):
            delays = rng.integers(0, draw(st.sampled_from([4, 9])), maps[0].weight.shape)
            maps = (Dense(weight=maps[0].weight, bias=maps[0].bias, delays=delays),)
        shape = draw(reshaped(shape)) if tangled else shape
        populations.append(
            Population(
                name=name, shape=shape, neuron=draw(neurons(shape, simple=layered)), bias=dyadic(rng, shape[:1]) / 2
            )
        )
        connections.append(Connection(source=source.name, target=name, maps=maps, delay=draw(st.integers(0, 2))))
        if not layered and draw(st.booleans()):
            if len(shape) == 1:
                recurrent = Dense(weight=sparse(rng, (populations[-1].n_neurons,) * 2))
            else:
                recurrent = Conv2d(weight=sparse(rng, (shape[0], shape[0], 3, 3)), padding=(1, 1))
            connections.append(Connection(source=name, target=name, maps=(recurrent,), delay=draw(st.integers(1, 2))))
        if source.shape == shape and source.kind != "input" and draw(st.booleans()):
            weights, bias = draw(st.sampled_from([((1, 1), 0), ((1, 1), 0), ((0.5, 1), 0), ((0.5, -1.5), 0.25)]))
            add_join(populations, connections, source.name, f"join{i}", weights, bias)
    if draw(st.booleans()):
        source = populations[-1]
        neuron = draw(st.sampled_from([None, integrator(0.5), integrator(1.0, current_decay=0.5)]))
        populations.append(Population(name="out", shape=(3,), kind="readout", neuron=neuron, bias=dyadic(rng, (3,))))
        weight = sparse(rng, (3, source.n_neurons))
        connections.append(Connection(source=source.name, target="out", maps=(Dense(weight=weight),)))
    output = populations[-1].name
    if tangled:
        output = draw(st.sampled_from([p.name for p in populations[1:]]))
        for _ in range(draw(st.integers(0, 2))):
            draw(a_skip(rng, populations, connections))
        populations, connections = draw(st.permutations(populations)), draw(st.permutations(connections))
    return Network(
        name="random",
        populations=tuple(populations),
        connections=tuple(connections),
        output=output,
        n_steps=draw(st.integers(1, 6)),
        coding=coding,
        reset_between_samples=layered or draw(st.booleans()),
    )


@st.composite
def reshaped(draw, shape):
    """The shape as it is; or a picture flattened, or a flat shape made a picture."""
    if draw(st.integers(0, 3)):
        return shape
    return (shape[0], 1, 1) if len(shape) == 1 else (int(np.prod(shape)),)


@st.composite
def a_skip(draw, rng, populations, connections):
    """One more connection: forward past some populations, or back to an earlier one with a delay."""
    sources = [i for i, p in enumerate(populations) if p.kind != "readout"]
    targets = [i for i, p in enumerate(populations) if p.kind in ("spiking", "readout")]
    a, b = draw(st.sampled_from(sources)), draw(st.sampled_from(targets))
    weight = sparse(rng, (populations[b].n_neurons, populations[a].n_neurons))
    delay = draw(st.integers(0 if a < b else 1, 3))
    connections.append(
        Connection(source=populations[a].name, target=populations[b].name, maps=(Dense(weight=weight),), delay=delay)
    )


def samples(network, seed, n=3):
    """(n, ...) data that fit the network's coding, dyadic where they are real."""
    rng = np.random.default_rng(seed)
    shape = network.input.shape
    if network.coding.kind == "events":
        top = 4 if network.coding.graded else 2
        return rng.integers(0, top, (n, network.n_steps, *shape))
    return rng.integers(0, 5, (n, *shape)).astype(np.float32) / 4


def codings():
    """Every input coding."""
    return st.sampled_from(
        [
            InputCoding(kind="direct", levels=4),
            InputCoding(kind="rate", seed=3),
            InputCoding(kind="phase", phases=3),
            InputCoding(kind="phase", phases=2, weighted=True),
            InputCoding(kind="latency"),
            InputCoding(kind="events"),
            InputCoding(kind="events", graded=True),
        ]
    )


@st.composite
def neurons(draw, shape, simple=False):
    """Every option of the neuron's equation; thresholds per population, per channel or per neuron.

    simple: mostly without leak, synaptic current and delayed reset.
    """
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    threshold_shape = draw(st.sampled_from([(), shape[:1], shape]))
    return Neuron(
        threshold=rng.integers(2, 12, threshold_shape) / 4,
        leak=np.asarray(draw(st.sampled_from([1.0, 0.0, 1.0, 0.5] if simple else [1.0, 0.5]))),
        current_decay=np.asarray(draw(st.sampled_from([0.0] * (9 if simple else 2) + [0.5]))),
        v_init=np.asarray(draw(st.sampled_from([0.0, 0.25]))),
        reset=draw(st.sampled_from(["subtract", "zero", "none"])),
        comparator=draw(st.sampled_from([">=", ">"])),
        update_order=draw(st.sampled_from(["current-first", "current-first", "voltage-first"])),
        reset_delay=draw(st.sampled_from([False] * (9 if simple else 1) + [True])),
        bias_target=draw(st.sampled_from(["current", "membrane"])),
    )


@st.composite
def chains(draw, rng, shape):
    """A chain of maps from `shape`, and the shape after it."""
    if len(shape) == 1:
        n_out = draw(st.integers(1, 8))
        bias = dyadic(rng, (n_out,)) if draw(st.booleans()) else None
        maps = [Dense(weight=sparse(rng, (n_out, shape[0])), bias=bias)]
        if draw(st.booleans()):
            maps.append(batch_norm(rng, n_out))
        return tuple(maps), (n_out,)
    maps, original = [], shape
    if draw(st.booleans()):
        maps.append(Scale(scale=rng.choice([0.5, 1.0, 2.0], shape[0]), shift=dyadic(rng, (shape[0],))))
    pool = draw(st.sampled_from(["none", "average", "sum", "overlapping"]))
    if pool != "none" and min(shape[1:]) >= 2:
        kind = AveragePool2d if pool == "average" else SumPool2d
        overlapping = pool == "overlapping"
        maps.append(
            kind(kernel=(2, 2), stride=(1, 1) if overlapping else (2, 2), padding=(1, 1) if overlapping else (0, 0))
        )
        shape = maps[-1].output_shape(shape)
    if draw(st.booleans()):
        kernel = draw(st.integers(1, min(3, *shape[1:]))), draw(st.integers(1, min(3, *shape[1:])))
        grouped = draw(st.booleans())
        groups = shape[0] if grouped else 1
        n_out = groups * draw(st.integers(1, 2)) if grouped else draw(st.integers(1, 4))
        dilation = draw(st.sampled_from([(1, 1), (1, 2)]))
        padding = (draw(st.integers(0, kernel[0])), draw(st.integers(kernel[1] - 1, kernel[1])))
        maps.append(
            Conv2d(
                weight=sparse(rng, (n_out, shape[0] // groups, *kernel)),
                bias=dyadic(rng, (n_out,)),
                stride=(draw(st.integers(1, 2)), draw(st.integers(1, 3))),
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
        )
        if draw(st.booleans()):
            maps.append(batch_norm(rng, n_out))
    else:
        maps.append(Dense(weight=sparse(rng, (draw(st.integers(1, 6)), int(np.prod(shape))))))
    return tuple(maps), shape_after(maps, original)


def shape_after(maps, shape):
    """The shape after the last map."""
    for m in maps:
        shape = m.output_shape(shape)
    return shape


def add_maximum(populations, connections, name):
    """Max pooling over spikes: an OR over 2x2 windows."""
    source = populations[-1]
    channels = source.shape[0]
    window = Conv2d(weight=np.ones((channels, 1, 2, 2), np.float32), stride=(2, 2), groups=channels)
    populations.append(Population(name=name, shape=window.output_shape(source.shape), neuron=gate(1.0)))
    connections.append(Connection(source=source.name, target=name, maps=(window,)))


def add_join(populations, connections, skipped, name, weights, bias):
    """The ADD of a residual block: graded spikes 0, 1, 2; or with weights, constants and a bias, a real-valued sum."""
    shape = populations[-1].shape
    for source, weight in zip((skipped, populations[-1].name), weights, strict=True):
        maps = () if weight == 1 else (Scale(scale=np.float32(weight), shift=np.float32(weight / 2)),)
        connections.append(Connection(source=source, target=name, maps=maps))
    populations.append(Population(name=name, shape=shape, kind="join", bias=np.float32(bias)))


def sparse(rng, shape):
    """Dyadic weights in [-2, 2], 60 % of them zero."""
    return (rng.integers(-8, 9, shape) / 4 * (rng.random(shape) < 0.4)).astype(np.float32)


def dyadic(rng, shape):
    """Multiples of 1/4 in [-1, 1]."""
    return (rng.integers(-4, 5, shape) / 4).astype(np.float32)


def batch_norm(rng, n):
    """Statistics whose square roots and products are dyadic."""
    return BatchNorm(
        mean=dyadic(rng, (n,)),
        variance=rng.choice([0.25, 1.0, 4.0], n),
        gamma=rng.choice([0.5, 1.0, -1.0], n),
        beta=dyadic(rng, (n,)),
        eps=0.0,
    )
