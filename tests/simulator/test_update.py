"""Neurons are the same in vectors of 16 as one by one."""

import numpy as np
import pytest
from updates import KINDS, update

from gossamer.simulator import kernels


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
