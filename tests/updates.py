"""Calls of the neuron kernels, at the ends of what their numbers hold."""

from itertools import product

import numpy as np

from gossamer.simulator import kernels

# late, (has_current, voltage_first), reset_delay, leak in 1/4096, and what a reset keeps.
KINDS = [*product((False, True), ((False, False), (True, False), (True, True)), (False, True), (4096, 0, 3000), (0, 1))]
CHANGED = (0, 3, 4, 15)  # current, v, u, fired


def advance(number, n_groups, kind, n=101):
    """Arguments of `advance`: three steps of n neurons in two samples, which are shown; n_groups: 1, or n alike."""
    late, (has_current, voltage_first), reset_delay, leak, keep = kind
    rng, shape, integer = np.random.default_rng(8), (2, n), number is np.int32
    top, unit = (1 << 23) - 1, 1 if integer else 4096

    def among(*edges, size):
        low, high = min(edges), max(edges)
        x = np.where(rng.random(size) < 0.5, rng.choice(edges, size), rng.integers(low, high + 1, size))
        return x.astype(number) / number(1 if integer else top)

    def repeated(x):
        return np.full(n_groups, x, number)

    current = among(-(1 << 19), -(1 << 17), -1, 0, 1, (1 << 17) - 1, 1 << 17, 1 << 19, size=(2, 3, n)).astype(number)
    bias = among(-(1 << 17), -1, 0, 1, 1 << 17, size=n).astype(number)
    v, u = among(-top, -1, 0, 1, top, size=shape).astype(number), among(-top, 0, top, 1, size=shape).astype(number)
    threshold = repeated(5000 << 6 if integer else 0.01)
    drop = threshold.copy() if keep else repeated(0)
    coefficients = (threshold, drop, repeated(leak / unit), repeated(1000 / unit), bias, number(keep))
    u = u if has_current else u[:, :0].copy()
    options = (late, has_current, voltage_first, reset_delay)
    fired, seen = np.zeros(shape, np.uint8), np.zeros((2, 3, n), number)
    return current, 2, 3, v, u, *coefficients, *options, fired, seen


def update(number, n_groups, leak, keep, n=101):
    """(name, arguments) of the kernel for the simplest of these kinds."""
    current, slot, n_steps, v, _, fire_at, drop, leaks, _, bias, keep, *_ = advance(
        number, n_groups, (False, (False, False), False, leak, keep), n
    )
    ids, starts = np.zeros((2, n_steps * n + kernels.LANES), np.int32), np.zeros((2, n_steps + 1), np.int64)
    name = "update_integer" if number is np.int32 else "update_float"
    return name, (current, slot, n_steps, v, fire_at, drop, leaks, bias, keep, ids, starts)
