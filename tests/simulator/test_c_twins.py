"""The kernels of the event engine do, bit for bit, what plain C does: benchmarks/c_twins.c, on small cases."""

from itertools import product

import numpy as np
import pytest
from c_twins import first_layer, layers, pushed, recurrent
from networks import joined, small_convolutional
from twin import Case, find_compiler
from updates import CHANGED, KINDS, advance, update

from gossamer.compiler import Conv2d, Dense, compile_network, integrate_and_fire
from gossamer.simulator.plan import plan_graph

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
BITS = pytest.mark.parametrize("weight_bits", [None, 8])


@BITS
def test_pushes_of_a_network(weight_bits):
    graph = compile_network(small_convolutional(), weight_bits=weight_bits)
    x = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    found = list(layers(graph, x, {p.name: len(x) for p in graph.populations[2:]}, "small"))
    assert {case.kernel for case in found} == {"push_convolution", "push_csr"}
    for case in found:
        assert case.n > 0
        case.check()
    first_layer(graph, x).check()


@BITS
@pytest.mark.parametrize("emits_numbers", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 5), (16, 16)])
def test_a_convolution_of_any_size(size, stride, emits_numbers, weight_bits):
    rng = np.random.default_rng(stride)
    weight = rng.normal(0, 1, (21, 3, 3, 3)) * (rng.random((21, 3, 3, 3)) < 0.5)
    maps = (Conv2d(weight=weight, stride=(stride, stride), padding=(1, 1)),)
    check_joined(maps, (3, *size), (21, *(-(-n // stride) for n in size)), emits_numbers, weight_bits)


@BITS
@pytest.mark.parametrize("emits_numbers", [False, True])
@pytest.mark.parametrize("n_targets", [23, 70_000])
def test_rows_of_narrow_and_wide_indices(n_targets, emits_numbers, weight_bits):
    rng = np.random.default_rng(n_targets)
    weight = np.zeros((n_targets, 4))
    weight[rng.permutation(n_targets)[:20]] = rng.normal(0, 1, (20, 4))
    check_joined((Dense(weight=weight),), (4,), (n_targets,), emits_numbers, weight_bits)


def check_joined(maps, shape, target, emits_numbers, weight_bits):
    """Events of all kinds along one projection, and past the last step with a delay."""
    graph = compile_network(
        joined(maps, shape, target, neuron=integrate_and_fire(4.0), delay=1), weight_bits=weight_bits
    )
    (q,) = plan_graph(graph, graph.n_steps).projections
    rng = np.random.default_rng(7)
    spikes = (rng.random((2, graph.n_steps, int(np.prod(shape)))) < 0.5).astype(np.uint8)
    number = np.float32 if weight_bits is None else np.int32
    case = pushed(q, "joined", spikes, int(np.prod(target)), number)
    if emits_numbers:
        values = rng.integers(1, 9, case.arguments[0].shape).astype(number)
        case.arguments = (case.arguments[0], values, *case.arguments[2:])
    case.check()
    assert case.arguments[-1].any()


@pytest.mark.parametrize("weight", [np.float32, np.int8])
def test_a_recurrent_step(weight):
    recurrent(2_000, 30, weight).check()


@pytest.mark.parametrize("number", [np.float32, np.int32])
def test_neurons_of_every_kind(number):
    for kind in KINDS:
        Case("advance", str(kind), advance(number, 1, kind), (*CHANGED, 16), 1, (np.uint16, np.int8, number)).check()
    for leak, keep in product((4096, 0, 3000), (0, 1)):
        name, arguments = update(number, 1, leak, keep)
        Case(name, f"{leak} {keep}", arguments, (0, 3, len(arguments) - 1), 1, (np.uint16, np.int8, number)).check()
