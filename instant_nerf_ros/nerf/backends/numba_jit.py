"""How the kernels are compiled, and what they need of LLVM that numba does not offer."""
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# Lets LLVM join the operations on the features of an entry into vector instructions.
numba.config.SLP_VECTORIZE = 1
jit = numba.njit(cache=True, fastmath={'contract'}, error_model='numpy', nogil=True)
parallel = numba.njit(
    cache=True, fastmath={'contract'}, error_model='numpy', nogil=True, parallel=True)


@intrinsic
def prefetch(context, address):
    """Ask for the cache line at an address, which will be read soon."""
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
def take_number(context, address):
    """Return the int64 at an address, and add one to it, as one operation for all threads."""
    def generate(context, builder, signature, arguments):
        number = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], number.as_pointer())
        return builder.atomic_rmw('add', pointer, number(1), 'monotonic')
    return types.int64(types.uintp), generate
