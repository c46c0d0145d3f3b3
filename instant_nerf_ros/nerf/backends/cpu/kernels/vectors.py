"""Functions that build LLVM's vector instructions, for intrinsics: numba has none.

LLVM splits a vector where those of the processor are shorter.
"""
from llvmlite import ir
from numba.core import cgutils

FLOAT, WORD, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def broadcast(builder, value, kind):
    """Return a vector whose elements are all the same value."""
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, value, WORD(0))
    zeros = ir.Constant(ir.VectorType(WORD, kind.count), [0] * kind.count)
    return builder.shuffle_vector(single, undefined, zeros)


def call(builder, name, result, *arguments):
    """Call a function of LLVM by its name."""
    kinds = [argument.type for argument in arguments]
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, kinds), name)
    return builder.call(function, arguments)


def multiply_add(builder, a, b, c):
    """Return a * b + c, rounded once, of numbers or vectors of float32."""
    suffix = 'f32' if a.type == FLOAT else f'v{a.type.count}f32'
    return call(builder, f'llvm.fma.{suffix}', a.type, a, b, c)


def pointer(builder, address, kind):
    """Return an address as a pointer to values of a kind."""
    return builder.inttoptr(address, kind.as_pointer())


def vector_at(builder, base, offset, kind):
    """Return a pointer to the vector that begins at an offset from a pointer."""
    return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())
