"""Integrate-and-fire neurons: coefficients by group, spikes compacted into event lists. general_neurons.py has others.

A comparison with > arrives as >= with the next larger threshold, so there is one comparison. A reset arrives as
`keep` and `drop`: v -> keep * v - drop, that is (1, threshold) to subtract, (0, 0) to zero, (1, 0) for none.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .features import HAS_AVX512

LANES = 16  # of 32 bits in a vector of 512
ABREAST = 4  # vectors that are advanced together: one alone would wait for itself from step to step
_I1, _I16, _I32, _I64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _splat(builder, value):
    """A vector with `value` in every lane."""
    vector = ir.VectorType(value.type, LANES)
    empty = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(_I32, 0)), empty, zeros)


def _of(vector, number):
    """A constant vector with a number in every lane."""
    return ir.Constant(vector, [number] * LANES)


def _call(builder, name, *arguments):
    """A function of LLVM that returns a vector like its first argument."""
    kinds = [a.type for a in arguments]
    function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(kinds[0], kinds), name)
    return builder.call(function, arguments)


def _list(builder, fired, id_of_first, ids, k):
    """Write id_of_first + lane of those that fired to where `ids` points, from k on, 16 at once. Returns the new k."""
    vector = ir.VectorType(_I32, LANES)
    first = _splat(builder, builder.trunc(id_of_first, _I32))
    numbered = builder.add(first, ir.Constant(vector, list(range(LANES))))
    nothing = ir.Constant(vector, ir.Undefined)
    packed = _call(builder, "llvm.experimental.vector.compress.v16i32", numbered, fired, nothing)
    n_fired = builder.zext(builder.ctpop(builder.bitcast(fired, _I16)), _I64)
    few, place = LANES // 2, builder.gep(ids, [k])  # mostly: to write half a vector takes half as long
    half = builder.shuffle_vector(packed, packed, ir.Constant(ir.VectorType(_I32, few), list(range(few))))
    builder.store(half, builder.bitcast(place, half.type.as_pointer()), align=4)
    with builder.if_then(builder.icmp_unsigned(">", n_fired, ir.Constant(_I64, few)), likely=False):
        builder.store(packed, builder.bitcast(place, vector.as_pointer()), align=4)
    return builder.add(k, n_fired)


class _Floats:
    """v <- leak * v + (current + bias), as vectors. leaks: see `_make_fire`."""

    def __init__(self, builder, leaks, fire_at, drop, leak):
        self.builder, self.leaks, self.fire_at, self.drop, self.leak = builder, leaks, fire_at, drop, leak

    def enter(self, v):
        """Membranes as they lie in memory, as they are worked on."""
        return v

    def leave(self, v):
        """The inverse."""
        return v

    def prepare(self, bias):
        """What all steps need of a bias."""
        return bias

    def advance(self, v, current, bias):
        """Membranes after a step, before any reset."""
        b = self.builder
        return b.fadd(b.fmul(self.leak, v) if self.leaks else v, b.fadd(current, bias))

    def fires(self, v):
        """Mask of what reaches its threshold."""
        return self.builder.fcmp_ordered(">=", v, self.fire_at)

    def dropped(self, v):
        """Membranes after a reset by subtraction."""
        return self.builder.fsub(v, self.drop)


class _Integers:
    """Loihi's arithmetic in 32 bits, see `update_integer`. leaks: see `_make_fire`."""

    def __init__(self, builder, leaks, fire_at, drop, leak):
        self.builder, self.leaks = builder, leaks
        self.fire_at, self.drop, self.leak, self.whole_threshold = fire_at, drop, leak, fire_at

    def enter(self, v):
        return v

    def leave(self, v):
        return v

    def prepare(self, bias):
        """A bias, negated."""
        b = self.builder
        # Negated with 0, it would be added first, and the sum negated in each step: no threshold is -2^31.
        return b.select(b.icmp_signed("!=", self.whole_threshold, _of(bias.type, -(1 << 31))), b.neg(bias), bias)

    def advance(self, v, current, bias):
        b, less = self.builder, self.less(current, bias)
        x = b.sub(self.decayed(v) if self.leaks else v, b.ashr(less, _of(less.type, 8)))
        top, lowest = (_of(x.type, sign * ((1 << 23) - 1)) for sign in (1, -1))
        x = b.select(b.icmp_signed(">", x, top), top, x)
        return b.select(b.icmp_signed("<", x, lowest), lowest, x)

    def less(self, current, bias):
        """What arrives, negated, times 256: it wraps into [-2^23, 2^23) where it leaves 32 bits."""
        b = self.builder
        negated = b.sub(bias, current)
        return b.shl(negated, _of(negated.type, 14))

    def decayed(self, v):
        """leak / 4096 of 24 bits, truncated toward zero: 12 bits at a time, which 32 hold."""
        b, zero, twelve = self.builder, _of(v.type, 0), _of(v.type, 12)
        is_negative = b.icmp_signed("<", v, zero)
        magnitude = b.select(is_negative, b.sub(zero, v), v)
        high, low = b.lshr(magnitude, twelve), b.and_(magnitude, _of(v.type, 4095))
        left = b.add(b.mul(high, self.leak), b.lshr(b.mul(low, self.leak), twelve))
        return b.select(is_negative, b.sub(zero, left), left)

    def fires(self, v):
        return self.builder.icmp_signed(">=", v, self.fire_at)

    def dropped(self, v):
        return self.builder.sub(v, self.drop)


