"""Layers of networks, and the gradients of their matrices, in pairs of bfloat16.

Values stay float32 in memory. They are rounded on the way into a product, block by block: inputs
to pairs of columns, matrices to pairs of rows, once a step, and for the gradients of a matrix both
factors to pairs of samples.
"""
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK, NO_FLOOR, product
from instant_nerf_ros.nerf.backends.cpu.kernels.vectors import LONG, WORD, broadcast, pointer

UPPER, NOTHING = np.uint32(0xFFFF0000), np.uint32(0)  # masks of the second of a pair
WIDEST = 128  # columns of a matrix
SAMPLES = 64  # whose share in the gradients of a matrix is found together
LANES = 16
WORDS, HALVES = ir.VectorType(WORD, LANES), ir.VectorType(ir.IntType(16), 2 * LANES)


def _rounded(builder, address):
    """Return the bits of the float32 values at an address; the upper half is the bfloat16."""
    bits = builder.load(pointer(builder, address, WORDS), align=4)
    return builder.add(bits, broadcast(builder, WORD(0x8000), WORDS))  # half of the last place


@intrinsic
def _pair_rows(context, first, second, mask, result):
    """Write pairs of values, of each of two rows of LANES; the bits of the second are masked.

    All arguments but the mask, an uint32, are addresses.
    """
    def generate(context, builder, signature, arguments):
        first, second, mask, result = arguments
        lower = builder.lshr(_rounded(builder, first), broadcast(builder, WORD(16), WORDS))
        upper = builder.and_(_rounded(builder, second), broadcast(builder, mask, WORDS))
        builder.store(builder.or_(lower, upper), pointer(builder, result, WORDS), align=4)
        return context.get_dummy_value()
    return types.void(types.uintp, types.uintp, types.uint32, types.uintp), generate


@intrinsic
def _pair_columns(context, row, result):
    """Write pairs of neighbours, of 2 LANES values in a row; both arguments are addresses."""
    def generate(context, builder, signature, arguments):
        row, result = arguments
        halves = [
            builder.bitcast(_rounded(builder, builder.add(row, LONG(offset))), HALVES)
            for offset in (0, 4 * LANES)]
        upper = ir.Constant(
            ir.VectorType(WORD, 2 * LANES), [2 * lane + 1 for lane in range(2 * LANES)])
        builder.store(
            builder.shuffle_vector(*halves, upper), pointer(builder, result, HALVES), align=4)
        return context.get_dummy_value()
    return types.void(types.uintp, types.uintp), generate


def _buffer_factory(words):
    """Return a function that gives the address of so many words on the stack, for numba."""
    @intrinsic
    def buffers(context):
        def generate(context, builder, signature, arguments):
            memory = cgutils.alloca_once(builder, ir.ArrayType(WORD, words))
            memory.align = 64
            return builder.ptrtoint(memory, LONG)
        return types.uintp(), generate
    return buffers


_block_buffer, _sample_buffer = _buffer_factory(BLOCK * WIDEST // 2), _buffer_factory(SAMPLES // 2 * WIDEST)


@jit
def _pack(rows, first, last, result):
    """Write rows from first to last, pair by pair, to an address; an odd one goes with zeros."""
    width = rows.shape[1]
    for row in range(first, last, 2):
        step, mask = (width, UPPER) if row + 1 < last else (0, NOTHING)
        for column in range(0, width, LANES):
            place = np.uintp(rows.ctypes.data + 4 * (row * width + column))
            _pair_rows(place, place + np.uintp(4 * step), mask, result)
            result += np.uintp(4 * LANES)


def make_packed(depth, width):
    """See numba_floats.make_packed: (depth / 2, width) pairs."""
    return aligned_zeros((depth // 2, width), np.int32)


@jit
def pack(matrix, result):
    """See numba_floats.pack."""
    _pack(matrix, 0, matrix.shape[0], np.uintp(result.ctypes.data))


@jit
def layer(inputs, matrix, results, rows, adds, floor):
    """See numba_floats.layer; depth is even."""
    columns, (depth, width) = inputs.shape[1], matrix.shape
    block = _block_buffer()
    for row in range(0, rows, BLOCK):
        place = np.uintp(inputs.ctypes.data + 4 * row * columns)
        for value in range(0, BLOCK * columns, 2 * LANES):
            _pair_columns(place + np.uintp(4 * value), block + np.uintp(2 * value))
        product(
            block, columns // 2, 1, matrix.ctypes.data, width,
            results.ctypes.data + 4 * row * width, width, BLOCK, width, depth, adds, floor)


@jit
def outer(gradients, inputs, results, rows):
    """See numba_floats.outer."""
    outputs, width = results.shape
    left, right = _sample_buffer(), _sample_buffer()
    for first in range(0, rows, SAMPLES):
        last = min(first + SAMPLES, rows)
        _pack(gradients, first, last, left)
        _pack(inputs, first, last, right)
        product(
            left, 1, gradients.shape[1], right, width, results.ctypes.data, width, outputs, width,
            (last - first + 1) // 2, True, NO_FLOOR)
