"""Neurons are the same in vectors of 16 as one by one."""

from unittest.mock import patch

import numpy as np
import pytest
from numba import njit
from updates import KINDS, update

from gossamer.simulator import kernels
from gossamer.simulator.kernels import neurons
from gossamer.simulator.kernels.features import HAS_AVX512


@pytest.mark.parametrize("number", [np.float32, np.int32])
def test_a_neuron_does_not_depend_on_its_neighbours(number):
    for kind in KINDS:
        name, together = update(number, 1, kind)
        _, alone = update(number, 37, kind)
        getattr(kernels, name)(*together)
        getattr(kernels, name)(*alone)
        (*ids, starts), (*expected, _) = together[-2:], alone[-2:]
        assert starts[0, -1] > 0, kind
        for b, (found, wanted) in enumerate(zip(ids[0], expected[0], strict=True)):
            np.testing.assert_array_equal(found[: starts[b, -1]], wanted[: starts[b, -1]], err_msg=str(kind))
        for i in (0, 3, 4, len(together) - 1):  # current, v, u, starts
            np.testing.assert_array_equal(together[i], alone[i], err_msg=str(kind))


@pytest.mark.parametrize("has_avx512", [False, HAS_AVX512])
@pytest.mark.parametrize(("leak", "late"), [(4096, False), (3000, False), (0, False), (3000, True), (4096, True)])
@pytest.mark.parametrize("keeps", [False, True])
def test_vectors_of_whole_numbers_do_what_is_done_one_by_one(leak, late, keeps, has_avx512):
    intrinsic = neurons._make_fire(leak != 4096 or late, late)

    @njit
    def fire(*arguments):
        intrinsic(*arguments)

    found = []
    for run, avx512, more in ((fire, has_avx512, ()), (neurons.plain_fire_integer, False, (late,))):
        _, (current, slot, n_steps, v, _, fire_at, drop, leaks, _, bias, *_) = update(
            np.int32, 1, (late, (False, False), False, leak, keeps)
        )
        ids, ends = np.zeros(3 * 48, np.int32), 48 * np.arange(3)
        where = (current[0], slot, n_steps, bias, v[0], 0, 32, ids, ends)
        with patch.object(neurons, "HAS_AVX512", avx512):
            run(*where, fire_at[0], drop[0], leaks[0], keeps, *more)
        found.append((current, v, ends, *(ids[48 * step : end] for step, end in enumerate(ends))))
    assert any(found[0][2] > 48 * np.arange(3))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
