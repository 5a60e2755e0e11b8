"""Counting of what the bit-parallel engine leaves: spikes, and the synapses that they visit, by step.

memory: uint8, of which bit t of a byte says whether a neuron fired in step t; the bytes of a neuron in all samples of a
block lie side by side. The intrinsics are vector code of LLVM, which every CPU runs, and have twins in plain Numba.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .features import HAS_GFNI

STEPS = 8  # in a byte
LANES = 64  # bytes in a vector
AT_ONCE = 31  # vectors of up to 8 in a byte, whose sum a byte holds
TOGETHER = 4  # neurons side by side, some of them with a weight
_I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
_BYTES, _TOTALS = ir.VectorType(_I8, LANES), ir.VectorType(_I64, STEPS)


def _data(context, builder, signature, args, position):
    """The address of an array argument's elements."""
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _load(builder, pointer, offset, kind):
    """A vector, or another whole, `offset` elements on."""
    return builder.load(builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer()), align=1)


def _pick(builder, x, lanes):
    """A vector of some lanes of another."""
    return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


def _call(builder, name, *arguments):
    """A function of LLVM that returns a vector like its first argument."""
    kinds = [a.type for a in arguments]
    function = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(kinds[0], kinds), name)
    return builder.call(function, arguments)


def _by_step(builder, x):
    """How many bits t are set in each eight bytes: bytes (eight, t)."""
    n = x.type.count
    return _call(builder, f"llvm.ctpop.v{n}i8", _transposed(builder, x, n))


def _transposed(builder, x, n):
    """Of eight bytes each, eight others, of which each has one bit of all of them."""
    if HAS_GFNI:
        wide = max(n, 16)
        x = _pick(builder, x, [i % n for i in range(wide)])
        bit = ir.Constant(x.type, [ir.Constant(_I8, (1 << i % 8) - 256 * (i % 8 == 7)) for i in range(wide)])
        x = _call(builder, f"llvm.x86.vgf2p8affineqb.{8 * wide}", bit, x, ir.Constant(_I8, 0))
        return _pick(builder, x, list(range(n)))
    words = builder.bitcast(x, ir.VectorType(_I64, n // 8))
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        by, bits = (ir.Constant(words.type, [k] * words.type.count) for k in (shift, mask))
        swapped = builder.and_(builder.xor(words, builder.lshr(words, by)), bits)
        words = builder.xor(builder.xor(words, swapped), builder.shl(swapped, by))
    return builder.bitcast(words, x.type)


def _add_lanes(builder, sums):
    """Lanes (any, step), which 16 bits hold together if they are bytes, 32 if not, added up: (8,) int64."""
    n, wide = sums.type.count, _I16 if sums.type.element == _I8 else _I32
    if sums.type.element != wide:
        extend = builder.zext if wide == _I16 else builder.sext
        sums = extend(sums, ir.VectorType(wide, n))
    while n > STEPS:
        n //= 2
        sums = builder.add(*(_pick(builder, sums, [k + i for i in range(n)]) for k in (0, n)))
    return builder.sext(sums, _TOTALS)


def _add_to(builder, totals, more):
    """totals (8,) += more, a vector."""
    place = builder.bitcast(totals, _TOTALS.as_pointer())
    builder.store(builder.add(builder.load(place, align=8), more), place, align=8)


@intrinsic
def _count_steps(typingctx, memory, first, n, n_channels, weights, at, totals, weighed):
    """totals[t] += how many of n bytes of each channel, from `first` on, have bit t set; weighed[t] as many times the
    channel's weight, of those from weights[at] on. totals, weighed: (8,) int64.

    Whole vectors are read: there must be something beyond the last byte.
    """
    i64 = types.int64
    signature = types.void(memory, i64, i64, i64, weights, i64, totals, weighed)

    def codegen(context, builder, signature, args):
        memory, weights, totals, weighed = (_data(context, builder, signature, args, i) for i in (0, 4, 6, 7))
        zero, lanes, block = (ir.Constant(_I64, k) for k in (0, LANES, LANES * AT_ONCE))
        rest = builder.srem(args[2], lanes)
        whole = builder.sub(args[2], rest)
        one = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), builder.trunc(rest, _I8), ir.Constant(_I32, 0))
        inside = builder.icmp_signed("<", ir.Constant(_BYTES, list(range(LANES))), _pick(builder, one, [0] * LANES))
        sums = cgutils.alloca_once(builder, _BYTES)
        here = cgutils.alloca_once(builder, _TOTALS)
        all_, all_weighed = (cgutils.alloca_once_value(builder, ir.Constant(_TOTALS, None)) for _ in range(2))

        def add(slot, more):
            builder.store(builder.add(builder.load(slot), more), slot)

        with cgutils.for_range(builder, args[3]) as loop:
            channel = builder.gep(memory, [builder.add(args[1], builder.mul(loop.index, args[2]))])
            builder.store(ir.Constant(_TOTALS, None), here)
            with cgutils.for_range_slice(builder, zero, whole, block) as (begin, _):
                builder.store(ir.Constant(_BYTES, None), sums)
                end = builder.add(begin, block)
                end = builder.select(builder.icmp_signed("<", end, whole), end, whole)
                with cgutils.for_range_slice(builder, begin, end, lanes) as (i, _):
                    add(sums, _by_step(builder, _load(builder, channel, i, _BYTES)))
                add(here, _add_lanes(builder, builder.load(sums)))
            with builder.if_then(builder.icmp_signed(">", rest, zero)):
                few = builder.select(inside, _load(builder, channel, whole, _BYTES), ir.Constant(_BYTES, None))
                add(here, _add_lanes(builder, _by_step(builder, few)))
            weight = _load(builder, weights, builder.add(args[5], loop.index), ir.VectorType(_I64, 1))
            add(all_, builder.load(here))
            add(all_weighed, builder.mul(builder.load(here), _pick(builder, weight, [0] * STEPS)))
        _add_to(builder, totals, builder.load(all_))
        _add_to(builder, weighed, builder.load(all_weighed))
        return context.get_dummy_value()

    return signature, codegen


