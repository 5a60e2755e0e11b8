"""Counting of what the bit-parallel engine leaves: spikes, and the synapses that they visit, by step.

memory: uint8, of which bit t of a byte says whether a neuron fired in step t; the bytes of a neuron in all samples of a
block lie side by side. The intrinsics are vector code of LLVM, which every CPU runs, and have twins in plain Numba.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

STEPS = 8  # in a byte
VECTOR_BITS = 512
TOGETHER = 4  # neurons of one byte each, of which there is one after the other
_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _data(context, builder, signature, args, position):
    """The address of an array argument's elements."""
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _at(builder, pointer, offset, vector):
    """The address of a vector `offset` elements on."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _add_bits(builder, a, b, c):
    """What three bits make in each place: (carries, sums)."""
    either = builder.xor(a, b)
    return builder.or_(builder.and_(a, b), builder.and_(either, c)), builder.xor(either, c)


def _sum_bits(builder, bits, held):
    """Add bits, vectors of one place value, to those `held` of the places from theirs on; what is left is carried on.

    Returns the carries out of the last place. len(bits): 2 ** len(held).
    """
    for place, before in enumerate(held):
        carried, now = [], before
        for pair in zip(bits[::2], bits[1::2], strict=True):
            carry, now = _add_bits(builder, now, *pair)
            carried.append(carry)
        held[place], bits = now, carried
    return bits[0]


@intrinsic
def _count_steps(typingctx, memory, first, n, totals):
    """totals[t] += how many of n bytes from `first` on have bit t set. totals: (8,) int64.

    Vectors are added up bit by bit, eight at a time, before anything is counted (Harley and Seal).
    """
    signature = types.void(memory, types.int64, types.int64, totals)

    def codegen(context, builder, signature, args):
        n_lanes, together = 64, 8
        vector = ir.VectorType(_I8, n_lanes)
        memory = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        totals = _data(context, builder, signature, args, 3)
        slots = [builder.gep(totals, [ir.Constant(_I64, t)]) for t in range(STEPS)]

        def count(bytes_, inside, times):
            for t, slot in enumerate(slots):
                bit = ir.Constant(vector, [ir.Constant(_I8, (1 << t) - 256 * (t == 7))] * n_lanes)
                is_set = builder.icmp_signed("!=", builder.and_(bytes_, bit), ir.Constant(vector, None))
                n_set = builder.ctpop(builder.and_(builder.bitcast(is_set, _I64), inside))
                builder.store(builder.add(builder.load(slot), builder.mul(n_set, ir.Constant(_I64, times))), slot)

        all_, zero = ir.Constant(_I64, -1), ir.Constant(_I64, 0)
        group, lanes = ir.Constant(_I64, together * n_lanes), ir.Constant(_I64, n_lanes)
        end = args[2]
        summed = builder.sub(end, builder.srem(end, group))
        with builder.if_then(builder.icmp_signed(">", summed, zero)):
            held = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(3)]
            with cgutils.for_range_slice(builder, zero, summed, group) as (i, _):
                rows = [
                    builder.load(_at(builder, memory, builder.add(i, ir.Constant(_I64, k * n_lanes)), vector), align=1)
                    for k in range(together)
                ]
                before = [builder.load(place) for place in held]
                eights = _sum_bits(builder, rows, before)
                for place, now in zip(held, before, strict=True):
                    builder.store(now, place)
                count(eights, all_, 8)
            for k, place in enumerate(held):
                count(builder.load(place), all_, 1 << k)
        with cgutils.for_range_slice(builder, summed, end, lanes) as (i, _):
            left = builder.sub(end, i)
            few = builder.sub(
                builder.shl(ir.Constant(_I64, 1), builder.and_(left, ir.Constant(_I64, 63))), ir.Constant(_I64, 1)
            )
            inside = builder.select(builder.icmp_signed(">=", left, lanes), all_, few)
            count(builder.load(_at(builder, memory, i, vector), align=1), inside, 1)
        return context.get_dummy_value()

    return signature, codegen


def _flush(builder, sums, n_lanes, totals):
    """Add the lanes (byte, step) of a vector to totals (8,) int64."""
    wide, step = ir.VectorType(_I32, n_lanes), ir.VectorType(_I64, STEPS)
    sums = sums if sums.type == wide else builder.sext(sums, wide)
    while n_lanes > STEPS:  # halves, of which each holds whole bytes: 32 bits hold their sums
        n_lanes //= 2
        halves = (
            builder.shuffle_vector(
                sums, sums, ir.Constant(ir.VectorType(_I32, n_lanes), [first + i for i in range(n_lanes)])
            )
            for first in (0, n_lanes)
        )
        sums = builder.add(*halves)
    place = builder.bitcast(totals, step.as_pointer())
    builder.store(builder.add(builder.load(place, align=8), builder.sext(sums, step)), place, align=8)


def _make_weigh(n_vectors):
    """totals[t] += weights[j] for j of begin ... end - 1 and each byte of the neuron places[j] that has bit t set: of
    its bytes, those that fill so many vectors with their steps, and of these the bits that `inside` has.

    scale: bytes of a neuron. weights: int16 or int32, which must hold the sums, too. totals: (8,) int64.
    """

    @intrinsic
    def weigh(typingctx, memory, first, scale, inside, places, weights, begin, end, totals):
        i64 = types.int64
        signature = types.void(memory, i64, i64, types.uint32, places, weights, i64, i64, totals)

        def codegen(context, builder, signature, args):
            number = signature.args[5].dtype
            n_lanes = VECTOR_BITS // number.bitwidth
            lane, block = ir.IntType(number.bitwidth), ir.IntType(n_lanes)
            vector, mask = (ir.VectorType(t, n_lanes) for t in (lane, _I1))
            memory = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
            places, weights, totals = (_data(context, builder, signature, args, i) for i in (4, 5, 8))
            inside = args[3] if n_lanes == 32 else builder.trunc(args[3], block)
            sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(n_vectors)]
            with cgutils.for_range_slice(builder, args[6], args[7], ir.Constant(_I64, 1)) as (j, _):
                place = builder.sext(builder.load(builder.gep(places, [j])), _I64)
                here = builder.bitcast(builder.gep(memory, [builder.mul(place, args[2])]), block.as_pointer())
                one = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), builder.load(builder.gep(weights, [j])), ir.Constant(_I32, 0)
                )
                none = ir.Constant(ir.VectorType(_I32, n_lanes), None)
                weight = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), none)
                for k, place in enumerate(sums):
                    bits = builder.load(builder.gep(here, [ir.Constant(_I64, k)]), align=1)
                    bits = builder.bitcast(builder.and_(bits, inside), mask)
                    before = builder.load(place)
                    builder.store(builder.select(bits, builder.add(before, weight), before), place)
            for place in sums:
                _flush(builder, builder.load(place), n_lanes, totals)
            return context.get_dummy_value()

        return signature, codegen

    return weigh


_weigh_1, _weigh_2, _weigh_4 = (_make_weigh(n) for n in (1, 2, 4))


@intrinsic
def _weigh_neighbours(typingctx, memory, first, weights, begin, end, totals):
    """As _make_weigh for one byte of each neuron, which lie side by side: TOGETHER at a time. weights: int16.

    The byte of neuron j is memory[first + j]. end - begin: a multiple of TOGETHER.
    """
    i64 = types.int64
    signature = types.void(memory, i64, weights, i64, i64, totals)

    def codegen(context, builder, signature, args):
        n_lanes, lane = TOGETHER * STEPS, ir.IntType(16)
        vector, mask, few = (ir.VectorType(t, n) for t, n in ((lane, n_lanes), (_I1, n_lanes), (lane, TOGETHER)))
        memory = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        weights, totals = (_data(context, builder, signature, args, i) for i in (2, 5))
        each = ir.Constant(ir.VectorType(_I32, n_lanes), [i // STEPS for i in range(n_lanes)])
        sums = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
        with cgutils.for_range_slice(builder, args[3], args[4], ir.Constant(_I64, TOGETHER)) as (j, _):
            bits = builder.load(builder.bitcast(builder.gep(memory, [j]), ir.IntType(n_lanes).as_pointer()), align=1)
            weight = builder.load(_at(builder, weights, j, few), align=2)
            weight = builder.shuffle_vector(weight, ir.Constant(few, ir.Undefined), each)
            before = builder.load(sums)
            builder.store(builder.select(builder.bitcast(bits, mask), builder.add(before, weight), before), sums)
        _flush(builder, builder.load(sums), n_lanes, totals)
        return context.get_dummy_value()

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_count(memory, first, n, totals):
    """What the counting intrinsic does, one bit after the other."""
    for i in range(first, first + n):
        for t in range(8):
            totals[t] += (memory[i] >> t) & 1


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_weigh(memory, first, scale, places, weights, begin, end, totals):
    """What the weighing intrinsics do, one bit after the other."""
    for j in range(begin, end):
        for i in range(scale):
            byte = memory[first + places[j] * scale + i]
            for t in range(8):
                totals[t] += weights[j] * ((byte >> t) & 1)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _weigh(memory, first, scale, places, weights, begin, end, totals):
    """totals (8,) += weights of the neurons begin ... end - 1 of a list, for each of their spikes."""
    if scale == 1 and weights.itemsize == 2 and places[end - 1] - places[begin] == end - 1 - begin:
        whole = begin + (end - begin) // TOGETHER * TOGETHER
        _weigh_neighbours(memory, first + places[begin] - begin, weights, begin, whole, totals)
        begin = whole
    n_bytes, all_, x = VECTOR_BITS // (64 * weights.itemsize), np.uint32(0xFFFFFFFF), 0
    while x + 4 * n_bytes <= scale:
        _weigh_4(memory, first + x, scale, all_, places, weights, begin, end, totals)
        x += 4 * n_bytes
    while x + 2 * n_bytes <= scale:
        _weigh_2(memory, first + x, scale, all_, places, weights, begin, end, totals)
        x += 2 * n_bytes
    while x < scale:
        left = min(scale - x, n_bytes)
        inside = np.uint32((np.int64(1) << (8 * left)) - 1)
        _weigh_1(memory, first + x, scale, inside, places, weights, begin, end, totals)
        x += n_bytes


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count(memory, scale, table, usual, rows, extra_start, extra_place, extra_weight, at_once, spikes, visits):
    """Add up the spikes of every eight steps of every population, and the synapses that they visit.

    scale: samples of the block. table (n, 9): row of a population in `spikes`, first of its steps, first of its bytes,
    channels, bytes of a channel, projections, and where it begins in usual, rows and extra_start. usual: by projection
    and channel, the fan-out of most neurons of the channel. rows: of each projection in `visits`. extra_...: neurons
    with another fan-out, and by how much: those of projection p from extra_start[p] on. at_once: of how many the sums
    fit the type of extra_weight. spikes (n_populations, n_steps), visits (n_all_projections, n_steps): int64, n_steps a
    multiple of eight.
    """
    totals = np.empty(8, np.int64)
    for k in range(len(table)):
        row, step, first, n_channels, n_bytes, n_projections, from_usual, from_rows, from_extra = table[k]
        for c in range(n_channels):
            totals[:] = 0
            _count_steps(memory, first + c * n_bytes, n_bytes, totals)
            for t in range(8):
                spikes[row, step + t] += totals[t]
            for p in range(n_projections):
                fan_out, into = usual[from_usual + p * n_channels + c], rows[from_rows + p]
                for t in range(8):
                    visits[into, step + t] += fan_out * totals[t]
        for p in range(n_projections):
            totals[:] = 0
            last = extra_start[from_extra + p + 1]
            for begin in range(extra_start[from_extra + p], last, at_once):
                end = min(begin + at_once, last)
                _weigh(memory, first, scale, extra_place, extra_weight, begin, end, totals)
            for t in range(8):
                visits[rows[from_rows + p], step + t] += totals[t]
