"""Neurons are the same in vectors of 16 as one by one."""

from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from numba import njit
from updates import CHANGED, KINDS, advance, update

from gossamer.simulator import kernels
from gossamer.simulator.kernels import general_neurons, neurons
from gossamer.simulator.kernels.features import HAS_AVX512

NUMBERS = pytest.mark.parametrize("number", [np.float32, np.int32])


@NUMBERS
def test_a_neuron_does_not_depend_on_its_neighbours(number):
    for leak, keep in product((4096, 0, 3000), (0, 1)):
        name, together = update(number, 1, leak, keep)
        _, alone = update(number, 101, leak, keep)
        getattr(kernels, name)(*together)
        getattr(kernels, name)(*alone)
        (*ids, starts), (*expected, _) = together[-2:], alone[-2:]
        assert starts[0, -1] > 0, (leak, keep)
        for b, (found, wanted) in enumerate(zip(ids[0], expected[0], strict=True)):
            np.testing.assert_array_equal(found[: starts[b, -1]], wanted[: starts[b, -1]], err_msg=f"{leak} {keep}")
        for i in (0, 3, len(together) - 1):  # current, v, starts
            np.testing.assert_array_equal(together[i], alone[i], err_msg=f"{leak} {keep}")


@NUMBERS
@pytest.mark.parametrize("has_avx512", [False, HAS_AVX512])
@pytest.mark.parametrize("n_groups", [1, 101])
def test_any_neuron_in_vectors_is_what_it_is_one_by_one(number, n_groups, has_avx512):
    """96 neurons in vectors, 5 behind them, against the plain loop for all."""
    intrinsics = [njit(_calling(general_neurons._make_advance(has_current))) for has_current in (False, True)]
    plain = general_neurons.plain_advance_integer if number is np.int32 else general_neurons.plain_advance_float
    for kind in KINDS:
        found, expected = advance(number, n_groups, kind), advance(number, n_groups, kind)
        current, slot, n_steps, v, u, fire_at, drop, leak, decay, bias, keep, late, *options, fired, seen = found
        coefficients = np.array([np.full(general_neurons.TOGETHER, a[0]) for a in (fire_at, drop, leak, decay)], number)
        with patch.object(general_neurons, "HAS_AVX512", has_avx512):
            for b, i in product(range(2), range(0, 96, general_neurons.TOGETHER)):
                state = (current[b], slot, n_steps, v[b], u[b], i, coefficients, bias, bool(keep), late)
                intrinsics[options[0]](*state, *options[1:], fired[b], seen[b])
        for b in range(2):
            rows = [a[b] if isinstance(a, np.ndarray) and a.ndim > 1 else a for a in expected]
            plain(*rows[:5], 0, 96, 101 // n_groups, *rows[5:])
        for i in (*CHANGED[1:], 16):
            np.testing.assert_array_equal(found[i], expected[i], err_msg=f"{kind}, argument {i}")
        assert fired.any(), kind


def _calling(intrinsic):
    def run(*arguments):
        intrinsic(*arguments)

    return run


@NUMBERS
def test_any_neuron_is_advanced_wherever_it_lies(number):
    """More neurons than are run in a strip, one coefficient for all or one for each, and one behind the last vector."""
    for kind in KINDS:
        together, alone = advance(number, 1, kind, n=1057), advance(number, 1057, kind, n=1057)
        expected = [a.copy() if isinstance(a, np.ndarray) else a for a in together]
        plain = general_neurons.plain_advance_integer if number is np.int32 else general_neurons.plain_advance_float
        for b in range(2):
            rows = [a[b] if isinstance(a, np.ndarray) and a.ndim > 1 else a for a in expected]
            plain(*rows[:5], 0, 1057, 1057, *rows[5:])
        for found in (together, alone):
            kernels.advance(*found)
            for i in (*CHANGED[1:], 16):
                np.testing.assert_array_equal(found[i], expected[i], err_msg=f"{kind}, argument {i}")
            assert not found[0].any()


@pytest.mark.parametrize("has_avx512", [False, HAS_AVX512])
@pytest.mark.parametrize("leak", [4096, 3000, 0])
@pytest.mark.parametrize("keeps", [False, True])
def test_vectors_of_whole_numbers_do_what_is_done_one_by_one(leak, keeps, has_avx512):
    fire, found = njit(_calling(neurons._make_fire(leak != 4096))), []
    for run, avx512 in ((fire, has_avx512), (neurons.plain_fire_integer, False)):
        _, (current, _, n_steps, v, fire_at, drop, leaks, bias, *_) = update(np.int32, 1, leak, keeps)
        ids, ends = np.zeros(3 * 112, np.int32), 112 * np.arange(3)
        with patch.object(neurons, "HAS_AVX512", avx512):
            run(current[0], 0, n_steps, bias, v[0], 0, 96, ids, ends, fire_at[0], drop[0], leaks[0], keeps)
        found.append((current, v, ends, *(ids[112 * step : end] for step, end in enumerate(ends))))
    assert any(found[0][2] > 112 * np.arange(3))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_are_listed_behind_what_was_listed_before():
    rng = np.random.default_rng(3)
    fires = rng.random((2, 11, 70)) < 0.2
    ids, starts = np.zeros((2, 11 * 70), np.int32), np.zeros((2, 12), np.int64)
    for first in (0, 8):
        steps = fires[:, first : first + 8]
        flags = np.packbits(steps, axis=1, bitorder="little")[:, 0]
        kernels.list_flags(flags, first, steps.shape[1], ids, starts)
    for b in range(2):
        for step in range(11):
            listed = ids[b, starts[b, step] : starts[b, step + 1]]
            np.testing.assert_array_equal(listed, np.flatnonzero(fires[b, step]))
