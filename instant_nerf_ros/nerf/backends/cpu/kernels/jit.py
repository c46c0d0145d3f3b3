"""The compiler of the kernels, and instructions of LLVM that numba does not have.

A loop over the columns of a matrix becomes vector instructions only if its row is a variable of
its own: indices may be negative, and LLVM cannot prove that accesses with two are contiguous.
"""
import contextlib
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# Lets LLVM join the operations on the features of an entry into vector instructions.
numba.config.SLP_VECTORIZE = 1
options = {
    'cache': True, 'fastmath': {'contract'}, 'error_model': 'numpy', 'nogil': True,
}  # fmt: skip
# Without references that are counted: each call would count those of all arrays in its arguments,
# by atomic operations, which takes longer than most of what is done for a ray. So kernels neither
# make arrays nor return them; what is `allocating` does.
jit = numba.njit(**options, _nrt=False)
allocating = numba.njit(**options, _nrt=True)


def forget_outdated(sources, cache):
    """Delete the kernels in a cache folder that are older than any source in another one.

    numba compares a kernel only with the file that defines it, not with those it calls.
    """
    newest = max(source.stat().st_mtime for source in sources.glob('*.py'))
    for kernel in cache.glob('*.nb[ci]'):
        with contextlib.suppress(OSError):  # another process has deleted it, or it is not ours
            if kernel.stat().st_mtime < newest:
                kernel.unlink()


def aligned_zeros(shape, kind=np.float32):
    """Return zeros of a type of four bytes; the first one is at the beginning of a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + 16, dtype=kind)
    first = -(memory.ctypes.data // 4) % 16
    return memory[first : first + size].reshape(shape)


@intrinsic
def prefetch(context, address):
    """Prefetch the cache line at an address."""
    def generate(context, builder, signature, arguments):
        flag, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag]),
            'llvm.prefetch.p0i8')
        address = builder.inttoptr(arguments[0], pointer)
        builder.call(function, [address, flag(0), flag(3), flag(1)])  # read, keep, data
        return context.get_dummy_value()
    return types.void(types.uintp), generate


@intrinsic
def fetch_add(context, address):
    """Return the int64 at an address, and add one to it, as one operation for all threads."""
    def generate(context, builder, signature, arguments):
        number = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], number.as_pointer())
        return builder.atomic_rmw('add', pointer, number(1), 'monotonic')
    return types.int64(types.uintp), generate


@intrinsic
def _float_of_bits(context, bits):
    """Return the float32 with the bits of an int32."""
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())
    return types.float32(types.int32), generate


@jit
def exp(x):
    """Return e to the power of a float32, with an error of at most two units in the last place.

    The polynomial of expf in the Cephes library, in a form that LLVM vectorizes. x is bounded to
    [-87, 88], so that the result is finite and positive; NaN stays NaN.
    """
    low, high = np.float32(-87.0), np.float32(88.0)
    bounded = low if x < low else high if x > high else x
    bounded = bounded if x == x else np.float32(0)
    # Shifted to be positive, where truncation rounds down.
    power = np.int32(bounded * np.float32(1.44269504) + np.float32(128.5)) - np.int32(128)
    whole = np.float32(power)
    r = bounded - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    result = p * _float_of_bits(np.int32((power + np.int32(127)) << np.int32(23)))
    return result if x == x else x


@jit
def copy(row, result):
    """Copy a row of a matrix to another row, in vector instructions."""
    for column in range(len(result)):
        result[column] = row[column]


# The cache is beside the sources, or in NUMBA_CACHE_DIR: one for all kernels of a folder.
forget_outdated(Path(__file__).parent, Path(exp._cache.cache_path))
