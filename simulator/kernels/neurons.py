"""Neuron updates: one equation, coefficients by group of neurons, spikes compacted into event lists.

A comparison with > arrives as >= with the next larger threshold, so there is one comparison. A reset arrives as
`keep` and `drop`: v -> keep * v - drop, that is (1, threshold) to subtract, (0, 0) to zero, (1, 0) for none.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_float(
    current,
    first_step,
    n_block,
    v,
    u,
    fire_at,
    drop,
    leak,
    decay,
    bias,
    bias_to_membrane,
    keep,
    has_current,
    voltage_first,
    reset_delay,
    flags,
    ids,
    starts,
):
    """Update n_block steps of float32 neurons and list their spikes; empties the slots of `current` that it reads.

    v, u: (n_samples, n_neurons), u is empty without synaptic current. fire_at, drop, leak, decay: (n_groups,).
    bias: (n_neurons,). flags: (n_neurons rounded up to 8,) uint8 scratch.
    """
    n_samples, ring, n_neurons = current.shape
    n_groups = fire_at.size
    size = n_neurons // n_groups
    words = flags.view(np.uint64)
    for b in range(n_samples):
        k = 0
        starts[b, 0] = 0
        for step in range(n_block):
            now = current[b, (first_step + step) % ring]
            for g in range(n_groups):
                part = slice(g * size, (g + 1) * size)
                i_now, i_bias, i_v, i_flag = now[part], bias[part], v[b, part], flags[part]
                at, lost, keeps, decays = fire_at[g], drop[g], leak[g], decay[g]
                if not has_current and not reset_delay:
                    for i in range(size):
                        x = keeps * i_v[i] + (i_now[i] + i_bias[i])
                        fired = x >= at
                        i_flag[i] = fired
                        i_v[i] = keep * x - lost if fired else x
                else:
                    for i in range(size):
                        drive = i_now[i]
                        if not bias_to_membrane:
                            drive += i_bias[i]
                        if has_current:
                            old = u[b, g * size + i]
                            new = decays * old + drive
                            u[b, g * size + i] = new
                            drive = old if voltage_first else new
                        x = keeps * i_v[i] + drive
                        if bias_to_membrane:
                            x += i_bias[i]
                        if reset_delay and i_v[i] >= at:
                            x = keep * x - lost
                        fired = x >= at
                        i_flag[i] = fired
                        i_v[i] = keep * x - lost if fired and not reset_delay else x
            now[:] = 0
            # Compaction: most words hold no spike.
            for q in range(words.size):
                word = words[q]
                if word:
                    for i in range(8):
                        if (word >> np.uint64(8 * i)) & np.uint64(1):
                            ids[b, k] = q * 8 + i
                            k += 1
            starts[b, step + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _integrate_and_fire(now, bias, v, flags, fire_at, drop, leak, bias_to_membrane, keep):
    """One step of integers that keep all of their membrane or nothing: 32 bits hold all that 24 can become in a step.

    Each operation is cut back to 32 bits, for Numba takes 64 where nothing is said, and vectors half as long.
    """
    top, mask = np.int32((1 << 23) - 1), np.int32((1 << 24) - 1)
    kept, rest = np.int32(-1 if leak else 0), np.int32(-1 if keep else 0)
    in_current = np.int32(0 if bias_to_membrane else -1)
    for i in range(v.size):
        shift = np.int32(bias[i] << 6)
        scaled = np.int32(np.int32(now[i] << 6) + np.int32(shift & in_current))
        new = np.int32(np.int32(np.int32(scaled + top) & mask) - top)
        x = np.int32(np.int32(v[i] & kept) + new)
        x = np.int32(x + np.int32(shift & np.int32(~in_current)))
        x = min(max(x, np.int32(-top)), top)
        fired = x >= fire_at
        flags[i] = fired
        v[i] = np.int32(np.int32(x & rest) - drop) if fired else x


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_integer(
    current,
    first_step,
    n_block,
    v,
    u,
    fire_at,
    drop,
    leak,
    decay,
    bias,
    bias_to_membrane,
    keep,
    has_current,
    voltage_first,
    reset_delay,
    flags,
    ids,
    starts,
):
    """As update_float in Loihi's integers: state in 1/64 unit, decays in 1/4096 truncated toward zero, u wraps into
    (-2^23, 2^23], v is clipped to +-(2^23 - 1). v, u: int32; fire_at, drop: already in 1/64 unit.
    """
    n_samples, ring, n_neurons = current.shape
    n_groups = fire_at.size
    size = n_neurons // n_groups
    limit, mask = np.int64(1 << 23), np.int64((1 << 24) - 1)
    words = flags.view(np.uint64)
    for b in range(n_samples):
        k = 0
        starts[b, 0] = 0
        for step in range(n_block):
            now = current[b, (first_step + step) % ring]
            for g in range(n_groups):
                if not has_current and not reset_delay and (leak[g] == 4096 or leak[g] == 0):
                    part = slice(g * size, (g + 1) * size)
                    _integrate_and_fire(
                        now[part],
                        bias[part],
                        v[b, part],
                        flags[part],
                        fire_at[g],
                        drop[g],
                        leak[g],
                        bias_to_membrane,
                        keep,
                    )
                    continue
                at, lost = np.int64(fire_at[g]), np.int64(drop[g])
                keeps, decays = np.int64(leak[g]), np.int64(decay[g])
                for i in range(g * size, (g + 1) * size):
                    scaled = np.int64(now[i]) << 6
                    shift = np.int64(bias[i]) << 6
                    if not bias_to_membrane:
                        scaled += shift
                    old = np.int64(0)
                    if has_current:
                        old = np.int64(u[b, i])
                        magnitude = (abs(old) * decays) >> 12
                        scaled += magnitude if old >= 0 else -magnitude
                    new = ((scaled + limit - 1) & mask) - (limit - 1)
                    if has_current:
                        u[b, i] = new
                    before = np.int64(v[b, i])
                    magnitude = (abs(before) * keeps) >> 12
                    x = (magnitude if before >= 0 else -magnitude) + (old if voltage_first else new)
                    if bias_to_membrane:
                        x += shift
                    x = min(max(x, 1 - limit), limit - 1)
                    if reset_delay and before >= at:
                        x = keep * x - lost
                    fired = x >= at
                    flags[i] = fired
                    if fired and not reset_delay:
                        x = keep * x - lost
                    v[b, i] = x
            now[:] = 0
            for q in range(words.size):
                word = words[q]
                if word:
                    for i in range(8):
                        if (word >> np.uint64(8 * i)) & np.uint64(1):
                            ids[b, k] = q * 8 + i
                            k += 1
            starts[b, step + 1] = k
