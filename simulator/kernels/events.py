"""Event lists: made from dense arrays, counted, and spread back into dense arrays."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def list_events(dense, ids, values, starts):
    """List the non-zero entries of dense (n_samples, n_block, n_neurons)."""
    n_samples, n_block, n_neurons = dense.shape
    for b in range(n_samples):
        k = 0
        starts[b, 0] = 0
        for step in range(n_block):
            for i in range(n_neurons):
                x = dense[b, step, i]
                if x != 0:
                    ids[b, k] = i
                    if values.shape[1]:
                        values[b, k] = x
                    k += 1
            starts[b, step + 1] = k


@intrinsic
def _list_16(typingctx, flags, mask, i, ids, k):
    """List those of the 16 bytes from flags[i] on that have a bit of `mask`, as i + 0 ... 15, from ids[k] on, where 16
    must have room. Returns the new k.
    """
    signature = types.int64(flags, types.uint8, types.int64, ids, types.int64)

    def codegen(context, builder, signature, args):
        lane, number = ir.IntType(8), ir.IntType(32)
        bytes_, as_ids, masks = (ir.VectorType(t, LANES) for t in (lane, number, ir.IntType(1)))

        def place(position, offset, vector):
            data = context.make_array(signature.args[position])(context, builder, args[position]).data
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        def splat(value, vector):
            empty, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(as_ids, [0] * LANES)
            return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(number, 0)), empty, zeros)

        bits = builder.and_(builder.load(place(0, args[2], bytes_), align=1), splat(args[1], bytes_))
        found = builder.icmp_unsigned("!=", bits, ir.Constant(bytes_, None))
        first = splat(builder.trunc(args[2], number), as_ids)
        numbered = builder.add(first, ir.Constant(as_ids, list(range(LANES))))
        name = "llvm.experimental.vector.compress.v16i32"
        kind = ir.FunctionType(as_ids, [as_ids, masks, as_ids])
        compress = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        packed = builder.call(compress, [numbered, found, ir.Constant(as_ids, ir.Undefined)])
        builder.store(packed, place(3, args[4], as_ids), align=4)
        n_found = builder.ctpop(builder.bitcast(found, ir.IntType(LANES)))
        return builder.add(args[4], builder.zext(n_found, ir.IntType(64)))

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _list_row(flags, mask, ids, k):
    """List the neurons whose flags have a bit of `mask`, from ids[k] on: 16 at a time, with no branch on what fires.
    Returns the new k.
    """
    i = np.int64(0)
    while i + LANES <= flags.size and k + LANES <= ids.size:
        k = _list_16(flags, mask, i, ids, k)
        i += LANES
    while i < flags.size:
        if flags[i] & mask:
            ids[k] = i
            k += 1
        i += 1
    return k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def list_spikes(spikes, ids, starts):
    """As list_events for spikes, uint8."""
    n_samples, n_block, _ = spikes.shape
    for b in range(n_samples):
        k = np.int64(0)
        starts[b, 0] = 0
        for step in range(n_block):
            k = _list_row(spikes[b, step], np.uint8(255), ids[b], k)
            starts[b, step + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def list_flags(fired, first, n_steps, ids, starts):
    """List the spikes of steps first ... first + n_steps - 1 behind those before. fired: (n_samples, n_neurons) bytes,
    of which bit t says that it fired in step first + t.
    """
    for b in range(len(fired)):
        k = starts[b, first] if first else np.int64(0)
        starts[b, first] = k
        for t in range(n_steps):
            k = _list_row(fired[b], np.uint8(1 << t), ids[b], k)
            starts[b, first + t + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_spikes(starts, spikes):
    """Add the events of each step, over all samples, to spikes (n_block,) int64."""
    for b in range(len(starts)):
        for step in range(spikes.size):
            spikes[step] += starts[b, step + 1] - starts[b, step]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_visits(ids, starts, first, fan_out, visits):
    """Add the synapses that the events of each step from `first` on visit, over all samples, to visits (n_block,).

    For events that no kernel goes through one by one. fan_out: (n_pre,) int64.
    """
    for b in range(len(starts)):
        for step in range(first, visits.size):
            for e in range(starts[b, step], starts[b, step + 1]):
                visits[step] += fan_out[ids[b, e]]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def bill(spikes, visits, into, per_visit, per_step, n_samples, spike, counts):
    """What events and visits count as, added to counts (n_populations, T, n_events), int64.

    spikes (n_populations, n_steps), visits (n_projections, n_steps): steps beyond T are those of samples to come.
    into (n_projections,): rows of the target populations. per_visit (n_projections, n_events). per_step
    (n_populations, n_events): of every step of every sample. spike: which event a spike is.
    """
    _, n_each, n_events = counts.shape
    for i in range(len(spikes)):
        for t in range(n_each):
            for k in range(n_events):
                counts[i, t, k] += n_samples * per_step[i, k]
        for t in range(spikes.shape[1]):
            counts[i, t % n_each, spike] += spikes[i, t]
    for p in range(len(into)):
        for t in range(visits.shape[1]):
            for k in range(n_events):
                counts[into[p], t % n_each, k] += visits[p, t] * per_visit[p, k]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def spread_events(ids, values, starts, dense):
    """Write events into dense (n_samples, n_block, n_neurons), which holds zeros."""
    for b in range(starts.shape[0]):
        for step in range(starts.shape[1] - 1):
            for e in range(starts[b, step], starts[b, step + 1]):
                if values.shape[1]:
                    dense[b, step, ids[b, e]] = values[b, e]
                else:
                    dense[b, step, ids[b, e]] = 1
