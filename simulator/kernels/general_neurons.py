"""Any neuron: with a current that decays, a bias for the membrane, a delayed reset, coefficients of its own, or none
that fires. Both engines use these kernels for what their own, fused ones do not know.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .features import HAS_AVX512

LANES = 16  # of 32 bits in a vector of 512
ABREAST = 2  # vectors that are advanced together: one alone would wait for itself from step to step
TOGETHER = LANES * ABREAST
STRIP = 1024  # neurons whose currents of eight steps fit into the smallest cache
STEPS = 8  # as many as flags fit into a byte
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _splat(builder, value):
    """A vector with `value` in every lane."""
    vector = ir.VectorType(value.type, LANES)
    empty, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(_I32, 0)), empty, zeros)


def _of(vector, number):
    """A constant vector with a number in every lane."""
    return ir.Constant(vector, [number] * LANES)


def _call(builder, name, *arguments):
    """A function of LLVM that returns a vector like its first argument."""
    kinds = [a.type for a in arguments]
    function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(kinds[0], kinds), name)
    return builder.call(function, arguments)


class _Floats:
    """As vectors: u <- decay * u + current; v <- leak * v + drive. enter, leave: states as they lie in memory, and as
    they are worked on. late: a bias is added to the membrane, not to the current.
    """

    def __init__(self, builder, late):
        self.builder, self.late = builder, late

    def enter_coefficients(self, fire_at, drop, leak, decay):
        return fire_at, drop, leak, decay

    def enter(self, v):
        return v

    def leave(self, v):
        return v

    enter_current, leave_current = enter, leave

    def prepare(self, bias):
        """What all steps need of a bias."""
        return bias

    def arriving(self, current, bias):
        """What arrives in a step."""
        return self.builder.select(self.late, current, self.builder.fadd(current, bias))

    def charged(self, u, decay, arriving):
        """The synaptic current after a step."""
        return self.builder.fadd(self.builder.fmul(decay, u), arriving)

    def alone(self, arriving):
        """The same of neurons without one."""
        return arriving

    def driven(self, v, leak, drive, bias):
        """Membranes after a step, before any reset."""
        b = self.builder
        x = b.fadd(b.fmul(leak, v), drive)
        return b.select(self.late, b.fadd(x, bias), x)

    def reaches(self, v, fire_at):
        return self.builder.fcmp_ordered(">=", v, fire_at)

    def dropped(self, v, drop):
        return self.builder.fsub(v, drop)


class _Integers:
    """The same in Loihi's arithmetic, see `advance`; currents are negated, so that they wrap where 32 bits do."""

    def __init__(self, builder, late):
        self.builder, self.late = builder, late

    def enter_coefficients(self, fire_at, drop, leak, decay):
        return fire_at, drop, leak, decay

    def enter(self, v):
        return v

    def leave(self, v):
        return v

    def enter_current(self, u):
        return self.builder.neg(u)

    leave_current = enter_current

    def prepare(self, bias):
        b = self.builder
        return b.select(self.late, b.shl(bias, _of(bias.type, 6)), bias)

    def arriving(self, current, bias):
        """Times 256."""
        b = self.builder
        total = b.select(self.late, current, b.add(current, bias))
        return b.shl(total, _of(total.type, 14))

    def charged(self, u, decay, arriving):
        return self.wrapped(self.builder.shl(self.part(u, decay), _of(arriving.type, 8)), arriving)

    def alone(self, arriving):
        return self.wrapped(ir.Constant(arriving.type, None), arriving)

    def wrapped(self, u, arriving):
        """Both times 256: the difference wraps into [-2^23, 2^23) where it leaves 32 bits."""
        return self.builder.ashr(self.builder.sub(u, arriving), _of(u.type, 8))

    def driven(self, v, leak, drive, bias):
        b = self.builder
        x = b.sub(self.part(v, leak), drive)
        x = b.select(self.late, b.add(x, bias), x)
        top, lowest = (_of(x.type, sign * ((1 << 23) - 1)) for sign in (1, -1))
        x = b.select(b.icmp_signed(">", x, top), top, x)
        return b.select(b.icmp_signed("<", x, lowest), lowest, x)

    def part(self, x, part):
        """part / 4096 of 24 bits, truncated toward zero: 12 bits at a time, which 32 hold."""
        b, zero, twelve = self.builder, _of(x.type, 0), _of(x.type, 12)
        is_negative = b.icmp_signed("<", x, zero)
        magnitude = b.select(is_negative, b.sub(zero, x), x)
        high, low = b.lshr(magnitude, twelve), b.and_(magnitude, _of(x.type, 4095))
        left = b.add(b.mul(high, part), b.lshr(b.mul(low, part), twelve))
        return b.select(is_negative, b.sub(zero, left), left)

    def reaches(self, v, fire_at):
        return self.builder.icmp_signed(">=", v, fire_at)

    def dropped(self, v, drop):
        return self.builder.sub(v, drop)


