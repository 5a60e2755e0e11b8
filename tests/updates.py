"""Calls of the neuron kernels, at the ends of what their numbers hold."""

from itertools import product

import numpy as np

from gossamer.simulator import kernels

# bias_to_membrane, (has_current, voltage_first), reset_delay, leak in 1/4096, and what a reset keeps.
KINDS = [*product((False, True), ((False, False), (True, False), (True, True)), (False, True), (4096, 0, 3000), (0, 1))]


def update(number, n_groups, kind):
    """(name, arguments) of three steps of 37 neurons in two samples; n_groups: 1, or 37 that are all alike."""
    to_membrane, (has_current, voltage_first), reset_delay, leak, keep = kind
    rng, shape, integer = np.random.default_rng(8), (2, 37), number is np.int32
    top, unit = (1 << 23) - 1, 1 if integer else 4096

    def among(*edges, size):
        low, high = min(edges), max(edges)
        x = np.where(rng.random(size) < 0.5, rng.choice(edges, size), rng.integers(low, high + 1, size))
        return x.astype(number) / number(1 if integer else top)

    def repeated(x):
        return np.full(n_groups, x, number)

    current = among(-(1 << 19), -(1 << 17), -1, 0, 1, (1 << 17) - 1, 1 << 17, 1 << 19, size=(2, 3, 37)).astype(number)
    bias = among(-(1 << 17), -1, 0, 1, 1 << 17, size=37).astype(number)
    v, u = among(-top, -1, 0, 1, top, size=shape).astype(number), among(-top, 0, top, 1, size=shape).astype(number)
    threshold = repeated(5000 << 6 if integer else 0.01)
    drop = threshold.copy() if keep else repeated(0)
    coefficients = (threshold, drop, repeated(leak / unit), repeated(1000 / unit), bias, to_membrane, number(keep))
    ids, starts = np.zeros((2, 3 * 37 + kernels.LANES), np.int32), np.zeros((2, 4), np.int64)
    u = u if has_current else u[:, :0].copy()
    options = (has_current, voltage_first, reset_delay)
    return "update_integer" if integer else "update_float", (current, 0, 3, v, u, *coefficients, *options, ids, starts)
