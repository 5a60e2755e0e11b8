"""Shared synapses: each event walks the surviving taps of its channel.

Taps of a channel are sorted by (ky, kx, c_out); `segment` gives where each (ky, kx) begins. With stride 1 an event
away from the border reaches every tap, at a distance `offset` from its own place that does not depend on where it
is. Events are taken one after the other, so that every target adds up in the order of its sources' neurons; where all
neurons emit numbers, tap by tap, which is the same order.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def push_convolution(
    ids, values, starts, first_step, n_steps, delay, source, out_shape, reach, inside, lowest, row_start, segment,
    out_channels, offset, weights, current,
):  # fmt: skip
    """Deliver a block of events to steps t + delay.

    source: rows and columns of source pixels, how many make a pooled pixel, each (y, x), and the kernel's width.
    out_shape (3,): channels, height, width.
    reach: per pooled row where its entries begin, (kernel row, output row) of each, and the same of columns.
    inside: first and last pooled row, and column, from which every tap lands inside the target at stride 1.
    lowest: distance to the first target that any tap reaches. row_start (c_in + 1,), segment (c_in, kh * kw + 1),
    out_channels (n,) int32, offset (n,) uint32 distance from there, weights (n,).
    """
    n_samples, ring, _ = current.shape
    source_h, source_w, pool_y, pool_x, kernel_width = source
    _, out_h, out_w = out_shape
    row_from, row_tap, row_to, column_from, column_tap, column_to = reach
    y_low, y_high, x_low, x_high = inside
    plane, pixels = out_h * out_w, source_h * source_w
    height, width = row_from.size - 1, column_from.size - 1
    four = np.uint64(4)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    y_of, x_of = np.empty(pixels, np.int32), np.empty(pixels, np.int32)
    for y in range(source_h):
        for x in range(source_w):
            y_of[y * source_w + x], x_of[y * source_w + x] = y // pool_y, x // pool_x
    for b in range(n_samples):
        for step in range(starts.shape[1] - 1):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            channel, channel_end = np.int64(0), pixels
            for e in range(starts[b, step], starts[b, step + 1]):
                while ids[b, e] >= channel_end:
                    channel, channel_end = channel + 1, channel_end + pixels
                pixel = ids[b, e] - channel_end + pixels
                y, x = np.int64(y_of[pixel]), np.int64(x_of[pixel])
                if y >= height or x >= width:
                    continue
                if y_low <= y <= y_high and x_low <= x <= x_high:
                    here = target[y * out_w + x + lowest :]
                    j, end = np.uint64(row_start[channel]), np.uint64(row_start[channel + 1])
                    if values.shape[1]:
                        while j < end:
                            here[offset[j]] += weights[j] * values[b, e]
                            j += one
                    # Targets of one event differ, so four loads may precede four stores: Numba then keeps up with C.
                    while j + four <= end:
                        i0, i1, i2, i3 = offset[j], offset[j + one], offset[j + two], offset[j + three]
                        x0 = here[i0] + weights[j]
                        x1 = here[i1] + weights[j + one]
                        x2 = here[i2] + weights[j + two]
                        x3 = here[i3] + weights[j + three]
                        here[i0] = x0
                        here[i1] = x1
                        here[i2] = x2
                        here[i3] = x3
                        j += four
                    while j < end:
                        here[offset[j]] += weights[j]
                        j += one
                    continue
                for r in range(row_from[y], row_from[y + 1]):
                    first_k, row = np.int64(row_tap[r]) * kernel_width, np.int64(row_to[r]) * out_w
                    for q in range(column_from[x], column_from[x + 1]):
                        k, here = first_k + column_tap[q], target[row + column_to[q] :]
                        for j in range(segment[channel, k], segment[channel, k + 1]):
                            if values.shape[1]:
                                here[out_channels[j] * plane] += weights[j] * values[b, e]
                            else:
                                here[out_channels[j] * plane] += weights[j]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def multiply_convolution(
    numbers, first_step, n_steps, delay, source, out_shape, stride, padding, dilation, kernel, row_start, segment,
    out_channels, weights, current,
):  # fmt: skip
    """As push_convolution for a block in which every source neuron emits a number: (n_samples, n_block, n_pre)."""
    n_samples, n_block, _ = numbers.shape
    ring = current.shape[1]
    source_h, source_w = source[:2]
    _, out_h, out_w = out_shape
    for b in range(n_samples):
        for step in range(n_block):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            for channel in range(row_start.size - 1):
                picture = numbers[b, step, channel * source_h * source_w :]
                for ky in range(kernel[0]):
                    for kx in range(kernel[1]):
                        shift = kx * dilation[1] - padding[1]
                        low = max(0, (stride[1] - 1 - shift) // stride[1])
                        high = min(out_w, (source_w - 1 - shift) // stride[1] + 1)
                        k = ky * kernel[1] + kx
                        for j in range(segment[channel, k], segment[channel, k + 1]):
                            weight, plane = weights[j], out_channels[j] * out_h * out_w
                            for oy in range(out_h):
                                y = oy * stride[0] - padding[0] + ky * dilation[0]
                                if y < 0 or y >= source_h or low >= high:
                                    continue
                                into = target[plane + oy * out_w + low :][: high - low]
                                row = picture[y * source_w + low * stride[1] + shift :]
                                if stride[1] == 1:
                                    for x in range(high - low):
                                        into[x] += weight * row[x]
                                else:
                                    for x in range(high - low):
                                        into[x] += weight * row[x * stride[1]]
