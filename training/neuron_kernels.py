"""Integrate-and-fire over all steps, and its gradient, each in one pass over memory, for a CPU.

A signal is (steps, n) float32, channels fastest, so every coefficient is a row of `lanes` floats, a whole number of
channels, that repeats along n. The steps of such a row stay in the cache: the backward pass computes the membrane anew,
and it is never stored. Sums over neurons are taken in CHUNKS parts of n, which are added up in order: they do not
depend on the number of threads.

Codes: reset 0 "zero", 1 "subtract", 2 "none". Slope 0 triangle, 1 arctan, 2 rectangular, 3 exponential,
4 straight-through.
"""

import numpy as np
from numba import njit, prange

CHUNKS = 64
LANES = 256  # at least so many floats of a step are taken at a time, unless a population is smaller
ONE, ZERO = np.float32(1), np.float32(0)


@njit(cache=True)
def _integrate(v, x, scale, shift, leak, membrane):
    for i in range(membrane.size):
        membrane[i] = v[i] * leak[i] + (x[i] * scale[i] + shift[i])


@njit(cache=True)
def _reset(membrane, fire_at, threshold, reset, v):
    """v after the reset."""
    if reset == 0:
        for i in range(v.size):
            v[i] = ZERO if membrane[i] >= fire_at[i] else membrane[i]
    elif reset == 1:
        for i in range(v.size):
            v[i] = membrane[i] - (threshold[i] if membrane[i] >= fire_at[i] else ZERO)
    else:
        for i in range(v.size):
            v[i] = membrane[i]


@njit(cache=True)
def _fire(membrane, fire_at, spikes):
    for i in range(spikes.size):
        spikes[i] = ONE if membrane[i] >= fire_at[i] else ZERO


@njit(cache=True, parallel=True)
def fire(x, scale, shift, leak, v_init, threshold, fire_at, reset, spikes):
    """spikes (T, n) from x (T or 1, n): current = x scale + shift; see `LeakyIntegrateAndFire`."""
    n, lanes = x.shape[1], scale.size
    rows = (n + lanes - 1) // lanes
    for chunk in prange(CHUNKS):
        v, membrane = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            lo = row * lanes
            m = min(lanes, n - lo)
            v[:] = v_init
            for t in range(len(spikes)):
                arriving = x[t if len(x) > 1 else 0, lo : lo + m]
                _integrate(v[:m], arriving, scale[:m], shift[:m], leak[:m], membrane[:m])
                _fire(membrane[:m], fire_at[:m], spikes[t, lo : lo + m])
                _reset(membrane[:m], fire_at[:m], threshold[:m], reset, v[:m])


@njit(cache=True)
def _slope(membrane, threshold, kind, width, factor, slope):
    """The surrogate of membrane - threshold, times the factor."""
    if kind == 0:
        for i in range(slope.size):
            slope[i] = max(width - abs(membrane[i] - threshold[i]), ZERO) * factor
    elif kind == 1:
        for i in range(slope.size):
            u = (membrane[i] - threshold[i]) * width
            slope[i] = factor / (u * u + ONE)
    elif kind == 2:
        for i in range(slope.size):
            slope[i] = factor if abs(membrane[i] - threshold[i]) < width else ZERO
    elif kind == 3:
        for i in range(slope.size):
            slope[i] = np.exp(-abs(membrane[i] - threshold[i]) * width) * factor
    else:
        for i in range(slope.size):
            slope[i] = factor


@njit(cache=True)
def _keep(membrane, fire_at, threshold, slope, reset, attached, keep):
    """d (v after the reset) / d (v before it); attached 0 where no gradient passes through the spike in the reset."""
    if reset == 0:
        for i in range(keep.size):
            spike = ONE if membrane[i] >= fire_at[i] else ZERO
            keep[i] = ONE - (spike + attached * membrane[i] * slope[i])
    elif reset == 1:
        for i in range(keep.size):
            keep[i] = ONE - attached * threshold[i] * slope[i]
    else:
        for i in range(keep.size):
            keep[i] = ONE


@njit(cache=True)
def _back(to_spikes, slope, keep, to_v, to_current):
    for i in range(to_current.size):
        to_current[i] = to_spikes[i] * slope[i] + keep[i] * to_v[i]


@njit(cache=True)
def _leave(to_current, leak, scale, adds, to_v, to_x):
    """What a step leaves: the gradient to the membrane before it, and to x."""
    for i in range(to_v.size):
        to_v[i] = to_current[i] * leak[i]
    if adds:
        for i in range(to_x.size):
            to_x[i] += to_current[i] * scale[i]
    else:
        for i in range(to_x.size):
            to_x[i] = to_current[i] * scale[i]


@njit(cache=True)
def _sum(to_current, x, total, product):
    for i in range(total.size):
        total[i] += to_current[i]
        product[i] += to_current[i] * x[i]


@njit(cache=True)
def _to_threshold(to_spikes, to_v, membrane, fire_at, threshold, slope, reset, attached, total):
    """-slope times the gradient to the spike, through the reset too; and -spike to_v where it is subtracted."""
    for i in range(total.size):
        spike = ONE if membrane[i] >= fire_at[i] else ZERO
        to_spike = to_spikes[i]
        if reset == 0:
            to_spike -= attached * membrane[i] * to_v[i]
        elif reset == 1:
            to_spike -= attached * threshold[i] * to_v[i]
        total[i] -= to_spike * slope[i] + (spike * to_v[i] if reset == 1 else ZERO)


