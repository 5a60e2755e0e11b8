"""Event lists, against NumPy."""

import numpy as np
import pytest

from gossamer.simulator.kernels import count_spikes, list_spikes


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("n_neurons", [1, 15, 16, 17, 100])
def test_spikes_are_listed_in_order_and_within_their_room(rate, n_neurons):
    rng = np.random.default_rng(n_neurons)
    spikes = (rng.random((3, 4, n_neurons)) < rate).astype(np.uint8)
    room = np.full((3, 4 * n_neurons), -1, np.int32)
    guarded = np.full((5, 4 * n_neurons), -7, np.int32)  # nobody writes before or behind the lists
    ids, starts = guarded[1:4], np.zeros((3, 5), np.int64)
    ids[:] = room
    list_spikes(spikes, ids, starts)
    for b in range(3):
        assert starts[b].tolist() == [0, *np.cumsum(spikes[b].sum(axis=1)).tolist()]
        assert ids[b, : starts[b, -1]].tolist() == np.nonzero(spikes[b])[1].tolist()
    assert (guarded[[0, 4]] == -7).all()
    counted = np.zeros(4, np.int64)
    count_spikes(starts, counted)
    assert (counted == spikes.sum(axis=(0, 2))).all()
