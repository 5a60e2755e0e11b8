"""Samples that are read or made by slices."""

import numpy as np
import pytest
from networks import assert_identical, small_convolutional

from gossamer.compiler import compile_network
from gossamer.simulator import SimulationError, simulate
from gossamer.training.data import load_dataset


class Recorded:
    """Samples that remember which of them were asked for together."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.asked = x, x.shape, x.dtype, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, part):
        self.asked.append(len(range(*part.indices(len(self.x)))))
        return self.x[part]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def graph():
    return compile_network(small_convolutional())


@pytest.mark.parametrize("engine", ["event", "bits"])
def test_samples_are_taken_block_by_block(graph, engine, rng):
    x = rng.random((1100, *graph.input.shape), np.float32)
    slices = Recorded(x)
    whole, parts = (simulate(graph, given, engine=engine, threads=1) for given in (x, slices))
    assert (whole.counts == parts.counts).all()
    assert_identical(whole.logits, parts.logits)
    assert max(slices.asked) < len(x)


def test_samples_may_lie_in_a_file(graph, rng, tmp_path):
    x = rng.random((40, *graph.input.shape), np.float32)
    np.save(tmp_path / "x.npy", x)
    there = simulate(graph, np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert_identical(there.logits, simulate(graph, x).logits)


def test_images_are_scaled_when_they_are_needed():
    digits = load_dataset("digits", "test")
    assert_identical(digits.scaled()[10:20], digits.images()[10:20])
    assert digits.scaled().shape == digits.images().shape
    assert digits.scaled().dtype == np.float32


def test_a_number_in_the_last_block_is_found(rng):
    """The largest number bounds the sums of the whole run."""
    graph = compile_network(small_convolutional(), weight_bits=8)
    x = rng.random((1100, *graph.input.shape), np.float32)
    x[-1] *= 200
    by_bits, by_events = (simulate(graph, Recorded(x), engine=engine) for engine in ("bits", "event"))
    assert_identical(by_bits.logits, by_events.logits)


def test_slices_of_the_wrong_shape_are_refused(graph):
    for n, shape in ((3, (5,)), (0, graph.input.shape)):
        with pytest.raises(SimulationError, match="GSM-401"):
            simulate(graph, Recorded(np.zeros((n, *shape), np.float32)))
