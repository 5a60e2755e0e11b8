"""Numbers by which threads wait for each other without sleeping: to be woken takes longer than a small layer."""

import platform

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

X86 = platform.machine() in ("x86_64", "AMD64")


@intrinsic
def _pause(typingctx):
    """Leave the core's units to the other thread that runs on it, for a moment."""

    def codegen(context, builder, signature, args):
        if X86:
            name, kind = "llvm.x86.sse2.pause", ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _load(typingctx, flags, i):
    """flags[i], and whatever was written before it was set."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "acquire", 8)

    return types.int64(flags, types.int64), codegen


@intrinsic
def _store(typingctx, flags, i, value):
    """Set flags[i], after all that was written before."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store_atomic(args[2], builder.gep(data, [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(flags, types.int64, types.int64), codegen


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def raise_flag(flags, i, value):
    """Set one of the flags, int64."""
    _store(flags, i, value)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def watch(flags, i, value, n_looks):
    """Look at a flag until it is at least `value`, or so many times. Returns whether it is."""
    looks = 0
    while looks < n_looks and _load(flags, i) < value:
        _pause()
        looks += 1
    return looks < n_looks