class _IntegersAsFloats(_Integers):
    """The same with AVX-512: membranes of 24 bits are floats, which are truncated in two instructions."""

    def __init__(self, builder, leaks, fire_at, drop, leak):
        super().__init__(builder, leaks, fire_at, drop, leak)
        self.floats = ir.VectorType(ir.FloatType(), LANES)
        self.fire_at, self.drop, part = (builder.sitofp(x, self.floats) for x in (fire_at, drop, leak))
        self.part = builder.fmul(part, _of(self.floats, 1 / 4096))

    def enter(self, v):
        return self.builder.sitofp(v, self.floats)

    def leave(self, v):
        return self.builder.fptosi(v, self.leak.type)

    def advance(self, v, current, bias):
        b, less = self.builder, self.builder.sitofp(self.less(current, bias), self.floats)
        x = _call(b, "llvm.fma.v16f32", less, _of(self.floats, -1 / 256), self.decayed(v) if self.leaks else v)
        # Of the magnitudes the smaller, with the sign of x.
        top, clip = _of(self.floats, float((1 << 23) - 1)), ir.Constant(_I32, 0b0010)
        everywhere = ir.Constant(ir.IntType(LANES), -1)
        return _call(b, "llvm.x86.avx512.mask.range.ps.512", x, top, clip, x, everywhere, ir.Constant(_I32, 4))

    def decayed(self, v):
        """The product is rounded toward zero to 24 bits, then to a whole number."""
        toward_zero = ir.Constant(_I32, 11)
        product = _call(self.builder, "llvm.x86.avx512.mul.ps.512", v, self.part, toward_zero)
        return _call(self.builder, "llvm.trunc.v16f32", product)

    def fires(self, v):
        return self.builder.fcmp_ordered(">=", v, self.fire_at)

    def dropped(self, v):
        return self.builder.fsub(v, self.drop)


