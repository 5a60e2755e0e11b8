"""Dense projections: products of 8-bit weights give what pulling gives, for every shape, on CPUs that have VNNI."""

from unittest.mock import patch

import numpy as np
import pytest
from agreement import assert_same, in_integers
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import small_convolutional
from strategies import networks, samples

from gossamer.compiler import compile_network, to_synaptic_graph
from gossamer.simulator import dense, simulate
from gossamer.simulator.bit_plan import BitPlan, why_not_bits
from gossamer.simulator.kernels import dense as kernels
from gossamer.simulator.kernels.features import HAS_VNNI
from gossamer.simulator.plan import plan_graph
from gossamer.simulator.reference import run_reference

RNG = np.random.default_rng(0)
NEVER, ALWAYS = {}, {np.int16: 0.0, np.int32: 0.0}
needs_vnni = pytest.mark.skipif(not HAS_VNNI, reason="this CPU has no VNNI: dense projections are pulled")


def worth(share):
    return patch.object(dense, "WORTH", share)


def dense_targets(graph):
    return [t.population.name for t in BitPlan(plan_graph(graph, graph.n_steps), 1).targets if t.dense]


@pytest.mark.parametrize("n_channels", [1, 3, 4, 7])
def test_bytes_are_spread_to_words(n_channels):
    laid = RNG.integers(0, 256, (n_channels, 5)).astype(np.uint8)
    spread = np.zeros(-(-n_channels // 4) * 5 * 8, np.uint32)
    kernels.spread_bytes(laid.reshape(-1), n_channels, spread)
    padded = np.zeros((-(-n_channels // 4) * 4, 5), np.uint8)
    padded[:n_channels] = laid
    bits = np.unpackbits(padded[..., None], axis=2, bitorder="little").reshape(-1, 4, 5, 8)
    np.testing.assert_array_equal(spread.view(np.uint8).reshape(-1, 5, 8, 4), bits.transpose(0, 2, 3, 1))


@needs_vnni
@pytest.mark.parametrize("tile", range(len(kernels.TILES)))
@pytest.mark.parametrize("fresh", [False, True])
def test_products_are_those_of_the_whole_numbers(tile, fresh):
    n_groups, n_out, height, width, plane = 3, 2, 5, 7, (7, 9)
    bits = RNG.integers(0, 2, (n_groups, *plane, 8, 4)).astype(np.uint8)
    weights = RNG.integers(-128, 128, (n_out, n_groups, 2, kernels.ROWS, 4)).astype(np.int8)
    taps = [(0, 1), (2, 0)]
    spread = np.concatenate([bits.reshape(-1).view(np.uint32), np.zeros(plane[1] * 8 + 64, np.uint32)])
    pitch = (width + 3) * 8
    apart = (height + 1) * pitch
    product = np.full(n_out * kernels.ROWS * apart, 1000, np.int32)
    where = np.array([(y * plane[1] + x) * 8 for y, x in taps], np.int64)
    source = (spread, plane[1] * 8, plane[0] * plane[1] * 8, n_groups, where, weights.view(np.uint32).reshape(-1))
    kernels.multiply(width, height, tile, *source, 0, n_out, fresh, product, pitch, apart)
    expected = np.full((n_out, kernels.ROWS, height, width, 8), 0 if fresh else 1000)
    for k, (y, x) in enumerate(taps):
        seen = bits[:, y : y + height, x : x + width].astype(int)
        expected += np.einsum("ogrc,gyxtc->oryxt", weights[:, :, k].astype(int), seen)
    found = product.reshape(n_out, kernels.ROWS, height + 1, width + 3, 8)[:, :, :height, :width]
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60)
@given(networks(layered=True), st.integers(0, 1000), st.sampled_from(["layer", "channel"]), st.integers(3, 8))
def test_products_equal_the_reference(network, seed, per, weight_bits):
    network = in_integers(network, weight_bits, per)
    x = samples(network, seed)
    trace = run_reference(network, x)
    for unroll in (False, True):
        graph = to_synaptic_graph(network, unroll=unroll)
        if why_not_bits(graph) is None:
            with worth(ALWAYS):
                assert_same(trace, simulate(graph, x, record="*", threads=2, engine="bits"), network)


@needs_vnni
def test_layers_with_few_zeros_are_multiplied_and_others_are_not():
    graph = compile_network(small_convolutional(), weight_bits=8)
    with worth(NEVER):
        assert not dense_targets(graph)
    with worth(ALWAYS):
        assert len(dense_targets(graph)) >= 2
    graph = compile_network(small_convolutional(), weight_bits=12)  # weights of more than 8 bits
    with worth(ALWAYS):
        assert len(dense_targets(graph)) < 2


@pytest.mark.parametrize("n_samples", [1, 2, 3, 5, 8, 13, 64])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n_steps", [1, 8, 19])
def test_blocks_threads_and_steps_change_nothing(n_samples, threads, n_steps):
    x = np.random.default_rng(1).random((n_samples, 3, 8, 8), np.float32)
    runs = []
    for share in (NEVER, ALWAYS):
        graph = compile_network(small_convolutional(), weight_bits=8)  # for which nothing is prepared yet
        with worth(share), patch("gossamer.simulator.bit_memory.WORTH_SHARING", 0):
            run = {"record": "*", "threads": threads, "n_steps": n_steps, "engine": "bits"}
            runs.append(simulate(graph, x, **run))
    np.testing.assert_array_equal(runs[0].counts, runs[1].counts)
    np.testing.assert_array_equal(runs[0].logits, runs[1].logits)
    for name, spikes in runs[0].spikes.items():
        np.testing.assert_array_equal(runs[1].spikes[name], spikes)
