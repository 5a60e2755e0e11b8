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


def _list(builder, fired, id_of_first, ids, k):
    """Write id_of_first + lane of those that fired to where `ids` points, from k on, 16 at once. Returns the new k."""
    vector = ir.VectorType(_I32, LANES)
    first = _splat(builder, builder.trunc(id_of_first, _I32), vector)
    numbered = builder.add(first, ir.Constant(vector, list(range(LANES))))
    name = "llvm.experimental.vector.compress.v16i32"
    kind = ir.FunctionType(vector, [vector, fired.type, vector])
    compress = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    packed = builder.call(compress, [numbered, fired, ir.Constant(vector, ir.Undefined)])
    builder.store(packed, builder.bitcast(builder.gep(ids, [k]), vector.as_pointer()), align=4)
    return builder.add(k, builder.zext(builder.ctpop(builder.bitcast(fired, _I16)), _I64))


def _decayed(builder, v, leak):
    """A vector of 24-bit membranes times leak / 4096, truncated toward zero: 12 bits at a time, which 32 hold."""
    low_bits, twelve, sign_bit = (ir.Constant(v.type, [n] * LANES) for n in (4095, 12, 31))
    sign = builder.ashr(v, sign_bit)
    magnitude = builder.sub(builder.xor(v, sign), sign)
    high, low = builder.lshr(magnitude, twelve), builder.and_(magnitude, low_bits)
    left = builder.add(builder.mul(high, leak), builder.lshr(builder.mul(low, leak), twelve))
    return builder.sub(builder.xor(left, sign), sign)


def _make_fire(general):
    """One step of the 16 integrate-and-fire neurons from `i` on; empties their currents. Returns the new k.

    Floats: v <- leak * v + (current + bias); where v >= fire_at: v <- keep * v - drop. int32: see update_integer; keep
    is a mask, 0 or -1. general: leak is in 1/4096, and late the mask of a bias for the membrane; else leak is a mask
    and no bias is late, which is half the work. The ids of those that fire, id_of_first + 0 ... 15, are written to ids
    from k on, where 16 must have room.
    """

    @intrinsic
    def fire(typingctx, current, bias, v, i, id_of_first, ids, k, fire_at, drop, leak, keep, late):
        number = v.dtype
        signature = types.int64(
            current, bias, v, types.int64, types.int64, ids, types.int64, number, number, number, number, number
        )

        def codegen(context, builder, signature, args):
            vector, zero = ir.VectorType(context.get_value_type(number), LANES), ir.Constant(_I64, 0)

            def place(position, of, offset=zero):
                data = context.make_array(signature.args[position])(context, builder, args[position]).data
                return builder.bitcast(builder.gep(data, [offset]), of.as_pointer())

            now, biases, state = (place(n, vector, args[3]) for n in (0, 1, 2))
            current, bias, v = (builder.load(address, align=4) for address in (now, biases, state))
            builder.store(ir.Constant(vector, None), now, align=4)
            fire_at, drop, leak, keep, late = (_splat(builder, a, vector) for a in args[7:])
            if isinstance(number, types.Float):
                x = builder.fadd(builder.fmul(leak, v), builder.fadd(current, bias))
                fired = builder.fcmp_ordered(">=", x, fire_at)
                after = builder.fsub(builder.fmul(keep, x), drop)
            else:
                six, eight, fourteen = (ir.Constant(vector, [n] * LANES) for n in (6, 8, 14))
                top, mask = (ir.Constant(vector, [(1 << n) - 1] * LANES) for n in (23, 24))
                zero, lowest = ir.Constant(vector, None), ir.Constant(vector, [1 - (1 << 23)] * LANES)
                if general:
                    shift = builder.shl(bias, six)
                    scaled = builder.add(builder.shl(current, six), builder.and_(shift, builder.not_(late)))
                    new = builder.sub(builder.and_(builder.add(scaled, top), mask), top)
                    x = builder.add(builder.add(_decayed(builder, v, leak), new), builder.and_(shift, late))
                else:  # -x wraps into [-2^23, 2^23) where two shifts do
                    less = builder.shl(builder.sub(zero, builder.add(current, bias)), fourteen)
                    x = builder.sub(builder.and_(v, leak), builder.ashr(less, eight))
                x = builder.select(builder.icmp_signed(">", x, top), top, x)
                x = builder.select(builder.icmp_signed("<", x, lowest), lowest, x)
                fired = builder.icmp_signed(">=", x, fire_at)
                after = builder.sub(builder.and_(x, keep), drop)
            builder.store(builder.select(fired, after, x), state, align=4)
            return _list(builder, fired, args[4], place(5, _I32), args[6])

        return signature, codegen

    return fire


_fire, _fire_general = _make_fire(False), _make_fire(True)