class _IntegersAsFloats(_Integers):
    """The same with AVX-512: states of 24 bits are floats, of which a part is truncated in two instructions."""

    whole, floats = ir.VectorType(_I32, LANES), ir.VectorType(ir.FloatType(), LANES)

    def enter_coefficients(self, fire_at, drop, leak, decay):
        b, unit = self.builder, _of(self.floats, 1 / 4096)
        fire_at, drop, leak, decay = (b.sitofp(x, self.floats) for x in (fire_at, drop, leak, decay))
        return fire_at, drop, b.fmul(leak, unit), b.fmul(decay, unit)

    def enter(self, v):
        return self.builder.sitofp(v, self.floats)

    def leave(self, v):
        return self.builder.fptosi(v, self.whole)

    def enter_current(self, u):
        return self.enter(self.builder.neg(u))

    def leave_current(self, u):
        return self.builder.neg(self.leave(u))

    def charged(self, u, decay, arriving):
        left = self.builder.fptosi(self.product(u, decay), self.whole)  # truncates
        return self.enter(self.wrapped(self.builder.shl(left, _of(self.whole, 8)), arriving))

    def alone(self, arriving):
        return self.enter(super().alone(arriving))

    def driven(self, v, leak, drive, bias):
        b = self.builder
        left = _call(b, "llvm.trunc.v16f32", self.product(v, leak))
        x = b.fsub(left, drive)
        x = b.select(self.late, b.fadd(x, self.enter(bias)), x)
        # Of the magnitudes the smaller, with the sign of x.
        top, clip = _of(self.floats, float((1 << 23) - 1)), ir.Constant(_I32, 0b0010)
        everywhere = ir.Constant(ir.IntType(LANES), -1)
        return _call(b, "llvm.x86.avx512.mask.range.ps.512", x, top, clip, x, everywhere, ir.Constant(_I32, 4))

    def product(self, x, part):
        """Rounded toward zero to 24 bits."""
        return _call(self.builder, "llvm.x86.avx512.mul.ps.512", x, part, ir.Constant(_I32, 11))

    def reaches(self, v, fire_at):
        return self.builder.fcmp_ordered(">=", v, fire_at)

    def dropped(self, v, drop):
        return self.builder.fsub(v, drop)


