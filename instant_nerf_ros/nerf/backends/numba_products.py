"""Matrix products for a processor's vector registers, called from numba kernels.

The matrices here are small (at most 128 wide) and stay in the caches, so a product is as fast as
its innermost loop. No loop that numba compiles keeps a tile of the result in registers; this one
is written in LLVM's own vectors, which LLVM splits where a processor has shorter ones.
"""
import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from instant_nerf_ros.nerf.backends.numba_jit import jit

# A tile of the result takes ROWS x VECTORS registers, of 16 (AVX2) or 32 (AVX-512, NEON).
# NUMBA_CPU_FEATURES says what to compile for, if not for the processor at hand.
FEATURES = numba.config.CPU_FEATURES
if FEATURES is None:
    FEATURES = llvmlite.binding.get_host_cpu_features().flatten()
LANES, ROWS = (16, 8) if '+avx512f' in FEATURES else (8, 4)
BLOCK = 8  # rows of all matrices are a multiple of it
NO_FLOOR = np.float32(-np.inf)
RELU = np.float32(0)

FLOAT, INDEX = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)


def _tile(vectors):
    """Return the product of ROWS rows and as many vectors of columns, for numba."""
    @intrinsic
    def tile(context, a, a_row, a_column, b, b_row, c, c_row, depth, adds, floor):
        signature = types.void(
            types.uintp, types.intp, types.intp, types.uintp, types.intp, types.uintp,
            types.intp, types.intp, types.boolean, types.float32)
        return signature, generate

    def generate(context, builder, signature, arguments):
        a, a_row, a_column, b, b_row, c, c_row, depth, adds, floor = arguments
        a, b, c = (builder.inttoptr(address, FLOAT.as_pointer()) for address in (a, b, c))
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f'llvm.fma.v{LANES}f32')
        cells = [(row, vector) for row in range(ROWS) for vector in range(vectors)]

        def at(base, offset):
            return builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())

        def load(base, offset):
            return builder.load(at(base, offset), align=4)

        def place(row, vector):
            return builder.add(builder.mul(c_row, INDEX(row)), INDEX(vector * LANES))

        def broadcast(value):
            nothing = ir.Constant(VECTOR, ir.Undefined)
            single = builder.insert_element(nothing, value, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(single, nothing, zeros)

        entry, add = builder.block, builder.append_basic_block('add')
        loop, end = builder.append_basic_block('loop'), builder.append_basic_block('end')
        builder.cbranch(adds, add, loop)
        builder.position_at_end(add)
        given = [load(c, place(*cell)) for cell in cells]
        builder.branch(loop)

        builder.position_at_end(loop)
        k = builder.phi(INDEX)
        sums = [builder.phi(VECTOR) for _ in cells]
        k.add_incoming(INDEX(0), entry)
        k.add_incoming(INDEX(0), add)
        for total, value in zip(sums, given):
            total.add_incoming(ir.Constant(VECTOR, None), entry)
            total.add_incoming(value, add)
        line = builder.mul(k, b_row)
        columns = [load(b, builder.add(line, INDEX(v * LANES))) for v in range(vectors)]
        shift, results = builder.mul(k, a_column), []
        for row in range(ROWS):
            offset = builder.add(builder.mul(a_row, INDEX(row)), shift)
            value = broadcast(builder.load(builder.gep(a, [offset])))
            for v in range(vectors):
                total = sums[row * vectors + v]
                results.append(builder.call(multiply_add, [value, columns[v], total]))
        following = builder.add(k, INDEX(1))
        k.add_incoming(following, loop)
        for total, result in zip(sums, results):
            total.add_incoming(result, loop)
        builder.cbranch(builder.icmp_signed('<', following, depth), loop, end)

        builder.position_at_end(end)
        least = broadcast(floor)
        for cell, result in zip(cells, results):
            below = builder.fcmp_ordered('<', result, least)  # false for what is not a number
            builder.store(builder.select(below, least, result), at(c, place(*cell)), align=4)
        return context.get_dummy_value()

    return tile


_wide, _narrow = _tile(2), _tile(1)


@jit
def product(a, a_row, a_column, b, b_row, c, c_row, rows, width, depth, adds, floor):
    """Write c[m, n] = max(floor, sum over k of a[m, k] b[k, n]), adding c first if adds.

    a, b, c are addresses of float32 values; a[m, k] lies at a + 4 (m a_row + k a_column), b[k, n]
    at b + 4 (k b_row + n), c alike. m < rows and n < width, multiples of BLOCK and of 16;
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


@jit
def layer(inputs, matrix, results, rows, adds, floor):
    """Write results = max(floor, inputs @ matrix) for the first rows, adding results if adds.

    inputs (S, depth), matrix (depth, width), results (S, width), contiguous float32; as many rows
    are written as fill whole blocks.
    """
    depth, width = matrix.shape
    product(
        inputs.ctypes.data, inputs.shape[1], 1, matrix.ctypes.data, width,
        results.ctypes.data, results.shape[1], -(-rows // BLOCK) * BLOCK, width, depth, adds,
        floor,
    )  # fmt: skip


@jit
def outer(gradients, inputs, results, rows):
    """Add gradients.T @ inputs of the first rows: (S, outputs), (S, width) to (outputs, width)."""
    outputs, width = results.shape
    product(
        gradients.ctypes.data, 1, gradients.shape[1], inputs.ctypes.data, inputs.shape[1],
        results.ctypes.data, width, outputs, width, rows, True, NO_FLOOR,
    )  # fmt: skip
