"""Layers of networks, and the gradients of their matrices, in pairs of bfloat16.

Values are float32 in memory. They are rounded before a product, block by block: inputs to pairs of
columns, matrices to pairs of rows, once per step, and for the gradients of a matrix both factors
to pairs of samples.
"""
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK, NO_FLOOR, product
from instant_nerf_ros.nerf.backends.cpu.kernels.vectors import LONG, WORD, broadcast, pointer

KEEP, DROP = np.uint32(0xFFFF0000), np.uint32(0)  # masks of the second of a pair
MAX_WIDTH = 128  # columns of a matrix
SAMPLES = 64  # of a product that adds to the gradients of a matrix
LANES = 16
WORDS, HALVES = ir.VectorType(WORD, LANES), ir.VectorType(ir.IntType(16), 2 * LANES)


def _rounded(builder, address):
    """Return the bits of the float32 values at an address; the upper half is the bfloat16."""
    bits = builder.load(pointer(builder, address, WORDS), align=4)
    return builder.add(bits, broadcast(builder, WORD(0x8000), WORDS))  # rounds to nearest


@intrinsic
def _pair_rows(context, first, second, mask, result):
    """Write pairs of the values of two rows of LANES; the bits of the second are masked.

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
    """Write pairs of adjacent values of a row of 2 LANES; both arguments are addresses."""
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
    """Return a function for numba that allocates so many words on the stack, at an address."""
    @intrinsic
    def buffer(context):
        def generate(context, builder, signature, arguments):
            memory = cgutils.alloca_once(builder, ir.ArrayType(WORD, words))
            memory.align = 64
            return builder.ptrtoint(memory, LONG)
        return types.uintp(), generate
    return buffer


_block_buffer = _buffer_factory(BLOCK * MAX_WIDTH // 2)
_sample_buffer = _buffer_factory(SAMPLES // 2 * MAX_WIDTH)


@jit
def _pack(rows, first, last, result):
    """Write rows first to last, in pairs, to an address; an odd last one is paired with zeros."""
    width = rows.shape[1]
    for row in range(first, last, 2):
        step, mask = (width, KEEP) if row + 1 < last else (0, DROP)
        for column in range(0, width, LANES):
            address = np.uintp(rows.ctypes.data + 4 * (row * width + column))
            _pair_rows(address, address + np.uintp(4 * step), mask, result)
            result += np.uintp(4 * LANES)


def make_packed(depth, width):
    """See float32_layers.make_packed: (depth / 2, width) pairs."""
    return aligned_zeros((depth // 2, width), np.int32)


@jit
def pack(matrix, result):
    """See float32_layers.pack."""
    _pack(matrix, 0, matrix.shape[0], np.uintp(result.ctypes.data))


@jit
def layer(inputs, matrix, results, rows, adds, floor):
    """See float32_layers.layer; depth is even."""
    columns, (depth, width) = inputs.shape[1], matrix.shape
    block = _block_buffer()
    for row in range(0, rows, BLOCK):
        address = np.uintp(inputs.ctypes.data + 4 * row * columns)
        for value in range(0, BLOCK * columns, 2 * LANES):
            _pair_columns(address + np.uintp(4 * value), block + np.uintp(2 * value))
        product(
            block, columns // 2, 1, matrix.ctypes.data, width,
            results.ctypes.data + 4 * row * width, width, BLOCK, width, depth, adds, floor)


@jit
def outer(gradients, inputs, results, rows):
    """See float32_layers.outer."""
    outputs, width = results.shape
    left, right = _sample_buffer(), _sample_buffer()
    for first in range(0, rows, SAMPLES):
        last = min(first + SAMPLES, rows)
        _pack(gradients, first, last, left)
        _pack(inputs, first, last, right)
        product(
            left, 1, gradients.shape[1], right, width, results.ctypes.data, width, outputs, width,
            (last - first + 1) // 2, True, NO_FLOOR)
