"""Neuron updates: one equation, coefficients by group of neurons, spikes compacted into event lists.

A comparison with > arrives as >= with the next larger threshold, so there is one comparison. A reset arrives as
`keep` and `drop`: v -> keep * v - drop, that is (1, threshold) to subtract, (0, 0) to zero, (1, 0) for none.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16  # of 32 bits in a vector of 512
_I1, _I16, _I32, _I64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _splat(builder, value, vector):
    """A vector with `value` in every lane."""
    empty = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(_I32, 0)), empty, zeros)


@intrinsic
def _fire(typingctx, current, bias, v, i, id_of_first, ids, k, fire_at, drop, leak, keep, late):
    """One step of the 16 integrate-and-fire neurons from `i` on; empties their currents. Returns the new k.

    Floats: v <- leak * v + (current + bias); where v >= fire_at: v <- keep * v - drop. int32: see _integrate_and_fire;
    leak, keep and late are masks, 0 or -1; late: the bias is for the membrane. The ids of those that fire, id_of_first
    + 0 ... 15, are written to ids from k on, where 16 must have room.
    """
    number = v.dtype
    signature = types.int64(
        current, bias, v, types.int64, types.int64, ids, types.int64, number, number, number, number, number
    )

    def codegen(context, builder, signature, args):
        lane = context.get_value_type(number)
        vector, as_ids = ir.VectorType(lane, LANES), ir.VectorType(_I32, LANES)

        def place(position, offset, of):
            data = context.make_array(signature.args[position])(context, builder, args[position]).data
            return builder.bitcast(builder.gep(data, [offset]), of.as_pointer())

        now, state = place(0, args[3], vector), place(2, args[3], vector)
        current = builder.load(now, align=4)
        builder.store(ir.Constant(vector, None), now, align=4)
        bias, v = builder.load(place(1, args[3], vector), align=4), builder.load(state, align=4)
        fire_at, drop, leak, keep, late = (_splat(builder, a, vector) for a in args[7:])
        if isinstance(number, types.Float):
            x = builder.fadd(builder.fmul(leak, v), builder.fadd(current, bias))
            fired = builder.fcmp_ordered(">=", x, fire_at)
            after = builder.fsub(builder.fmul(keep, x), drop)
        else:
            top, mask, six = (ir.Constant(vector, [n] * LANES) for n in ((1 << 23) - 1, (1 << 24) - 1, 6))
            lowest = ir.Constant(vector, [1 - (1 << 23)] * LANES)
            shift = builder.shl(bias, six)
            scaled = builder.add(builder.shl(current, six), builder.and_(shift, builder.not_(late)))
            new = builder.sub(builder.and_(builder.add(scaled, top), mask), top)
            x = builder.add(builder.add(builder.and_(v, leak), new), builder.and_(shift, late))
            x = builder.select(builder.icmp_signed(">", x, top), top, x)
            x = builder.select(builder.icmp_signed("<", x, lowest), lowest, x)
            fired = builder.icmp_signed(">=", x, fire_at)
            after = builder.sub(builder.and_(x, keep), drop)
        builder.store(builder.select(fired, after, x), state, align=4)
        first = _splat(builder, builder.trunc(args[4], _I32), as_ids)
        numbered = builder.add(first, ir.Constant(as_ids, list(range(LANES))))
        name, masks = "llvm.experimental.vector.compress.v16i32", ir.VectorType(_I1, LANES)
        kind = ir.FunctionType(as_ids, [as_ids, masks, as_ids])
        compress = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        packed = builder.call(compress, [numbered, fired, ir.Constant(as_ids, ir.Undefined)])
        builder.store(packed, place(5, args[6], as_ids), align=4)
        return builder.add(args[6], builder.zext(builder.ctpop(builder.bitcast(fired, _I16)), _I64))

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire_float(current, bias, v, n, id_of_first, ids, k, fire_at, drop, leak, keep):
    """What the intrinsic `_fire` does to floats, for n neurons, one after the other."""
    for i in range(n):
        x = leak * v[i] + (current[i] + bias[i])
        current[i] = 0
        if x >= fire_at:
            x = keep * x - drop
            ids[k] = id_of_first + i
            k += 1
        v[i] = x
    return k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire_integer(current, bias, v, n, id_of_first, ids, k, fire_at, drop, leak, keep, late):
    """What the intrinsic `_fire` does to int32, for n neurons, one after the other."""
    top, mask = np.int64((1 << 23) - 1), np.int64((1 << 24) - 1)
    for i in range(n):
        shift = np.int64(bias[i]) << 6
        scaled = (np.int64(current[i]) << 6) + (0 if late else shift)
        new = ((scaled + top) & mask) - top
        current[i] = 0
        x = (v[i] if leak else 0) + new + (shift if late else 0)
        x = min(max(x, -top), top)
        if x >= fire_at:
            x = (x if keep else 0) - drop
            ids[k] = id_of_first + i
            k += 1
        v[i] = x
    return k


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
    ids,
    starts,
):
    """Update n_block steps of float32 neurons and list their spikes; empties the slots of `current` that it reads.

    v, u: (n_samples, n_neurons), u is empty without synaptic current. fire_at, drop, leak, decay: (n_groups,).
    bias: (n_neurons,). ids: with room for 16 more than can fire.
    """
    n_samples, ring, n_neurons = current.shape
    n_groups = fire_at.size
    size = n_neurons // n_groups
    simple = not has_current and not reset_delay
    whole = size // LANES * LANES
    for b in range(n_samples):
        k = np.int64(0)
        starts[b, 0] = 0
        for step in range(n_block):
            now = current[b, (first_step + step) % ring]
            for g in range(n_groups):
                part = slice(g * size, (g + 1) * size)
                i_now, i_bias, i_v = now[part], bias[part], v[b, part]
                at, lost, keeps, decays = fire_at[g], drop[g], leak[g], decay[g]
                if simple:
                    first = np.int64(g * size)
                    for i in range(0, whole, LANES):
                        j = np.int64(i)
                        k = _fire(i_now, i_bias, i_v, j, first + j, ids[b], k, at, lost, keeps, keep, np.float32(0))
                    n = size - whole
                    rest = (i_now[whole:], i_bias[whole:], i_v[whole:], n, first + whole)
                    k = plain_fire_float(*rest, ids[b], k, at, lost, keeps, keep)
                    continue
                for i in range(size):
                    drive = i_now[i]
                    i_now[i] = 0
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
                    if x >= at:
                        ids[b, k] = g * size + i
                        k += 1
                        if not reset_delay:
                            x = keep * x - lost
                    i_v[i] = x
            starts[b, step + 1] = k


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
    whole = size // LANES * LANES
    rest, late = np.int32(-1 if keep else 0), np.int32(-1 if bias_to_membrane else 0)
    for b in range(n_samples):
        k = np.int64(0)
        starts[b, 0] = 0
        for step in range(n_block):
            now = current[b, (first_step + step) % ring]
            for g in range(n_groups):
                # All of a membrane is kept, or nothing: 32 bits hold all that 24 can become in a step.
                if not has_current and not reset_delay and (leak[g] == 4096 or leak[g] == 0):
                    part, first = slice(g * size, (g + 1) * size), np.int64(g * size)
                    i_now, i_bias, i_v = now[part], bias[part], v[b, part]
                    kept, at, lost = np.int32(-1 if leak[g] else 0), fire_at[g], drop[g]
                    for i in range(0, whole, LANES):
                        j = np.int64(i)
                        k = _fire(i_now, i_bias, i_v, j, first + j, ids[b], k, at, lost, kept, rest, late)
                    n = size - whole
                    others = (i_now[whole:], i_bias[whole:], i_v[whole:], n, first + whole)
                    k = plain_fire_integer(*others, ids[b], k, at, lost, kept, rest, late)
                    continue
                at, lost = np.int64(fire_at[g]), np.int64(drop[g])
                keeps, decays = np.int64(leak[g]), np.int64(decay[g])
                for i in range(g * size, (g + 1) * size):
                    scaled = np.int64(now[i]) << 6
                    now[i] = 0
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
                    if x >= at:
                        ids[b, k] = i
                        k += 1
                        if not reset_delay:
                            x = keep * x - lost
                    v[b, i] = x
            starts[b, step + 1] = k
