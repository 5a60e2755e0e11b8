"""Event lists: made from dense arrays, counted, and spread back into dense arrays."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def list_events(dense, ids, values, starts):
    """List the non-zero entries of dense (n_samples, n_block, n_neurons)."""
    n_samples, n_block, n_neurons = dense.shape
    for b in range(n_samples):
        k = 0
        starts[b, 0] = 0
        for step in range(n_block):
            for i in range(n_neurons):
                x = dense[b, step, i]
                if x != 0:
                    ids[b, k] = i
                    if values.shape[1]:
                        values[b, k] = x
                    k += 1
            starts[b, step + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def list_spikes(spikes, ids, starts):
    """As list_events for spikes, uint8: most words of eight hold none."""
    n_samples, n_block, n_neurons = spikes.shape
    n_words = n_neurons // 8
    for b in range(n_samples):
        k = 0
        starts[b, 0] = 0
        for step in range(n_block):
            row = spikes[b, step]
            words = row[: 8 * n_words].view(np.uint64)
            for w in range(n_words):
                if words[w] != 0:
                    for i in range(8 * w, 8 * w + 8):
                        if row[i] != 0:
                            ids[b, k] = i
                            k += 1
            for i in range(8 * n_words, n_neurons):
                if row[i] != 0:
                    ids[b, k] = i
                    k += 1
            starts[b, step + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_spikes(starts, spikes):
    """Add the events of each step, over all samples, to spikes (n_block,) int64."""
    for b in range(len(starts)):
        for step in range(spikes.size):
            spikes[step] += starts[b, step + 1] - starts[b, step]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_visits(ids, starts, fan_out, visits):
    """Add the synapses that the events of each step visit, over all samples, to visits (n_block,) int64.

    fan_out: (n_pre,) int64.
    """
    for b in range(len(starts)):
        for step in range(visits.size):
            for e in range(starts[b, step], starts[b, step + 1]):
                visits[step] += fan_out[ids[b, e]]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def spread_events(ids, values, starts, dense):
    """Write events into dense (n_samples, n_block, n_neurons), which holds zeros."""
    for b in range(starts.shape[0]):
        for step in range(starts.shape[1] - 1):
            for e in range(starts[b, step], starts[b, step + 1]):
                if values.shape[1]:
                    dense[b, step, ids[b, e]] = values[b, e]
                else:
                    dense[b, step, ids[b, e]] = 1
