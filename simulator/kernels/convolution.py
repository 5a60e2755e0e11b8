"""Shared synapses: each event walks the surviving taps of its channel.

Taps of a channel are sorted by (ky, kx, c_out); `segment` gives where each (ky, kx) begins. With stride 1 an event
away from the border reaches every tap, at a distance `offset` from its own place that does not depend on where it
is. Events are taken one after the other, so that every target adds up in the order of its sources' neurons.
"""

import numpy as np
from numba import njit

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
    lowest,
    row_start,
    segment,
    out_channels,
    offset,
    weights,
    current,
):
    """Deliver a block of events to steps t + delay.

    pool (2,): source pixels per pooled pixel. in_shape (5,): source h, w; pooled c, h, w. out_shape (3,).
    geometry (8,): kernel, stride, padding, dilation, each (y, x). lowest: distance to the first target that any tap
    reaches. row_start (c_in + 1,), segment (c_in, kh * kw + 1), out_channels (n,) int32, offset (n,) uint32 distance from
    there, weights (n,).
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
    four = np.uint64(4)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for b in range(n_samples):
        for step in range(starts.shape[1] - 1):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring]
            for e in range(starts[b, step], starts[b, step + 1]):
                channel = ids[b, e] // (source_h * source_w)
                pixel = ids[b, e] - channel * source_h * source_w
                y, x = pixel // source_w // pool[0], pixel % source_w // pool[1]
                if y >= height or x >= width:
                    continue
                if unit and y_low <= y <= y_high and x_low <= x <= x_high:
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
                        here = target[oy * out_w + ox :]
                        for j in range(segment[channel, k], segment[channel, k + 1]):
                            if values.shape[1]:
                                here[out_channels[j] * plane] += weights[j] * values[b, e]
                            else:
                                here[out_channels[j] * plane] += weights[j]