@njit(cache=True, parallel=True)
def back(
    x,
    scale,
    shift,
    leak,
    v_init,
    threshold,
    fire_at,
    reset,
    attached,
    kind,
    width,
    factor,
    to_spikes,
    to_x,
    through,
    sums,
):
    """Gradients of `fire` from to_spikes (T, n).

    to_x: (T or 1, n), set to the gradient to the current times `through`.
    sums: (CHUNKS, 3, lanes) float64, to which the current's gradient, that times x, and the threshold's are added;
        (CHUNKS, 2, lanes) without the threshold's, (0, 2, lanes) if nobody asks.
    """
    n, lanes = x.shape[1], scale.size
    rows, n_steps, is_static = (n + lanes - 1) // lanes, len(to_spikes), len(x) == 1
    for chunk in prange(CHUNKS):
        membranes = np.empty((n_steps, lanes), np.float32)
        v, slope, keep, to_v, to_current = (
            np.empty(lanes, np.float32), np.empty(lanes, np.float32), np.empty(lanes, np.float32),
            np.empty(lanes, np.float32), np.empty(lanes, np.float32),
        )  # fmt: skip
        part = np.zeros((3, lanes), np.float32)
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            lo = row * lanes
            m = min(lanes, n - lo)
            v[:] = v_init
            for t in range(n_steps):
                arriving = x[0 if is_static else t, lo : lo + m]
                _integrate(v[:m], arriving, scale[:m], shift[:m], leak[:m], membranes[t, :m])
                _reset(membranes[t, :m], fire_at[:m], threshold[:m], reset, v[:m])
            to_v[:] = ZERO
            part[:] = ZERO
            for t in range(n_steps - 1, -1, -1):
                at = 0 if is_static else t
                membrane, arriving, wanted = membranes[t, :m], x[at, lo : lo + m], to_spikes[t, lo : lo + m]
                _slope(membrane, threshold[:m], kind, width, factor, slope[:m])
                _keep(membrane, fire_at[:m], threshold[:m], slope[:m], reset, attached, keep[:m])
                _back(wanted, slope[:m], keep[:m], to_v[:m], to_current[:m])
                if len(sums):
                    _sum(to_current[:m], arriving, part[0, :m], part[1, :m])
                if sums.shape[1] == 3:
                    _to_threshold(
                        wanted, to_v[:m], membrane, fire_at[:m], threshold[:m], slope[:m], reset, attached, part[2, :m]
                    )
                _leave(
                    to_current[:m],
                    leak[:m],
                    through[:m],
                    is_static and t < n_steps - 1,
                    to_v[:m],
                    to_x[at, lo : lo + m],
                )
            if len(sums):
                for k in range(sums.shape[1]):
                    for i in range(m):
                        sums[chunk, k, i] += part[k, i]


@njit(cache=True, parallel=True)
def moments(x, sums):
    """Adds sums and sums of squares of x (steps, n) to sums (CHUNKS, 2, lanes) float64."""
    n, lanes = x.shape[1], sums.shape[2]
    rows = (n + lanes - 1) // lanes
    for chunk in prange(CHUNKS):
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            lo = row * lanes
            m = min(lanes, n - lo)
            for t in range(len(x)):
                _moments(x[t, lo : lo + m], sums[chunk, 0, :m], sums[chunk, 1, :m])


@njit(cache=True)
def _moments(x, total, squares):
    for i in range(total.size):
        value = np.float64(x[i])
        total[i] += value
        squares[i] += value * value


@njit(cache=True, parallel=True)
def combine(out, x, y, of_x, of_y, constant):
    """out <- of_x x + of_y y + constant, (steps, n) with coefficients of `lanes`; out may be x."""
    n, lanes = x.shape[1], of_x.size
    rows = (n + lanes - 1) // lanes
    for chunk in prange(CHUNKS):
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            lo = row * lanes
            m = min(lanes, n - lo)
            for t in range(len(x)):
                at = slice(lo, lo + m)
                _combine(out[t, at], x[t, at], y[t, at], of_x[:m], of_y[:m], constant[:m])


@njit(cache=True)
def _combine(out, x, y, of_x, of_y, constant):
    for i in range(out.size):
        out[i] = of_x[i] * x[i] + (of_y[i] * y[i] + constant[i])


@njit(cache=True, parallel=True)
def products(gradient, x, y, sums):
    """Adds sums of gradient, gradient x and gradient y, (steps, n) each, to sums (CHUNKS, 3, lanes) float64."""
    n, lanes = x.shape[1], sums.shape[2]
    rows = (n + lanes - 1) // lanes
    for chunk in prange(CHUNKS):
        part = np.zeros((3, lanes), np.float32)
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            lo = row * lanes
            m = min(lanes, n - lo)
            part[:] = ZERO
            for t in range(len(x)):
                at = slice(lo, lo + m)
                _products(gradient[t, at], x[t, at], y[t, at], part[0, :m], part[1, :m], part[2, :m])
            for k in range(3):
                for i in range(m):
                    sums[chunk, k, i] += part[k, i]


@njit(cache=True)
def _products(gradient, x, y, total, with_x, with_y):
    for i in range(total.size):
        total[i] += gradient[i]
        with_x[i] += gradient[i] * x[i]
        with_y[i] += gradient[i] * y[i]