def _make_fire(leaks):
    """All steps of a block of the integrate-and-fire neurons begin ... end - 1, whole vectors of them: their membranes
    stay in registers meanwhile. Empties their currents.

    Floats: v <- leak * v + (current + bias); where v >= fire_at: v <- v - drop, or 0 unless keep. int32: see
    update_integer. If not leaks, leak is 1, or 4096 in integers' 1/4096.
    current: (ring, n_neurons), of which slot is read first. The ids of those that fire in a step are written to ids
    from ends[step] on, where 16 must have room, and ends[step] is moved behind them.
    """

    @intrinsic
    def fire(typingctx, current, slot, n_block, bias, v, begin, end, ids, ends, fire_at, drop, leak, keep):
        number, whole = v.dtype, types.int64
        signature = types.void(
            current, whole, whole, bias, v, whole, whole, ids, ends, number, number, number, types.boolean
        )

        def codegen(context, builder, signature, args):
            now, biases, state, listed, ends = (
                context.make_array(signature.args[n])(context, builder, args[n]) for n in (0, 3, 4, 7, 8)
            )
            ring, n_neurons = cgutils.unpack_tuple(builder, now.shape)
            first_slot, n_block, begin, end = args[1], args[2], args[5], args[6]
            arithmetic = _Floats if isinstance(number, types.Float) else _IntegersAsFloats if HAS_AVX512 else _Integers
            neuron = arithmetic(builder, leaks, *(_splat(builder, a) for a in args[9:12]))
            vector = ir.VectorType(context.get_value_type(number), LANES)
            worked_on = neuron.fire_at.type
            membranes = [cgutils.alloca_once(builder, worked_on) for _ in range(ABREAST)]

            def place(array, i):
                return builder.bitcast(builder.gep(array.data, [i]), vector.as_pointer())

            def currents(step, i):
                slot = builder.add(first_slot, step)
                slot = builder.select(builder.icmp_signed(">=", slot, ring), builder.sub(slot, ring), slot)
                return place(now, builder.add(builder.mul(slot, n_neurons), i))

            nowhere = builder.bitcast(
                cgutils.alloca_once(builder, vector, ir.Constant(_I32, ABREAST)), vector.as_pointer()
            )

            def empty(row, abreast):
                for n in range(abreast):
                    place = builder.gep(row, [ir.Constant(_I64, n)])
                    builder.store(ir.Constant(vector, None), place, align=4)

            def run(begin, end, abreast, keeps):
                n_together = ir.Constant(_I64, LANES * abreast)
                with cgutils.for_range_slice(builder, begin, end, n_together) as (i, _):
                    firsts = [builder.add(i, ir.Constant(_I64, LANES * n)) for n in range(abreast)]
                    given = [neuron.prepare(builder.load(place(biases, first), align=4)) for first in firsts]
                    for v, first in zip(membranes, firsts, strict=False):
                        builder.store(neuron.enter(builder.load(place(state, first), align=4)), v)
                    is_first = builder.icmp_signed("==", i, begin)
                    with cgutils.for_range(builder, n_block) as loop:
                        arrived, end_of_step = currents(loop.index, i), builder.gep(ends.data, [loop.index])
                        k = builder.load(end_of_step)
                        for n in range(abreast):
                            drive = builder.load(builder.gep(arrived, [ir.Constant(_I64, n)]), align=4)
                            x = neuron.advance(builder.load(membranes[n]), drive, given[n])
                            fired = neuron.fires(x)
                            after = neuron.dropped(x) if keeps else ir.Constant(worked_on, None)
                            builder.store(builder.select(fired, after, x), membranes[n])
                            k = _list(builder, fired, firsts[n], listed.data, k)
                        builder.store(k, end_of_step)
                        # Those before: where the steps' currents lie at one place in their pages, a load of these
                        # would wait for a store that is not its own.
                        before = builder.gep(arrived, [ir.Constant(_I64, -abreast)])
                        empty(builder.select(is_first, nowhere, before), abreast)
                    for v, first in zip(membranes, firsts, strict=False):
                        builder.store(neuron.leave(builder.load(v)), place(state, first), align=4)
                with (
                    builder.if_then(builder.icmp_signed("<", begin, end)),
                    cgutils.for_range(builder, n_block) as loop,
                ):
                    empty(currents(loop.index, builder.sub(end, n_together)), abreast)

            rest = builder.srem(builder.sub(end, begin), ir.Constant(_I64, LANES * ABREAST))
            with builder.if_else(args[12]) as branches:
                for branch, keeps in zip(branches, (True, False), strict=True):
                    with branch:
                        run(begin, builder.sub(end, rest), ABREAST, keeps)
                        run(builder.sub(end, rest), end, 1, keeps)
            return context.get_dummy_value()

        return signature, codegen

    return fire