@intrinsic
def _list_16(typingctx, fired, i, id_of_first, ids, k):
    """List those of 16 neurons whose flags, bytes of 0 or 1 from `i` on, say that they fired. Returns the new k."""
    signature = types.int64(fired, types.int64, types.int64, ids, types.int64)

    def codegen(context, builder, signature, args):
        flags, ids = (context.make_array(signature.args[n])(context, builder, args[n]).data for n in (0, 3))
        vector = ir.VectorType(ir.IntType(8), LANES)
        flags = builder.load(builder.bitcast(builder.gep(flags, [args[1]]), vector.as_pointer()), align=1)
        return _list(builder, builder.icmp_signed("!=", flags, ir.Constant(vector, None)), args[2], ids, args[4])

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


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def _truncated(x, part):
    """What is left of a 24-bit state: part / 4096 of it, truncated toward zero."""
    magnitude = (abs(np.int64(x)) * part) >> 12
    return magnitude if x >= 0 else -magnitude


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire_integer(current, bias, v, n, id_of_first, ids, k, fire_at, drop, leak, keep, late):
    """What the intrinsic `_fire_general` does to int32, for n neurons, one after the other."""
    top, mask = np.int64((1 << 23) - 1), np.int64((1 << 24) - 1)
    for i in range(n):
        shift = np.int64(bias[i]) << 6
        scaled = (np.int64(current[i]) << 6) + (0 if late else shift)
        new = ((scaled + top) & mask) - top
        current[i] = 0
        x = _truncated(v[i], leak) + new + (shift if late else 0)
        x = min(max(x, -top), top)
        if x >= fire_at:
            x = (x if keep else 0) - drop
            ids[k] = id_of_first + i
            k += 1
        v[i] = x
    return k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _list_fired(fired, id_of_first, ids, k):
    """Write the ids of those neurons that fired, by 0 or 1, to ids from k on. Returns the new k."""
    whole = fired.size // LANES * LANES
    for i in range(0, whole, LANES):
        k = _list_16(fired, np.int64(i), np.int64(id_of_first + i), ids, k)
    for i in range(whole, fired.size):
        if fired[i]:
            ids[k] = id_of_first + i
            k += 1
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
    fired = np.empty(0 if simple else size, np.uint8)
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
                i_u, flags = u[b, part] if has_current else i_v, fired[:size]
                for i in range(size):  # no branch on what fires: Numba makes vectors of it
                    drive = i_now[i]
                    i_now[i] = 0
                    if not bias_to_membrane:
                        drive += i_bias[i]
                    if has_current:
                        old = i_u[i]
                        new = decays * old + drive
                        i_u[i] = new
                        drive = old if voltage_first else new
                    before = i_v[i]
                    x = keeps * before + drive
                    if bias_to_membrane:
                        x += i_bias[i]
                    if reset_delay:
                        x = keep * x - lost if before >= at else x
                    fires = x >= at
                    if not reset_delay:
                        x = keep * x - lost if fires else x
                    flags[i] = fires
                    i_v[i] = x
                k = _list_fired(flags, g * size, ids[b], k)
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
    simple = not has_current and not reset_delay
    fired = np.empty(0 if simple else size, np.uint8)
    rest, late = np.int32(-1 if keep else 0), np.int32(-1 if bias_to_membrane else 0)
    for b in range(n_samples):
        k = np.int64(0)
        starts[b, 0] = 0
        for step in range(n_block):
            now = current[b, (first_step + step) % ring]
            for g in range(n_groups):
                part, first = slice(g * size, (g + 1) * size), np.int64(g * size)
                i_now, i_bias, i_v = now[part], bias[part], v[b, part]
                if simple:  # 32 bits hold all that 24 can become in a step
                    keeps, at, lost = leak[g], fire_at[g], drop[g]
                    if (keeps == 4096 or keeps == 0) and not bias_to_membrane:
                        kept = np.int32(-1 if keeps else 0)
                        for i in range(0, whole, LANES):
                            j = np.int64(i)
                            k = _fire(i_now, i_bias, i_v, j, first + j, ids[b], k, at, lost, kept, rest, late)
                    else:
                        for i in range(0, whole, LANES):
                            j = np.int64(i)
                            k = _fire_general(i_now, i_bias, i_v, j, first + j, ids[b], k, at, lost, keeps, rest, late)
                    n = size - whole
                    others = (i_now[whole:], i_bias[whole:], i_v[whole:], n, first + whole)
                    k = plain_fire_integer(*others, ids[b], k, at, lost, keeps, rest, late)
                    continue
                at, lost = np.int64(fire_at[g]), np.int64(drop[g])
                held, decays = np.int64(leak[g]), np.int64(decay[g])
                i_u, flags = u[b, part] if has_current else i_v, fired[:size]
                for i in range(size):
                    scaled = np.int64(i_now[i]) << 6
                    i_now[i] = 0
                    shift = np.int64(i_bias[i]) << 6
                    if not bias_to_membrane:
                        scaled += shift
                    old = np.int64(0)
                    if has_current:
                        old = np.int64(i_u[i])
                        scaled += _truncated(old, decays)
                    new = ((scaled + limit - 1) & mask) - (limit - 1)
                    if has_current:
                        i_u[i] = new
                    before = np.int64(i_v[i])
                    x = _truncated(before, held) + (old if voltage_first else new)
                    if bias_to_membrane:
                        x += shift
                    x = min(max(x, 1 - limit), limit - 1)
                    if reset_delay:
                        x = keep * x - lost if before >= at else x
                    fires = x >= at
                    if not reset_delay:
                        x = keep * x - lost if fires else x
                    flags[i] = fires
                    i_v[i] = x
                k = _list_fired(flags, g * size, ids[b], k)
            starts[b, step + 1] = k
