"""Matrix products in the vector registers of the processor, called from numba kernels.

The matrices here are small (at most 128 wide) and stay in the caches, so a product is as fast as
its innermost loop. No loop that numba compiles keeps a tile of the result in registers, so this
one is written in LLVM's vector instructions.

A processor with AVX512-BF16 multiplies pairs of bfloat16, two products at once, and sums in
float32; any other one multiplies float32. This is decided here, for the whole process.
"""
import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.backends.cpu.kernels.vectors import (
    FLOAT,
    LONG,
    WORD,
    broadcast,
    call,
    multiply_add,
    pointer,
    vector_at,
)

# A tile of the result takes ROWS x VECTORS registers, of 16 (AVX2) or 32 (AVX-512, NEON).
# NUMBA_CPU_FEATURES sets the features to compile for, if not those of this processor.
FEATURES = numba.config.CPU_FEATURES
if FEATURES is None:
    FEATURES = llvmlite.binding.get_host_cpu_features().flatten()
LANES, ROWS = (16, 8) if '+avx512f' in FEATURES else (8, 4)
BFLOAT16 = '+avx512f' in FEATURES and '+avx512bf16' in FEATURES
PAIRED = 2 if BFLOAT16 else 1  # values of a and b in an element
BLOCK = 8  # rows of all matrices are a multiple of it
NO_FLOOR = np.float32(-np.inf)
RELU = np.float32(0)

SUMS = ir.VectorType(FLOAT, LANES)
ELEMENT = WORD if BFLOAT16 else FLOAT  # of a and b
ELEMENTS = ir.VectorType(ELEMENT, LANES)


def _add_product(builder, a, b, sums):
    if BFLOAT16:  # later versions of LLVM have another type for the pairs, but accept words
        return call(builder, 'llvm.x86.avx512bf16.dpbf16ps.512', SUMS, sums, a, b)
    return multiply_add(builder, a, b, sums)


def _tile(vectors):
    """Return the intrinsic that multiplies ROWS rows by so many vectors of columns."""
    @intrinsic
    def tile(context, a, a_row, a_column, b, b_row, c, c_row, depth, adds, floor):
        signature = types.void(
            types.uintp, types.intp, types.intp, types.uintp, types.intp, types.uintp,
            types.intp, types.intp, types.boolean, types.float32)
        return signature, generate

    def generate(context, builder, signature, arguments):
        a, a_row, a_column, b, b_row, c, c_row, depth, adds, floor = arguments
        a, b, c = pointer(builder, a, ELEMENT), pointer(builder, b, ELEMENT), pointer(
            builder, c, FLOAT)
        cells = [(row, vector) for row in range(ROWS) for vector in range(vectors)]

        def cell_at(row, vector):
            offset = builder.add(builder.mul(c_row, LONG(row)), LONG(vector * LANES))
            return vector_at(builder, c, offset, SUMS)

        entry, add = builder.block, builder.append_basic_block('add')
        loop, end = builder.append_basic_block('loop'), builder.append_basic_block('end')
        builder.cbranch(adds, add, loop)
        builder.position_at_end(add)
        initial = [builder.load(cell_at(*cell), align=4) for cell in cells]
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(LONG)
        sums = [builder.phi(SUMS) for _ in cells]
        k.add_incoming(LONG(0), entry)
        k.add_incoming(LONG(0), add)
        for total, value in zip(sums, initial):
            total.add_incoming(ir.Constant(SUMS, None), entry)
            total.add_incoming(value, add)
        line = builder.mul(k, b_row)
        columns = [
            builder.load(
                vector_at(builder, b, builder.add(line, LONG(v * LANES)), ELEMENTS), align=4)
            for v in range(vectors)]
        shift, results = builder.mul(k, a_column), []
        for row in range(ROWS):
            offset = builder.add(builder.mul(a_row, LONG(row)), shift)
            value = broadcast(builder, builder.load(builder.gep(a, [offset]), align=4), ELEMENTS)
            for v in range(vectors):
                results.append(_add_product(builder, value, columns[v], sums[row * vectors + v]))
        following = builder.add(k, LONG(1))
        k.add_incoming(following, loop)
        for total, result in zip(sums, results):
            total.add_incoming(result, loop)
        builder.cbranch(builder.icmp_signed('<', following, depth), loop, end)

        builder.position_at_end(end)
        minimum = broadcast(builder, floor, SUMS)
        for cell, result in zip(cells, results):
            below = builder.fcmp_ordered('<', result, minimum)  # false for NaN
            builder.store(builder.select(below, minimum, result), cell_at(*cell), align=4)
        return context.get_dummy_value()

    return tile


_wide, _narrow = _tile(2), _tile(1)


@jit
def product(a, a_row, a_column, b, b_row, c, c_row, rows, width, depth, adds, floor):
    """Write c[m, n] = max(floor, sum over k of a[m, k] b[k, n]), adding c first if adds.

    a, b, c are addresses; c has float32 values, a and b float32 or pairs of bfloat16, the product
    of two pairs being the sum of both products. a[m, k] lies at a + 4 (m a_row + k a_column),
    b[k, n] at b + 4 (k b_row + n), c alike. m < rows and n < width, multiples of BLOCK and of 16;
    0 < k < depth.
    """
    n = 0
    while n < width:
        wide = width - n >= 2 * LANES
        for m in range(0, rows, ROWS):
            a_tile, c_tile = a + 4 * m * a_row, c + 4 * (m * c_row + n)
            if wide:
                _wide(
                    a_tile, a_row, a_column, b + 4 * n, b_row, c_tile, c_row, depth, adds, floor)
            else:
                _narrow(
                    a_tile, a_row, a_column, b + 4 * n, b_row, c_tile, c_row, depth, adds, floor)
        n += 2 * LANES if wide else LANES
