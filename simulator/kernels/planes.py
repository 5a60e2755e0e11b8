"""What the bit-parallel kernels read, and what they leave: bytes of eight steps, laid out, packed, unpacked and
counted.

A population's bytes are (n_neurons, n_samples): those of one neuron in all samples of a block lie side by side.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def lay_out(source, shape, used, unit, phases, stride, before, plane, laid):
    """Put every `stride`-th pixel of a picture into planes with a border of zeros, so that taps lie at fixed distances.

    source: flat (*shape, unit); shape: channels, height, width. used, phases, stride, before, plane: see `Planes`.
    laid: flat (channels, n_phases, *plane, unit), which holds zeros in all borders.
    """
    channels, height, width = shape
    row_bytes = plane[1] * unit
    for c in range(channels):
        for f in range(len(phases)):
            first_y, first_x = phases[f]
            base = ((c * len(phases) + f) * plane[0] + before[0]) * row_bytes + before[1] * unit
            n_y = min((used[0] - first_y + stride[0] - 1) // stride[0], plane[0] - before[0])
            n_x = min((used[1] - first_x + stride[1] - 1) // stride[1], plane[1] - before[1])
            for y in range(n_y):
                row = source[((c * height + first_y + y * stride[0]) * width + first_x) * unit :]
                into = laid[base + y * row_bytes :]
                if stride[1] == 1:
                    for i in range(n_x * unit):
                        into[i] = row[i]
                elif unit == 1 and stride[1] == 2:
                    for x in range(n_x):
                        into[x] = row[2 * x]
                elif unit == 1:
                    for x in range(n_x):
                        into[x] = row[x * stride[1]]
                else:
                    for x in range(n_x):
                        for i in range(unit):
                            into[x * unit + i] = row[x * stride[1] * unit + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def merge(source, shape, unit, out_shape, kernel, stride, padding, out):
    """Every output is the OR of its window, channel by channel: max pooling of bits.

    source: flat (*shape, unit). shape, out_shape (3,): channels, height, width. out: flat (*out_shape, unit).
    """
    channels, height, width = shape
    _, out_height, out_width = out_shape
    for c in range(channels):
        for y in range(out_height):
            into = out[(c * out_height + y) * out_width * unit :][: out_width * unit]
            into[:] = 0
            for ky in range(kernel[0]):
                from_y = y * stride[0] - padding[0] + ky
                if from_y < 0 or from_y >= height:
                    continue
                row = source[(c * height + from_y) * width * unit :][: width * unit]
                for kx in range(kernel[1]):
                    shift = kx - padding[1]
                    low = max(0, (stride[1] - 1 - shift) // stride[1])
                    high = min(out_width, (width - 1 - shift) // stride[1] + 1)
                    if unit == 1 and stride[1] == 2:
                        for x in range(low, high):
                            into[x] |= row[2 * x + shift]
                    else:
                        for x in range(low, high):
                            for i in range(unit):
                                into[x * unit + i] |= row[(x * stride[1] + shift) * unit + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def merge_pairs(pairs, n_rows, half, width, out):
    """As `merge` for windows of 2 x 2 that lie side by side: two neighbours are one number of twice as many bits.

    pairs: flat (n_rows of output, 2, half). width: bits of an output. out: flat (n_rows, half).
    """
    for y in range(n_rows):
        above, below, into = pairs[2 * y * half :], pairs[(2 * y + 1) * half :], out[y * half :]
        for x in range(half):
            both = above[x] | below[x]
            into[x] = both | (both >> width)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def delay_steps(chunks, n, k, delay, out):
    """Bytes of chunk k as they arrive `delay` steps later. chunks: flat (n_chunks, n)."""
    first, bits = k - delay // 8, np.uint8(delay % 8)  # the later of two chunks whose steps come together in one
    rest = np.uint8((8 - bits) % 8)  # no more than 7, so that nothing need be wider than a byte
    if first < 0:
        out[:n] = 0
        return
    now = chunks[first * n : (first + 1) * n]
    if first == 0 or bits == 0:
        for i in range(n):
            out[i] = now[i] << bits
        return
    before = chunks[(first - 1) * n : first * n]
    for i in range(n):
        out[i] = (now[i] << bits) | (before[i] >> rest)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pack(x, out):
    """Spikes (n_samples, n_steps, n_neurons), 0 or 1, uint8, as bytes (n_chunks, n_neurons, n_samples)."""
    n_samples, n_steps, n_neurons = x.shape
    row = np.empty(n_neurons, np.uint8)
    for b in range(n_samples):
        for k in range(len(out)):
            row[:] = 0
            for t in range(8 * k, min(8 * k + 8, n_steps)):
                spikes, bit = x[b, t], np.uint8(t - 8 * k)
                for i in range(n_neurons):
                    row[i] |= spikes[i] << bit
            chunk = out[k]
            for i in range(n_neurons):
                chunk[i, b] = row[i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def unpack(chunks, x):
    """Bytes (n_chunks, n_neurons, n_samples) as spikes (n_samples, n_steps, n_neurons) of 0 and 1."""
    n_samples, n_steps, n_neurons = x.shape
    for b in range(n_samples):
        for t in range(n_steps):
            chunk = chunks[t // 8]
            for i in range(n_neurons):
                x[b, t, i] = (chunk[i, b] >> (t % 8)) & 1


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _add_events(now, fan_outs, rows, step, spikes, visits):
    """Events and visits of one step, of whose numbers those that are not 0 are events."""
    n_events = 0
    for i in range(now.size):
        n_events += now[i] != 0
    spikes[step] += n_events
    for p in range(len(rows)):
        n_visits, fan_out = 0, fan_outs[p]
        for i in range(now.size):
            n_visits += fan_out[i] * (now[i] != 0)
        visits[rows[p], step] += n_visits


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_numbers(numbers, fan_outs, rows, spikes, visits):
    """Add up events (n_steps,), and visits (n_all_projections, n_steps).

    numbers: (n_chunks, n_neurons, n_samples, 8), or (1, n_neurons, n_samples, 1) of one step. fan_outs:
    (n_projections, n_neurons * n_samples). rows: (n_projections,).
    """
    n = numbers.shape[3]
    size = numbers.shape[1] * numbers.shape[2]
    if n == 1:
        _add_events(numbers.reshape(size), fan_outs, rows, 0, spikes, visits)
    for step in range(spikes.size):
        if n > 1:
            _add_events(numbers[step // n].reshape(size, n)[:, step % n], fan_outs, rows, step, spikes, visits)
        elif step > 0:
            spikes[step] += spikes[0]
            for p in range(len(rows)):
                visits[rows[p], step] += visits[rows[p], 0]
