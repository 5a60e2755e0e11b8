"""Shared synapses: each event walks the surviving taps of its channel.

Taps of a channel are sorted by (ky, kx, c_out); `segment` gives where each (ky, kx) begins. With stride 1 an event
away from the border reaches every tap, at a distance `offset` from its own place that does not depend on where it
is. Such events are taken channel by channel: tap by tap over all of them if there are several (one output plane
then stays in the nearest cache), event by event if there are few.
"""

import numpy as np
from numba import njit

FEW = 4  # events of one channel and step below which the event-major order is faster


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def push_convolution(
    ids,
    values,
    starts,
    first_step,
    n_steps,
    delay,
    pool,
    in_shape,
    out_shape,
    geometry,
    row_start,
    segment,
    out_channels,
    offset,
    weights,
    current,
):
    """Deliver a block of events to steps t + delay.

    pool (2,): source pixels per pooled pixel. in_shape (5,): source h, w; pooled c, h, w. out_shape (3,).
    geometry (8,): kernel, stride, padding, dilation, each (y, x). row_start (c_in + 1,), segment (c_in, kh * kw + 1),
    out_channels (n,) int32, offset (n,) int32, weights (n,).
    """
    n_samples, ring, _ = current.shape
    source_h, source_w, _, height, width = in_shape
    _, out_h, out_w = out_shape
    kh, kw, sy, sx, py, px, dy, dx = geometry
    plane = out_h * out_w
    # Pixels from which every tap lands inside the target (stride 1 only).
    unit = sy == 1 and sx == 1
    y_low, y_high = (kh - 1) * dy - py, out_h - 1 - py
    x_low, x_high = (kw - 1) * dx - px, out_w - 1 - px
    places = np.empty(source_h * source_w, np.int32)
    carried = np.empty(places.size if values.shape[1] else 0, values.dtype)
    for b in range(n_samples):
        for step in range(starts.shape[1] - 1):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            e, last = starts[b, step], starts[b, step + 1]
            while e < last:
                channel = ids[b, e] // (source_h * source_w)
                channel_end = (channel + 1) * source_h * source_w
                n_inside = 0
                first_tap, end_tap = row_start[channel], row_start[channel + 1]
                while e < last and ids[b, e] < channel_end:
                    pixel = ids[b, e] - channel * source_h * source_w
                    y, x = pixel // source_w // pool[0], pixel % source_w // pool[1]
                    if y < height and x < width:
                        if unit and y_low <= y <= y_high and x_low <= x <= x_high:
                            places[n_inside] = y * out_w + x
                            if values.shape[1]:
                                carried[n_inside] = values[b, e]
                            n_inside += 1
                        else:
                            for ky in range(kh):
                                numerator = y + py - ky * dy
                                oy = numerator // sy
                                if numerator < 0 or numerator % sy or oy >= out_h:
                                    continue
                                for kx in range(kw):
                                    numerator = x + px - kx * dx
                                    ox = numerator // sx
                                    if numerator < 0 or numerator % sx or ox >= out_w:
                                        continue
                                    k = ky * kw + kx
                                    place = oy * out_w + ox
                                    for j in range(segment[channel, k], segment[channel, k + 1]):
                                        if values.shape[1]:
                                            target[out_channels[j] * plane + place] += weights[j] * values[b, e]
                                        else:
                                            target[out_channels[j] * plane + place] += weights[j]
                    e += 1
                if values.shape[1]:
                    for j in range(first_tap, end_tap):
                        shift, weight = offset[j], weights[j]
                        for i in range(n_inside):
                            target[places[i] + shift] += weight * carried[i]
                elif n_inside < FEW:
                    for i in range(n_inside):
                        place = places[i]
                        for j in range(first_tap, end_tap):
                            target[place + offset[j]] += weights[j]
                else:
                    for j in range(first_tap, end_tap):
                        shift, weight = offset[j], weights[j]
                        for i in range(n_inside):
                            target[places[i] + shift] += weight
