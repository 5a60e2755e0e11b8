"""Explicit synapses: each event adds its row of weights to its targets' currents."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FETCHED_AHEAD = np.uint64(192)  # synapses
EVENTS_AHEAD = 16
NEAR_BYTES = 1 << 20  # of synapses that a core's own cache holds; and so many lie in its first one:
NEAREST_BYTES = 1 << 14


@intrinsic
def _prefetch(typingctx, array, i):
    """Ask for the cache line of array[i], which need not exist."""
    signature = types.void(array, types.int64)

    def codegen(context, builder, signature, args):
        data, number, name = (
            context.make_array(signature.args[0])(context, builder, args[0]).data,
            ir.IntType(32),
            "llvm.prefetch.p0",
        )
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(prefetch, [address, *(ir.Constant(number, n) for n in (0, 3, 1))])  # to read, near, data
        return context.get_dummy_value()

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def _add_four(target, targets, weights, j):
    """Targets of one row differ, so four loads may precede four stores: Numba then keeps up with C."""
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    i0, i1, i2, i3 = targets[j], targets[j + one], targets[j + two], targets[j + three]
    x0 = target[i0] + weights[j]
    x1 = target[i1] + weights[j + one]
    x2 = target[i2] + weights[j + two]
    x3 = target[i3] + weights[j + three]
    target[i0] = x0
    target[i1] = x1
    target[i2] = x2
    target[i3] = x3


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def push_csr(
    ids, values, starts, first_step, n_steps, delay, row_of, row_start, row_end, first_target, targets, weights, visits,
    current,
):  # fmt: skip
    """Deliver a block of events to steps t + delay, and add to visits (n_block,) how many synapses they go through.

    row_of: (n_pre,) row of each source neuron or -1; empty: its id. row_start, row_end: (n_rows,). targets: counted
    from first_target on.
    """
    n_samples, ring, _ = current.shape
    one, four, sixteen = np.uint64(1), np.uint64(4), np.uint64(16)
    n_bytes = row_start.size * 8 + targets.size * (targets.itemsize + weights.itemsize)
    far, nearest = n_bytes > NEAR_BYTES, targets.size * (targets.itemsize + weights.itemsize) <= NEAREST_BYTES
    many_rows = row_start.size * 8 > 4 * NEAREST_BYTES
    events_ahead, half_of_them = np.uint64(EVENTS_AHEAD), np.uint64(EVENTS_AHEAD // 2)
    for b in range(n_samples):
        events = ids[b]  # indexed without a sign, which Numba need not look at
        for step in range(starts.shape[1] - 1):
            arrival = first_step + step + delay
            if arrival >= n_steps:
                break
            target = current[b, arrival % ring, first_target:]
            last, n_visits = np.uint64(starts[b, step + 1]), np.uint64(0)
            for e in range(np.uint64(starts[b, step]), last):
                if many_rows and e + events_ahead < last:
                    _prefetch(row_start, np.int64(events[e + events_ahead]))
                    _prefetch(row_end, np.int64(events[e + events_ahead]))
                    if far and not row_of.size:
                        soon = np.int64(row_start[np.uint64(events[e + half_of_them])])
                        _prefetch(targets, soon)
                        _prefetch(weights, soon)
                row = np.uint64(events[e])
                if row_of.size:
                    if row_of[row] < 0:
                        continue
                    row = np.uint64(row_of[row])
                j = np.uint64(row_start[row])
                end = np.uint64(row_end[row])
                n_visits += end - j
                if values.shape[1]:
                    value = values[b, e]
                    while j < end:
                        target[targets[j]] += weights[j] * value
                        j += one
                    continue
                # Rows lie apart in memory: while one is read, its lines ahead, then those of the next, are fetched.
                next_row = j
                if e + one < last and not row_of.size:
                    next_row = np.uint64(row_start[np.uint64(events[e + one])])
                if nearest:
                    pass
                elif end - j < FETCHED_AHEAD and not far:
                    for i in range(0, 64, 16):
                        _prefetch(targets, np.int64(next_row) + i)
                        _prefetch(weights, np.int64(next_row) + i)
                elif end - j < FETCHED_AHEAD:
                    next_end = np.int64(next_row + end - j)  # about: rows are of similar lengths
                    for i in range(np.int64(next_row), next_end, 64 // targets.itemsize):
                        _prefetch(targets, i)
                    _prefetch(targets, next_end)
                    for i in range(np.int64(next_row), next_end, 64 // weights.itemsize):
                        _prefetch(weights, i)
                    _prefetch(weights, next_end)
                else:
                    while j + sixteen <= end:
                        ahead = j + FETCHED_AHEAD
                        if ahead >= end:
                            ahead += next_row - end
                        _prefetch(targets, np.int64(ahead))
                        _prefetch(weights, np.int64(ahead))
                        for _ in range(4):
                            _add_four(target, targets, weights, j)
                            j += four
                while j + four <= end:
                    _add_four(target, targets, weights, j)
                    j += four
                while j < end:
                    target[targets[j]] += weights[j]
                    j += one
            visits[step] += np.int64(n_visits)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def split_rows(row_start, targets, first_target, edges):
    """edges (n_rows,): where the targets >= first_target of each row begin. Targets of a row are ascending."""
    for row in range(edges.size):
        low, high = row_start[row], row_start[row + 1]
        while low < high:
            middle = (low + high) // 2
            if targets[middle] < first_target:
                low = middle + 1
            else:
                high = middle
        edges[row] = low


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def narrow_targets(row_start, targets, firsts, narrow):
    """Targets counted from the first of their part on. firsts: (n_parts + 1,), ascending. Rows are ascending."""
    for row in range(row_start.size - 1):
        part = 0
        for j in range(row_start[row], row_start[row + 1]):
            while targets[j] >= firsts[part + 1]:
                part += 1
            narrow[j] = targets[j] - firsts[part]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def push_csr_delayed(
    ids, values, starts, first_step, n_steps, delay, row_of, row_start, targets, weights, delays, visits, current
):  # fmt: skip
    """As push_csr, each synapse with a delay of its own on top of `delay`."""
    n_samples, ring, _ = current.shape
    for b in range(n_samples):
        for step in range(starts.shape[1] - 1):
            t, n_visits = first_step + step + delay, np.int64(0)
            if t >= n_steps:
                break
            for e in range(starts[b, step], starts[b, step + 1]):
                row = ids[b, e]
                if row_of.size:
                    row = row_of[row]
                    if row < 0:
                        continue
                n_visits += row_start[row + 1] - row_start[row]
                for j in range(row_start[row], row_start[row + 1]):
                    arrival = t + np.int64(delays[j])
                    if arrival < n_steps:
                        if values.shape[1]:
                            current[b, arrival % ring, targets[j]] += weights[j] * values[b, e]
                        else:
                            current[b, arrival % ring, targets[j]] += weights[j]
            visits[step] += n_visits