def _make_advance(has_current):
    """All steps of neurons i ... i + TOGETHER - 1, whose states stay in registers meanwhile.

    current: (ring, n), of which slot is read first. v, u: (n,), u without meaning unless has_current. coefficients:
    (4, TOGETHER) fire_at, drop, leak, decay of these neurons. bias, fired: (n,). seen: (n_steps, n), or no rows at all.
    """

    @intrinsic
    def advance(
        typingctx, current, slot, n_steps, v, u, i, coefficients, bias, keep, late, voltage_first, reset_delay, fired,
        seen,
    ):  # fmt: skip
        whole, yes = types.int64, types.boolean
        signature = types.void(current, whole, whole, v, u, whole, coefficients, bias, yes, yes, yes, yes, fired, seen)

        def codegen(context, builder, signature, args):
            def array(n):
                return context.make_array(signature.args[n])(context, builder, args[n])

            slot, n_steps, i, keep, late, voltage_first, reset_delay = (args[n] for n in (1, 2, 5, 8, 9, 10, 11))
            number = signature.args[3].dtype
            vector, flags = ir.VectorType(context.get_value_type(number), LANES), ir.VectorType(_I8, LANES)
            kind = _Floats if isinstance(number, types.Float) else _IntegersAsFloats if HAS_AVX512 else _Integers
            neuron, now, shown = kind(builder, late), array(0), array(13)
            ring, n_neurons = cgutils.unpack_tuple(builder, now.shape)
            shows = builder.icmp_signed(">", builder.extract_value(shown.shape, 0), ir.Constant(_I64, 0))

            def place(data, index, kind=vector):
                return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())

            def read(data, index):
                return builder.load(place(data, index), align=4)

            firsts = [builder.add(i, ir.Constant(_I64, LANES * k)) for k in range(ABREAST)]
            rows = [
                [read(array(6).data, ir.Constant(_I64, TOGETHER * row + LANES * k)) for row in range(4)]
                for k in range(ABREAST)
            ]
            coefficients = [neuron.enter_coefficients(*of_vector) for of_vector in rows]
            biases = [neuron.prepare(read(array(7).data, first)) for first in firsts]
            membranes, currents, seen = [], [], []
            for first in firsts:
                v = neuron.enter(read(array(3).data, first))
                membranes.append(cgutils.alloca_once_value(builder, v))
                u = neuron.enter_current(read(array(4).data, first)) if has_current else v
                currents.append(cgutils.alloca_once_value(builder, u))
                seen.append(cgutils.alloca_once_value(builder, ir.Constant(flags, None)))
            with cgutils.for_range(builder, n_steps) as loop:
                at = builder.add(slot, loop.index)
                at = builder.select(builder.icmp_signed(">=", at, ring), builder.sub(at, ring), at)
                row = builder.mul(at, n_neurons)
                bit = _splat(builder, builder.shl(ir.Constant(_I8, 1), builder.trunc(loop.index, _I8)))
                for k, first in enumerate(firsts):
                    fire_at, drop, leak, decay = coefficients[k]
                    drive = neuron.arriving(read(now.data, builder.add(row, first)), biases[k])
                    if has_current:
                        old = builder.load(currents[k])
                        new = neuron.charged(old, decay, drive)
                        builder.store(new, currents[k])
                        drive = builder.select(voltage_first, old, new)
                    else:
                        drive = neuron.alone(drive)
                    before = builder.load(membranes[k])
                    x = neuron.driven(before, leak, drive, biases[k])

                    def reset(x, where, drop=drop):
                        after = builder.select(keep, neuron.dropped(x, drop), ir.Constant(x.type, None))
                        return builder.select(where, after, x)

                    # What is reset a step later lost its charge in this one, before it may fire again.
                    x = builder.select(reset_delay, reset(x, neuron.reaches(before, fire_at)), x)
                    fires = neuron.reaches(x, fire_at)
                    x = builder.select(reset_delay, x, reset(x, fires))
                    builder.store(x, membranes[k])
                    flagged = builder.select(fires, bit, ir.Constant(flags, None))
                    builder.store(builder.or_(builder.load(seen[k]), flagged), seen[k])
                    with builder.if_then(shows, likely=False):
                        where = place(shown.data, builder.add(builder.mul(loop.index, n_neurons), first))
                        builder.store(neuron.leave(x), where, align=4)
            for k, first in enumerate(firsts):
                builder.store(neuron.leave(builder.load(membranes[k])), place(array(3).data, first), align=4)
                if has_current:
                    u = neuron.leave_current(builder.load(currents[k]))
                    builder.store(u, place(array(4).data, first), align=4)
                builder.store(builder.load(seen[k]), place(array(12).data, first, flags), align=1)
            return context.get_dummy_value()

        return signature, codegen

    return advance


