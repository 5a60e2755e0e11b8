"""Bit-parallel kernels: 64 samples are the bits of a word, and every target pulls the words of its sources.

words: (n_neurons of all populations * n_slots,) uint64; neuron i emitted in step t, in sample l of the block, if bit l
of words[i * n_slots + n_delays + t] is set. The n_delays slots before step 0 stay empty, for what arrives with a delay.
numbers: (n_neurons, n_steps or 1, 64) int32, the same for a population that emits numbers.
rows (of all projections into a population that carry spikes; see `Rows`): class_of, base (n_projections, n_pixels);
base counts neurons of all populations; shift (n_projections,) n_delays - delay; first_row (n_projections,), row_start,
places, weights: of one projection after the other.

The two intrinsics are vector code of LLVM, which every CPU runs; AVX-512 adds to a word's 64 lanes in two instructions.
Each has a twin in plain Numba (`plain_...`), which tests hold against it.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 64
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def _splat(builder, value, vector):
    """A vector with `value` in every lane."""
    empty = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(_I32, 0)), empty, zeros)


def _data(context, builder, signature, args, position):
    """The address of an array argument's elements."""
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _make_pull(n_words):
    """sums[step, lane] += weight wherever the source emitted, for `n_words` steps at once, over a row's synapses."""

    @intrinsic
    def pull(typingctx, sums, words, base, n_slots, places, weights, first, last):
        signature = types.void(sums, words, types.int64, types.int64, places, weights, types.int64, types.int64)

        def codegen(context, builder, signature, args):
            lane = context.get_value_type(signature.args[0].dtype)
            # Vectors of 512 bits: masks are then loaded as they are, and all sums of a row stay in registers.
            width = 512 // lane.width
            vector, mask = ir.VectorType(lane, width), ir.VectorType(_I1, width)
            per_word = LANES // width
            sums = builder.bitcast(_data(context, builder, signature, args, 0), vector.as_pointer())
            words = builder.bitcast(_data(context, builder, signature, args, 1), ir.IntType(width).as_pointer())
            places, weights = (_data(context, builder, signature, args, i) for i in (4, 5))
            base, n_slots, first, last = args[2], args[3], args[6], args[7]
            slots = [builder.gep(sums, [ir.Constant(_I64, i)]) for i in range(n_words * per_word)]
            align = lane.width // 8
            start = [builder.load(slot, align=align) for slot in slots]
            entry = builder.block
            head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
            builder.branch(head)
            builder.position_at_end(head)
            j = builder.phi(_I64)
            j.add_incoming(first, entry)
            old = [builder.phi(vector) for _ in slots]
            for phi, value in zip(old, start, strict=True):
                phi.add_incoming(value, entry)
            builder.cbranch(builder.icmp_signed("<", j, last), body, end)
            builder.position_at_end(body)
            place = builder.sext(builder.load(builder.gep(places, [j])), _I64)
            at = builder.mul(builder.mul(builder.add(base, place), n_slots), ir.Constant(_I64, per_word))
            weight = builder.load(builder.gep(weights, [j]))
            if weight.type.width < lane.width:
                weight = builder.sext(weight, lane)
            weight = _splat(builder, weight, vector)
            new = []
            for i, value in enumerate(old):
                bits = builder.load(builder.gep(words, [builder.add(at, ir.Constant(_I64, i))]), align=width // 8)
                fired = builder.bitcast(bits, mask)
                new.append(builder.select(fired, builder.add(value, weight), value))
            j.add_incoming(builder.add(j, ir.Constant(_I64, 1)), body)
            for phi, value in zip(old, new, strict=True):
                phi.add_incoming(value, body)
            builder.branch(head)
            builder.position_at_end(end)
            for slot, value in zip(slots, old, strict=True):
                builder.store(value, slot, align=align)
            return context.get_dummy_value()

        return signature, codegen

    return pull


_pull_8, _pull_4, _pull_2, _pull_1 = (_make_pull(n) for n in (8, 4, 2, 1))


@intrinsic
def _fire(typingctx, v, sums, offset, fire_at, drop, keep, leak):
    """One step of 64 integrate-and-fire lanes: v <- (v & leak) + sums[offset:]; fired = v >= fire_at;
    where fired v <- (v & keep) - drop. Returns the word of the lanes that fired.

    v: (64,) int16 or int32. sums: no wider. fire_at, drop, keep, leak: of v's type; keep, leak: 0 or -1.
    """
    signature = types.uint64(v, sums, types.int64, v.dtype, v.dtype, v.dtype, v.dtype)

    def codegen(context, builder, signature, args):
        lane = context.get_value_type(signature.args[0].dtype)
        narrow = context.get_value_type(signature.args[1].dtype)
        vector, added = ir.VectorType(lane, LANES), ir.VectorType(narrow, LANES)
        v_at = builder.bitcast(_data(context, builder, signature, args, 0), vector.as_pointer())
        sums = builder.gep(_data(context, builder, signature, args, 1), [args[2]])
        x = builder.load(builder.bitcast(sums, added.as_pointer()), align=narrow.width // 8)
        if narrow.width < lane.width:
            x = builder.sext(x, vector)
        fire_at, drop, keep, leak = (_splat(builder, a, vector) for a in args[3:])
        old = builder.load(v_at, align=lane.width // 8)
        x = builder.add(builder.and_(old, leak), x)
        fired = builder.icmp_signed(">=", x, fire_at)
        x = builder.select(fired, builder.sub(builder.and_(x, keep), drop), x)
        builder.store(x, v_at, align=lane.width // 8)
        return builder.bitcast(fired, _I64)

    return signature, codegen


@intrinsic
def _popcount(typingctx, word):
    """Bits that are set, as int64."""
    signature = types.int64(types.uint64)

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return signature, codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_pull(sums, words, base, n_slots, n_steps, places, weights, first, last):
    """What the pull intrinsics do, one lane after the other, for all steps."""
    for j in range(first, last):
        at = (base + places[j]) * n_slots
        for t in range(n_steps):
            word = words[at + t]
            for lane in range(64):
                if (word >> np.uint64(lane)) & np.uint64(1):
                    sums[t * 64 + lane] += weights[j]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def plain_fire(v, sums, offset, fire_at, drop, keep, leak):
    """What the intrinsic `_fire` does, one lane after the other."""
    word = np.uint64(0)
    for lane in range(64):
        x = (v[lane] & leak) + sums[offset + lane]
        if x >= fire_at:
            x = (x & keep) - drop
            word |= np.uint64(1) << np.uint64(lane)
        v[lane] = x
    return word


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_row(sums, words, base, n_slots, n_steps, places, weights, first, last):
    """All steps of one row, in as few passes over its synapses as registers allow."""
    t = np.int64(0)
    while t < n_steps:
        part, from_step = sums[t * 64 :], words[t:]
        left = n_steps - t
        if left >= 8 and sums.itemsize == 2:  # int32 sums would need twice the registers
            _pull_8(part, from_step, base, n_slots, places, weights, first, last)
            t += 8
        elif left >= 4:
            _pull_4(part, from_step, base, n_slots, places, weights, first, last)
            t += 4
        elif left >= 2:
            _pull_2(part, from_step, base, n_slots, places, weights, first, last)
            t += 2
        else:
            _pull_1(part, from_step, base, n_slots, places, weights, first, last)
            t += 1


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _sum_up(sums, words, n_slots, n_steps, o, pixel, n_channels, rows, extra, bias):
    """The current of one target in all steps: bias, what came as numbers, and what spikes."""
    class_of, base, shift, first_row, row_start, places, weights = rows
    sums[:] = bias
    for t in range(n_steps if extra.shape[0] else 0):
        given = extra[min(t, extra.shape[0] - 1)]
        part = sums[t * 64 : t * 64 + 64]
        for lane in range(64):
            part[lane] += given[lane]
    for p in range(first_row.size):
        row = first_row[p] + class_of[p, pixel] * n_channels + o
        first, last = row_start[row], row_start[row + 1]
        pull_row(sums, words[shift[p] :], base[p, pixel], n_slots, n_steps, places, weights, first, last)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_and_fire(
    words, n_slots, n_steps, out, channels, n_pixels, n_channels, rows, extra, bias, neuron, start, lanes, sums, v
):
    """Run some channels of an integrate-and-fire population over all steps, without leak and without wrapping.

    out: first word of the population's own, at step 0. channels (2,): first and end. rows: see the module; each
    (n_projections, ...). extra: (n_neurons of these channels, n_steps or 1 or 0, 64) int32 current from numbers.
    bias: (n_neurons,) int32. neuron (n_groups, 4) int32: fire_at, drop, keep, leak; the last two 0 or -1.
    start: (n_groups,) int32 membrane at the start. lanes: word with the bits of the block's samples.
    sums (n_steps * 64,) and v (64,), int16 or int32: scratch, as wide as sums and membranes need.
    """
    per_group = n_channels * n_pixels // len(neuron)
    for o in range(channels[0], channels[1]):
        for pixel in range(n_pixels):
            i = o * n_pixels + pixel
            given = extra[i - channels[0] * n_pixels]
            _sum_up(sums, words, n_slots, n_steps, o, pixel, n_channels, rows, given, bias[i])
            g = i // per_group
            v[:] = start[g]
            number = v.dtype.type
            fire_at, drop, keep, leak = (
                number(neuron[g, 0]),
                number(neuron[g, 1]),
                number(neuron[g, 2]),
                number(neuron[g, 3]),
            )
            for t in range(n_steps):
                words[out + i * n_slots + t] = _fire(v, sums, t * 64, fire_at, drop, keep, leak) & lanes


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_and_update(
    words, n_slots, n_steps, out, channels, n_pixels, n_channels, rows, extra, bias, neuron, start, lanes, sums, v, u,
    seen, to_membrane, voltage_first, reset_delay, fires,
):  # fmt: skip
    """As pull_and_fire for any neuron, in Loihi's arithmetic (see `update_integer`).

    neuron (n_groups, 5) int32: fire_at and drop in 1/64 unit, keep 0 or 1, leak and current decay in 1/4096.
    start: in 1/64 unit. v, u: (64,) int64 scratch. seen: (n_neurons, n_steps, 64) int32 membranes if it does not fire.
    """
    limit, mask = np.int64(1 << 23), np.int64((1 << 24) - 1)
    per_group = n_channels * n_pixels // len(neuron)
    no_bias = np.int32(0)
    for o in range(channels[0], channels[1]):
        for pixel in range(n_pixels):
            i = o * n_pixels + pixel
            given = extra[i - channels[0] * n_pixels]
            _sum_up(sums, words, n_slots, n_steps, o, pixel, n_channels, rows, given, no_bias)
            g = i // per_group
            v[:] = start[g]
            u[:] = 0
            fire_at, drop, keep = np.int64(neuron[g, 0]), np.int64(neuron[g, 1]), np.int64(neuron[g, 2])
            leak, decay, shift = np.int64(neuron[g, 3]), np.int64(neuron[g, 4]), np.int64(bias[i]) << 6
            for t in range(n_steps):
                word = np.uint64(0)
                for lane in range(64):
                    scaled = np.int64(sums[t * 64 + lane]) << 6
                    if not to_membrane:
                        scaled += shift
                    old = u[lane]
                    magnitude = (abs(old) * decay) >> 12
                    scaled += magnitude if old >= 0 else -magnitude
                    new = ((scaled + limit - 1) & mask) - (limit - 1)
                    u[lane] = new
                    before = v[lane]
                    magnitude = (abs(before) * leak) >> 12
                    x = (magnitude if before >= 0 else -magnitude) + (old if voltage_first else new)
                    if to_membrane:
                        x += shift
                    x = min(max(x, 1 - limit), limit - 1)
                    if reset_delay and before >= fire_at:
                        x = keep * x - drop
                    fired = x >= fire_at
                    if fired and not reset_delay:
                        x = keep * x - drop
                    v[lane] = x
                    word |= np.uint64(fired) << np.uint64(lane)
                if fires:
                    words[out + i * n_slots + t] = word & lanes
                else:
                    for lane in range(64):
                        seen[i, t, lane] = v[lane]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pull_numbers(words, n_slots, n_steps, channels, n_pixels, n_channels, rows, extra, bias, sums, seen):
    """Sums of a population without neurons: a join, or a readout. seen: (n_neurons, n_steps, 64) int32."""
    for o in range(channels[0], channels[1]):
        for pixel in range(n_pixels):
            i = o * n_pixels + pixel
            given = extra[i - channels[0] * n_pixels]
            _sum_up(sums, words, n_slots, n_steps, o, pixel, n_channels, rows, given, bias[i])
            for t in range(n_steps):
                for lane in range(64):
                    seen[i, t, lane] = sums[t * 64 + lane]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def multiply(numbers, delay, channels, n_pixels, n_channels, class_of, base, row_start, places, weights, extra):
    """Add weight x number to `extra` (n_neurons of these channels, n_steps or 1, 64), `delay` steps later.

    numbers: (n_sources, n_steps or 1, 64) int32, the same in every step if there is one.
    """
    n_steps = extra.shape[1]
    for o in range(channels[0], channels[1]):
        for pixel in range(n_pixels):
            here = extra[(o - channels[0]) * n_pixels + pixel]
            row = class_of[pixel] * n_channels + o
            for j in range(row_start[row], row_start[row + 1]):
                there, weight = numbers[base[pixel] + places[j]], np.int32(weights[j])
                for t in range(delay, n_steps):
                    a, b = here[t], there[min(t - delay, there.shape[0] - 1)]
                    for lane in range(64):
                        a[lane] += weight * b[lane]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def pack(x, words, first, n_slots):
    """Spikes (n_samples, n_steps, n_neurons), 0 or not, as words; neuron i, step t at first + i * n_slots + t."""
    n_samples, n_steps, n_neurons = x.shape
    for t in range(n_steps):
        for i in range(n_neurons):
            words[first + i * n_slots + t] = 0
        for lane in range(n_samples):
            bit = np.uint64(1) << np.uint64(lane)
            for i in range(n_neurons):
                if x[lane, t, i] != 0:
                    words[first + i * n_slots + t] |= bit


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def unpack(words, first, n_slots, x):
    """Words as spikes (n_samples, n_steps, n_neurons) of 0 and 1."""
    n_samples, n_steps, n_neurons = x.shape
    for lane in range(n_samples):
        for t in range(n_steps):
            for i in range(n_neurons):
                x[lane, t, i] = (words[first + i * n_slots + t] >> np.uint64(lane)) & np.uint64(1)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_words(words, first, n_slots, fan_outs, spikes, visits):
    """Add up spikes (n_steps,), and visits (n_projections, n_steps) by fan-outs (n_projections, n_neurons)."""
    n_projections, n_neurons = fan_outs.shape
    for i in range(n_neurons):
        for t in range(spikes.size):
            n = _popcount(words[first + i * n_slots + t])
            spikes[t] += n
            for p in range(n_projections):
                visits[p, t] += n * fan_outs[p, i]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def count_numbers(numbers, fan_outs, spikes, visits):
    """As count_words for numbers (n_neurons, n_steps, 64), of which those other than 0 are events."""
    for i in range(len(numbers)):
        for t in range(spikes.size):
            n = 0
            for lane in range(64):
                n += numbers[i, t, lane] != 0
            spikes[t] += n
            for p in range(len(fan_outs)):
                visits[p, t] += n * fan_outs[p, i]