def _make_weigh(n_neurons, n_bytes):
    """totals[t] += weight for each byte that has bit t set: of so many neurons side by side from places[j] on, for j of
    begin ... end - 1, so many bytes of each from `first` on, and of these the bits that `inside` has (if they are few).

    scale: bytes of a neuron. weights: n_neurons for each place, in a type that holds the sums of so many times eight.
    totals: (8,) int64.
    """
    few, size = n_bytes < 8, n_neurons * n_bytes

    @intrinsic
    def weigh(typingctx, memory, first, scale, inside, places, weights, begin, end, totals):
        i64 = types.int64
        signature = types.void(memory, i64, i64, types.uint32, places, weights, i64, i64, totals)

        def codegen(context, builder, signature, args):
            lane = ir.IntType(signature.args[5].dtype.bitwidth)
            vector = ir.VectorType(lane, size * STEPS if few else size)
            memory = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
            places, weights, totals = (_data(context, builder, signature, args, i) for i in (4, 5, 8))
            sums = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
            with cgutils.for_range_slice(builder, args[6], args[7], ir.Constant(_I64, 1)) as (j, _):
                place = builder.sext(builder.load(builder.gep(places, [j])), _I64)
                at = builder.mul(place, args[2])
                weight = builder.mul(j, ir.Constant(_I64, n_neurons))
                weight = _load(builder, weights, weight, ir.VectorType(lane, n_neurons))
                weight = _pick(builder, weight, [i * n_neurons // vector.count for i in range(vector.count)])
                if few:
                    bits = builder.and_(_load(builder, memory, at, ir.IntType(8 * size)), args[3])
                    bits = builder.bitcast(bits, ir.VectorType(ir.IntType(1), vector.count))
                    more = builder.select(bits, weight, ir.Constant(vector, None))
                else:
                    here = _by_step(builder, _load(builder, memory, at, ir.VectorType(_I8, size)))
                    more = builder.mul(builder.zext(here, vector), weight)
                builder.store(builder.add(builder.load(sums), more), sums)
            _add_to(builder, totals, _add_lanes(builder, builder.load(sums)))
            return context.get_dummy_value()

        return signature, codegen

    return weigh


_weigh_4, _weigh_8, _weigh_64 = (_make_weigh(1, n_bytes) for n_bytes in (4, 8, 64))
_weigh_neighbours_1, _weigh_neighbours_8 = (_make_weigh(TOGETHER, n_bytes) for n_bytes in (1, 8))


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_count(memory, first, n, totals):
    """What the counting intrinsic does, one bit after the other."""
    for i in range(first, first + n):
        for t in range(8):
            totals[t] += (memory[i] >> t) & 1


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_weigh(memory, first, scale, together, places, weights, begin, end, totals):
    """What the weighing intrinsics do, one bit after the other. together: neurons of a place."""
    for j in range(begin, end):
        for k in range(together):
            for i in range(scale):
                byte = memory[first + (places[j] + k) * scale + i]
                for t in range(8):
                    totals[t] += weights[j * together + k] * ((byte >> t) & 1)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _weigh(memory, first, scale, together, places, weights, begin, end, totals):
    """totals (8,) += weights of the neurons at places begin ... end - 1 of a list, for each of their spikes.

    together: neurons of a place, TOGETHER if scale is 1 or 8, else 1.
    """
    all_ = np.uint32(0xFFFFFFFF)
    if together > 1 and scale == 1:
        _weigh_neighbours_1(memory, first, np.int64(1), all_, places, weights, begin, end, totals)
        return
    if together > 1:
        _weigh_neighbours_8(memory, first, np.int64(8), all_, places, weights, begin, end, totals)
        return
    x = 0
    while x + 64 <= scale:
        _weigh_64(memory, first + x, scale, all_, places, weights, begin, end, totals)
        x += 64
    while x + 8 <= scale:
        _weigh_8(memory, first + x, scale, all_, places, weights, begin, end, totals)
        x += 8
    while x < scale:
        left = min(scale - x, 4)
        inside = np.uint32((np.int64(1) << (8 * left)) - 1)
        _weigh_4(memory, first + x, scale, inside, places, weights, begin, end, totals)
        x += 4


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count(
    memory, scale, table, usual, rows, extra_start, together, extra_place, extra_weight, at_once, spikes, visits
):  # fmt: skip
    """Add up the spikes of every eight steps of every population, and the synapses that they visit.

    scale: samples of the block. table (n, 9): row of a population in `spikes`, first of its steps, first of its bytes,
    channels, bytes of a channel, projections, and where it begins in usual, rows and extra_start. usual: by projection
    and channel, the fan-out of most neurons of the channel, and one number behind them. rows: of each projection in
    `visits`. extra_...: neurons with another fan-out, and by how much: those of projection p from extra_start[p] on,
    `together` neurons from a place on, some of which have a weight of 0. at_once: of how many places the sums fit the
    type of extra_weight. spikes (n_populations, n_steps), visits (n_all_projections, n_steps): int64, n_steps a
    multiple of eight.
    """
    totals, weighed = np.empty(8, np.int64), np.empty(8, np.int64)
    for k in range(len(table)):
        row, step, first, n_channels, n_bytes, n_projections, from_usual, from_rows, from_extra = table[k]
        for p in range(max(n_projections, 1)):
            totals[:] = 0
            weighed[:] = 0
            _count_steps(memory, first, n_bytes, n_channels, usual, from_usual + p * n_channels, totals, weighed)
            if p == 0:
                spikes[row, step : step + 8] += totals
            if n_projections > 0:
                last = extra_start[from_extra + p + 1]
                for begin in range(extra_start[from_extra + p], last, at_once):
                    end = min(begin + at_once, last)
                    _weigh(memory, first, scale, together, extra_place, extra_weight, begin, end, weighed)
                visits[rows[from_rows + p], step : step + 8] += weighed
