"""Shared synapses: each event walks the surviving taps of its channel.

Taps of a channel are sorted by (ky, kx, c_out); `segment` gives where each (ky, kx) begins. With stride 1 an event
away from the border reaches every tap, at a distance `offset` from its own place that does not depend on where it
is. Events are taken one after the other, so that every target adds up in the order of its sources' neurons; where all
neurons emit numbers, tap by tap, which is the same order.
"""

import numpy as np
from numba import njit

PAD = 16  # numbers in a line of the cache


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _copy_planes(source, source_pitch, target, target_pitch, n_planes, plane):
    """Copy pictures whose planes begin `pitch` apart."""
    for i in range(n_planes):
        into, row = target[i * target_pitch :][:plane], source[i * source_pitch :][:plane]
        for j in range(plane):
            into[j] = row[j]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _push_events(
    ids, values, place_of, y_of, x_of, out_w, kernel_width, reach, row_start, segment, out_channels, case_of,
    by_case, offset, weights, pitch, target,
):  # fmt: skip
    """Deliver the events of one step. place_of, y_of, x_of: by pixel. pitch: from channel to channel of the target.
    Returns how many synapses they go through.
    """
    row_from, row_tap, row_to, column_from, column_tap, column_to = reach
    pixels, height, width = y_of.size, row_from.size - 1, column_from.size - 1
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    pitch = np.uint64(pitch)
    channel, first_id, n_visits = np.uint64(0), np.int64(0), np.uint64(0)
    for e in range(ids.size):
        while ids[e] >= first_id + pixels:
            channel, first_id = channel + one, first_id + pixels
        pixel = np.uint64(ids[e] - first_id)
        if place_of[pixel] >= 0:
            at = np.uint64(place_of[pixel])
            j, end = np.uint64(row_start[channel]), np.uint64(row_start[channel + one])
            n_visits += end - j
            if values.size:
                for i in range(j, end):
                    target[at + offset[i]] += weights[i] * values[e]
                continue
            # Targets of one event differ, so four loads may precede four stores: Numba then keeps up with C.
            while j + four <= end:
                i0, i1, i2, i3 = offset[j], offset[j + one], offset[j + two], offset[j + three]
                x0 = target[at + i0] + weights[j]
                x1 = target[at + i1] + weights[j + one]
                x2 = target[at + i2] + weights[j + two]
                x3 = target[at + i3] + weights[j + three]
                target[at + i0] = x0
                target[at + i1] = x1
                target[at + i2] = x2
                target[at + i3] = x3
                j += four
            while j < end:
                target[at + offset[j]] += weights[j]
                j += one
            continue
        y, x = y_of[pixel], x_of[pixel]
        if y >= height or x >= width:
            continue
        n_visits += np.uint64(by_case[channel, case_of[pixel]])  # summed up below, it would delay many short loops
        for r in range(np.uint64(row_from[y]), np.uint64(row_from[y + one])):
            first_k, row = np.int64(row_tap[r]) * kernel_width, np.int64(row_to[r]) * out_w
            for q in range(np.uint64(column_from[x]), np.uint64(column_from[x + one])):
                k, at = np.uint64(first_k + column_tap[q]), np.uint64(row + column_to[q])
                j, end = np.uint64(segment[channel, k]), np.uint64(segment[channel, k + one])
                if values.size:
                    for i in range(j, end):
                        target[at + np.uint64(out_channels[i]) * pitch] += weights[i] * values[e]
                    continue
                while j + four <= end:
                    i0 = at + np.uint64(out_channels[j]) * pitch
                    i1 = at + np.uint64(out_channels[j + one]) * pitch
                    i2 = at + np.uint64(out_channels[j + two]) * pitch
                    i3 = at + np.uint64(out_channels[j + three]) * pitch
                    x0 = target[i0] + weights[j]
                    x1 = target[i1] + weights[j + one]
                    x2 = target[i2] + weights[j + two]
                    x3 = target[i3] + weights[j + three]
                    target[i0] = x0
                    target[i1] = x1
                    target[i2] = x2
                    target[i3] = x3
                    j += four
                while j < end:
                    target[at + np.uint64(out_channels[j]) * pitch] += weights[j]
                    j += one
    return np.int64(n_visits)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def push_convolution(
    ids, values, starts, first_step, n_steps, delay, source, out_shape, reach, inside, lowest, row_start, segment,
    out_channels, case_of, by_case, offset, weights, visits, current,
):  # fmt: skip
    """Deliver a block of events to steps t + delay, and add to visits (n_block,) how many synapses they go through.

    source: rows and columns of source pixels, how many make a pooled pixel, each (y, x), and the kernel's width.
    out_shape (3,): channels, height, width.
    reach: per pooled row where its entries begin, (kernel row, output row) of each, and the same of columns.
    inside: first and last pooled row, and column, from which every tap lands inside the target at stride 1.
    lowest: distance to the first target that any tap reaches. row_start (c_in + 1,), segment (c_in, kh * kw + 1),
    out_channels (n,) int32, offset (n,) uint32 distance from there, weights (n,).
    case_of (pixels,), by_case (c_in, n_cases): which case of the border's a pixel is, and how many synapses it visits.
    """
    n_samples, ring, n_targets = current.shape
    source_h, source_w, pool_y, pool_x, kernel_width = source
    n_channels, out_h, out_w = out_shape
    y_low, y_high, x_low, x_high = inside
    plane, pixels = out_h * out_w, source_h * source_w
    # Of each pixel: where its taps begin, if all of them land inside the target; else its pooled row and column.
    height, width = reach[0].size - 1, reach[3].size - 1
    place_of, y_of, x_of = np.full(pixels, -1), np.empty(pixels, np.uint32), np.empty(pixels, np.uint32)
    for pixel in range(pixels):
        y, x = pixel // source_w // pool_y, pixel % source_w // pool_x
        y_of[pixel], x_of[pixel] = y, x
        if y_low <= y <= min(y_high, height - 1) and x_low <= x <= min(x_high, width - 1):
            place_of[pixel] = y * out_w + x + lowest
    # Planes of a power of two would share few sets of the cache: events that visit many are summed where planes lie
    # a line further apart.
    crowded, pitch = plane % 64 == 0, plane + PAD
    n_apart = n_channels * pitch if crowded else 0
    apart, sums = np.empty(offset.size if crowded else 0, np.uint32), np.empty(n_apart, current.dtype)
    for j in range(apart.size):
        apart[j] = offset[j] + out_channels[j] * PAD
    for b in range(n_samples):
        for step in range(starts.shape[1] - 1):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            first, last = starts[b, step], starts[b, step + 1]
            events = (ids[b, first:last], values[b, first:last], place_of, y_of, x_of)
            synapses = (out_w, kernel_width, reach, row_start, segment, out_channels, case_of, by_case)
            if crowded and (last - first) * offset.size > n_targets * segment.shape[0]:
                _copy_planes(target, plane, sums, pitch, n_channels, plane)
                visits[step] += _push_events(*events, *synapses, apart, weights, pitch, sums)
                _copy_planes(sums, pitch, target, plane, n_channels, plane)
            else:
                visits[step] += _push_events(*events, *synapses, offset, weights, plane, target)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def multiply_convolution(
    numbers, first_step, n_steps, delay, source, out_shape, stride, padding, dilation, kernel, row_start, segment,
    out_channels, weights, current,
):  # fmt: skip
    """As push_convolution for a block in which every source neuron emits a number: (n_samples, n_block, n_pre)."""
    n_samples, n_block, _ = numbers.shape
    ring = current.shape[1]
    source_h, source_w = source[:2]
    next_x = np.uint64(stride[1])
    _, out_h, out_w = out_shape
    for b in range(n_samples):
        for step in range(n_block):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            picture = numbers[b, step]
            for channel in range(row_start.size - 1):
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
                                into, end = np.uint64(plane + oy * out_w + low), np.uint64(plane + oy * out_w + high)
                                row = np.uint64((channel * source_h + y) * source_w + low * stride[1] + shift)
                                # Two slices would cost more than such a row.
                                if stride[1] == 1:
                                    for x in range(end - into):
                                        target[into + x] += weight * picture[row + x]
                                else:
                                    for x in range(end - into):
                                        target[into + x] += weight * picture[row + x * next_x]
