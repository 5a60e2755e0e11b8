"""Neurons that decay, have a current or are read as membranes: eight steps of currents that were pulled before."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_integer(
    current, n_steps, v, u, channels, per_channel, neuron, biases, to_membrane, voltage_first, reset_delay, fires,
    fired, seen,
):  # fmt: skip
    """Any neuron in Loihi's arithmetic over n_steps <= 8 (see `update_integer` of neurons.py).

    current: (8, n) of n bytes of some channels (first, end). v, u: (n,) int64 in 1/64 unit, advanced. neuron
    (n_channels, 7): membrane at the start, bias, fire_at, drop, keep, leak, decay; bias, fire_at and drop in 1/64 unit,
    leak and decay in 1/4096, keep 0 or 1. biases: (n_channels, per_channel or 0) in units. fired: (n,) bytes, set.
    seen: (n, 8) membranes, if it does not fire.
    """
    limit, mask = np.int64(1 << 23), np.int64((1 << 24) - 1)
    fired[:] = 0
    for o in range(channels[0], channels[1]):
        bias, fire_at, drop = np.int64(neuron[o, 1]), np.int64(neuron[o, 2]), np.int64(neuron[o, 3])
        keep, leak, decay = np.int64(neuron[o, 4]), np.int64(neuron[o, 5]), np.int64(neuron[o, 6])
        first = (o - channels[0]) * per_channel
        for t in range(n_steps):
            now = current[t, first : first + per_channel]
            for i in range(per_channel):
                shift = bias
                if biases.shape[1]:
                    shift += np.int64(biases[o, i]) << 6
                scaled = np.int64(now[i]) << 6
                if not to_membrane:
                    scaled += shift
                old = u[first + i]
                magnitude = (abs(old) * decay) >> 12
                scaled += magnitude if old >= 0 else -magnitude
                new = ((scaled + limit - 1) & mask) - (limit - 1)
                u[first + i] = new
                before = v[first + i]
                magnitude = (abs(before) * leak) >> 12
                x = (magnitude if before >= 0 else -magnitude) + (old if voltage_first else new)
                if to_membrane:
                    x += shift
                x = min(max(x, 1 - limit), limit - 1)
                if reset_delay and before >= fire_at:
                    x = keep * x - drop
                fire = fires and x >= fire_at
                if fire and not reset_delay:
                    x = keep * x - drop
                v[first + i] = x
                if fires:
                    fired[first + i] |= np.uint8(fire) << np.uint8(t)
                else:
                    seen[first + i, t] = x


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_float(
    current, n_steps, v, u, channels, per_channel, neuron, biases, has_current, to_membrane, voltage_first, reset_delay,
    fires, fired, seen,
):  # fmt: skip
    """As update_integer for float32, in the order of `update_float` of neurons.py."""
    fired[:] = 0
    for o in range(channels[0], channels[1]):
        bias, fire_at, drop = neuron[o, 1], neuron[o, 2], neuron[o, 3]
        keep, leak, decay = neuron[o, 4], neuron[o, 5], neuron[o, 6]
        first = (o - channels[0]) * per_channel
        for t in range(n_steps):
            now = current[t, first : first + per_channel]
            for i in range(per_channel):
                shift = bias
                if biases.shape[1]:
                    shift += biases[o, i]
                drive = now[i]
                if not to_membrane:
                    drive += shift
                if has_current:
                    old = u[first + i]
                    new = decay * old + drive
                    u[first + i] = new
                    drive = old if voltage_first else new
                before = v[first + i]
                x = leak * before + drive
                if to_membrane:
                    x += shift
                if reset_delay and before >= fire_at:
                    x = keep * x - drop
                fire = fires and x >= fire_at
                if fire and not reset_delay:
                    x = keep * x - drop
                v[first + i] = x
                if fires:
                    fired[first + i] |= np.uint8(fire) << np.uint8(t)
                else:
                    seen[first + i, t] = x