_advance, _advance_with_current = _make_advance(False), _make_advance(True)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_advance_float(
    current, slot, n_steps, v, u, first, end, size, fire_at, drop, leak, decay, bias, keep, late, has_current,
    voltage_first, reset_delay, fired, seen,
):  # fmt: skip
    """What the intrinsics do to floats, for neurons first ... end - 1, one after the other."""
    ring = len(current)
    for i in range(first, end):
        g, flags = i // size, 0
        for step in range(n_steps):
            drive = current[(slot + step) % ring, i]
            if not late:
                drive += bias[i]
            if has_current:
                old = u[i]
                new = decay[g] * old + drive
                u[i] = new
                drive = old if voltage_first else new
            before = v[i]
            x = leak[g] * before + drive
            if late:
                x += bias[i]
            if reset_delay and before >= fire_at[g]:
                x = (x if keep else np.float32(0)) - drop[g]
            fires = x >= fire_at[g]
            if fires and not reset_delay:
                x = (x if keep else np.float32(0)) - drop[g]
            flags |= np.int64(fires) << step
            v[i] = x
            if len(seen):
                seen[step, i] = x
        fired[i] = flags


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def _part(x, part):
    """part / 4096 of a 24-bit state, truncated toward zero."""
    magnitude = (abs(np.int64(x)) * np.int64(part)) >> 12
    return magnitude if x >= 0 else -magnitude


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_advance_integer(
    current, slot, n_steps, v, u, first, end, size, fire_at, drop, leak, decay, bias, keep, late, has_current,
    voltage_first, reset_delay, fired, seen,
):  # fmt: skip
    """What the intrinsics do to whole numbers, for neurons first ... end - 1, one after the other."""
    ring, top, mask = len(current), np.int64((1 << 23) - 1), np.int64((1 << 24) - 1)
    for i in range(first, end):
        g, flags, shift = i // size, 0, np.int64(bias[i]) << 6
        at, lost = np.int64(fire_at[g]), np.int64(drop[g])
        for step in range(n_steps):
            scaled = (np.int64(current[(slot + step) % ring, i]) << 6) + (0 if late else shift)
            old = np.int64(0)
            if has_current:
                old = np.int64(u[i])
                scaled += _part(old, decay[g])
            new = ((scaled + top) & mask) - top
            if has_current:
                u[i] = new
            before = np.int64(v[i])
            x = _part(before, leak[g]) + (old if voltage_first else new) + (shift if late else 0)
            x = min(max(x, -top), top)
            if reset_delay and before >= at:
                x = (x if keep else 0) - lost
            fires = x >= at
            if fires and not reset_delay:
                x = (x if keep else 0) - lost
            flags |= np.int64(fires) << step
            v[i] = x
            if len(seen):
                seen[step, i] = x
        fired[i] = flags


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def _gather(i, size, fire_at, drop, leak, decay, coefficients):
    """The coefficients of TOGETHER neurons from i on."""
    for k in range(TOGETHER):
        g = (i + k) // size
        coefficients[0, k], coefficients[1, k] = fire_at[g], drop[g]
        coefficients[2, k], coefficients[3, k] = leak[g], decay[g]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def advance(
    current, first_step, n_steps, v, u, fire_at, drop, leak, decay, bias, keep, late, has_current, voltage_first,
    reset_delay, fired, seen,
):  # fmt: skip
    """Advance neurons by n_steps <= 8; empties the slots of `current` that it reads.

    Numbers: float32, or int32 in Loihi's arithmetic: v, u, fire_at and drop in 1/64 unit, leak and decay in 1/4096,
    truncated toward zero, u wraps into (-2^23, 2^23], v is clipped to +-(2^23 - 1); 32 bits hold all that 24 can become
    in a step. v, u: (n_samples, n_neurons); u is empty without synaptic current. fire_at, drop, leak, decay:
    (n_groups,), one for as many neurons each. bias: (n_neurons,), for the membrane if late. keep: what a membrane is
    before it drops, else 0. fired: (n_samples, n_neurons) bytes, of which bit t says that it fired in step t. seen:
    (n_samples, n_steps, n_neurons) membranes, or (n_samples, 0, 0).
    """
    n_samples, ring, n = current.shape
    size, slot, steps = n // max(1, fire_at.size), np.int64(first_step % ring), np.int64(n_steps)
    whole, of_whole_numbers = n - n % TOGETHER, v.dtype.type(0.5) == 0
    coefficients = np.empty((4, TOGETHER), v.dtype)
    options = bool(keep), bool(late), bool(voltage_first), bool(reset_delay)
    for b in range(n_samples):
        held = np.int64(-1)  # the group whose coefficients are at hand
        for strip in range(0, n, STRIP):
            end = min(strip + STRIP, n)
            for i in range(strip, min(end, whole), TOGETHER):
                group, last = i // size, (i + TOGETHER - 1) // size
                if group != last or group != held:
                    _gather(i, size, fire_at, drop, leak, decay, coefficients)
                    held = group if group == last else -1
                at = np.int64(i)
                if has_current:
                    _advance_with_current(
                        current[b], slot, steps, v[b], u[b], at, coefficients, bias, *options, fired[b], seen[b]
                    )
                else:
                    _advance(current[b], slot, steps, v[b], u[b], at, coefficients, bias, *options, fired[b], seen[b])
            if end > whole:
                rest = (
                    current[b], slot, steps, v[b], u[b], max(whole, strip), end, size, fire_at, drop, leak, decay, bias,
                    keep, late, has_current, voltage_first, reset_delay, fired[b], seen[b],
                )  # fmt: skip
                if of_whole_numbers:
                    plain_advance_integer(*rest)
                else:
                    plain_advance_float(*rest)
            for step in range(n_steps):
                current[b, (slot + step) % ring, strip:end] = 0
