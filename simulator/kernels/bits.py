"""Bit-parallel kernels: eight steps of a neuron are the bits of a byte, and targets pull the bytes of their sources.

memory: uint8, all that a run holds. Where a population's bytes are laid out for a convolution, the sources of one tap
lie at one distance from every output pixel, so that one weight is added to many pixels and steps at once.

scale: samples of the block, which lie side by side wherever one value of one neuron is spoken of. tile: (index into
TILES, rows, bytes in a row) of output that is summed in registers: a lane for each step of each byte, or one for all
steps where nothing but constant numbers arrives. spikes (what arrives as bits, of all projections into a population;
see `Rows`): memory, base, pitch (n_projections,) first byte of what is laid out, and bytes from a row to the next;
first_row (n_projections,), row_start, places, weights: of one projection after the other; places count neurons.
numbers: the same of what arrives as numbers, in elements.

The intrinsics are vector code of LLVM, which every CPU runs; AVX-512 adds to 32 lanes under a mask in two instructions.
Each has a twin in plain Numba (`plain_...`), which tests hold against it.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .features import HAS_AVX512

STEPS = 8  # in a byte
VECTOR_BITS = 512
# Rows and vectors in a row: up to 16 vectors of sums stay in registers while a row's synapses pass by.
TILES = ((1, 16), (2, 8), (4, 4), (8, 2), (1, 8), (2, 4), (1, 4), (4, 1), (1, 1))
MOST_ROWS, MOST_BYTES = 8, 64  # of a tile
_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _splat(builder, value, vector):
    """A vector with `value` in every lane."""
    empty = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(_I32, 0)), empty, zeros)


def _data(context, builder, signature, args, position):
    """The address of an array argument's elements."""
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _at(builder, pointer, offset, vector):
    """The address of a vector `offset` elements on."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _arithmetic(builder, is_float):
    """Addition, subtraction and comparison by >= of floats or of whole numbers."""
    if is_float:
        return builder.fadd, builder.fsub, lambda a, b: builder.fcmp_ordered(">=", a, b)
    return builder.add, builder.sub, lambda a, b: builder.icmp_signed(">=", a, b)


def _make_pull(n_rows, n_vectors):
    """sums[lane] += weight wherever the source emitted, over a row's synapses, for a tile of output.

    fresh: sums start at 0, whatever they hold. source: bytes, or numbers of the type of sums, by which the weight is
    multiplied.
    """

    @intrinsic
    def pull(typingctx, sums, fresh, source, base, pitch, scale, places, weights, first, last):
        i64 = types.int64
        signature = types.void(sums, types.boolean, source, i64, i64, i64, places, weights, i64, i64)

        def codegen(context, builder, signature, args):
            number = signature.args[0].dtype
            lane, n_bytes = context.get_value_type(number), number.bitwidth // 8
            n_lanes = VECTOR_BITS // number.bitwidth
            vector, mask = ir.VectorType(lane, n_lanes), ir.VectorType(_I1, n_lanes)
            add, _, _ = _arithmetic(builder, isinstance(number, types.Float))
            as_bits = signature.args[2].dtype == types.uint8
            multiply = builder.fmul if isinstance(number, types.Float) else builder.mul
            sums = builder.bitcast(_data(context, builder, signature, args, 0), vector.as_pointer())
            memory = builder.gep(_data(context, builder, signature, args, 2), [args[3]])
            places, weights = (_data(context, builder, signature, args, i) for i in (6, 7))
            pitch, scale, first, last = args[4], args[5], args[8], args[9]
            rows = [builder.mul(pitch, ir.Constant(_I64, r)) for r in range(n_rows)]
            slots = [builder.gep(sums, [ir.Constant(_I64, i)]) for i in range(n_rows * n_vectors)]
            entry = builder.block
            held, head, body, end = (builder.append_basic_block(name) for name in ("held", "head", "body", "end"))
            # Not even read if fresh: the stores of the row before may be on their way to the same place.
            builder.cbranch(args[1], head, held)
            builder.position_at_end(held)
            start = [builder.load(slot, align=n_bytes) for slot in slots]
            builder.branch(head)
            builder.position_at_end(head)
            j = builder.phi(_I64)
            old = [builder.phi(vector) for _ in slots]
            for before, values in ((entry, [ir.Constant(vector, None)] * len(slots)), (held, start)):
                j.add_incoming(first, before)
                for phi, value in zip(old, values, strict=True):
                    phi.add_incoming(value, before)
            builder.cbranch(builder.icmp_signed("<", j, last), body, end)
            builder.position_at_end(body)
            place = builder.load(builder.gep(places, [j]))
            place = (builder.sext if signature.args[6].dtype.signed else builder.zext)(place, _I64)
            source = builder.gep(memory, [builder.mul(place, scale)])
            block = ir.IntType(n_lanes) if as_bits else vector
            weight = builder.load(builder.gep(weights, [j]))
            if weight.type != lane:
                weight = builder.sext(weight, lane)
            weight = _splat(builder, weight, vector)
            new = []
            for r in range(n_rows):
                row = builder.bitcast(builder.gep(source, [rows[r]]), block.as_pointer())
                for q in range(n_vectors):
                    value = old[r * n_vectors + q]
                    here = builder.load(builder.gep(row, [ir.Constant(_I64, q)]), align=1 if as_bits else n_bytes)
                    if as_bits:
                        new.append(builder.select(builder.bitcast(here, mask), add(value, weight), value))
                    else:
                        new.append(add(value, multiply(weight, here)))
            j.add_incoming(builder.add(j, ir.Constant(_I64, 1)), body)
            for phi, value in zip(old, new, strict=True):
                phi.add_incoming(value, body)
            builder.branch(head)
            builder.position_at_end(end)
            for slot, value in zip(slots, old, strict=True):
                builder.store(value, slot, align=n_bytes)
            return context.get_dummy_value()

        return signature, codegen

    return pull


_pull_1x16, _pull_2x8, _pull_4x4, _pull_8x2, _pull_1x8, _pull_2x4, _pull_1x4, _pull_4x1, _pull_1x1 = (
    _make_pull(*shape) for shape in TILES
)


def _load_by_step(builder, sums, vector, n_bytes):
    """Eight vectors of lanes (byte, step), as eight vectors, one for each step, of lanes (byte).

    Three times, what is even goes to the first half and what is odd to the second: the lowest bit of a lane's number
    becomes its highest.
    """
    whole = [builder.load(builder.gep(sums, [ir.Constant(_I64, i)]), align=n_bytes) for i in range(STEPS)]
    pick = ir.VectorType(_I32, vector.count)
    even = ir.Constant(pick, [2 * i for i in range(vector.count)])
    odd = ir.Constant(pick, [2 * i + 1 for i in range(vector.count)])
    for _ in range(3):
        pairs = [(whole[i], whole[i + 1]) for i in range(0, STEPS, 2)]
        whole = [builder.shuffle_vector(a, b, part) for part in (even, odd) for a, b in pairs]
    return whole


def _decayed(builder, v, leak):
    """24-bit membranes times leak / 4096, truncated toward zero: 12 bits at a time, which 32 hold."""
    low_bits, twelve, zero = (ir.Constant(v.type, [n] * v.type.count) for n in (4095, 12, 0))
    is_negative = builder.icmp_signed("<", v, zero)
    magnitude = builder.select(is_negative, builder.sub(zero, v), v)
    high, low = builder.lshr(magnitude, twelve), builder.and_(magnitude, low_bits)
    left = builder.add(builder.mul(high, leak), builder.lshr(builder.mul(low, leak), twelve))
    return builder.select(is_negative, builder.sub(zero, left), left)


def _call(builder, name, *arguments):
    """A function of LLVM that returns a vector like its first argument."""
    kinds = [a.type for a in arguments]
    function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(kinds[0], kinds), name)
    return builder.call(function, arguments)


def _decayed_floats(builder, v, part):
    """The same of floats, with AVX-512: the product is rounded toward zero to 24 bits, then to a whole number."""
    n, parts = v.type.count, []
    for first in range(0, n, 16):
        lanes = ir.Constant(ir.VectorType(_I32, 16), list(range(first, first + 16)))
        sixteen = (builder.shuffle_vector(x, x, lanes) for x in (v, part))
        parts.append(_call(builder, "llvm.x86.avx512.mul.ps.512", *sixteen, ir.Constant(_I32, 11)))
    product = builder.shuffle_vector(parts[0], parts[-1], ir.Constant(ir.VectorType(_I32, n), list(range(n))))
    return _call(builder, f"llvm.trunc.v{n}f32", product)


def _make_fire(constant, wraps, leaks=False):
    """Eight steps of as many integrate-and-fire neurons as a vector of sums has lanes:
    v <- v * leak + (current + bias); fired = v >= fire_at; where fired v <- v * keep - drop.

    sums: current, from `offset` on: lanes (byte, step), or (byte) if it is constant. v: from `at` on, no narrower
    than sums; it is `start` if these are the first steps. out: from `out_at` on, a byte each, of which bit t says
    that it fired in step t, if steps has bit t. bias, fire_at, drop, keep, leak: of v's type; of whole numbers leak and
    keep are masks, 0 or -1; of floats leak is a factor, and keep 0 or 1. wraps: as Loihi does it: v, drop, fire_at and
    bias are in 1/64 unit, current + bias wraps into (-2^23, 2^23], and v is clipped to +-(2^23 - 1). 32 bits hold all
    that 24 can become in a step. leaks, which wraps, too: leak is in 1/4096, and what is left is truncated toward zero;
    with AVX-512 that takes fewer instructions in float32, which hold 24 bits. What wraps and does not leak keeps all.
    """

    @intrinsic
    def fire(typingctx, sums, offset, v, at, first, out, out_at, steps, start, bias, fire_at, drop, keep, leak):
        i64, n = types.int64, v.dtype
        signature = types.void(sums, i64, v, i64, types.boolean, out, i64, types.uint8, n, n, n, n, n, n)

        def codegen(context, builder, signature, args):
            given, number = signature.args[0].dtype, signature.args[2].dtype
            n_lanes = VECTOR_BITS // given.bitwidth
            vector = ir.VectorType(context.get_value_type(given), n_lanes)
            wide = ir.VectorType(context.get_value_type(number), n_lanes)
            flags = ir.VectorType(_I8, n_lanes)
            sums = _at(builder, _data(context, builder, signature, args, 0), args[1], vector)
            if constant:
                currents = [builder.load(sums, align=given.bitwidth // 8)] * STEPS
            else:
                currents = _load_by_step(builder, sums, vector, given.bitwidth // 8)
            v = _at(builder, _data(context, builder, signature, args, 2), args[3], wide)
            out = _at(builder, _data(context, builder, signature, args, 5), args[6], flags)
            start, bias, fire_at, drop, keep, leak = (_splat(builder, a, wide) for a in args[8:])
            wrapping = wraps and number == types.int32  # no other type is run so
            x = builder.select(args[4], start, builder.load(v, align=number.bitwidth // 8))
            as_floats = wrapping and leaks and HAS_AVX512
            if as_floats:
                floats = ir.VectorType(ir.FloatType(), n_lanes)
                x, fire_at, drop = (builder.sitofp(a, floats) for a in (x, fire_at, drop))
                leak = builder.fmul(builder.sitofp(leak, floats), ir.Constant(floats, [1 / 4096] * n_lanes))
            is_float = as_floats or isinstance(number, types.Float)
            add, subtract, reaches = _arithmetic(builder, is_float)
            if isinstance(number, types.Float):  # a mask, too: 0 times infinity would be no number
                bits, none = ir.VectorType(ir.IntType(number.bitwidth), n_lanes), ir.Constant(wide, None)
                keep = builder.sext(builder.fcmp_ordered("!=", keep, none), bits)
            if wrapping:
                eight, fourteen = (ir.Constant(wide, [n] * n_lanes) for n in (8, 14))
                less = builder.shl(builder.neg(bias), eight)
                top = (1 << 23) - 1
                highest, lowest = (ir.Constant(x.type, [float(n) if as_floats else n] * n_lanes) for n in (top, -top))
            seen = ir.Constant(flags, None)
            for t, current in enumerate(currents):
                if given.bitwidth < number.bitwidth:
                    current = builder.sext(current, wide)
                if wrapping:
                    # What arrives, negated and times 256, wraps into [-2^23, 2^23) where it leaves 32 bits.
                    arrives = builder.sub(less, builder.shl(current, fourteen))
                    if as_floats:
                        left, part = _decayed_floats(builder, x, leak), ir.Constant(floats, [-1 / 256] * n_lanes)
                        x = _call(builder, f"llvm.fma.v{n_lanes}f32", builder.sitofp(arrives, floats), part, left)
                    else:
                        left = _decayed(builder, x, leak) if leaks else x
                        x = subtract(left, builder.ashr(arrives, eight))
                    x = builder.select(reaches(x, highest), highest, x)
                    x = builder.select(reaches(lowest, x), lowest, x)
                elif is_float:
                    x = add(builder.fmul(x, leak), add(current, bias))
                else:
                    x = add(builder.and_(x, leak), add(current, bias))
                fires = reaches(x, fire_at)
                kept = builder.bitcast(builder.and_(builder.bitcast(x, keep.type), keep), x.type)
                x = builder.select(fires, subtract(kept, drop), x)
                bit = ir.Constant(flags, [ir.Constant(_I8, (1 << t) - 256 * (t == 7))] * n_lanes)
                seen = builder.or_(seen, builder.select(fires, bit, ir.Constant(flags, None)))
            x = builder.fptosi(x, wide) if as_floats else x
            builder.store(x, v, align=number.bitwidth // 8)
            builder.store(builder.and_(seen, _splat(builder, args[7], flags)), out, align=1)
            return context.get_dummy_value()

        return signature, codegen

    return fire


_fire, _fire_constant = _make_fire(False, False), _make_fire(True, False)
_fire_wrapping, _fire_constant_wrapping = _make_fire(False, True), _make_fire(True, True)
_fire_leaking, _fire_constant_leaking = _make_fire(False, True, True), _make_fire(True, True, True)


@intrinsic
def _split_steps(typingctx, sums, offset, rows, at):
    """rows[t, at ...] = a vector of sums, from `offset` on, of lanes (byte, step): of its bytes those of step t."""
    signature = types.void(sums, types.int64, rows, types.int64)

    def codegen(context, builder, signature, args):
        given, number = signature.args[0].dtype, signature.args[2].dtype
        n_lanes = VECTOR_BITS // given.bitwidth
        vector = ir.VectorType(context.get_value_type(given), n_lanes)
        wide = ir.VectorType(context.get_value_type(number), n_lanes)
        whole = context.make_array(signature.args[2])(context, builder, args[2])
        width = builder.extract_value(whole.shape, 1)
        sums = _at(builder, _data(context, builder, signature, args, 0), args[1], vector)
        for t, current in enumerate(_load_by_step(builder, sums, vector, given.bitwidth // 8)):
            place = builder.add(args[3], builder.mul(width, ir.Constant(_I64, t)))
            current = builder.sext(current, wide) if given.bitwidth < number.bitwidth else current
            builder.store(current, _at(builder, whole.data, place, wide), align=number.bitwidth // 8)
        return context.get_dummy_value()

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_pull(sums, memory, base, pitch, scale, places, weights, first, last, n_rows, n_bytes):
    """What the pull intrinsics do to bytes, one lane after the other. n_bytes: in a row of the tile."""
    for j in range(first, last):
        for r in range(n_rows):
            for i in range(n_bytes):
                byte = memory[base + places[j] * scale + r * pitch + i]
                for t in range(8):
                    if (byte >> t) & 1:
                        sums[(r * n_bytes + i) * 8 + t] += weights[j]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_multiply(sums, numbers, base, pitch, scale, places, weights, first, last, n_rows, n):
    """What the pull intrinsics do to numbers, one lane after the other. n: in a row of the tile."""
    for j in range(first, last):
        for r in range(n_rows):
            for i in range(n):
                sums[r * n + i] += weights[j] * numbers[base + places[j] * scale + r * pitch + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire(sums, constant, wraps, leaks, v, fired, bias, fire_at, drop, keep, leak):
    """What the fire intrinsics do to whole numbers, one lane after the other."""
    top = (1 << 23) - 1
    for i in range(v.size):
        byte = 0
        for t in range(8):
            current = np.int64(sums[i if constant else i * 8 + t])
            if wraps:
                current = (((current << 6) + bias + top) & ((1 << 24) - 1)) - top
                left = np.int64(v[i])
                if leaks:
                    left = (abs(np.int64(v[i])) * leak) >> 12
                    left = left if v[i] >= 0 else -left
                x = min(max(left + current, -top), top)
            else:
                x = (v[i] & leak) + (current + bias)
            if x >= fire_at:
                x = (x & keep) - drop
                byte |= 1 << t
            v[i] = x
        fired[i] = byte


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def pull(tile, sums, fresh, source, base, pitch, scale, places, weights, first, last):
    """A row's synapses into a tile of TILES."""
    if tile == 0:
        _pull_1x16(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 1:
        _pull_2x8(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 2:
        _pull_4x4(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 3:
        _pull_8x2(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 4:
        _pull_1x8(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 5:
        _pull_2x4(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 6:
        _pull_1x4(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    elif tile == 7:
        _pull_4x1(sums, fresh, source, base, pitch, scale, places, weights, first, last)
    else:
        _pull_1x1(sums, fresh, source, base, pitch, scale, places, weights, first, last)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", inline="always")
def _sum_up(sums, scale, tile, o, y, x, spikes, numbers, n_steps):
    """The current of one tile of channel o from all its sources. n_steps: numbers for each byte, 8 or 1."""
    fresh = True
    given, base, pitch, first_row, row_start, places, weights = numbers
    for p in range(base.size):
        a, b = row_start[first_row[p] + o], row_start[first_row[p] + o + 1]
        start = base[p] + y * pitch[p] + x * n_steps
        pull(tile, sums, fresh, given, start, pitch[p], scale * n_steps, places, weights, a, b)
        fresh = False
    memory, base, pitch, first_row, row_start, places, weights = spikes
    for p in range(base.size):
        a, b = row_start[first_row[p] + o], row_start[first_row[p] + o + 1]
        pull(tile, sums, fresh, memory, base[p] + y * pitch[p] + x, pitch[p], scale, places, weights, a, b)
        fresh = False
    if fresh:
        sums[:] = 0


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _add_biases(sums, biases, tile, n_rows, n_bytes, first, width, n_steps):
    """biases: of every byte; first: where the tile begins. n_rows, n_bytes: of the tile that are output."""
    for r in range(n_rows):
        for i in range(n_bytes):
            for t in range(n_steps):
                sums[(r * tile[2] + i) * n_steps + t] += biases[first + r * width + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _read_state(v, state, tile, n_rows, n_bytes, at, width):
    """Membranes of earlier steps."""
    for r in range(n_rows):
        for i in range(n_bytes):
            v[r * tile[2] + i] = state[at + r * width + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _write_rows(values, rows, tile, n_rows, n_bytes, at, width):
    """Put what a tile holds of n_rows and n_bytes where it belongs: membranes, or bytes."""
    if n_bytes == width == tile[2]:
        n_rows, n_bytes = 1, n_rows * n_bytes
    for r in range(n_rows):
        for i in range(n_bytes):
            rows[at + r * width + i] = values[r * tile[2] + i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_and_fire(
    memory, scale, height, width, channels, tile, spikes, numbers, n_steps, at_once, out, biases, neuron, wraps, leaks,
    state, first, last, steps, sums, v, fired,
):  # fmt: skip
    """Run some channels of an integrate-and-fire population over eight steps.

    height, width: of a channel, in bytes. channels (2,): first and end. at_once: channels of one tile each that are
    alike, and that lie side by side in the registers in which they fire. n_steps: of which sums are different, 8, or
    1 if they are constant. out: first byte of the population's own. biases: (n_channels, n_bytes of a channel) or
    (n_channels, 0), on top of the channel's. neuron (n_channels, 6): membrane at the start, bias, fire_at, drop, keep,
    leak; wraps, leaks: see `_make_fire`. state: (n_bytes of the population,) membranes, read unless these
    are the `first` steps and written unless they are the `last`. steps: byte with the bits of steps that there are.
    sums, v, fired: scratch of a tile.
    """
    number, n_lanes, steps = v.dtype.type, sums.size // 32, np.uint8(steps)
    begins = bool(first)
    if at_once > 1:
        tile = (tile[0], 1, at_once * width)
    in_tile = tile[1] * tile[2]
    for o in range(channels[0], channels[1], at_once):
        start, bias, fire_at = number(neuron[o, 0]), number(neuron[o, 1]), number(neuron[o, 2])
        drop, keep, leak = number(neuron[o, 3]), number(neuron[o, 4]), number(neuron[o, 5])
        n_here = min(at_once, channels[1] - o)
        for y in range(0, height, tile[1]):
            for x in range(0, width, tile[2]):
                for c in range(n_here):
                    _sum_up(sums[c * width * n_steps :], scale, tile[0], o + c, y, x, spikes, numbers, n_steps)
                n_rows = min(tile[1], height - y)
                n_bytes = min(tile[2], width - x) if at_once == 1 else n_here * width
                at = (o * height + y) * width + x
                # Whole vectors that lie together are written where they belong, others by way of `fired`.
                whole = n_rows == tile[1] and n_bytes == tile[2] and in_tile % n_lanes == 0
                direct, place = whole and (n_rows == 1 or n_bytes == width), out + at
                if not first:
                    _read_state(v, state, tile, n_rows, n_bytes, at, width)
                if biases.shape[1]:
                    _add_biases(sums, biases.reshape(-1), tile, n_rows, n_bytes, at, width, n_steps)
                target = memory if direct else fired
                for k in range(0, in_tile, n_lanes):
                    j, to = np.int64(k), np.int64(place + k if direct else k)
                    if n_steps == 1 and leaks:
                        _fire_constant_leaking(
                            sums, j, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak
                        )
                    elif n_steps == 1 and wraps:
                        _fire_constant_wrapping(
                            sums, j, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak
                        )
                    elif n_steps == 1:
                        _fire_constant(sums, j, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak)
                    elif leaks:
                        _fire_leaking(
                            sums, j * 8, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak
                        )
                    elif wraps:
                        _fire_wrapping(
                            sums, j * 8, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak
                        )
                    else:
                        _fire(sums, j * 8, v, j, begins, target, to, steps, start, bias, fire_at, drop, keep, leak)
                if not last:
                    _write_rows(v, state, tile, n_rows, n_bytes, at, width)
                if not direct:
                    _write_rows(fired, memory, tile, n_rows, n_bytes, out + at, width)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_currents(scale, height, width, channels, tile, spikes, numbers, n_steps, sums, currents):
    """The sums for neurons of any kind, as rows: currents (8, n_bytes of these channels)."""
    n_lanes = sums.size // 32  # of a vector
    for o in range(channels[0], channels[1]):
        for y in range(0, height, tile[1]):
            for x in range(0, width, tile[2]):
                n_rows, n_bytes = min(tile[1], height - y), min(tile[2], width - x)
                at = ((o - channels[0]) * height + y) * width + x
                _sum_up(sums, scale, tile[0], o, y, x, spikes, numbers, n_steps)
                whole = n_bytes - n_bytes % n_lanes if n_steps == 8 else 0
                for r in range(n_rows):
                    place, first = at + r * width, r * tile[2]
                    for i in range(0, whole, n_lanes):
                        _split_steps(sums, np.int64((first + i) * 8), currents, np.int64(place + i))
                    for t in range(8):
                        for i in range(whole, n_bytes):
                            currents[t, place + i] = sums[(first + i) * n_steps + (t if n_steps == 8 else 0)]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_numbers(scale, height, width, channels, tile, spikes, numbers, n_steps, bias, biases, sums, shown):
    """The sums themselves, of a join or of a readout.

    bias: (n_channels,). biases, n_steps: as in pull_and_fire. shown: (n_bytes of these channels, 8).
    """
    for o in range(channels[0], channels[1]):
        for y in range(0, height, tile[1]):
            for x in range(0, width, tile[2]):
                n_rows, n_bytes = min(tile[1], height - y), min(tile[2], width - x)
                at = ((o - channels[0]) * height + y) * width + x
                _sum_up(sums, scale, tile[0], o, y, x, spikes, numbers, n_steps)
                if biases.shape[1]:
                    _add_biases(
                        sums, biases.reshape(-1), tile, n_rows, n_bytes, (o * height + y) * width + x, width, n_steps
                    )
                for r in range(n_rows):
                    for i in range(n_bytes):
                        for t in range(8):
                            lane = (r * tile[2] + i) * n_steps + (t if n_steps > 1 else 0)
                            shown[at + r * width + i, t] = sums[lane] + bias[o]
