"""The cells of the hash grid in vector instructions, called from numba kernels.

The eight corners of a cell are one vector, the features of an entry another. numba has no vectors,
so this is written in LLVM's instructions.
"""
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from instant_nerf_ros.nerf.backends.cpu.kernels.vectors import (
    FLOAT,
    LONG,
    WORD,
    broadcast,
    multiply_add,
    pointer,
    vector_at,
)
from instant_nerf_ros.nerf.constants import FEATURES, PRIMES

CORNERS = 8
LINE = 16  # float32 values in a cache line: value, gradient, first and second moment
FLOATS, WORDS = ir.VectorType(FLOAT, CORNERS), ir.VectorType(WORD, CORNERS)
ENTRY = ir.VectorType(FLOAT, FEATURES)
BITS = ir.IntType(FEATURES)


@intrinsic
def find_corners(context, position, scale, mask, indices, weights):
    """Write the entry and the weight of each corner of a position's cell on a level.

    position, indices, weights: addresses of three float32, eight uint32 and eight float32. The
    entries are those of reference.hash_encode, mask is their number less one.
    """
    signature = types.void(
        types.uintp, types.float32, types.uint32, types.uintp, types.uintp)

    def generate(context, builder, signature, arguments):
        position, scale, mask, indices, weights = arguments
        position = pointer(builder, position, FLOAT)
        index = weight = None
        for axis, prime in enumerate(PRIMES):
            upper = [corner >> axis & 1 for corner in range(CORNERS)]
            value = builder.load(builder.gep(position, [LONG(axis)]))
            value = multiply_add(builder, value, scale, FLOAT(0.5))
            # Signed, as processors before AVX-512 convert only signed integers.
            vertex = builder.fptosi(value, WORD)
            fraction = builder.fsub(value, builder.sitofp(vertex, FLOAT))
            lower = broadcast(builder, builder.mul(vertex, WORD(prime)), WORDS)
            hashed = builder.add(lower, ir.Constant(WORDS, [bit * prime for bit in upper]))
            axis_weight = multiply_add(
                builder, broadcast(builder, fraction, FLOATS),
                ir.Constant(FLOATS, [2.0 * bit - 1 for bit in upper]),
                ir.Constant(FLOATS, [1.0 - bit for bit in upper]))
            index = hashed if axis == 0 else builder.xor(index, hashed)
            weight = axis_weight if axis == 0 else builder.fmul(weight, axis_weight)
        index = builder.and_(index, broadcast(builder, mask, WORDS))
        builder.store(index, pointer(builder, indices, WORDS), align=4)
        builder.store(weight, pointer(builder, weights, FLOATS), align=4)
        return context.get_dummy_value()
    return signature, generate


def _corners_of(builder, lines, indices, weights, column):
    """Yield the entry, the address of FEATURES values of its line from a column on, the weight."""
    indices = pointer(builder, indices, WORD)
    weights = pointer(builder, weights, FLOAT)
    lines = pointer(builder, lines, FLOAT)
    for corner in range(CORNERS):
        index = builder.load(builder.gep(indices, [LONG(corner)]))
        first = builder.add(builder.mul(builder.zext(index, LONG), LONG(LINE)), LONG(column))
        address = vector_at(builder, lines, first, ENTRY)
        yield index, address, broadcast(
            builder, builder.load(builder.gep(weights, [LONG(corner)])), ENTRY)


@intrinsic
def interpolate(context, lines, indices, weights, result):
    """Write the weighted sum of the values of eight entries; all arguments are addresses."""
    signature = types.void(types.uintp, types.uintp, types.uintp, types.uintp)

    def generate(context, builder, signature, arguments):
        lines, indices, weights, result = arguments
        sums = [ir.Constant(ENTRY, None)] * 2  # two, which need not wait for each other
        for _, address, weight in _corners_of(builder, lines, indices, weights, 0):
            value = builder.load(address, align=16)
            sums = [sums[1], multiply_add(builder, weight, value, sums[0])]
        builder.store(builder.fadd(*sums), pointer(builder, result, ENTRY), align=4)
        return context.get_dummy_value()
    return signature, generate


@intrinsic
def add_gradient(context, lines, indices, weights, gradient, entries, count, last):
    """Add a gradient (FEATURES,), weighted, to those of eight entries.

    Entries whose gradient was zero before, but is not after it, are written to entries (int32)
    from count on, as long as count is below last, and to entries[last] otherwise. Returns the new
    count. All other arguments are addresses.
    """
    signature = types.int64(
        types.uintp, types.uintp, types.uintp, types.uintp, types.uintp, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        lines, indices, weights, gradient, entries, count, last = arguments
        entries = pointer(builder, entries, WORD)
        change = builder.load(pointer(builder, gradient, ENTRY), align=4)
        zero = ir.Constant(ENTRY, None)
        for index, address, weight in _corners_of(builder, lines, indices, weights, FEATURES):
            before = builder.load(address, align=16)
            after = multiply_add(builder, weight, change, before)
            builder.store(after, address, align=16)
            untouched = builder.bitcast(builder.fcmp_ordered('==', before, zero), BITS)
            touched = builder.bitcast(builder.fcmp_unordered('!=', after, zero), BITS)
            listed = builder.and_(
                builder.icmp_unsigned('==', untouched, BITS(2**FEATURES - 1)),
                builder.and_(
                    builder.icmp_unsigned('!=', touched, BITS(0)),
                    builder.icmp_signed('<', count, last)))
            # Without a branch, which would be mispredicted half of the time.
            builder.store(index, builder.gep(entries, [count]))
            count = builder.add(count, builder.zext(listed, LONG))
        return count
    return signature, generate
