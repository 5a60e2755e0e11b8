"""Layers with few zeros: 8-bit weights of four sources at a time times bytes of 0 and 1 (VNNI of AVX-512).

spread: uint32, a source's eight steps as eight words, of which byte c is 1 where channel 4g + c fired: those of one
place lie together, then those of the next place, then those of the next group g of four channels.
product: int32 (channels, positions), the sums of a byte of output in eight steps together.
Without these instructions (`features.HAS_VNNI`) such layers are pulled like others, and nothing here is called.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

STEPS, ROWS, LANES = 8, 8, 16  # in a byte; channels that are summed together; positions in a vector
TILES = ((1, 2), (2, 1), (1, 1))  # rows, and vectors in a row, that are summed together
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _make_multiply(n_rows, n_vectors):
    """product[r, ...] = or += weights times sources, for ROWS channels and a tile of positions.

    at: of the first position in spread; to: in product, from where on the next channel's and the next row's are `apart`
    and `pitch` further. group: words of a group of four channels; row: of a row of sources. taps: where the sources of
    each tap lie, in words. weights: (n_groups, n_taps, ROWS) words of four signed bytes.
    """

    @intrinsic
    def multiply(typingctx, spread, at, row, group, n_groups, taps, weights, first, fresh, product, to, pitch, apart):
        i64 = types.int64
        signature = types.void(
            spread, i64, i64, i64, i64, taps, weights, i64, types.boolean, product, i64, i64, i64
        )  # fmt: skip

        def codegen(context, builder, signature, args):
            vector = ir.VectorType(_I32, LANES)
            quarters = ir.VectorType(ir.IntType(8), 4 * LANES)

            def data(i):
                return context.make_array(signature.args[i])(context, builder, args[i]).data

            def vectors(pointer, offset):
                return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

            name = "llvm.x86.avx512.vpdpbusd.512"
            kind = ir.FunctionType(vector, [vector, quarters, quarters])
            add_products = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            spread, taps, weights, product = data(0), data(5), data(6), data(9)
            at, row, group, n_groups, first, fresh, to, pitch, apart = (args[i] for i in (1, 2, 3, 4, 7, 8, 10, 11, 12))
            n_taps = context.make_array(signature.args[5])(context, builder, args[5]).nitems
            none = ir.Constant(ir.VectorType(_I32, LANES), None)
            slots = []
            for r in range(ROWS):
                channel = builder.add(to, builder.mul(apart, ir.Constant(_I64, r)))
                for y in range(n_rows):
                    begin = vectors(product, builder.add(channel, builder.mul(pitch, ir.Constant(_I64, y))))
                    slots += [builder.gep(begin, [ir.Constant(_I64, q)]) for q in range(n_vectors)]
            sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in slots]
            with builder.if_then(builder.not_(fresh)):
                for place, slot in zip(sums, slots, strict=True):
                    builder.store(builder.load(slot, align=4), place)
            weight_at = cgutils.alloca_once_value(builder, builder.gep(weights, [first]))
            with cgutils.for_range(builder, n_groups) as groups:
                begin = builder.add(at, builder.mul(groups.index, group))
                with cgutils.for_range(builder, n_taps) as each:
                    here = builder.add(begin, builder.load(builder.gep(taps, [each.index])))
                    given = []
                    for y in range(n_rows):
                        line = vectors(spread, builder.add(here, builder.mul(row, ir.Constant(_I64, y))))
                        given += [
                            builder.load(builder.gep(line, [ir.Constant(_I64, q)]), align=4) for q in range(n_vectors)
                        ]
                    given = [builder.bitcast(x, quarters) for x in given]
                    now = builder.load(weight_at)
                    for r in range(ROWS):
                        weight = builder.load(builder.gep(now, [ir.Constant(_I64, r)]))
                        weight = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, ir.Constant(_I32, 0))
                        weight = builder.shuffle_vector(weight, ir.Constant(vector, ir.Undefined), none)
                        weight = builder.bitcast(weight, quarters)
                        for x, place in zip(given, sums[r * len(given) :], strict=False):
                            builder.store(builder.call(add_products, [builder.load(place), x, weight]), place)
                    builder.store(builder.gep(now, [ir.Constant(_I64, ROWS)]), weight_at)
            for place, slot in zip(sums, slots, strict=True):
                builder.store(builder.load(place), slot, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return multiply


_multiply_1x2, _multiply_2x1, _multiply_1x1 = (_make_multiply(*shape) for shape in TILES)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def spread_bytes(laid, n_channels, spread):
    """Spread what is laid out, flat (n_channels, n_places) bytes; channels that there are not are 0."""
    n_places, each, low = laid.size // n_channels, np.uint32(0x01010101), np.uint32(8)
    for first in range(0, n_channels, 4):
        some, out = laid[first * n_places :], spread[first // 4 * n_places * 8 :]
        for i in range(n_places):
            four = np.uint32(0)
            for c in range(min(4, n_channels - first) - 1, -1, -1):
                four = (four << low) | np.uint32(some[c * n_places + i])
            for t in range(8):
                out[8 * i + t] = (four >> np.uint32(t)) & each


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def multiply(
    width, height, tile, spread, row, group, n_groups, taps, weights, first, end, fresh, product, pitch, apart
):  # fmt: skip
    """Sum up the sources of `first` ... `end` - 1, groups of ROWS channels, into product, which begins with `first`.

    width, height: of a channel, in bytes. tile: of TILES. row, group, n_groups, taps: see _make_multiply. weights:
    flat, of all groups. pitch, apart: words from a row to the next, and from a channel; there is room for an uneven
    tile at the end of each.
    """
    for o in range(first, end):
        w, to_channel = o * n_groups * taps.size * 8, (o - first) * 8 * apart
        for y in range(0, height, 2 if tile == 1 else 1):
            for x in range(0, width, 4 if tile == 0 else 2):
                at, to = y * row + x * 8, to_channel + y * pitch + x * 8
                if tile == 0:
                    _multiply_1x2(spread, at, row, group, n_groups, taps, weights, w, fresh, product, to, pitch, apart)
                elif tile == 1:
                    _multiply_2x1(spread, at, row, group, n_groups, taps, weights, w, fresh, product, to, pitch, apart)
                else:
                    _multiply_1x1(spread, at, row, group, n_groups, taps, weights, w, fresh, product, to, pitch, apart)