_fire, _fire_leaking = _make_fire(False), _make_fire(True)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire_float(current, slot, n_block, bias, v, first, end, ids, ends, fire_at, drop, leak, keep):
    """What the intrinsic `_fire` does to floats, for neurons first ... end - 1, one after the other."""
    ring = len(current)
    for step in range(n_block):
        now, k = current[(slot + step) % ring], ends[step]
        for i in range(first, end):
            x = leak * v[i] + (now[i] + bias[i])
            now[i] = 0
            if x >= fire_at:
                x = (x if keep else np.float32(0)) - drop
                ids[k] = i
                k += 1
            v[i] = x
        ends[step] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire_integer(current, slot, n_block, bias, v, first, end, ids, ends, fire_at, drop, leak, keep):
    """What the intrinsics do to int32, for neurons first ... end - 1, one after the other."""
    ring, top, mask = len(current), np.int64((1 << 23) - 1), np.int64((1 << 24) - 1)
    for step in range(n_block):
        now, k = current[(slot + step) % ring], ends[step]
        for i in range(first, end):
            scaled = (np.int64(now[i]) + np.int64(bias[i])) << 6
            now[i] = 0
            left = (abs(np.int64(v[i])) * leak) >> 12
            x = (left if v[i] >= 0 else -left) + (((scaled + top) & mask) - top)
            x = min(max(x, -top), top)
            if x >= fire_at:
                x = (x if keep else 0) - drop
                ids[k] = i
                k += 1
            v[i] = x
        ends[step] = k


@intrinsic
def _move(typingctx, ids, to, begin, n):
    """ids[to : to + n] = ids[begin : begin + n], which may overlap."""
    signature = types.void(ids, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        to, begin = (builder.gep(data, [i]) for i in args[1:3])
        cgutils.raw_memmove(builder, to, begin, args[3], 4)
        return context.get_dummy_value()

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _close_ranks(ids, room, ends, starts):
    """Move the ids of each step, which lie from step * room to ends[step], to behind those of the step before."""
    k = starts[0] = np.int64(0)
    for step in range(ends.size):
        begin, n = step * room, ends[step] - step * room
        if begin > k:
            _move(ids, k, begin, n)
        k += n
        starts[step + 1] = k


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_float(current, first_step, n_block, v, fire_at, drop, leak, bias, keep, ids, starts):
    """Update n_block steps of float32 neurons and list their spikes; empties the slots of `current` that it reads.

    v: (n_samples, n_neurons). fire_at, drop, leak: (n_groups,). bias: (n_neurons,). keep: see above. ids: with room for
    16 more than can fire.
    """
    n_samples, ring, n_neurons = current.shape
    size, slot = n_neurons // fire_at.size, first_step % ring
    ends, keeps = np.empty(n_block, np.int64), bool(keep)
    for b in range(n_samples):
        ends[:] = n_neurons * np.arange(n_block)
        for g in range(fire_at.size):
            at, lost, left = fire_at[g], drop[g], leak[g]
            first, end = np.int64(g * size), np.int64((g + 1) * size)
            whole = np.int64(end - size % LANES)
            where, to = (current[b], slot, n_block, bias, v[b]), (ids[b], ends)
            if left == 1:
                _fire(*where, first, whole, *to, at, lost, left, keeps)
            else:
                _fire_leaking(*where, first, whole, *to, at, lost, left, keeps)
            if whole < end:
                plain_fire_float(*where, whole, end, *to, at, lost, left, keeps)
        _close_ranks(ids[b], n_neurons, ends, starts[b])


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def update_integer(current, first_step, n_block, v, fire_at, drop, leak, bias, keep, ids, starts):
    """As update_float in Loihi's integers: what arrives wraps into (-2^23, 2^23], leaks are in 1/4096 truncated toward
    zero, v, in 1/64 unit, is clipped to +-(2^23 - 1). v: int32, which hold all that 24 bits can become in a step;
    fire_at, drop: already in 1/64 unit.
    """
    n_samples, ring, n_neurons = current.shape
    size, slot = n_neurons // fire_at.size, first_step % ring
    ends, keeps = np.empty(n_block, np.int64), bool(keep)
    for b in range(n_samples):
        ends[:] = n_neurons * np.arange(n_block)
        for g in range(fire_at.size):
            at, lost, left = fire_at[g], drop[g], leak[g]
            first, end = np.int64(g * size), np.int64((g + 1) * size)
            whole = np.int64(end - size % LANES)
            where, to = (current[b], slot, n_block, bias, v[b]), (ids[b], ends)
            if left == 4096:
                _fire(*where, first, whole, *to, at, lost, left, keeps)
            else:
                _fire_leaking(*where, first, whole, *to, at, lost, left, keeps)
            if whole < end:
                plain_fire_integer(*where, whole, end, *to, at, lost, left, keeps)
        _close_ranks(ids[b], n_neurons, ends, starts[b])
